//! The engine alone: a worker, a store in memory, and nothing between them. All that a live worker does but for the broker:
//! records are decoded, states loaded, encoded and stored, outputs encoded. The records are made before the clock starts.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use domain::{HumanDuration, Timestamp};
use schemas::{Mark, MarkEntry, OutputBound, Schemas};
use store::Memory;
use stream::{Decision, Output as _, RecordRef, StateStore as _, StorePosition, Takeover, Worker, WorkerSettings};

use crate::reminders::{MARKS, Reminders};
use crate::report::{Figure, figure};
use crate::shared::event::{Event, What};
use crate::shared::storefront::EVENTS;
use crate::shared::usage::Usage;
use crate::worker::bind;

/// As many records as a worker takes into a batch by default.
const BATCH: u32 = 5_000;
/// Of a hundred events in the mix: the others set a timer anew.
const CANCELS_PERCENT: u32 = 25;
const GENERATION: &str = "bench";
/// Longer than all that happens takes: an event comes before whatever it cancels is due.
const WAIT_MS: i64 = 365 * 24 * 3_600_000;
/// 2026-01-01T00:00:00Z.
const BEGIN_MS: i64 = 1_767_225_600_000;

/// Creates a timer for each customer; then creates, cancels and fires in one mix; then fires all that is left.
pub(crate) fn figures(customers: u32) -> anyhow::Result<Vec<Figure>> {
    let mut alone = Alone::new()?;
    let mut records =
        Records::of((0..customers).map(|customer| (customer, What::Viewed, due_order(customer))), &alone.schemas)?;
    let clock = Clock::start()?;
    for _ in (0..customers).step_by(BATCH as usize) {
        alone.take(&mut records)?;
        alone.run()?;
    }
    let created = clock.stop()?;
    ensure!(alone.fired == 0, "no score: {} fired before they were due", alone.fired);

    // A quarter of the customers: each comes again, later or to cancel, while as many others fall due.
    let mixed = customers / 4;
    let cancels = |number: u32| number % 100 < CANCELS_PERCENT;
    let cancelled = (0..mixed).filter(|number| cancels(*number)).count() as u64;
    let events = (0..mixed).map(|number| {
        let what = if cancels(number) { What::Ordered } else { What::Viewed };
        // From the far end: those fall due last.
        (customers - 1 - number, what, due_order(customers + number))
    });
    let mut records = Records::of(events, &alone.schemas)?;
    let clock = Clock::start()?;
    let mut fired_in_mix = 0;
    for first in (0..mixed).step_by(BATCH as usize) {
        let last = mixed.min(first + BATCH);
        alone.take(&mut records)?;
        fired_in_mix = u64::from(last);
        alone.advance(due_order(last) + WAIT_MS - 1);
        alone.run()?;
    }
    let mix = clock.stop()?;
    ensure!(alone.fired == fired_in_mix, "no score: {} fired, not {fired_in_mix}", alone.fired);

    let clock = Clock::start()?;
    alone.advance(due_order(2 * customers) + WAIT_MS);
    alone.run()?;
    let fired_last = alone.fired - fired_in_mix;
    let fire = clock.stop()?;
    ensure!(alone.fired + cancelled == u64::from(customers), "no score: {} fired, {cancelled} cancelled", alone.fired);
    let per_second = |count: u64, cpu: Duration| count as f64 / cpu.as_secs_f64();
    Ok(vec![
        figure("pending timers", f64::from(customers), 0),
        figure("fires/s a core, with nothing else", per_second(fired_last, fire), 0),
        figure("creates/s a core", per_second(u64::from(customers), created), 0),
        figure("in the mix: fires/s a core, beside as many creates and cancels", per_second(fired_in_mix, mix), 0)
            .at_least(100_000.0),
    ])
}

/// One millisecond apart, in the order of the customers: the event time that makes it so.
fn due_order(number: u32) -> i64 {
    BEGIN_MS + i64::from(number)
}

/// CPU time of this process.
struct Clock(Duration);

impl Clock {
    fn start() -> anyhow::Result<Self> {
        Ok(Self(Usage::of(std::process::id())?.cpu))
    }

    fn stop(self) -> anyhow::Result<Duration> {
        Ok(Usage::of(std::process::id())?.cpu.saturating_sub(self.0))
    }
}

/// Records that are there before the clock starts.
struct Records {
    values: Vec<u8>,
    /// Of each its customer, its time, and where its value ends.
    ends: Vec<(String, i64, usize)>,
    taken: usize,
}

impl Records {
    fn of(events: impl Iterator<Item = (u32, What, i64)>, schemas: &Schemas) -> anyhow::Result<Self> {
        let mut records = Self { values: Vec::new(), ends: Vec::new(), taken: 0 };
        for (customer, what, at_ms) in events {
            let event = Event { number: 0, customer, what, product: 0, at_ms, partition: None };
            schemas.encode(EVENTS, &event.record(true), &mut records.values)?;
            records.ends.push((event.customer_id(), at_ms, records.values.len()));
        }
        Ok(records)
    }

    fn next_batch(&mut self) -> impl Iterator<Item = (&str, i64, &[u8])> {
        let first = self.taken;
        self.taken = self.ends.len().min(first + BATCH as usize);
        (first..self.taken).map(|index| {
            let begin = index.checked_sub(1).map_or(0, |before| self.ends[before].2);
            let (customer_id, at_ms, end) = &self.ends[index];
            (customer_id.as_str(), *at_ms, &self.values[begin..*end])
        })
    }
}

/// A worker without a broker: one partition.
struct Alone {
    worker: Worker<Reminders>,
    schemas: Schemas,
    store: Memory,
    position: StorePosition,
    next_offset: i64,
    fired: u64,
    began: Instant,
    value: Vec<u8>,
}

impl Alone {
    fn new() -> anyhow::Result<Self> {
        let schemas = Schemas::offline();
        bind(&schemas)?;
        let settings = WorkerSettings {
            partitions: 1,
            max_batch_records: BATCH as usize,
            // It commits and looks at its clock whenever it is asked.
            commit_interval: HumanDuration::ZERO,
            mark_interval: HumanDuration::ZERO,
            ..WorkerSettings::default()
        };
        let mut alone = Self {
            worker: Worker::new(settings, schemas.clone(), WAIT_MS),
            schemas,
            store: Memory::new(),
            position: StorePosition { generation: GENERATION.into(), log: "log".into(), header_offset: -1 },
            next_offset: 0,
            fired: 0,
            began: Instant::now(),
            value: Vec::new(),
        };
        alone.worker.assigned(0);
        alone.run()?;
        Ok(alone)
    }

    /// The next batch of records.
    fn take(&mut self, records: &mut Records) -> anyhow::Result<()> {
        for (customer_id, at_ms, value) in records.next_batch() {
            let taken = self.worker.record(&RecordRef {
                input: 0,
                partition: 0,
                offset: self.next_offset,
                timestamp: Timestamp::from_millis(at_ms),
                key: Some(customer_id.as_bytes()),
                value: Some(value),
                traceparent: None,
                headers: None,
            });
            ensure!(taken, "the worker does not take a record");
            self.next_offset += 1;
        }
        Ok(())
    }

    /// All up to this time is done upstream.
    fn advance(&mut self, time_ms: i64) {
        self.worker.mark(
            MARKS,
            &Mark {
                service: "ingestion".into(),
                transactional_id: "bench".into(),
                entries: vec![MarkEntry { partition: 0, time: time_ms }],
                bounds: vec![OutputBound { dataset: EVENTS.into(), offsets: vec![self.next_offset] }],
            },
        );
    }

    /// Does what the worker decides, until it waits for a fact. It gives way once after each commit.
    fn run(&mut self) -> anyhow::Result<()> {
        let mut idle = 0;
        while idle < 2 {
            let now_ms = BEGIN_MS + self.began.elapsed().as_millis() as i64;
            let Some(decision) = self.worker.poll(now_ms) else {
                idle += 1;
                continue;
            };
            idle = 0;
            match decision {
                Decision::TakeOver(partition) => {
                    self.store.begin_rebuild(partition, GENERATION, "log")?;
                    self.store.switch(partition, GENERATION, "log", -1)?;
                    self.worker
                        .taken_over(partition, Takeover { header: None, log_starts: vec![0], log_ends: vec![0] });
                }
                Decision::Load(requests) => {
                    let load = |(partition, request): &(i32, stream::LoadRequest)| {
                        self.store.load(*partition, request)?.context("the store has no view")
                    };
                    let answers = requests.iter().map(load).collect::<anyhow::Result<_>>()?;
                    self.worker.loaded(answers);
                }
                Decision::Commit(batch) => {
                    for emitted in &batch.outputs {
                        self.value.clear();
                        emitted.output.encode(&self.schemas, &mut self.value)?;
                        self.fired += 1;
                    }
                    for commit in &batch.partitions {
                        let header_offset = self.position.header_offset + 1 + commit.changes.len() as i64;
                        self.store.apply(commit.partition, &self.position, header_offset, &commit.changes)?;
                        self.position.header_offset = header_offset;
                    }
                    self.worker.committed();
                }
                Decision::Start { .. } | Decision::Act { .. } => {}
                Decision::Halt { reason, .. } => bail!("the worker halts: {reason}"),
            }
        }
        Ok(())
    }
}
