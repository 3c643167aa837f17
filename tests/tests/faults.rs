//! Parts that go away and come back, and installations that are not what they should be.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testkit::{Process, RedisOptions, SmtpSink, free_port, wait_until};
use tests::added;
use tests::admin::wait_for_readiness;
use tests::installation::{Installation, State, smtp_sections, topic};
use tests::newer::newer;

const LIMIT: Duration = Duration::from_mins(2);

fn ended_with(process: &Process, wanted: &[&str]) {
    let status = process.wait(LIMIT).unwrap();
    assert!(!status.success());
    let log = process.log();
    for words in wanted {
        assert!(log.contains(words), "{words} is not said: {log}");
    }
}

#[test]
fn while_redis_is_away_nothing_is_lost_and_readiness_says_so() {
    let mail = SmtpSink::start().unwrap();
    let sections = smtp_sections(&mail) + "[messaging]\nclaim_deadline = \"2s\"\n";
    let installation = Installation::start_with("live", State::Redis, &sections).unwrap();
    let admin = free_port().unwrap();
    let door = installation.run(&["door"], 0).unwrap();
    let resolver = installation.run_with(&["resolver"], 0, &[format!("admin.listen=127.0.0.1:{admin}")]).unwrap();
    let _others = installation.run_each(&["segmentation", "journeys", "messaging"], 0..1).unwrap();
    installation.wait_for_door(&door).unwrap();
    installation.apply(&["1s"]).unwrap();
    wait_for_readiness(admin, 200, LIMIT).unwrap();

    let redis = installation.redis.as_ref().unwrap();
    redis.process().pause().unwrap();
    installation.post("/v1/track", &[], &added("while-redis-is-away")).unwrap();
    let why = wait_for_readiness(admin, 503, LIMIT).unwrap();
    assert!(why.contains("ingestion worker"), "{why}");
    redis.process().resume().unwrap();
    mail.wait_for_messages(1, LIMIT).unwrap();
    wait_for_readiness(admin, 200, LIMIT).unwrap();
    assert!(resolver.is_running() && door.is_running());
}

#[test]
fn while_the_broker_is_away_the_door_refuses_soon_and_afterwards_it_goes_on() {
    let installation = Installation::start("live", State::Memory).unwrap();
    let door = installation.run_with(&["door"], 0, &["ingestion.door.append_deadline=1s".to_owned()]).unwrap();
    installation.wait_for_door(&door).unwrap();
    // The first append of all may take longer than that: topics and producer are young.
    wait_until(LIMIT, "the door to take events", || installation.post("/v1/track", &[], &added("before")).ok())
        .unwrap();
    installation.kafka.pause().unwrap();
    let began = Instant::now();
    let refused = installation.post("/v1/track", &[], &added("meanwhile")).unwrap_err().to_string();
    assert!(refused.contains(" 503 ") && refused.contains("unavailable"), "{refused}");
    assert!(began.elapsed() < Duration::from_secs(5), "the deadline is 1 s: {:?}", began.elapsed());
    installation.kafka.resume().unwrap();
    wait_until(LIMIT, "the door to take events again", || installation.post("/v1/track", &[], &added("after")).ok())
        .unwrap();
    assert!(door.is_running());
}

#[test]
fn every_event_that_was_acknowledged_is_stored_though_the_broker_is_killed_meanwhile() {
    let installation = Installation::start("live", State::Memory).unwrap();
    let door = installation.run_with(&["door"], 0, &["ingestion.door.append_deadline=1s".to_owned()]).unwrap();
    installation.wait_for_door(&door).unwrap();
    let (acknowledged, refusals) = (Mutex::new(BTreeSet::new()), Mutex::new(Vec::new()));
    let over = AtomicBool::new(false);
    let count = |wanted| {
        let what = format!("{wanted} events to be acknowledged");
        wait_until(LIMIT, &what, || (acknowledged.lock().unwrap().len() >= wanted).then_some(())).unwrap();
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                let customer = format!("customer-{number}");
                match installation.post("/v1/track", &[], &added(&customer)) {
                    Ok(()) => drop(acknowledged.lock().unwrap().insert(customer)),
                    Err(refusal) => refusals.lock().unwrap().push(refusal.to_string()),
                }
            }
        });
        count(100);
        installation.kafka.kill9().unwrap();
        installation.kafka.restart().unwrap();
        let before = acknowledged.lock().unwrap().len();
        count(before + 100);
        over.store(true, Ordering::SeqCst);
    });
    let (acknowledged, refusals) = (acknowledged.into_inner().unwrap(), refusals.into_inner().unwrap());
    assert!(!refusals.is_empty() && refusals.iter().all(|refusal| refusal.contains(" 503 ")), "{refusals:?}");
    let stored: BTreeSet<_> =
        installation.records("storefront.received").unwrap().into_iter().filter_map(|r| r.key).collect();
    assert!(acknowledged.is_subset(&stored), "lost: {:?}", acknowledged.difference(&stored));
    assert!(door.is_running());
}

#[test]
fn a_registry_that_is_away_at_the_start_is_waited_for() {
    let installation = Installation::start("live", State::Memory).unwrap();
    installation.registry.pause().unwrap();
    let door = installation.run(&["door"], 0).unwrap();
    door.wait_for_log("waiting for the broker and the registry", LIMIT).unwrap();
    installation.registry.resume().unwrap();
    installation.wait_for_door(&door).unwrap();
    installation.post("/v1/track", &[], &added("anybody")).unwrap();
}

/// A record that a newer program wrote: its schema has to be asked for.
#[test]
fn while_the_registry_is_away_a_record_of_a_newer_writer_waits_and_readiness_says_why() {
    let installation = Installation::start("live", State::Memory).unwrap();
    let admin = free_port().unwrap();
    let door = installation.run(&["door"], 0).unwrap();
    let settings = [format!("admin.listen=127.0.0.1:{admin}"), "kafka.request_timeout=1s".to_owned()];
    let resolver = installation.run_with(&["resolver"], 0, &settings).unwrap();
    installation.wait_for_door(&door).unwrap();
    installation.post("/v1/track", &[], &added("ana")).unwrap();
    wait_for_readiness(admin, 200, LIMIT).unwrap();
    let newer = as_a_newer_writer(&installation);

    installation.registry.pause().unwrap();
    installation.produce("storefront.received", "ana", &[], &newer).unwrap();
    let why = wait_for_readiness(admin, 503, LIMIT).unwrap();
    assert!(why.contains("the schema registry at ") && why.contains("does not answer"), "{why}");
    installation.registry.resume().unwrap();
    wait_until(LIMIT, "the record to come out of the resolver", || {
        (installation.records("storefront.events").ok()?.len() == 2).then_some(())
    })
    .unwrap();
    wait_for_readiness(admin, 200, LIMIT).unwrap();
    assert!(resolver.is_running());
    assert_eq!(installation.raw_records("platform.deadletters").unwrap(), []);
}

/// The one event that was received, as a newer program would write it, under a message id of its own.
fn as_a_newer_writer(installation: &Installation) -> Vec<u8> {
    let received = installation.raw_records("storefront.received").unwrap();
    let mut bytes = STANDARD.decode(received[0].value.as_str().unwrap()).unwrap();
    let at = bytes.windows(9).position(|window| window == b"added-ana").unwrap();
    bytes[at..at + 9].copy_from_slice(b"newer-ana");
    newer(installation, "storefront.received", &bytes).unwrap()
}

#[test]
fn a_second_process_in_the_same_slot_ends_the_first_with_what_to_do() {
    let installation = Installation::start("live", State::Memory).unwrap();
    let first = installation.run(&["resolver"], 0).unwrap();
    first.wait_for_log("taken over", LIMIT).unwrap();
    let second = installation.run(&["resolver"], 0).unwrap();
    second.wait_for_log("taken over", LIMIT).unwrap();
    ended_with(&first, &["another process runs ingestion in slot 0: give each instance a slot of its own"]);
    assert!(second.is_running());
}

#[test]
fn an_installation_with_another_number_of_partitions_is_refused_and_nothing_is_created_for_it() {
    let installation = Installation::start("live", State::Memory).unwrap();
    let more = ["--set", "installation.partitions=8"];
    let other = installation.run_with(&["resolver"], 0, &[more[1].to_owned()]).unwrap();
    ended_with(
        &other,
        &["vuelve.storefront.received.v1 has 4 partitions, not 8", "fixed when an installation is created"],
    );
    let listed = installation.command(&["topics", "list"]).unwrap();
    let refused = installation.command(&[&["topics", "create"], &more[..]].concat()).unwrap_err().to_string();
    assert!(
        refused.contains("has 4 partitions, not 8") && refused.contains("set installation.partitions"),
        "{refused}"
    );
    assert_eq!(installation.command(&["topics", "list"]).unwrap(), listed);

    // Somebody makes a topic larger behind our back.
    let events = topic("storefront.events");
    let grow = ["--alter", "--topic", &events, "--partitions", "6"];
    installation.kafka.tool("org.apache.kafka.tools.TopicCommand", &grow).unwrap();
    let journeys = installation.run(&["journeys"], 0).unwrap();
    ended_with(&journeys, &["vuelve.storefront.events.v1 has 6 partitions, not 4"]);
}

#[test]
fn a_redis_that_may_drop_keys_is_refused() {
    let installation = Installation::start("live", State::Memory).unwrap();
    let options = RedisOptions { maxmemory_policy: "allkeys-lru".to_owned(), ..RedisOptions::default() };
    let redis = testkit::Redis::start_with(&options).unwrap();
    let settings = ["store.kind=redis".to_owned(), format!("store.url={}", redis.url())];
    let journeys = installation.run_with(&["journeys"], 0, &settings).unwrap();
    ended_with(&journeys, &["set maxmemory-policy to noeviction"]);
}

#[test]
fn a_temporary_refusal_is_tried_again_and_a_permanent_one_is_an_outcome_with_its_reason() {
    use testkit::{SmtpBehaviour, SmtpRule};
    let mail = SmtpSink::start().unwrap();
    mail.add_rule(SmtpRule::new("later@*", SmtpBehaviour::RefuseTemporarily).times(2)).unwrap();
    mail.add_rule(SmtpRule::new("never@*", SmtpBehaviour::RefusePermanently)).unwrap();
    let sections = smtp_sections(&mail)
        + "[messaging]\nclaim_deadline = \"2s\"\n[messaging.decisions.retry]\nfirst = \"1s\"\nlongest = \"1s\"\n";
    let installation = Installation::start_with("live", State::Memory, &sections).unwrap();
    let all = installation.run(&["--all"], 0).unwrap();
    installation.wait_for_door(&all).unwrap();
    installation.apply(&["1s"]).unwrap();
    for user in ["later", "never"] {
        installation.post("/v1/track", &[], &added(user)).unwrap();
    }
    assert_eq!(mail.wait_for_messages(1, LIMIT).unwrap()[0].to, ["later@example.com"]);
    let outcomes = wait_until(LIMIT, "both outcomes", || {
        let outcomes = installation.records("messaging.outcomes").ok()?;
        (outcomes.len() >= 2).then_some(outcomes)
    })
    .unwrap();
    let of = |user: &str| {
        let outcome = outcomes.iter().find(|record| record.key.as_deref() == Some(user)).unwrap();
        let word = outcome.value["outcome"].as_str().unwrap().to_lowercase();
        (word, outcome.value["reason"].as_str().map(str::to_owned), outcome.value["attempts"].as_i64().unwrap())
    };
    assert_eq!(of("later"), ("sent".to_owned(), None, 3));
    assert_eq!(of("never"), ("failed".to_owned(), Some("550 5.1.1".to_owned()), 1));
}
