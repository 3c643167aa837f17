//! A worker drains events that lie there when it starts.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use testkit::Process;
use tests::installation::State;

use crate::shared::installation::{Installation, Parts, stop, store_setting};
use crate::shared::kafka_clients::Progress;
use crate::shared::sample::{Sample, Stopwatch};
use crate::shared::storefront::write_events;
use crate::shared::workload::Workload;

/// Between two looks at how far the worker has come: a small part of what a run takes.
const LOOK: Duration = Duration::from_millis(10);
/// How long it may take to start, and then between two commits.
const PATIENCE: Duration = Duration::from_mins(1);

/// Puts the preset in force and the events on the topic that the service reads, starts the worker, and measures from its
/// first commit to its last. Gives the installation, for whoever looks at what came out.
pub(crate) fn drain<'p>(
    parts: &'p Parts,
    workload: &Workload,
    service: &str,
    from: &str,
    state: State,
    round: u32,
) -> anyhow::Result<(Installation<'p>, Sample)> {
    let store = if state == State::Memory { "memory" } else { "redis" };
    let installation = parts.installation(&format!("{service}-{store}{round}"))?;
    installation.command(&["apply", "presets/basic"])?;
    let events = write_events(&parts.clients().producer(None)?, &installation, from, workload.for_workers())?;
    let process = installation.run(service, &[store_setting(state)])?;
    let progress = parts.clients().progress(&installation.group(service), &installation.topic(from))?;
    let first = wait_for_more(&progress, &process, 0)?;
    let pid = process.pid().context("the worker has ended")?;
    let stopwatch = Stopwatch::start(pid, parts.broker_pid()?)?;
    let mut done = first;
    while done < events {
        done = wait_for_more(&progress, &process, done)?;
    }
    let sample = stopwatch.stop(done - first)?;
    ensure!(done == events, "no score: the positions say {done} of {events} events");
    stop(&process)?;
    Ok((installation, sample))
}

/// Waits until more is committed than `before`, and returns how much.
fn wait_for_more(progress: &Progress, process: &Process, before: u64) -> anyhow::Result<u64> {
    let began = Instant::now();
    loop {
        let done = progress.records()?;
        if done > before {
            return Ok(done);
        }
        ensure!(
            process.is_running() && began.elapsed() < PATIENCE,
            process.error(format!("came no further than {before} events"))
        );
        std::thread::sleep(LOOK);
    }
}

/// An id in eight bytes: of a million, no two are likely to meet.
pub(crate) fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
