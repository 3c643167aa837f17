//! One partition: what is committed, what the open batch does to it, and what it waits for.

use std::collections::{HashMap, HashSet};

use domain::{LogPosition, Timestamp};
use foldhash::fast::RandomState;
use schemas::{ChangelogHeader, Position};

use super::batch::{Decision, HaltReason};
use super::close::read_time;
use super::inbox::Inbox;
use super::revision_of;
use crate::service::{ClaimId, Key, Label, Service, State};
use crate::topology::{Clock, Partition, Topology};

/// Where a partition stands between assignment and revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its view and header are being restored.
    TakingOver,
    /// Its header names a later state of a table than this worker has read.
    WaitingForTables,
    /// It is processed, but [`Decision::Start`] was not handed out yet: what is told of the inputs is from before it.
    Starting,
    /// It is processed.
    Running,
    /// It can't go on.
    Halted,
}

/// A key's state and time.
#[derive(Clone, Debug)]
pub(super) struct Entry<T> {
    pub(super) state: T,
    /// Her time.
    pub(super) time: Timestamp,
    /// Under which labels the store has it: those of the state that is committed.
    pub(super) labels: Vec<Label>,
}

impl<T: State> Entry<T> {
    /// One that the store has.
    pub(super) fn stored(state: T, time: Timestamp) -> Self {
        let labels = state.indexed_under().cloned().collect();
        Self { state, time, labels }
    }
}

impl<T: State> Default for Entry<T> {
    fn default() -> Self {
        Self { state: T::default(), time: Timestamp::MIN, labels: Vec::new() }
    }
}

/// A key while a batch works on it.
#[derive(Debug)]
pub(super) struct Slot<T> {
    /// Boxed: it wanders between the cache and here with every batch.
    pub(super) entry: Box<Entry<T>>,
    /// How large the state is in the store; none where it is not there.
    pub(super) stored_bytes: Option<usize>,
    pub(super) dirty: bool,
    pub(super) fired: usize,
}

impl<T: State> Slot<T> {
    pub(super) fn stored(entry: Box<Entry<T>>, size_bytes: usize) -> Self {
        Self { entry, stored_bytes: Some(size_bytes), dirty: false, fired: 0 }
    }

    pub(super) fn fresh() -> Self {
        Self { entry: Box::default(), stored_bytes: None, dirty: false, fired: 0 }
    }

    /// Whether this batch made a timer due by `time`: the store does not know it yet.
    pub(super) fn due_by(&self, time: Timestamp) -> bool {
        self.dirty && self.entry.state.due().timer.is_some_and(|due| due <= time)
    }
}

/// What a batch moves and an abort takes back.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// The next offset to process, by input.
    pub(super) positions: Vec<i64>,
    /// By input: the broker's time of its last record.
    pub(super) broker_times: Vec<Timestamp>,
    /// By input: as of when it was known to hold nothing more.
    pub(super) drained: Vec<Option<Timestamp>>,
    /// By input, by upstream partition: how far its marks have been reached.
    pub(super) reached: Vec<Vec<Timestamp>>,
    /// All timers up to this time have fired.
    pub(super) watermark: Timestamp,
    /// The claims of the owner before are still to be looked for.
    pub(super) abandoned: bool,
    /// Revision of the policy that the held ones have heard of.
    pub(super) told_revision: Timestamp,
    /// Of a later one, how many were still to hear when that was last known.
    pub(super) untold: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Part<S: Service> {
    pub(super) partition: Partition,
    pub(super) phase: Phase,
    /// The last one that is committed.
    pub(super) header: ChangelogHeader,
    pub(super) next_header: Option<ChangelogHeader>,
    /// The next offset to accept, by input.
    pub(super) received: Vec<i64>,
    pub(super) inbox: Inbox<S>,
    pub(super) slots: HashMap<Key, Slot<S::State>, RandomState>,
    pub(super) progress: Progress,
    pub(super) committed: Progress,
    /// Which revision of the policy is in force: no state here has seen a later one.
    pub(super) revision: Timestamp,
    /// The open batch has something to write here.
    pub(super) touched: bool,
    /// The watermark that was handed on last.
    pub(super) marked: Timestamp,
    /// The one that the batch hands on.
    pub(super) marking: Option<Timestamp>,
    pub(super) header_at_ms: i64,
    /// Somebody may wait for room for a side effect.
    pub(super) ready: bool,
    /// Claims whose side effects the shell has not answered yet.
    pub(super) in_flight: HashSet<(Key, ClaimId)>,
    /// No new claims: the partition is about to go.
    pub(super) draining: bool,
}

impl<S: Service> Part<S> {
    pub(super) fn new(partition: Partition, upstream_partitions: usize) -> Self {
        let inputs = S::topology().inputs.len();
        let progress = Progress {
            positions: vec![0; inputs],
            broker_times: vec![Timestamp::MIN; inputs],
            drained: vec![None; inputs],
            reached: vec![vec![Timestamp::MIN; upstream_partitions]; inputs],
            watermark: Timestamp::MIN,
            abandoned: true,
            told_revision: Timestamp::MIN,
            untold: None,
        };
        Self {
            partition,
            phase: Phase::TakingOver,
            header: ChangelogHeader::default(),
            next_header: None,
            received: vec![0; inputs],
            inbox: Inbox::new(),
            slots: HashMap::default(),
            committed: progress.clone(),
            progress,
            revision: Timestamp::from_millis(0),
            touched: false,
            marked: Timestamp::MIN,
            marking: None,
            header_at_ms: 0,
            ready: true,
            in_flight: HashSet::new(),
            draining: false,
        }
    }

    pub(super) fn running(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Running)
    }

    /// Whether it listens to its inputs.
    pub(super) fn listens(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether the open batch did anything here.
    pub(super) fn in_batch(&self) -> bool {
        self.touched
            || self.next_header.is_some()
            || !self.slots.is_empty()
            || self.progress.positions != self.committed.positions
            || self.progress.watermark != self.committed.watermark
    }

    /// Forgets what the open batch did to the partition; completions are kept, records are read again.
    pub(super) fn rewind(&mut self) {
        self.progress.clone_from(&self.committed);
        self.received.clone_from(&self.progress.positions);
        self.slots.clear();
        self.next_header = None;
        self.touched = false;
        self.ready = true;
        self.inbox.keep_completions();
    }

    /// Its inputs are to be read from what was processed on.
    pub(super) fn start(&mut self) -> Decision<S> {
        self.phase = Phase::Starting;
        Decision::Start { partition: self.partition, positions: self.progress.positions.clone() }
    }

    /// A record was processed.
    pub(super) fn read(&mut self, input: usize, offset: i64, stored_at: Timestamp) {
        self.progress.positions[input] = offset + 1;
        self.progress.broker_times[input] = self.progress.broker_times[input].max(stored_at);
        self.progress.drained[input] = None;
        self.touched = true;
    }

    /// The first owner begins where each input's log does.
    pub(super) fn begin_at(&mut self, log_starts: &[i64]) {
        for (position, start) in self.progress.positions.iter_mut().zip(log_starts) {
            *position = *start;
        }
    }

    /// Goes on where the header says that the partition's last owner got to.
    pub(super) fn resume_from(&mut self, header: ChangelogHeader, topology: &Topology, log_starts: &[i64]) {
        for (index, input) in topology.inputs.iter().enumerate() {
            // An input that a newer version reads for the first time begins where its log does.
            let start = log_starts.get(index).copied().unwrap_or(0);
            self.progress.positions[index] = offset_of(&header.positions, input.dataset).unwrap_or(start);
            let time = header.watermarks.iter().find(|watermark| watermark.dataset == input.dataset);
            let time = time.map_or(Timestamp::MIN, |watermark| read_time(watermark.time));
            match input.clock {
                Clock::Broker => self.progress.broker_times[index] = time,
                Clock::Marks(_) => self.progress.reached[index].fill(time),
                Clock::Unclocked => {}
            }
        }
        self.progress.watermark = read_time(header.watermark);
        self.header = header;
    }

    /// The header's revision, where nothing has changed since for those who wait; else one above all that were seen here, since no
    /// owner had read more of a table than its header says.
    pub(super) fn resume_telling(&mut self, topology: &Topology, table_positions: &[i64], table_changes: &[i64]) {
        let read = |dataset: &&str| offset_of(&self.header.tables, dataset).unwrap_or(0);
        let mut tables = topology.tables.iter().zip(table_changes);
        let unchanged = tables.all(|(dataset, change)| *change <= read(dataset));
        match self.header.revision.filter(|_| unchanged) {
            Some(revision) => {
                self.revision = Timestamp::from_millis(revision);
                if self.header.untold == Some(0) {
                    self.progress.told_revision = self.revision;
                    self.committed.told_revision = self.revision;
                }
            }
            None => self.revision = revision_of(table_positions),
        }
    }

    /// How many have not heard of what is in force: none once all were told, and not known before they were looked for.
    pub(super) fn untold(&self) -> Option<i64> {
        let all_told = self.progress.told_revision >= self.revision;
        if all_told { Some(0) } else { self.progress.untold.map(|untold| i64::try_from(untold).unwrap_or(i64::MAX)) }
    }

    /// Goes past the gaps that may be gone past: to where the log begins.
    pub(super) fn skip(&mut self, topology: &Topology, log_starts: &[i64], allowed: &[LogPosition]) {
        for ((input, position), start) in topology.inputs.iter().zip(&mut self.progress.positions).zip(log_starts) {
            let here = |gap: &LogPosition| {
                gap.dataset == input.dataset && gap.partition == self.partition && gap.offset == *position
            };
            if *position < *start && allowed.iter().any(here) {
                *position = *start;
                // The header says so at once.
                self.touched = true;
            }
        }
    }

    /// What the log does not have any more.
    pub(super) fn cut(&self, topology: &Topology, log_ends: &[i64]) -> Option<HaltReason> {
        topology.inputs.iter().zip(&self.progress.positions).zip(log_ends).find_map(|((input, position), end)| {
            (position > end).then_some(HaltReason::Cut {
                dataset: input.dataset,
                partition: self.partition,
                position: *position,
                log_end: *end,
            })
        })
    }

    /// What was deleted before it was read.
    pub(super) fn gap(&self, topology: &Topology, log_starts: &[i64]) -> Option<HaltReason> {
        topology.inputs.iter().zip(&self.progress.positions).zip(log_starts).find_map(|((input, position), start)| {
            (position < start).then_some(HaltReason::Gap {
                dataset: input.dataset,
                partition: self.partition,
                position: *position,
                log_start: *start,
                lost: start - position,
            })
        })
    }

    /// Whether the owner before had read more of a table.
    pub(super) fn waits_for_tables(&self, topology: &Topology, table_positions: &[i64]) -> bool {
        topology
            .tables
            .iter()
            .zip(table_positions)
            .any(|(dataset, position)| offset_of(&self.header.tables, dataset).is_some_and(|wanted| wanted > *position))
    }

    /// Whether its header names what is in force of each table.
    pub(super) fn knows_tables(&self, topology: &Topology, table_positions: &[i64]) -> bool {
        topology
            .tables
            .iter()
            .zip(table_positions)
            .all(|(dataset, position)| offset_of(&self.header.tables, dataset) == Some(*position))
    }
}

fn offset_of(positions: &[Position], dataset: &str) -> Option<i64> {
    positions.iter().find(|position| position.dataset == dataset).map(|position| position.next_offset)
}
