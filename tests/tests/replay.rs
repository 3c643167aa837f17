//! A recorded clickstream gives exactly what a batch computation gives: on the embedded broker, and on real parts.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tests::clickstream::{RETAILROCKET, clickstream};
use tests::expected::cart_recovery;
use tests::installation::{Installation, State};
use tests::result::CartRows;
use tests::{root, shared_data, vuelve};

/// Every reminder is the expected one, and every one was sent.
fn is_exact(file: &Path, out: &Path) {
    let rows = CartRows::read(out).unwrap();
    rows.compare(&cart_recovery(file).unwrap()).unwrap();
    assert_eq!(rows.outcomes.get("unknown"), None);
}

/// The figures that two computations, made by different people in different ways, agree on.
#[test]
fn the_batch_computation_gives_the_known_figures() {
    let Some(file) = shared_data(RETAILROCKET) else { return };
    let expected = cart_recovery(&file).unwrap();
    assert_eq!((expected.entered, expected.restarted, expected.completed), (7_154, 4_010, 594));
    assert_eq!(expected.exited, [5_798, 616, 146]);
    let by_template = |template| expected.reminders.iter().filter(|(_, name, _)| *name == template).count();
    assert_eq!(["cart-reminder-1", "cart-reminder-2", "cart-reminder-3"].map(by_template), [1_356, 740, 594]);
}

#[test]
fn on_the_embedded_broker_every_reminder_is_the_expected_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = clickstream(folder.path()).unwrap();
    let out = tempfile::tempdir().unwrap();
    let status = Command::new(vuelve())
        .args(["replay", "--format", "retailrocket", "--definitions", "presets/basic", "--file"])
        .arg(&file)
        .arg("--out")
        .arg(out.path())
        .current_dir(root())
        .status()
        .unwrap();
    assert!(status.success());
    is_exact(&file, out.path());
}

/// Eight customers, whose reminders follow from the file by hand: each comes 1 h, 24 h and 72 h after the last addition to
/// the cart, and none after it was bought.
#[test]
fn the_left_carts_of_the_example_get_the_reminders_that_follow_from_them() {
    let out = tempfile::tempdir().unwrap();
    let output = Command::new(vuelve())
        .args(["replay", "--file", "examples/left-carts.jsonl", "--format", "segment-jsonl"])
        .args(["--definitions", "presets/basic", "--out"])
        .arg(out.path())
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut rows = csv::Reader::from_path(out.path().join("messages.csv")).unwrap();
    let sent: BTreeSet<String> = rows
        .records()
        .map(Result::unwrap)
        .filter(|row| &row[6] == "sent")
        .map(|row| format!("{} {} {}", &row[0], &row[3], &row[5]))
        .collect();
    // Customers 2 and 8 bought within the hour, 3 after the first reminder, 5 after the second.
    let last_additions =
        [(1, "09:25", 3), (3, "09:39", 1), (4, "10:16", 3), (5, "10:13", 2), (6, "10:30", 3), (7, "11:07", 3)];
    let mut expected = BTreeSet::new();
    for (customer, last, reminders) in last_additions {
        let (hour, minute) = last.split_once(':').unwrap();
        let in_an_hour = format!("{}:{minute}", hour.parse::<u32>().unwrap() + 1);
        let due = [format!("02T{in_an_hour}"), format!("03T{last}"), format!("05T{last}")];
        for (number, due) in (1..=reminders).zip(due) {
            expected.insert(format!("customer-{customer} cart-reminder-{number} 2026-03-{due}:00Z"));
        }
    }
    assert_eq!(sent, expected);
}

#[test]
fn on_real_parts_with_one_process_a_service_every_reminder_is_the_expected_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = clickstream(folder.path()).unwrap();
    let installation = Installation::start("replay", State::Redis).unwrap();
    let services = installation.run_each(&["ingestion", "segmentation", "journeys", "messaging"], 0..1).unwrap();
    installation.wait_for_door(&services[0]).unwrap();
    is_exact(&file, &installation.replay(&file, "one").unwrap());
}

#[test]
fn on_real_parts_with_three_processes_a_service_every_reminder_is_the_expected_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = clickstream(folder.path()).unwrap();
    let installation = Installation::start("replay", State::Redis).unwrap();
    let door = installation.run(&["door"], 0).unwrap();
    let _services = installation.run_each(&["resolver", "segmentation", "journeys", "messaging"], 0..3).unwrap();
    installation.wait_for_door(&door).unwrap();
    is_exact(&file, &installation.replay(&file, "three").unwrap());
}

#[test]
fn one_process_of_two_workers_a_service_without_redis_that_is_stopped_in_the_middle_goes_on_from_the_changelogs() {
    let folder = tempfile::tempdir().unwrap();
    let file = clickstream(folder.path()).unwrap();
    let installation = Installation::start("replay", State::Memory).unwrap();
    let all = installation.run_with(&["--all"], 0, &["kafka.workers=2".to_owned()]).unwrap();
    installation.wait_for_door(&all).unwrap();
    let out = std::thread::scope(|scope| {
        let replay = scope.spawn(|| installation.replay(&file, "all"));
        installation.wait_until_written("journeys.decisions", IN_THE_MIDDLE_BYTES).unwrap();
        assert!(all.term(Duration::from_secs(30)).unwrap().success());
        all.restart().unwrap();
        replay.join().unwrap().unwrap()
    });
    is_exact(&file, &out);
}

#[test]
fn a_redis_that_is_emptied_and_one_that_falls_back_to_an_older_copy_are_healed_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = clickstream(folder.path()).unwrap();
    let installation = Installation::start("replay", State::Redis).unwrap();
    let redis = installation.redis.as_ref().unwrap();
    let services = installation.run_each(&["ingestion", "segmentation", "journeys", "messaging"], 0..1).unwrap();
    installation.wait_for_door(&services[0]).unwrap();
    let out = std::thread::scope(|scope| {
        let replay = scope.spawn(|| installation.replay(&file, "redis"));
        let decided =
            |times| installation.wait_until_written("journeys.decisions", times * IN_THE_MIDDLE_BYTES).unwrap();
        decided(1);
        let snapshot = redis.snapshot().unwrap();
        decided(2);
        redis.flush().unwrap();
        decided(3);
        redis.restore(&snapshot).unwrap();
        replay.join().unwrap().unwrap()
    });
    is_exact(&file, &out);
}

/// Decisions are written all along the replay; this is a small part of them.
const IN_THE_MIDDLE_BYTES: u64 = 400_000;
