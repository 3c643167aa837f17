//! Parts that go away and come back, and installations that are not what they should be.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use testkit::{Process, RedisOptions, SmtpSink, free_port, wait_until};
use tests::installation::{Installation, State, smtp_sections};
use tests::write_definitions;

const LIMIT: Duration = Duration::from_mins(2);

fn added(user: &str) -> String {
    format!(
        r#"{{"type":"track","event":"Product Added","userId":"{user}","properties":{{"cart_id":"c-{user}"}},
            "context":{{"traits":{{"email":"{user}@example.com"}}}}}}"#
    )
}

/// The status and the body of what the admin port says.
fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, answer))
}

fn wait_for_status(port: u16, status: u16) -> String {
    let what = format!("readiness to answer {status}");
    wait_until(LIMIT, &what, || get(port, "/readyz").filter(|(found, _)| *found == status)).unwrap().1
}

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
    let _others = installation.run_each(&["journeys", "messaging"], 0..1).unwrap();
    installation.wait_for_door(&door).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_definitions(folder.path(), &["1s"]).unwrap();
    installation.command(&["apply", &folder.path().display().to_string(), "--wait"]).unwrap();
    wait_for_status(admin, 200);

    let redis = installation.redis.as_ref().unwrap();
    redis.process().pause().unwrap();
    installation.post("/v1/track", &[], &added("while-redis-is-away")).unwrap();
    let why = wait_for_status(admin, 503);
    assert!(why.contains("ingestion worker"), "{why}");
    redis.process().resume().unwrap();
    mail.wait_for_messages(1, LIMIT).unwrap();
    wait_for_status(admin, 200);
    assert!(resolver.is_running() && door.is_running());
}

#[test]
fn while_the_broker_is_away_the_door_acknowledges_nothing_and_afterwards_it_goes_on() {
    let installation = Installation::start("live", State::Memory).unwrap();
    let door = installation.run(&["door"], 0).unwrap();
    installation.wait_for_door(&door).unwrap();
    installation.post("/v1/track", &[], &added("before")).unwrap();
    installation.kafka.pause().unwrap();
    let refused = installation.post("/v1/track", &[], &added("meanwhile")).unwrap_err().to_string();
    assert!(refused.contains("503"), "{refused}");
    installation.kafka.resume().unwrap();
    wait_until(LIMIT, "the door to take events again", || installation.post("/v1/track", &[], &added("after")).ok())
        .unwrap();
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

#[test]
fn a_second_process_in_the_same_slot_ends_the_first_with_what_to_do() {
    let installation = Installation::start("live", State::Memory).unwrap();
    let first = installation.run(&["resolver"], 0).unwrap();
    first.wait_for_log("taken over", LIMIT).unwrap();
    let second = installation.run(&["resolver"], 0).unwrap();
    second.wait_for_log("taken over", LIMIT).unwrap();
    ended_with(&first, &["slot"]);
    assert!(second.is_running());
}

#[test]
fn an_installation_with_another_number_of_partitions_is_refused() {
    let installation = Installation::start("live", State::Memory).unwrap();
    let other = installation.run_with(&["resolver"], 0, &["installation.partitions=8".to_owned()]).unwrap();
    ended_with(&other, &["has 4 partitions, not 8"]);
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
    let folder = tempfile::tempdir().unwrap();
    write_definitions(folder.path(), &["1s"]).unwrap();
    installation.command(&["apply", &folder.path().display().to_string(), "--wait"]).unwrap();
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
