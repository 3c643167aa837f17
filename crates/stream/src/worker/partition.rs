use std::collections::{HashMap, VecDeque};

use domain::Timestamp;
use schemas::ChangelogHeader;

use crate::service::{ClaimId, DeadLetter, Decoded, Key, Service, State, Trace};
use crate::topology::Partition;

/// Where a partition stands between assignment and revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its view and header are being restored.
    TakingOver,
    /// Its header names a later state of a table than this worker has read.
    WaitingForTables,
    /// It is processed.
    Running,
    /// It can't go on.
    Halted,
}

/// What waits to be processed, in order.
#[derive(Debug)]
pub(super) enum Pending<S: Service> {
    Record { input: usize, offset: i64, stored_at: Timestamp, trace: Option<Trace>, decoded: Decoded<S::Input> },
    Poison { input: usize, offset: i64, letter: Box<DeadLetter> },
    /// The end of an input was seen; `as_of` where nothing more had been stored there at that time.
    End { input: usize, position: i64, as_of: Option<Timestamp> },
    Completed { key: Key, claim: ClaimId, completion: S::Completion },
}

impl<S: Service> Pending<S> {
    pub(super) fn key(&self) -> Option<&Key> {
        match self {
            Self::Record { decoded, .. } => Some(&decoded.key),
            Self::Completed { key, .. } => Some(key),
            Self::Poison { .. } | Self::End { .. } => None,
        }
    }
}

/// A key's state while a batch works on it.
#[derive(Clone, Debug)]
pub(super) struct Entry<T> {
    pub(super) state: T,
    /// Her time.
    pub(super) time: Timestamp,
}

impl<T: State> Default for Entry<T> {
    fn default() -> Self {
        Self { state: T::default(), time: Timestamp::MIN }
    }
}

#[derive(Debug)]
pub(super) struct Slot<T> {
    pub(super) entry: Entry<T>,
    pub(super) stored_bytes: Option<usize>,
    pub(super) dirty: bool,
    pub(super) fired: usize,
}

/// What a batch moves and an abort takes back.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// The next offset to process, by input.
    pub(super) positions: Vec<i64>,
    /// The broker's time of the last record of the primary input.
    pub(super) broker_time: Timestamp,
    /// By input, by upstream partition: how far its marks have been reached.
    pub(super) reached: Vec<Vec<Timestamp>>,
    /// All timers up to this time have fired.
    pub(super) watermark: Timestamp,
    /// The claims of the owner before are still to be looked for.
    pub(super) abandoned: bool,
    /// Revision of the policy that the held ones have heard of.
    pub(super) told_revision: Timestamp,
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
    pub(super) inbox: VecDeque<Pending<S>>,
    pub(super) slots: HashMap<Key, Slot<S::State>>,
    pub(super) progress: Progress,
    pub(super) committed: Progress,
    /// As of when the primary input was known to hold nothing more.
    pub(super) drained: Option<Timestamp>,
    pub(super) touched: bool,
    /// The watermark that the batch closes with, once all timers up to it have fired.
    pub(super) closing: Timestamp,
    pub(super) marked: Timestamp,
    pub(super) header_at_ms: i64,
    /// Somebody may wait for room for a side effect.
    pub(super) ready: bool,
    /// Side effects that the shell has not answered yet.
    pub(super) in_flight: usize,
    /// No new claims: the partition is about to go.
    pub(super) draining: bool,
}

impl<S: Service> Part<S> {
    pub(super) fn new(partition: Partition, upstream_partitions: usize) -> Self {
        let inputs = S::topology().inputs.len();
        let progress = Progress {
            positions: vec![0; inputs],
            broker_time: Timestamp::MIN,
            reached: vec![vec![Timestamp::MIN; upstream_partitions]; inputs],
            watermark: Timestamp::MIN,
            abandoned: true,
            told_revision: Timestamp::MIN,
        };
        Self {
            partition,
            phase: Phase::TakingOver,
            header: ChangelogHeader::default(),
            next_header: None,
            received: vec![0; inputs],
            inbox: VecDeque::new(),
            slots: HashMap::new(),
            committed: progress.clone(),
            progress,
            drained: None,
            touched: false,
            closing: Timestamp::MIN,
            marked: Timestamp::MIN,
            header_at_ms: 0,
            ready: true,
            in_flight: 0,
            draining: false,
        }
    }

    pub(super) fn running(&self) -> bool {
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
        self.progress = self.committed.clone();
        self.received.clone_from(&self.progress.positions);
        self.slots.clear();
        self.drained = None;
        self.next_header = None;
        self.marked = Timestamp::MIN;
        self.touched = self.header.sequence == 0;
        self.ready = true;
        self.inbox.retain(|pending| matches!(pending, Pending::Completed { .. }));
    }
}
