//! Rows S1 and S2: the profile worker drains events that become visible all at once.
//!
//! Half a million customers have come once before, so that the state is as large as it is told to be; the events that are
//! measured are written in one transaction, and the worker waits for its end with all partitions in its hands.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::producer::Producer as _;
use rdkafka::util::Timeout;
use tests::installation::State;

use crate::measured::Running;
use crate::options::Measured;
use crate::profile::{CHANGELOG, CHANGES, Found, Wanted};
use crate::shared::event::{Event, What};
use crate::shared::installation::{Installation, Parts, store_setting};
use crate::shared::kafka_clients::Progress;
use crate::shared::options::Options;
use crate::shared::sample::{Sample, Stopwatch};
use crate::shared::storefront::{EVENTS, write_events};
use crate::shared::usage::Usage;
use crate::shared::workload::Workload;

/// Of whom the state knows before anything is measured.
const KNOWN_CUSTOMERS: u32 = 500_000;
/// Between two looks at how far the worker has come: a small part of what a run takes.
const LOOK: Duration = Duration::from_millis(10);
/// Between two commits.
const PATIENCE: Duration = Duration::from_mins(1);
/// As `schemas/topics.yaml` has a changelog; nothing is compacted before it was counted.
const CHANGELOG_SETTINGS: [(&str, &str); 5] = [
    ("cleanup.policy", "compact"),
    ("min.cleanable.dirty.ratio", "0.2"),
    ("segment.bytes", "67108864"),
    ("max.compaction.lag.ms", "604800000"),
    ("min.compaction.lag.ms", "86400000"),
];

/// The events of a run.
#[derive(Debug)]
pub(crate) struct Events {
    /// Each customer that is known once, before the others.
    before: Vec<Event>,
    measured: Workload,
    pub(crate) wanted: Wanted,
}

impl Events {
    pub(crate) fn new(options: &Options) -> Self {
        let size = options.size();
        let measured = Workload::new(&size);
        let first_at_ms = measured.for_the_door().first().map_or(0, |event| event.at_ms);
        let known = size.customers.min(KNOWN_CUSTOMERS);
        let before = (1..=known).map(|customer| Event {
            number: size.events + size.partitions.cast_unsigned() + customer,
            customer,
            what: What::Viewed,
            product: customer % 20_000,
            at_ms: first_at_ms - 1,
            partition: None,
        });
        let before: Vec<Event> = before.collect();
        let wanted = Wanted::of(before.iter().chain(measured.for_the_door()));
        Self { before, measured, wanted }
    }

    /// How many events are measured.
    pub(crate) fn count(&self) -> u64 {
        self.measured.for_the_door().len() as u64
    }

    /// How many lie before them.
    pub(crate) fn count_before(&self) -> u64 {
        self.before.len() as u64
    }

    /// So many records of a kind that a worker wrote, for each event of its whole run.
    pub(crate) fn share(&self, records: u64) -> f64 {
        records as f64 / (self.count() + self.count_before()) as f64
    }
}

/// What a run gave, with its installation, whose topics still hold all.
pub(crate) struct Drained<'a> {
    pub(crate) installation: Installation<'a>,
    pub(crate) sample: Sample,
    pub(crate) found: Found,
}

/// A new installation, with the topics of this benchmark.
pub(crate) fn installation<'a>(parts: &'a Parts, prefix: &str) -> anyhow::Result<Installation<'a>> {
    let installation = parts.installation(prefix)?;
    crate::worker::bind(installation.schemas())?;
    create_changelog(parts, &installation, CHANGELOG)?;
    parts.clients().create(&[installation.topic(CHANGES)], &[])?;
    Ok(installation)
}

/// Makes a topic such as every changelog is.
pub(crate) fn create_changelog(parts: &Parts, installation: &Installation<'_>, dataset: &str) -> anyhow::Result<()> {
    parts.clients().create(&[installation.topic(dataset)], &CHANGELOG_SETTINGS)
}

/// Runs the worker on the events, and measures from its first commit of those that count to its last.
pub(crate) fn drain<'a>(
    parts: &'a Parts,
    events: &Events,
    (state, workers): (State, u32),
    prefix: &str,
) -> anyhow::Result<Drained<'a>> {
    let installation = installation(parts, prefix)?;
    let partitions = parts.clients().partitions();
    let topic = installation.topic(EVENTS);
    write_events(&parts.clients().producer(None)?, &installation, EVENTS, events.before.iter())?;
    let progress = parts.clients().progress(&installation.group("profile"), &topic)?;
    let start = |name: &str| {
        let settings = [store_setting(state), &format!("kafka.workers={workers}")];
        let running = Running::start(parts, &installation, Measured::Profile, &settings, name)?;
        running.wait_until_it_owns(partitions, workers)?;
        anyhow::Ok(running)
    };
    let mut running = start("profile")?;
    let ends = parts.clients().ends(&topic)?;
    wait_for(&progress, &running, &ends)?;
    if state == State::Redis {
        // The next has nothing in its cache, and all in Redis.
        running.stop()?;
        running = start("profile-again")?;
    }
    running.counts_from_now();
    let producer = parts.clients().producer(Some("bench-events"))?;
    producer.begin_transaction()?;
    write_events(&producer, &installation, EVENTS, events.measured.for_the_door().iter())?;
    let written = parts.clients().ends(&topic)?;
    producer.commit_transaction(Timeout::Never)?;
    let (from, to) = (total(&ends), total(&written));
    ensure!(to - from == events.count(), "{} events were written, not {}", to - from, events.count());
    let first = wait_for_more(&progress, &running, &written, from)?;
    let stopwatch = Stopwatch::start(running.pid()?, parts.broker_pid()?)?;
    let mut done = first;
    while done < to {
        done = wait_for_more(&progress, &running, &written, done)?;
    }
    let sample = stopwatch.stop(to - first)?;
    let usage = Usage::of(running.pid()?)?;
    running.stop()?;
    let found = Found::verified(&installation, &events.wanted)?;
    Ok(Drained { installation, sample: Sample { peak_bytes: Some(usage.peak_bytes), ..sample }, found })
}

pub(crate) fn total(offsets: &[i64]) -> u64 {
    offsets.iter().sum::<i64>().unsigned_abs()
}

pub(crate) fn wait_for(progress: &Progress, running: &Running, ends: &[i64]) -> anyhow::Result<()> {
    let mut done = 0;
    while done < total(ends) {
        done = wait_for_more(progress, running, ends, done)?;
    }
    Ok(())
}

/// Waits until more is committed than `before`, and returns how many records that are; what lies behind `ends` is none.
fn wait_for_more(progress: &Progress, running: &Running, ends: &[i64], before: u64) -> anyhow::Result<u64> {
    let began = Instant::now();
    loop {
        let offsets = progress.offsets()?;
        let done = offsets.iter().zip(ends).map(|(offset, end)| (*offset).min(*end)).sum::<i64>().unsigned_abs();
        if done > before {
            return Ok(done);
        }
        ensure!(
            running.process().is_running() && began.elapsed() < PATIENCE,
            running.process().error(format!("came no further than {before} events"))
        );
        std::thread::sleep(LOOK);
    }
}

impl Drained<'_> {
    /// Deletes what is left of the run.
    pub(crate) fn remove(self) -> anyhow::Result<()> {
        self.installation.remove_with(&[CHANGELOG, CHANGES])
    }
}

/// The first value of a kind that was kept.
pub(crate) fn first<T>(some: &[T]) -> anyhow::Result<&T> {
    some.first().context("the worker wrote none")
}
