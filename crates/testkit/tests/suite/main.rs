//! Each part starts, answers, is killed and comes back; nothing is left when the test is over.

#![allow(clippy::unwrap_used, reason = "all of it is test code, also what the tests share")]

mod clients;
mod kafka;
mod leftovers;
mod otlp;
mod process;
mod proxy;
mod redis;
mod registry;
mod smtp;

use std::time::{Duration, Instant};

/// Enough for anything here on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

/// Whether a process with that id runs (one that only waits to be reaped does not).
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, state)| !state.trim_start().starts_with('Z'))
}

/// Runs something, and says how long it took: the README's figures come from here.
fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let value = run();
    eprintln!("{what}: {:.2} s", began.elapsed().as_secs_f64());
    value
}
