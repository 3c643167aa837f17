//! Whatever fails, whenever: the same messages are asked for, each ends once, and none reaches a customer twice.
//!
//! A recorded clickstream is replayed on two processes of each service while faults go on all along; then what came of it
//! is compared with a batch computation, and the mail server with the outcomes.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::{Process, SmtpSink};
use tests::clickstream::{clickstream, draw};
use tests::expected::cart_recovery;
use tests::installation::{Installation, State, smtp_sections};
use tests::result::CartRows;

const WORKERS: [&str; 3] = ["journeys", "messaging", "resolver"];
/// Longer than the sessions (3 s) and transactions (8 s) of a test's installation.
const STANDSTILL: Duration = Duration::from_secs(10);
const DRAIN: Duration = Duration::from_secs(40);

struct Scene {
    installation: Installation,
    sink: SmtpSink,
    /// Two of each worker, then the door.
    processes: Vec<Process>,
    over: AtomicBool,
}

impl Scene {
    fn set() -> Self {
        let sink = SmtpSink::start().unwrap();
        let sections = smtp_sections(&sink) + "[messaging]\nreplay_sends = true\nclaim_deadline = \"2s\"\n";
        let installation = Installation::start_with("replay", State::Redis, &sections).unwrap();
        let mut processes = installation.run_each(&WORKERS, 0..2).unwrap();
        processes.push(installation.run(&["door"], 0).unwrap());
        installation.wait_for_door(processes.last().unwrap()).unwrap();
        Self { installation, sink, processes, over: AtomicBool::new(false) }
    }

    /// The replay has come to its end.
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn workers(&self) -> &[Process] {
        &self.processes[..self.processes.len() - 1]
    }
}

/// Replays while `faults` go on, and checks what came of it. Returns what `faults` counted, by name.
fn is_exact_under(
    name: &str,
    faults: impl FnOnce(&Scene) -> BTreeMap<String, usize> + Send,
) -> BTreeMap<String, usize> {
    let folder = tempfile::tempdir().unwrap();
    let file = clickstream(folder.path()).unwrap();
    let scene = Scene::set();
    let (out, counts) = std::thread::scope(|scope| {
        let going_on = scope.spawn(|| faults(&scene));
        let out = scene.installation.replay(&file, name);
        scene.over.store(true, Ordering::SeqCst);
        (out, going_on.join().unwrap())
    });
    println!("{name}: {counts:?}");
    CartRows::read(&out.unwrap()).unwrap().compare(&cart_recovery(&file).unwrap()).unwrap();
    every_request_ended_once(&scene);
    counts
}

fn every_request_ended_once(scene: &Scene) {
    let text = |value: &serde_json::Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let requests = scene.installation.records("messaging.requests").unwrap();
    let asked_for: Vec<_> = requests
        .iter()
        .filter(|record| text(&record.value, "action").eq_ignore_ascii_case("request"))
        .map(|record| text(&record.value, "message_id"))
        .collect();
    let mut ended: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for outcome in scene.installation.records("messaging.outcomes").unwrap() {
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
    none_came_twice(&scene.sink, &sent, &unknown);
}

fn none_came_twice(sink: &SmtpSink, sent: &BTreeSet<String>, unknown: &BTreeSet<String>) {
    let received: Vec<_> = sink.messages().unwrap().into_iter().map(|message| message.message_id).collect();
    let once: BTreeSet<_> = received.iter().cloned().collect();
    assert_eq!(once.len(), received.len(), "a message came twice");
    let by_message_id = |messages: &BTreeSet<String>| -> BTreeSet<String> {
        messages.iter().map(|message| format!("<{message}@shop.example.com>")).collect()
    };
    assert!(by_message_id(sent).is_subset(&once), "what counts as sent was received");
    assert!(once.is_subset(&by_message_id(&(sent | unknown))), "nothing else was received");
}

/// Lets a while pass, the same in every run.
fn pass(number: u64, longest_ms: u64) {
    std::thread::sleep(Duration::from_millis(draw(number, longest_ms)));
}

#[test]
fn with_kills_all_along() {
    // Six times each; then it may come to its end.
    let most = 42;
    let kills = is_exact_under("kills", |scene| {
        let mut kills = BTreeMap::new();
        for number in 0..most {
            pass(number * 2, 1_500);
            if scene.is_over() {
                break;
            }
            let process = &scene.processes[usize::try_from(number).unwrap() % scene.processes.len()];
            process.kill9().unwrap();
            *kills.entry(process.name().to_owned()).or_default() += 1;
            pass(number * 2 + 1, 700);
            process.restart().unwrap();
        }
        kills
    });
    assert!(kills.values().sum::<usize>() >= 20 && kills.len() == 7, "{kills:?}");
}

#[test]
fn with_zombies_that_stand_still_longer_than_their_sessions_and_transactions_and_then_go_on() {
    let zombies = is_exact_under("zombies", |scene| {
        let mut zombies = BTreeMap::new();
        for process in scene.workers() {
            pass(u64::from(process.pid().unwrap_or_default()), 2_000);
            if scene.is_over() {
                break;
            }
            process.pause().unwrap();
            std::thread::sleep(STANDSTILL);
            process.resume().unwrap();
            *zombies.entry(process.name().to_owned()).or_default() += 1;
        }
        zombies
    });
    assert!(zombies.len() >= 3, "{zombies:?}");
}

#[test]
fn with_members_that_join_and_leave_every_second() {
    let joined = is_exact_under("storm", |scene| {
        let mut joined = BTreeMap::new();
        for service in WORKERS.iter().cycle().take(15) {
            if scene.is_over() {
                break;
            }
            let member = scene.installation.run(&[service], 2).unwrap();
            std::thread::sleep(Duration::from_secs(1));
            assert!(member.term(DRAIN).unwrap().success());
            *joined.entry((*service).to_owned()).or_default() += 1;
        }
        joined
    });
    assert!(joined.values().sum::<usize>() >= 6, "{joined:?}");
}

#[test]
fn with_a_redis_that_is_killed_emptied_set_back_and_silent() {
    let faults = is_exact_under("redis", |scene| {
        let redis = scene.installation.redis.as_ref().unwrap();
        let mut faults = BTreeMap::new();
        let mut snapshot = redis.snapshot().unwrap();
        for number in 0..16 {
            pass(number, 3_000);
            if scene.is_over() {
                break;
            }
            let fault = ["killed", "emptied", "set back", "silent"][usize::try_from(number).unwrap() % 4];
            match fault {
                "killed" => redis.restart().unwrap(),
                "emptied" => redis.flush().unwrap(),
                "set back" => redis.restore(&snapshot).unwrap(),
                _ => {
                    redis.process().pause().unwrap();
                    std::thread::sleep(Duration::from_secs(3));
                    redis.process().resume().unwrap();
                    snapshot = redis.snapshot().unwrap();
                }
            }
            *faults.entry(fault.to_owned()).or_default() += 1;
        }
        faults
    });
    assert_eq!(faults.len(), 4, "{faults:?}");
}

#[test]
fn with_a_broker_that_is_killed_and_one_that_stands_still() {
    let faults = is_exact_under("broker", |scene| {
        let kafka = &scene.installation.kafka;
        let mut faults = BTreeMap::new();
        for number in 0..4 {
            pass(number, 6_000);
            if scene.is_over() {
                break;
            }
            let fault = ["killed", "standing still"][usize::try_from(number).unwrap() % 2];
            if fault == "killed" {
                kafka.kill9().unwrap();
                kafka.restart().unwrap();
            } else {
                kafka.pause().unwrap();
                std::thread::sleep(STANDSTILL);
                kafka.resume().unwrap();
            }
            *faults.entry(fault.to_owned()).or_default() += 1;
        }
        faults
    });
    assert_eq!(faults.len(), 2, "{faults:?}");
}
