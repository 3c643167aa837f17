//! Whatever fails, whenever: the same messages are asked for, each ends once, and none reaches a customer twice; order is
//! kept by key, every input has its outcome, and Redis holds what the changelogs say.
//!
//! A clickstream is replayed on two processes of each service while faults go on all along; then what came of it is compared
//! with a batch computation, the mail server with the outcomes, and Redis with the changelogs.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::path::Path;
use std::time::Duration;

use tests::clickstream::Stream;
use tests::faults;
use tests::scene::{BY_ITSELF, Counts, Scene};

/// What is replayed, made in a folder.
type Shape = fn(&Path) -> anyhow::Result<Stream>;

const ALL: Shape = |folder| Stream::plain(folder, 1);
const HALF: Shape = |folder| Stream::plain(folder, 2);

fn is_exact_under(name: &str, shape: Shape, faults: impl FnOnce(&Scene) -> anyhow::Result<Counts> + Send) -> Counts {
    let folder = tempfile::tempdir().unwrap();
    let stream = shape(folder.path()).unwrap();
    let mut faults = Scene::set().unwrap().is_exact_under(name, &stream, faults).unwrap().faults;
    // Their hosts start them again; what was promised holds.
    faults.retain(|fault, _| !fault.starts_with(BY_ITSELF));
    faults
}

#[test]
fn with_kills_all_along() {
    // Six times each; then it may come to its end.
    let kills = is_exact_under("kills", ALL, |scene| faults::kills(scene, 54, 0));
    assert!(kills.values().sum::<usize>() >= 20 && kills.len() == 9, "{kills:?}");
}

#[test]
fn with_a_hot_customer_events_that_come_twice_and_others_a_day_late_or_early_under_kills() {
    let kills = is_exact_under("shapes", Stream::awkward, |scene| faults::kills(scene, 14, 100));
    assert!(kills.values().sum::<usize>() >= 7, "{kills:?}");
}

#[test]
fn with_zombies_that_stand_still_longer_than_their_sessions_and_transactions_and_then_go_on() {
    let zombies = is_exact_under("zombies", ALL, |scene| faults::zombies(scene, 6, 200));
    assert!(zombies.len() >= 3, "{zombies:?}");
}

#[test]
fn with_members_that_join_and_leave_every_second() {
    let joined = is_exact_under("storm", HALF, |scene| faults::joins_and_leaves(scene, 15, 300));
    assert!(joined.values().sum::<usize>() >= 6, "{joined:?}");
}

#[test]
fn with_a_redis_that_is_killed_emptied_set_back_silent_and_succeeded_by_a_lagging_replica() {
    let faults = is_exact_under("redis", HALF, |scene| faults::redis(scene, 15, 400));
    assert_eq!(faults.len(), 5, "{faults:?}");
}

#[test]
fn with_a_broker_that_is_killed_stands_still_and_has_no_room_left() {
    let faults = is_exact_under("broker", HALF, |scene| faults::broker(scene, 4, 500));
    assert_eq!(faults.len(), 3, "{faults:?}");
}

#[test]
fn with_a_network_that_is_cut_silent_and_slow_between_half_of_the_processes_and_the_broker_or_redis() {
    let faults = is_exact_under("network", HALF, |scene| faults::network(scene, 16, 600));
    assert_eq!(faults.len(), 8, "{faults:?}");
}

/// `make soak KILLS=1000`
#[test]
#[ignore = "takes hours: make soak"]
fn soak() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let count = |name: &str| number(name).map(|count| usize::try_from(count).unwrap());
    let kills = count("KILLS").unwrap_or(1_000);
    let soak = tests::soak::Soak {
        kills,
        events: count("SOAK_EVENTS").unwrap_or(5_000 * kills),
        limit: number("SOAK_MINUTES").map(Duration::from_mins),
        log: std::env::var_os("SOAK_LOG").map_or_else(|| tests::root().join("target/soak.jsonl"), Into::into),
    };
    println!("{}", soak.run().unwrap());
}
