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
//! - what comes of a key's records does not depend on where a batch ends, on aborts, restarts or the cache;
//! - no partition waits for ever because of another: they take turns, and one that can't go on is left out;
//! - what is held is bounded: the inbox by [`Worker::wants_records`], the batch by its settings and by how long it takes, the
//!   cache by its bytes.
//!
//! A batch goes through the files in this order: `facts` (what happened), `collect` (records and their states), `steps`
//! (the service decides), `lanes` (who is due), `close` (what the transaction writes).

mod batch;
mod cache;
mod clock;
mod close;
mod collect;
mod facts;
mod inbox;
mod lanes;
mod pace;
mod partition;
mod steps;

use std::collections::{BTreeMap, VecDeque};

use domain::Timestamp;
use schemas::{ChangelogHeader, Schemas};

use batch::Tally;
pub use batch::{Batch, Counts, Decision, HaltReason, PartitionCommit, RecordFate};
use cache::Cache;
use clock::MarkedClock;
use inbox::Pending;
use lanes::Asked;
use pace::Pace;
use partition::{Entry, Part, Phase};

use crate::service::{ClaimId, Effects, Key, Service};
use crate::settings::WorkerSettings;
use crate::store::{Loaded, StateChanges};
use crate::topology::{Clock, Partition, Topology};

/// So much is in the first batch that is full, and never less than that in one.
const FIRST_BATCH: usize = 1_000;
const LEAST_BATCH: usize = 256;
/// As long as a batch is worked on before it is committed.
const LONGEST_BATCH_MS: i64 = 250;

/// One worker of a service: owns partitions, decides what happens to their records.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, set and asked in one place")]
pub struct Worker<S: Service> {
    settings: WorkerSettings,
    schemas: Schemas,
    topology: &'static Topology,
    policy: S::Policy,
    parts: BTreeMap<Partition, Part<S>>,
    cache: Cache<Box<Entry<S::State>>>,
    /// By table: the next offset to read.
    table_positions: Vec<i64>,
    /// By table: the offset behind the last record that changed the policy for those who wait.
    table_changes: Vec<i64>,
    /// By input: the marks that were read for it.
    clocks: Vec<Option<MarkedClock>>,
    /// In a replay: how far the replay tool let time come.
    replayed_to: Timestamp,
    capacity: usize,
    cycle: Cycle,
    batch: OpenBatch<S>,
    effects: Effects<S::Output, S::Action>,
    decisions: VecDeque<Decision<S>>,
    now_ms: i64,
    looked_at_clock_ms: i64,
    marked_at_ms: i64,
    /// When the last batch was closed, or the first one might have begun.
    closed_at_ms: Option<i64>,
    /// How long the last commit took, from its batch's close; none while that is not known.
    commit_took_ms: Option<i64>,
    /// When it was asked who is due for the batch at hand.
    asked_at_ms: i64,
    /// How much is in a batch, at most: its settings bound it, and how long it takes.
    batches: Pace,
    /// How many of those who wait for a change of the policy are told in a batch, at most; and how many were in the last one.
    telling: Pace,
    told: usize,
    /// A mark was told since it was last looked how far time has come.
    heard_marks: bool,
    finish_now: bool,
    /// More was due than one batch takes, or an abort took back what nothing else will bring again.
    look_again: bool,
    /// A commit was answered: before the next batch closes the driver hears what happened meanwhile.
    gives_way: bool,
    /// Which partition's inbox comes first in the next batch.
    first: Partition,
    checks_steps: bool,
    encoded: StateChanges,
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
    LoadingRecords {
        take: Vec<(Partition, usize)>,
        asked: Vec<(Partition, Vec<Key>)>,
    },
    /// Waits for the keys that are due.
    LoadingDue {
        asked: Vec<Asked>,
    },
    Committing,
}

/// What the batch holds that is not kept by partition.
#[derive(Debug)]
struct OpenBatch<S: Service> {
    batch: Batch<S>,
    tally: Tally,
    records: usize,
    read_bytes: usize,
    /// Since when it is worked on, where it holds as much as it may.
    filled_from_ms: Option<i64>,
    /// Something happened that is to be committed in time.
    begun: bool,
    actions: Vec<(Partition, Key, ClaimId, S::Action)>,
    /// Fed again after an abort.
    completions: Vec<(Partition, Key, ClaimId, S::Completion)>,
}

impl<S: Service> OpenBatch<S> {
    fn empty() -> Self {
        Self {
            batch: Batch::empty(),
            tally: Tally::default(),
            records: 0,
            read_bytes: 0,
            filled_from_ms: None,
            begun: false,
            actions: Vec::new(),
            completions: Vec::new(),
        }
    }
}

/// What a driver found when it restored a partition.
#[derive(Clone, Debug, Default)]
pub struct Takeover {
    /// The last header of the changelog; none where this is the partition's beginning.
    pub header: Option<ChangelogHeader>,
    /// Where each input's log begins.
    pub log_starts: Vec<i64>,
    /// Where each input's log ends, for a reader of committed records.
    pub log_ends: Vec<i64>,
}

impl<S: Service> Worker<S> {
    /// A worker that owns nothing yet. Its tables are read whole before it is given a partition
    /// ([`Worker::table_record`]): nothing else says how long a table is.
    pub fn new(settings: WorkerSettings, schemas: Schemas, policy: S::Policy) -> Self {
        let topology = S::topology();
        let clocks = topology.inputs.iter().map(|input| match input.clock {
            Clock::Marks(_) => Some(MarkedClock::new(settings.partitions)),
            Clock::Broker | Clock::Unclocked => None,
        });
        Self {
            clocks: clocks.collect(),
            replayed_to: Timestamp::MIN,
            cache: Cache::new(settings.cache_bytes),
            schemas,
            policy,
            parts: BTreeMap::new(),
            table_positions: vec![0; topology.tables.len()],
            table_changes: vec![0; topology.tables.len()],
            topology,
            capacity: 0,
            cycle: Cycle::Collecting,
            batch: OpenBatch::empty(),
            effects: Effects::default(),
            decisions: VecDeque::new(),
            now_ms: 0,
            looked_at_clock_ms: i64::MIN,
            marked_at_ms: i64::MIN,
            closed_at_ms: None,
            commit_took_ms: Some(0),
            asked_at_ms: 0,
            batches: Pace::new(FIRST_BATCH, LEAST_BATCH, settings.max_batch_records, LONGEST_BATCH_MS),
            telling: lanes::pace_of_telling(&settings),
            told: 0,
            heard_marks: false,
            finish_now: false,
            look_again: false,
            gives_way: false,
            first: 0,
            checks_steps: false,
            encoded: StateChanges::default(),
            settings,
        }
    }

    /// What is in force.
    pub fn policy(&self) -> &S::Policy {
        &self.policy
    }

    /// From now on every step is taken twice, and a service that breaks its promises makes it panic: a step is pure, and
    /// one that ignores or rejects changes no state. For tests; the test driver does it.
    pub fn check_steps(&mut self) {
        self.checks_steps = true;
    }

    /// Behind which records the policy last changed for those who wait: what reading the tables anew gives, too.
    pub(crate) fn table_changes(&self) -> Vec<i64> {
        self.table_changes.clone()
    }

    /// For a policy that is given as the tables made it, without their records: these were the last that changed it.
    pub(crate) fn resume_table_changes(&mut self, table_changes: Vec<i64>) {
        self.table_changes = table_changes;
    }

    /// The partitions that were assigned and not revoked, whether they are processed or not.
    pub fn owned(&self) -> impl Iterator<Item = Partition> + '_ {
        self.parts.keys().copied()
    }

    /// The partitions that are processed.
    pub fn running(&self) -> impl Iterator<Item = Partition> + '_ {
        self.parts.values().filter(|part| part.running()).map(|part| part.partition)
    }

    /// How many side effects of a partition are under way.
    pub fn in_flight(&self, partition: Partition) -> usize {
        self.parts.get(&partition).map_or(0, |part| part.in_flight.len())
    }

    /// Whether the inbox has room. What is under way to the worker anyway is taken all the same.
    pub fn wants_records(&self) -> bool {
        let inboxes = || self.parts.values().map(|part| &part.inbox);
        inboxes().map(inbox::Inbox::len).sum::<usize>() < 2 * self.settings.max_batch_records
            && inboxes().map(inbox::Inbox::size_bytes).sum::<usize>() < 2 * self.settings.max_batch_bytes
    }

    /// Whether nothing waits on the partitions that are processed: no records, no open batch, no header to be written.
    /// (What becomes due by time alone is not foreseen.)
    pub fn is_idle(&self) -> bool {
        matches!(self.cycle, Cycle::Collecting)
            && self.decisions.is_empty()
            && self.parts.values().filter(|part| part.running()).all(|part| {
                part.inbox.is_empty()
                    && !part.in_batch()
                    && part.header.sequence > 0
                    && part.knows_tables(self.topology, &self.table_positions)
            })
    }

    /// Where the next record of an input is expected.
    pub fn position(&self, input: usize, partition: Partition) -> Option<i64> {
        self.parts.get(&partition).filter(|part| part.running())?.received.get(input).copied()
    }

    /// All timers of the partition up to this time have fired, and that is committed.
    pub fn watermark(&self, partition: Partition) -> Option<Timestamp> {
        self.parts.get(&partition).map(|part| part.committed.watermark)
    }

    /// How many bytes the cache of decoded states stands for.
    pub fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// What to do next, at this wall-clock time; none until another fact arrives, or time passes. Once a commit was
    /// answered there is a none before the next batch, however much waits: so that a driver that polls until then hears in
    /// time that it is to stop, or that the group rebalances.
    ///
    /// Decisions are carried out in their order, and before the next record is told. One that is answered is answered
    /// before the next poll, or not at all: after [`Worker::revoked`] an answer that was not given is not missed.
    pub fn poll(&mut self, now_ms: i64) -> Option<Decision<S>> {
        self.now_ms = now_ms;
        let closed_at_ms = *self.closed_at_ms.get_or_insert(now_ms);
        if self.commit_took_ms.is_none() && !matches!(self.cycle, Cycle::Committing) {
            self.commit_took_ms = Some(now_ms.saturating_sub(closed_at_ms));
            self.pace_telling();
        }
        loop {
            if let Some(decision) = self.decisions.pop_front() {
                if matches!(decision, Decision::Commit(_)) {
                    self.pace_batches();
                }
                if let Decision::Start { partition, .. } = &decision
                    && let Some(part) = self.parts.get_mut(partition)
                {
                    part.phase = Phase::Running;
                }
                return Some(decision);
            }
            if !matches!(self.cycle, Cycle::Collecting)
                || std::mem::take(&mut self.gives_way)
                || !(self.collect() || self.close_if_due())
            {
                return None;
            }
        }
    }

    /// A batch that is long under way is lost whole where its owner dies, holds up a rebalance, and lets what comes meanwhile
    /// wait: as much is in one as is worked through in a while. (How long its commit takes says nothing of that.)
    ///
    /// Where all of it was done within one poll, for want of anything to load, no time was seen to pass, and nothing is learnt.
    fn pace_batches(&mut self) {
        if let Some(filled_from_ms) = self.batch.filled_from_ms.take().filter(|from_ms| *from_ms != self.now_ms) {
            self.batches.took(self.elapsed_ms(filled_from_ms));
        }
    }

    /// Answer to [`Decision::Load`], in the order of its requests.
    pub fn loaded(&mut self, answers: Vec<Loaded>) {
        let result = match std::mem::replace(&mut self.cycle, Cycle::Collecting) {
            Cycle::LoadingRecords { take, asked } => self.keys_loaded(&take, asked, answers),
            Cycle::LoadingDue { asked } => self.due_loaded(asked, answers),
            other => {
                self.cycle = other;
                Ok(())
            }
        };
        if let Err((partition, reason)) = result {
            self.halt(partition, reason);
        }
    }

    /// Answer to [`Decision::Commit`]: it is committed and in the store.
    pub fn committed(&mut self) {
        if matches!(self.cycle, Cycle::Committing) {
            self.batch_is_done();
            self.gives_way = true;
        }
    }

    /// Answer to [`Decision::Commit`]: nothing of it was written.
    pub fn aborted(&mut self) {
        self.take_back();
        // What no record will bring again (a change of a table, timers, marks) does not wait for one.
        self.look_again = true;
        self.gives_way = true;
    }

    /// What the batch did is from now on what is so.
    fn batch_is_done(&mut self) {
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
            if let Some(marked) = part.marking.take() {
                part.marked = marked;
            }
        }
        for (partition, key, claim, action) in batch.actions {
            if let Some(part) = self.parts.get_mut(&partition) {
                part.in_flight.insert((Key::clone(&key), ClaimId::clone(&claim)));
                self.decisions.push_back(Decision::Act { partition, key, claim, action });
            }
        }
    }

    /// Drops what is not committed: records are read again, completions are fed again.
    fn take_back(&mut self) {
        self.cycle = Cycle::Collecting;
        self.decisions.retain(|decision| !matches!(decision, Decision::Load(_) | Decision::Commit(_)));
        let batch = std::mem::replace(&mut self.batch, OpenBatch::empty());
        for part in self.parts.values_mut() {
            part.marking = None;
            if part.running() && part.in_batch() {
                part.rewind();
                self.decisions.retain(|decision| !is_start_of(decision, part.partition));
                self.decisions.push_back(part.start());
            }
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
            // Claims that nobody was told to perform yet: the next owner finds them without an outcome.
            for decision in &self.decisions {
                if let Decision::Act { partition: p, key, claim, .. } = decision
                    && *p == partition
                {
                    part.in_flight.remove(&(Key::clone(key), ClaimId::clone(claim)));
                }
            }
        }
        self.decisions.retain(|decision| !concerns(decision, partition));
        self.decisions.push_back(Decision::Halt { partition, reason });
    }

    fn start_those_whose_tables_are_read(&mut self) {
        for part in self.parts.values_mut().filter(|part| part.phase == Phase::WaitingForTables) {
            if !part.waits_for_tables(self.topology, &self.table_positions) {
                part.resume_telling(self.topology, &self.table_positions, &self.table_changes);
                self.decisions.push_back(part.start());
            }
        }
    }

    /// How long ago, by the wall clock; one that was set back counts as long ago, so that nothing waits for it to catch up.
    fn elapsed_ms(&self, since_ms: i64) -> i64 {
        if self.now_ms < since_ms { i64::MAX } else { self.now_ms.saturating_sub(since_ms) }
    }
}

/// The policy's revision after a change for those who wait: by how far the tables were read, which only rises. Compaction takes
/// records, and with them what could be counted.
fn revision_of(table_positions: &[i64]) -> Timestamp {
    Timestamp::from_millis(table_positions.iter().sum())
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

fn is_start_of<S: Service>(decision: &Decision<S>, partition: Partition) -> bool {
    matches!(decision, Decision::Start { partition: p, .. } if *p == partition)
}
