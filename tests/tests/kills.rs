//! Whatever is killed, whenever: the same messages are asked for, each ends once, and none reaches a customer twice.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::{Process, SmtpSink};
use tests::clickstream::{clickstream, draw};
use tests::expected::cart_recovery;
use tests::installation::{Installation, State, smtp_sections};
use tests::result::CartRows;

const AT_LEAST_KILLS: usize = 20;
/// Six times each; then it may come to its end.
const AT_MOST_KILLS: u64 = 42;

/// Kills one process after the other, each at an arbitrary moment, and starts it again a moment later. Returns how often
/// each was killed.
fn kill_in_turn(processes: &[Process], until: &AtomicBool) -> BTreeMap<String, usize> {
    let mut kills = BTreeMap::new();
    for number in 0..AT_MOST_KILLS {
        let pause = |salt, longest_ms| std::thread::sleep(Duration::from_millis(draw(number * 2 + salt, longest_ms)));
        pause(0, 1_500);
        if until.load(Ordering::SeqCst) {
            break;
        }
        let process = &processes[usize::try_from(number).unwrap() % processes.len()];
        process.kill9().unwrap();
        *kills.entry(process.name().to_owned()).or_default() += 1;
        pause(1, 700);
        process.restart().unwrap();
    }
    kills
}

#[test]
fn with_kills_all_along_the_requests_are_the_same_and_no_message_leaves_twice() {
    let folder = tempfile::tempdir().unwrap();
    let file = clickstream(folder.path()).unwrap();
    let sink = SmtpSink::start().unwrap();
    let sections = smtp_sections(&sink) + "[messaging]\nreplay_sends = true\nclaim_deadline = \"2s\"\n";
    let installation = Installation::start_with("replay", State::Redis, &sections).unwrap();
    let mut processes = installation.run_each(&["journeys", "messaging", "resolver"], 0..2).unwrap();
    processes.push(installation.run(&["door"], 0).unwrap());
    installation.wait_for_door(processes.last().unwrap()).unwrap();

    let over = AtomicBool::new(false);
    let (out, kills) = std::thread::scope(|scope| {
        let killing = scope.spawn(|| kill_in_turn(&processes, &over));
        let out = installation.replay(&file, "kills");
        over.store(true, Ordering::SeqCst);
        (out, killing.join().unwrap())
    });
    println!("killed: {kills:?}");
    assert!(kills.values().sum::<usize>() >= AT_LEAST_KILLS, "{kills:?}");
    assert_eq!(kills.len(), processes.len(), "{kills:?}");

    CartRows::read(&out.unwrap()).unwrap().compare(&cart_recovery(&file).unwrap()).unwrap();

    let text = |value: &serde_json::Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let requests = installation.records("messaging.requests").unwrap();
    let asked_for: Vec<_> = requests
        .iter()
        .filter(|record| text(&record.value, "action").eq_ignore_ascii_case("request"))
        .map(|record| text(&record.value, "message_id"))
        .collect();
    let mut ended: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for outcome in installation.records("messaging.outcomes").unwrap() {
        ended.entry(text(&outcome.value, "message_id")).or_default().push(text(&outcome.value, "outcome"));
    }
    let distinct: BTreeSet<_> = asked_for.iter().cloned().collect();
    assert_eq!(distinct.len(), asked_for.len(), "a request is there twice");
    assert_eq!(distinct, ended.keys().cloned().collect(), "every request has an outcome");
    assert!(ended.values().all(|outcomes| outcomes.len() == 1), "one outcome each");
    let having = |wanted: &str| {
        let found = ended.iter().filter(|(_, outcomes)| outcomes[0].eq_ignore_ascii_case(wanted));
        found.map(|(message, _)| message.clone()).collect::<BTreeSet<_>>()
    };
    let (sent, unknown) = (having("sent"), having("unknown"));
    println!("{} sent, {} unknown", sent.len(), unknown.len());
    assert_eq!(sent.len() + unknown.len(), ended.len(), "sent and unknown are everything");

    let received: Vec<_> = sink.messages().unwrap().into_iter().map(|message| message.message_id).collect();
    let once: BTreeSet<_> = received.iter().cloned().collect();
    assert_eq!(once.len(), received.len(), "a message came twice");
    let by_message_id = |messages: &BTreeSet<String>| -> BTreeSet<String> {
        messages.iter().map(|message| format!("<{message}@shop.example.com>")).collect()
    };
    assert!(by_message_id(&sent).is_subset(&once), "what counts as sent was received");
    assert!(once.is_subset(&by_message_id(&sent.union(&unknown).cloned().collect())), "nothing else was received");
}
