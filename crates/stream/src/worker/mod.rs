//! The worker, sans-io: it takes facts (records, assignment, revocation, ends of logs, marks, commit done or aborted,
//! completions, time) and gives [`Decision`]s. Its driver does the I/O and knows nothing of services.
//!
//! Wanted properties:
//! - what a batch changed becomes visible whole (`committed`) or not at all (`aborted`: its records are read again, its
//!   completions are fed again);
//! - a key's timers due before a record of the primary input fire before it, in order; timers due by the watermark fire
//!   without records; a timer's firing and its effects are in one batch;
//! - the watermark never passes a record that is still to be processed;
//! - a claim is made only while there is room, performed only once it is committed, and looked for after a takeover;
//! - what is held is bounded: the inbox by [`Worker::wants_records`], the batch by its settings, the cache by its bytes.

mod batch;
mod cache;
mod clock;
mod partition;
mod round;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use domain::{HumanDuration, Timestamp};
use schemas::{ChangelogHeader, Mark, Schemas};

pub use batch::{Batch, Counts, Decision, HaltReason, PartitionCommit};
use cache::Cache;
use clock::MarkedClock;
use partition::{Entry, Part, Pending, Phase};

use crate::service::{ClaimId, DeadLetter, Effects, Key, Lane, Poison, RecordRef, Service, Trace};
use crate::settings::{TimeMode, WorkerSettings};
use crate::store::Loaded;
use crate::topology::{Clock, Partition, Topology};

/// How far behind the present the watermark stays where an input is drained: the clocks of broker and worker differ.
const DRAINED_MARGIN: HumanDuration = HumanDuration::from_millis(1000);

/// One worker of a service: owns partitions, decides what happens to their records.
pub struct Worker<S: Service> {
    settings: WorkerSettings,
    schemas: Schemas,
    topology: &'static Topology,
    policy: S::Policy,
    parts: BTreeMap<Partition, Part<S>>,
    cache: Cache<Entry<S::State>>,
    /// By table: the next offset to read.
    table_positions: Vec<i64>,
    clocks: BTreeMap<&'static str, MarkedClock>,
    capacity: usize,
    cycle: Cycle,
    batch: OpenBatch<S>,
    effects: Effects<S::Output, S::Action>,
    decisions: VecDeque<Decision<S>>,
    now_ms: i64,
    looked_at_clock_ms: i64,
    marked_at_ms: i64,
    finish_now: bool,
    encoded: Vec<u8>,
}

/// Without the policy, which may hold secrets, and without the customers' states.
impl<S: Service> std::fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("service", &self.topology.service)
            .field("partitions", &self.parts.keys())
            .field("cache_bytes", &self.cache.bytes())
            .finish_non_exhaustive()
    }
}

/// Where the worker is in its cycle.
#[derive(Debug)]
enum Cycle {
    Collecting,
    /// Waits for the states of so many pending entries, by partition.
    LoadingRecords { take: Vec<(Partition, usize)>, asked: Vec<(Partition, Vec<Key>)> },
    /// Waits for the keys that are due.
    LoadingDue { asked: Vec<(Partition, Lane, usize)> },
    Committing,
}

/// What the batch holds that is not kept by partition.
#[derive(Debug)]
struct OpenBatch<S: Service> {
    batch: Batch<S>,
    records: usize,
    began_at_ms: Option<i64>,
    actions: Vec<(Partition, Key, ClaimId, S::Action)>,
    /// Fed again after an abort.
    completions: Vec<(Partition, Key, ClaimId, S::Completion)>,
}

impl<S: Service> OpenBatch<S> {
    fn empty() -> Self {
        Self { batch: Batch::empty(), records: 0, began_at_ms: None, actions: Vec::new(), completions: Vec::new() }
    }
}

/// What a driver found when it restored a partition.
#[derive(Clone, Debug, Default)]
pub struct Takeover {
    /// The last header of the changelog; none where this is the partition's beginning.
    pub header: Option<ChangelogHeader>,
    /// Where each input's log begins.
    pub log_starts: Vec<i64>,
}

impl<S: Service> Worker<S> {
    /// A worker that owns nothing yet.
    pub fn new(settings: WorkerSettings, schemas: Schemas, policy: S::Policy) -> Self {
        let topology = S::topology();
        let clocks = topology.inputs.iter().filter_map(|input| match input.clock {
            Clock::Marks(dataset) => Some((dataset, MarkedClock::new(settings.partitions))),
            Clock::Broker | Clock::Unclocked => None,
        });
        Self {
            clocks: clocks.collect(),
            cache: Cache::new(settings.cache_bytes),
            schemas,
            policy,
            parts: BTreeMap::new(),
            table_positions: vec![0; topology.tables.len()],
            topology,
            capacity: 0,
            cycle: Cycle::Collecting,
            batch: OpenBatch::empty(),
            effects: Effects::default(),
            decisions: VecDeque::new(),
            now_ms: 0,
            looked_at_clock_ms: i64::MIN,
            marked_at_ms: i64::MIN,
            finish_now: false,
            encoded: Vec::new(),
            settings,
        }
    }

    /// What is in force.
    pub fn policy(&self) -> &S::Policy {
        &self.policy
    }

    /// Fact: a partition is ours.
    pub fn assigned(&mut self, partition: Partition) {
        let upstream = usize::try_from(self.settings.partitions).unwrap_or(0);
        self.parts.insert(partition, Part::new(partition, upstream));
        self.decisions.push_back(Decision::TakeOver(partition));
    }

    /// Fact: a partition is no longer ours. What the open batch did is taken back where it is not committed:
    /// a planned revocation calls [`Worker::finish`] first.
    pub fn revoked(&mut self, partition: Partition) {
        if self.parts.contains_key(&partition) && !matches!(self.cycle, Cycle::Committing) {
            self.take_back();
        }
        self.parts.remove(&partition);
        self.cache.forget_partition(partition);
        self.decisions.retain(|decision| !concerns(decision, partition));
    }

    /// Fact: the partition's view and header are restored.
    pub fn taken_over(&mut self, partition: Partition, takeover: Takeover) {
        let Some(part) = self.parts.get_mut(&partition) else { return };
        match takeover.header {
            None => {
                part.progress.positions.clone_from(&takeover.log_starts);
                part.touched = true;
            }
            Some(header) => {
                if header.feature_level > self.settings.feature_level {
                    let reason =
                        HaltReason::FeatureLevel { found: header.feature_level, known: self.settings.feature_level };
                    part.phase = Phase::Halted;
                    self.decisions.push_back(Decision::Halt { partition, reason });
                    return;
                }
                part.resume_from(header, self.topology, &takeover.log_starts);
                if let Some(reason) = part.gap(self.topology, &takeover.log_starts) {
                    part.phase = Phase::Halted;
                    self.decisions.push_back(Decision::Halt { partition, reason });
                    return;
                }
            }
        }
        part.received.clone_from(&part.progress.positions);
        part.committed = part.progress.clone();
        part.header_at_ms = self.now_ms;
        part.phase = Phase::WaitingForTables;
        self.start_those_whose_tables_are_read();
    }

    /// Fact: a record of an input. Refused (false) where it is not expected: of a partition that is not running, or read
    /// before a rewind.
    pub fn record(&mut self, record: &RecordRef<'_>) -> bool {
        let Some(part) = self.parts.get_mut(&record.partition).filter(|part| part.running()) else { return false };
        if record.offset < part.received[record.input] {
            return false;
        }
        part.received[record.input] = record.offset + 1;
        let pending = match S::decode(&self.schemas, record) {
            Ok(decoded) => Pending::Record {
                input: record.input,
                offset: record.offset,
                stored_at: record.timestamp,
                trace: record.traceparent.map(Trace::from),
                decoded,
            },
            Err(poison) => Pending::Poison {
                input: record.input,
                offset: record.offset,
                letter: Box::new(dead_letter(self.topology.inputs[record.input].dataset, record, poison)),
            },
        };
        part.inbox.push_back(pending);
        true
    }

    /// Fact: the end of an input was reached at `position` (past trailing markers); `as_of` is a time, taken before the
    /// broker was asked, at which nothing was stored there beyond it.
    pub fn end_reached(&mut self, input: usize, partition: Partition, position: i64, as_of: Option<Timestamp>) {
        let Some(part) = self.parts.get_mut(&partition).filter(|part| part.running()) else { return };
        if position >= part.received[input] {
            part.received[input] = position;
            part.inbox.push_back(Pending::End { input, position, as_of });
        }
    }

    /// Fact: a record of a table. A refusal goes to the log; the policy stays as it was.
    pub fn table_record(&mut self, record: &RecordRef<'_>) -> Result<(), Poison> {
        let result = S::apply_table(&mut self.policy, &self.schemas, record);
        self.table_read(record.input, record.offset + 1);
        result
    }

    /// Fact: a table has been read up to this offset.
    pub fn table_read(&mut self, table: usize, next_offset: i64) {
        if self.table_positions[table] < next_offset {
            self.table_positions[table] = next_offset;
            for part in self.parts.values_mut().filter(|part| part.running()) {
                part.touched = true;
            }
            self.batch.began_at_ms.get_or_insert(self.now_ms);
            self.start_those_whose_tables_are_read();
        }
    }

    /// Fact: a mark of the service before this one.
    pub fn mark(&mut self, dataset: &str, mark: &Mark) {
        let Some(clock) = self.clocks.get_mut(dataset) else { return };
        for input in self.topology.inputs.iter().filter(|input| matches!(input.clock, Clock::Marks(d) if d == dataset)) {
            let Some(bound) = mark.bounds.iter().find(|bound| bound.dataset == input.dataset) else { continue };
            let bounds: Arc<[i64]> = Arc::from(bound.offsets.as_slice());
            for entry in &mark.entries {
                clock.note(entry.partition, Timestamp::from_millis(entry.time), &bounds);
            }
        }
    }

    /// Fact: the shell can perform so many side effects at once.
    pub fn capacity(&mut self, side_effects: usize) {
        self.capacity = side_effects;
    }

    /// Fact: a side effect ended.
    pub fn completed(&mut self, partition: Partition, key: Key, claim: ClaimId, completion: S::Completion) {
        let Some(part) = self.parts.get_mut(&partition) else { return };
        part.in_flight = part.in_flight.saturating_sub(1);
        part.ready = true;
        part.inbox.push_back(Pending::Completed { key, claim, completion });
    }

    /// How many side effects of a partition are under way.
    pub fn in_flight(&self, partition: Partition) -> usize {
        self.parts.get(&partition).map_or(0, |part| part.in_flight)
    }

    /// Fact: a partition is about to be revoked: no new claims are made on it.
    pub fn draining(&mut self, partition: Partition) {
        if let Some(part) = self.parts.get_mut(&partition) {
            part.draining = true;
        }
    }

    /// The next [`Worker::poll`] closes the batch whatever its age.
    pub fn finish(&mut self) {
        self.finish_now = true;
    }

    /// Whether the inbox has room.
    pub fn wants_records(&self) -> bool {
        self.parts.values().map(|part| part.inbox.len()).sum::<usize>() < 2 * self.settings.max_batch_records
    }

    /// Whether nothing waits: no records, no open batch.
    pub fn is_idle(&self) -> bool {
        matches!(self.cycle, Cycle::Collecting)
            && self.decisions.is_empty()
            && self.parts.values().all(|part| part.inbox.is_empty() && !part.touched)
    }

    /// The partitions that are processed.
    pub fn running(&self) -> impl Iterator<Item = Partition> + '_ {
        self.parts.values().filter(|part| part.running()).map(|part| part.partition)
    }

    /// The offset at which the next record of an input is expected.
    pub fn position(&self, input: usize, partition: Partition) -> Option<i64> {
        self.parts.get(&partition).filter(|part| part.running()).map(|part| part.received[input])
    }

    /// The partitions that are ours, in whatever phase.
    pub fn owned(&self) -> impl Iterator<Item = Partition> + '_ {
        self.parts.keys().copied()
    }

    /// All timers of the partition up to this time have fired, and that is committed.
    pub fn watermark(&self, partition: Partition) -> Option<Timestamp> {
        self.parts.get(&partition).map(|part| part.committed.watermark)
    }

    /// What to do next, at this wall-clock time; none until another fact arrives, or time passes.
    pub fn poll(&mut self, now_ms: i64) -> Option<Decision<S>> {
        self.now_ms = now_ms;
        loop {
            if let Some(decision) = self.decisions.pop_front() {
                return Some(decision);
            }
            if !matches!(self.cycle, Cycle::Collecting) || !(self.collect() || self.close_if_due()) {
                return self.decisions.pop_front();
            }
        }
    }

    /// Answer to [`Decision::Load`], in the order of its requests.
    pub fn loaded(&mut self, answers: Vec<Loaded>) {
        let decision = match std::mem::replace(&mut self.cycle, Cycle::Collecting) {
            Cycle::LoadingRecords { take, asked } => self.keys_loaded(&take, asked, answers),
            Cycle::LoadingDue { asked } => self.due_loaded(asked, answers),
            other => {
                self.cycle = other;
                Ok(())
            }
        };
        if let Err((partition, reason)) = decision {
            self.halt(partition, reason);
        }
    }

    /// Answer to [`Decision::Commit`]: it is committed and in the store.
    pub fn committed(&mut self) {
        self.cycle = Cycle::Collecting;
        let batch = std::mem::replace(&mut self.batch, OpenBatch::empty());
        for part in self.parts.values_mut() {
            for (key, slot) in part.slots.drain() {
                if let Some(size_bytes) = slot.stored_bytes {
                    self.cache.put(part.partition, key, slot.entry, size_bytes);
                }
            }
            part.committed.clone_from(&part.progress);
            if let Some(header) = part.next_header.take() {
                part.header = header;
            }
        }
        for (partition, key, claim, action) in batch.actions {
            if let Some(part) = self.parts.get_mut(&partition) {
                part.in_flight += 1;
                self.decisions.push_back(Decision::Act { partition, key, claim, action });
            }
        }
    }

    /// Answer to [`Decision::Commit`]: nothing of it was written.
    pub fn aborted(&mut self) {
        self.take_back();
    }

    /// Drops what is not committed: records are read again, completions are fed again.
    fn take_back(&mut self) {
        self.cycle = Cycle::Collecting;
        let batch = std::mem::replace(&mut self.batch, OpenBatch::empty());
        for part in self.parts.values_mut().filter(|part| part.running() && part.in_batch()) {
            part.rewind();
            let positions = part.progress.positions.clone();
            self.decisions.push_back(Decision::Start { partition: part.partition, positions });
        }
        for (partition, key, claim, completion) in batch.completions.into_iter().rev() {
            if let Some(part) = self.parts.get_mut(&partition) {
                part.inbox.push_front(Pending::Completed { key, claim, completion });
            }
        }
    }

    fn halt(&mut self, partition: Partition, reason: HaltReason) {
        self.take_back();
        if let Some(part) = self.parts.get_mut(&partition) {
            part.phase = Phase::Halted;
            part.inbox.clear();
        }
        self.decisions.retain(|decision| !concerns(decision, partition));
        self.decisions.push_back(Decision::Halt { partition, reason });
    }

    fn start_those_whose_tables_are_read(&mut self) {
        for part in self.parts.values_mut().filter(|part| part.phase == Phase::WaitingForTables) {
            let behind = self.topology.tables.iter().zip(&self.table_positions).any(|(dataset, position)| {
                part.header.tables.iter().any(|wanted| wanted.dataset == *dataset && wanted.next_offset > *position)
            });
            if !behind {
                part.phase = Phase::Running;
                let positions = part.progress.positions.clone();
                self.decisions.push_back(Decision::Start { partition: part.partition, positions });
            }
        }
    }

    fn revision(&self) -> Timestamp {
        Timestamp::from_millis(self.table_positions.iter().sum())
    }
}

fn concerns<S: Service>(decision: &Decision<S>, partition: Partition) -> bool {
    match decision {
        Decision::TakeOver(p)
        | Decision::Start { partition: p, .. }
        | Decision::Act { partition: p, .. }
        | Decision::Halt { partition: p, .. } => *p == partition,
        Decision::Load(_) | Decision::Commit(_) => false,
    }
}

fn dead_letter(dataset: &'static str, record: &RecordRef<'_>, poison: Poison) -> DeadLetter {
    DeadLetter {
        dataset,
        partition: record.partition,
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.map(Bytes::copy_from_slice),
        value: record.value.map(Bytes::copy_from_slice),
        poison,
    }
}

/// How far time has come on a partition: the least of its clocked inputs.
fn time_of<S: Service>(
    part: &Part<S>,
    topology: &Topology,
    clocks: &BTreeMap<&'static str, MarkedClock>,
    mode: TimeMode,
) -> (Timestamp, Vec<Vec<Timestamp>>) {
    let mut reached = part.progress.reached.clone();
    let mut watermark = Timestamp::MAX;
    for (index, input) in topology.inputs.iter().enumerate() {
        let time = match input.clock {
            Clock::Unclocked => continue,
            Clock::Broker if mode == TimeMode::Replay => Timestamp::MIN,
            Clock::Broker => {
                let drained = part.drained.map_or(Timestamp::MIN, |as_of| as_of - DRAINED_MARGIN);
                part.progress.broker_time.max(drained)
            }
            Clock::Marks(dataset) => {
                if let Some(clock) = clocks.get(dataset) {
                    clock.reach(part.partition, part.progress.positions[index], &mut reached[index]);
                }
                reached[index].iter().copied().min().unwrap_or(Timestamp::MIN)
            }
        };
        watermark = watermark.min(time);
    }
    (watermark.max(part.progress.watermark), reached)
}
