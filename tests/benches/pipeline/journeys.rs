//! Row: the journeys worker, draining events that lie there when it starts.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::message::Message;
use schemas::{JourneyDecision, MessageRequest};
use testkit::Process;
use tests::installation::State;

use crate::expected::{Tally, compare, decision_name, request_name};
use crate::shared::installation::{Installation, Parts, stop, store_setting};
use crate::shared::kafka_clients::Progress;
use crate::shared::sample::{Sample, Stopwatch};
use crate::shared::storefront::{TOLD, write_events};
use crate::shared::workload::Workload;

/// Between two looks at how far the worker has come: a small part of what a run takes.
const LOOK: Duration = Duration::from_millis(10);
/// How long it may take to start, and then between two commits.
const PATIENCE: Duration = Duration::from_mins(1);

/// Puts the preset in force and the events on their topic, starts the worker, and measures from its first commit to its
/// last.
pub(crate) fn journeys(
    parts: &Parts,
    workload: &Workload,
    expected: &Tally,
    state: State,
    round: u32,
) -> anyhow::Result<Sample> {
    let store = if state == State::Memory { "memory" } else { "redis" };
    let installation = parts.installation(&format!("{store}{round}"))?;
    installation.command(&["apply", "presets/basic"])?;
    let events = write_events(&parts.clients().producer(None)?, &installation, TOLD, workload.for_journeys())?;
    let process = installation.run("journeys", &[store_setting(state)])?;
    let sample = drain(parts, &installation, &process, events)?;
    stop(&process)?;
    verify(&installation, expected)?;
    installation.remove()?;
    Ok(sample)
}

fn drain(parts: &Parts, installation: &Installation<'_>, process: &Process, events: u64) -> anyhow::Result<Sample> {
    let progress = parts.clients().progress(&installation.group("journeys"), &installation.topic(TOLD))?;
    let first = wait_for_more(&progress, process, 0)?;
    let pid = process.pid().context("the journeys worker has ended")?;
    let stopwatch = Stopwatch::start(pid, parts.broker_pid()?)?;
    let mut done = first;
    while done < events {
        done = wait_for_more(&progress, process, done)?;
    }
    let sample = stopwatch.stop(done - first)?;
    ensure!(done == events, "no score: the positions say {done} of {events} events");
    Ok(sample)
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

/// What was decided is what follows from the events, each decision once.
fn verify(installation: &Installation<'_>, expected: &Tally) -> anyhow::Result<()> {
    let mut found = Tally::new();
    let (mut decisions, mut ids) = (0, HashSet::new());
    installation.read_all("journeys.decisions", |message| {
        let decision: JourneyDecision = installation.schemas().decode(message.payload().unwrap_or_default())?;
        decisions += 1;
        ids.insert(hash(&decision.decision_id));
        *found.entry(decision_name(&decision.journey, decision.decision)).or_default() += 1;
        Ok(())
    })?;
    ensure!(ids.len() == decisions, "no score: {decisions} decisions, {} of them different", ids.len());
    installation.read_all("messaging.requests", |message| {
        let request: MessageRequest = installation.schemas().decode(message.payload().unwrap_or_default())?;
        *found.entry(request_name(&request.journey, request.action)).or_default() += 1;
        Ok(())
    })?;
    compare(&found, expected)?;
    installation.has_no_dead_letters()
}

/// An id in eight bytes: of a million, no two are likely to meet.
fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
