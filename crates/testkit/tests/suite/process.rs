use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::{Process, free_port, wait_until};

use crate::{LIMIT, runs};

fn shell(script: &str) -> Process {
    Process::spec("shell", "sh").args(["-c", script]).start().unwrap()
}

#[test]
fn an_error_names_the_process_and_quotes_its_log() {
    let failing = shell("echo the disk is full >&2; exit 3");
    let error = failing.wait_for_success(LIMIT).unwrap_err().to_string();
    assert!(error.starts_with("shell: ended with exit status: 3"), "{error}");
    assert!(error.ends_with("the disk is full"), "{error}");

    let silent = shell("echo started; sleep 600");
    let error = silent.wait_for_log("ready", Duration::from_millis(100)).unwrap_err().to_string();
    assert!(error.contains(r#"did not write "ready" within 0.1 s"#) && error.ends_with("started"), "{error}");

    let ended = shell("exit 0");
    let error = ended.wait_for_log("ready", LIMIT).unwrap_err().to_string();
    assert!(error.contains("but ended with exit status: 0"), "{error}");
}

#[test]
fn a_program_that_was_not_built_is_named() {
    let error = Process::spec("journeys", PathBuf::from("/nowhere/vuelve")).start().unwrap_err().to_string();
    assert_eq!(error, "journeys: there is no program at /nowhere/vuelve; was it built?");
}

#[test]
fn sigterm_is_waited_for_and_one_that_ignores_it_is_killed() {
    let polite = shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done");
    polite.wait_for_log("ready", LIMIT).unwrap();
    assert_eq!(polite.term(LIMIT).unwrap().code(), Some(7));

    let deaf = shell("trap '' TERM; echo ready; while :; do sleep 0.01; done");
    deaf.wait_for_log("ready", LIMIT).unwrap();
    let pid = deaf.pid().unwrap();
    let error = deaf.term(Duration::from_millis(50)).unwrap_err().to_string();
    assert!(error.contains("it was killed"), "{error}");
    assert!(!runs(pid));
}

#[test]
fn a_kill_takes_along_what_the_process_started() {
    let parent = shell("sleep 600 & echo child $!; wait");
    let log = wait_until(LIMIT, "the child's id", || parent.log().contains('\n').then(|| parent.log())).unwrap();
    let child: u32 = log.trim().strip_prefix("child ").unwrap().parse().unwrap();
    assert!(runs(child));
    parent.kill9().unwrap();
    wait_until(LIMIT, "the child's end", || (!runs(child)).then_some(())).unwrap();
}

#[test]
fn a_restart_keeps_the_log_and_shows_the_latest_run() {
    let process = shell("echo run $VUELVE_TEST_RUN; exec sleep 600");
    process.wait_for_log("run", LIMIT).unwrap();
    let first = process.pid().unwrap();
    process.restart().unwrap();
    process.wait_for_log("run", LIMIT).unwrap();
    assert!(process.is_running() && !runs(first));
    assert_ne!(process.pid(), Some(first));
    assert_eq!(process.log().lines().count(), 1);
    assert_eq!(std::fs::read_to_string(process.log_path()).unwrap().lines().count(), 2);
}

#[test]
fn the_environment_is_given_and_taken_away() {
    let process = Process::spec("shell", "sh")
        .env("GREETING", "hola")
        .without_env("HOME")
        .dir("/")
        .args(["-c", "echo $GREETING-$HOME-$(pwd)"])
        .start()
        .unwrap();
    process.wait_for_success(LIMIT).unwrap();
    assert_eq!(process.log(), "hola--/\n");
}

#[test]
fn a_paused_process_stands_still_and_goes_on() {
    // It starts nothing: a shell that is stopped between fork and exec doesn't show as stopped.
    let process = shell("while :; do n=$((n + 1)); [ $((n % 5000)) -gt 0 ] || echo tick; done");
    process.wait_for_log("tick", LIMIT).unwrap();
    process.pause().unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", process.pid().unwrap())).unwrap();
    wait_until(LIMIT, "the stop", || state().contains(") T").then_some(())).unwrap();
    assert!(process.is_running());
    let length = process.log().len();
    process.resume().unwrap();
    wait_until(LIMIT, "more ticks", || (process.log().len() > length).then_some(())).unwrap();
}

#[test]
fn ports_differ_and_lie_outside_the_kernels_range() {
    let ports: Vec<u16> = (0..50).map(|_| free_port().unwrap()).collect();
    let mut distinct = ports.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), ports.len());
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let kernel: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kernel < 13_000 || ports.iter().all(|port| *port < kernel), "{ports:?} {range}");
}

#[test]
fn a_condition_that_never_comes_is_named() {
    let error = wait_until(Duration::from_millis(10), "the first reminder", || None::<()>).unwrap_err();
    assert_eq!(error.to_string(), "the first reminder: did not come about within 0.0 s");
}

/// A process that is being started holds, up to its own program, whatever its parent had open: also what was opened only
/// to see whether the port is free.
#[test]
fn a_free_port_can_be_listened_on_at_once_while_other_processes_are_started() {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                std::process::Command::new("true").status().unwrap();
            }
        });
        let taken: Vec<String> = (0..500)
            .filter_map(|_| {
                let port = free_port().unwrap();
                TcpListener::bind((Ipv4Addr::LOCALHOST, port)).err().map(|error| format!("{port}: {error}"))
            })
            .collect();
        over.store(true, Ordering::SeqCst);
        starting.join().unwrap();
        assert!(taken.is_empty(), "{taken:?}");
    });
}
