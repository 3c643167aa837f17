//! How a worker ends: asked to, in the middle of a batch or of a mail; or dead, in the middle of a transaction.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::clients::kcat;
use testkit::{Process, SmtpBehaviour, SmtpRule, SmtpSink, wait_until};
use tests::added;
use tests::installation::{Installation, State, smtp_sections, topic};

const LIMIT: Duration = Duration::from_mins(2);

/// How often each customer's event came out of the resolver.
fn resolved(installation: &Installation) -> BTreeMap<String, usize> {
    let mut resolved = BTreeMap::new();
    for record in installation.records("storefront.events").unwrap() {
        *resolved.entry(record.key.unwrap()).or_default() += 1;
    }
    resolved
}

/// Waits until all of these have come out of the resolver; each did so once.
fn each_is_resolved_once(installation: &Installation, customers: &[String]) {
    let all = wait_until(LIMIT, "every event to come out of the resolver", || {
        let resolved = resolved(installation);
        customers.iter().all(|customer| resolved.contains_key(customer)).then_some(resolved)
    })
    .unwrap();
    assert_eq!(all, customers.iter().map(|customer| (customer.clone(), 1)).collect());
}

/// The dead worker's broker is far away, so that a transaction takes seconds; it is killed once its state changes have
/// arrived there, and long before it can have asked for the commit.
#[test]
fn a_worker_killed_in_a_transaction_holds_up_its_successor_in_another_slot_no_longer_than_its_session() {
    let installation = Installation::start("live", State::Redis).unwrap();
    let door = installation.run(&["door"], 0).unwrap();
    let far_away = [
        format!("kafka.bootstrap_servers=[\"{}\"]", installation.kafka.proxied_bootstrap_servers()),
        // The broker itself would let it lie for longer than this test waits.
        "kafka.transaction_timeout=5m".to_owned(),
        "host.stall_limit=30m".to_owned(),
    ];
    let dies = installation.run_with(&["resolver"], 0, &far_away).unwrap();
    installation.wait_for_door(&door).unwrap();
    installation.post("/v1/track", &[], &added("before")).unwrap();
    each_is_resolved_once(&installation, &["before".to_owned()]);

    installation.kafka.proxy().delay_ms(400);
    installation.post("/v1/track", &[], &added("ana")).unwrap();
    let changelog = topic("ingestion.changelog");
    let uncommitted =
        ["-C", "-t", &changelog, "-e", "-o", "beginning", "-f", "%k\n", "-X", "isolation.level=read_uncommitted"];
    wait_until(LIMIT, "the change of a state to arrive", || {
        let keys = kcat(&installation.kafka.bootstrap_servers(), &uncommitted, LIMIT).ok()?;
        keys.lines().any(|key| key == "ana").then_some(())
    })
    .unwrap();
    dies.kill9().unwrap();
    assert!(!resolved(&installation).contains_key("ana"), "the transaction is open");

    let successor = installation.run(&["resolver"], 1).unwrap();
    successor.wait_for_log("ending the open transaction of a dead worker", LIMIT).unwrap();
    assert!(successor.log().contains("vuelve.ingestion.0"), "{}", successor.log());
    each_is_resolved_once(&installation, &["ana".to_owned(), "before".to_owned()]);
    installation.post("/v1/track", &[], &added("after")).unwrap();
    each_is_resolved_once(&installation, &["after".to_owned(), "ana".to_owned(), "before".to_owned()]);
}

/// It waits for mails on all its partitions when a third process asks for its share; it is killed before it has given any
/// back, and comes back within its session: the group is stable, and counts some partitions as nobody's.
#[test]
fn a_worker_killed_while_it_gives_partitions_back_leaves_none_to_nobody() {
    let lines = |worker: &Process, words: &str| worker.log().lines().filter(|line| line.contains(words)).count();
    let giving_back = |worker| lines(worker, "giving partitions back");
    let mail = SmtpSink::start().unwrap();
    mail.add_rule(SmtpRule::new("*", SmtpBehaviour::Delay { delay_ms: 20_000 })).unwrap();
    let (installation, services) = Installation::start_shop(&mail, &["1s"]).unwrap();
    let second = installation.run(&["messaging"], 1).unwrap();
    let workers = [&services[3], &second];
    wait_until(LIMIT, "two partitions for each", || (lines(&second, "taken over") == 2).then_some(())).unwrap();
    let customers: Vec<String> = (0..16).map(|number| format!("customer-{number}")).collect();
    for customer in &customers {
        installation.post("/v1/track", &[], &added(customer)).unwrap();
    }
    mail.wait_for_messages(customers.len(), LIMIT).unwrap();
    let before = workers.map(giving_back);
    let _third = installation.run(&["messaging"], 2).unwrap();
    let dies = wait_until(LIMIT, "a partition to be asked back", || {
        workers.iter().zip(before).find(|(worker, before)| giving_back(worker) > *before).map(|(worker, _)| *worker)
    })
    .unwrap();
    dies.kill9().unwrap();
    dies.restart().unwrap();
    each_has_an_outcome(&installation, customers.len());

    let more: Vec<String> = (0..16).map(|number| format!("late-{number}")).collect();
    mail.clear_rules().unwrap();
    for customer in &more {
        installation.post("/v1/track", &[], &added(customer)).unwrap();
    }
    each_has_an_outcome(&installation, customers.len() + more.len());
}

/// Waits until so many messages have ended; each did so once.
fn each_has_an_outcome(installation: &Installation, messages: usize) {
    wait_until(LIMIT, &format!("the outcomes of {messages} messages"), || {
        let outcomes = installation.records("messaging.outcomes").unwrap();
        let ended: BTreeSet<_> =
            outcomes.iter().map(|outcome| outcome.value["message_id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ended.len(), outcomes.len(), "one outcome each");
        (ended.len() == messages).then_some(())
    })
    .unwrap();
}

#[test]
fn sigterm_in_the_middle_of_a_batch_loses_nothing_and_doubles_nothing() {
    let installation = Installation::start("live", State::Redis).unwrap();
    let door = installation.run(&["door"], 0).unwrap();
    // Events come all the time, so there is always a batch that is open.
    let slow = ["kafka.commit_interval=500ms".to_owned()];
    let resolver = installation.run_with(&["resolver"], 0, &slow).unwrap();
    installation.wait_for_door(&door).unwrap();
    let over = AtomicBool::new(false);
    let customers = std::thread::scope(|scope| {
        let posting = scope.spawn(|| {
            let mut posted = Vec::new();
            while !over.load(Ordering::SeqCst) {
                let customer = format!("customer-{}", posted.len());
                installation.post("/v1/track", &[], &added(&customer)).unwrap();
                posted.push(customer);
            }
            posted
        });
        let goes_on =
            |times| installation.wait_until_written("storefront.events", times * A_BATCH_OR_TWO_BYTES).unwrap();
        goes_on(1);
        let ended = resolver.term(Duration::from_secs(30)).unwrap();
        assert!(ended.success(), "{ended}: {}", resolver.log());
        resolver.restart().unwrap();
        goes_on(2);
        over.store(true, Ordering::SeqCst);
        posting.join().unwrap()
    });
    each_is_resolved_once(&installation, &customers);
}

const A_BATCH_OR_TWO_BYTES: u64 = 20_000;

#[test]
fn sigterm_while_a_mail_is_on_its_way_waits_for_its_answer_and_the_outcome_is_sent() {
    let mail = SmtpSink::start().unwrap();
    mail.add_rule(SmtpRule::new("*", SmtpBehaviour::Delay { delay_ms: 3_000 })).unwrap();
    let sections = smtp_sections(&mail) + "[messaging]\nclaim_deadline = \"2s\"\n";
    let installation = Installation::start_with("live", State::Redis, &sections).unwrap();
    let services = installation.run_each(&["messaging", "door", "resolver", "journeys", "segmentation"], 0..1).unwrap();
    installation.wait_for_door(&services[1]).unwrap();
    installation.apply(&["1s"]).unwrap();
    installation.post("/v1/track", &[], &added("ana")).unwrap();
    // The server has it, and has not said so yet.
    mail.wait_for_messages(1, LIMIT).unwrap();
    let ended = services[0].term(Duration::from_secs(30)).unwrap();
    assert!(ended.success(), "{ended}: {}", services[0].log());
    let outcomes = installation.records("messaging.outcomes").unwrap();
    let words: Vec<_> =
        outcomes.iter().map(|record| record.value["outcome"].as_str().unwrap().to_lowercase()).collect();
    assert_eq!(words, ["sent"]);
    assert_eq!(mail.messages().unwrap().len(), 1);
}
