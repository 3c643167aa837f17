//! However a test ends, its parts end with it. A test can't watch its own end, so these run this test program once
//! more, for one ignored test that starts a Redis and ends in a certain way.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use testkit::{Process, Redis, wait_until};

use crate::{LIMIT, runs};

const ENDING: &str = "VUELVE_TEST_ENDING";
const REPORT: &str = "VUELVE_TEST_REPORT";

#[test]
fn a_dropped_part_leaves_nothing() {
    let redis = Redis::start().unwrap();
    let pid = redis.process().pid().unwrap();
    let directory = redis.process().log_path().parent().unwrap().to_owned();
    assert!(runs(pid) && directory.exists());
    drop(redis);
    assert!(!runs(pid) && !directory.exists());
}

#[test]
fn a_test_that_panics_leaves_nothing() {
    leaves_nothing("panic");
}

#[test]
fn a_test_that_keeps_its_part_in_a_static_leaves_nothing() {
    leaves_nothing("static");
}

#[test]
fn a_test_that_aborts_leaves_nothing() {
    leaves_nothing("abort");
}

#[test]
fn a_test_that_is_killed_leaves_nothing() {
    leaves_nothing("wait");
}

fn leaves_nothing(ending: &str) {
    let report = tempfile::NamedTempFile::new().unwrap();
    let test = Process::spec("the test", std::env::current_exe().unwrap())
        .args(["leftovers::starts_a_part_and_ends", "--exact", "--ignored"])
        .env(ENDING, ending)
        .env(REPORT, report.path())
        .start()
        .unwrap();
    let read = || std::fs::read_to_string(report.path()).ok()?.strip_suffix('\n').map(str::to_owned);
    let line = wait_until(LIMIT, "the report of the started part", read).unwrap();
    let (pid, directory) = line.split_once(' ').unwrap();
    if ending == "wait" {
        assert!(runs(pid.parse().unwrap()) && Path::new(directory).exists());
        test.kill9().unwrap();
    } else {
        test.wait(LIMIT).unwrap();
    }
    let gone = || (!runs(pid.parse().unwrap()) && !Path::new(directory).exists()).then_some(());
    wait_until(LIMIT, &format!("the end of Redis {pid} and of {directory} after {ending}"), gone).unwrap();
}

#[test]
#[ignore = "started by the others, to end in a certain way"]
fn starts_a_part_and_ends() {
    static KEPT: OnceLock<Redis> = OnceLock::new();
    let ending = std::env::var(ENDING).unwrap_or_default();
    let Ok(report) = std::env::var(REPORT) else { return };
    let redis = Redis::start().unwrap();
    let directory = redis.process().log_path().parent().unwrap().display().to_string();
    std::fs::write(report, format!("{} {directory}\n", redis.process().pid().unwrap())).unwrap();
    match ending.as_str() {
        "panic" => panic!("on purpose, with Redis at {}", redis.url()),
        "abort" => std::process::abort(),
        "static" => KEPT.set(redis).unwrap(),
        _ => std::thread::sleep(Duration::from_mins(10)),
    }
}
