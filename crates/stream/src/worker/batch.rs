//! What a worker decides: the words between it and its driver.

use std::collections::BTreeMap;

use domain::Timestamp;
use schemas::ChangelogHeader;

use crate::service::{ClaimId, DeadLetter, Disposition, Emitted, Key, Service};
use crate::store::{LoadRequest, StateChange};
use crate::topology::Partition;

/// What the driver is to do next. Every decision but [`Decision::Load`] and [`Decision::Commit`] needs no answer.
#[derive(Debug)]
pub enum Decision<S: Service> {
    /// Restore the partition's view and header, then answer with `taken_over`.
    TakeOver(Partition),
    /// Read the inputs of the partition from these offsets on (one an input).
    Start {
        /// Which partition.
        partition: Partition,
        /// The next offset to read, by input.
        positions: Vec<i64>,
    },
    /// Read states from the store, in one round trip a partition; answer with `loaded`.
    Load(Vec<(Partition, LoadRequest)>),
    /// Commit this in one transaction; answer with `committed` or `aborted`.
    Commit(Box<Batch<S>>),
    /// A claim is committed: perform the side effect and answer with `completed`.
    Act {
        /// Where its state lives.
        partition: Partition,
        /// Whose it is.
        key: Key,
        /// The claim.
        claim: ClaimId,
        /// What to do.
        action: S::Action,
    },
    /// The partition can't go on; the others do.
    Halt {
        /// Which partition.
        partition: Partition,
        /// Why, and what to do.
        reason: HaltReason,
    },
}

/// Why a partition stands still.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HaltReason {
    /// Records that were never processed are gone from the log.
    #[error(
        "partition {partition} of {dataset} begins at offset {log_start}, but only what lies before {position} was \
         processed: up to {lost} records were deleted unread. The partition stands still. To go on without them, add \
         {dataset}/{partition}@{position} to kafka.skip and start the service again. Keep what is not processed for \
         longer than any outage (retention.ms)"
    )]
    Gap {
        /// Which input.
        dataset: &'static str,
        /// Which partition.
        partition: Partition,
        /// The next offset to process.
        position: i64,
        /// Where the log begins.
        log_start: i64,
        /// How many offsets lie between.
        lost: i64,
    },
    /// The log does not reach as far as it was processed.
    #[error(
        "partition {partition} of {dataset} ends at offset {log_end}, but what lies before {position} was processed: the \
         topic was made anew, or lost its end. The partition stands still: restore the topic, or begin anew under another \
         `installation.prefix`"
    )]
    Cut {
        /// Which input.
        dataset: &'static str,
        /// Which partition.
        partition: Partition,
        /// The next offset to process.
        position: i64,
        /// Where the log ends.
        log_end: i64,
    },
    /// A newer version wrote the state.
    #[error("the state was written at feature level {found}, this version knows {known}: upgrade it first")]
    FeatureLevel {
        /// The header's level.
        found: i32,
        /// Ours.
        known: i32,
    },
    /// A stored state can't be read.
    #[error("the stored state of a key can't be decoded: {0}")]
    State(String),
    /// A record can't be written: it is too large, or does not fit its schema.
    #[error(
        "what comes of its records can't be written: {0}; nothing of the batch was written, and the partition goes on once \
         a version runs that writes less"
    )]
    Unwritable(String),
    /// The broker does not say when it got a record, and time hangs on that.
    #[error(
        "partition {partition} of {dataset} carries the times of who wrote it, and time hangs on the broker's: set \
         message.timestamp.type = LogAppendTime on the topic, as `vuelve topics create` does"
    )]
    NotBrokerTime {
        /// Which input.
        dataset: &'static str,
        /// Which partition.
        partition: Partition,
    },
    /// A step broke the rule that a timer, once fired, is no longer due.
    #[error("invariant `timer_makes_progress` is broken: after {fired} firings a timer is still due at {due}")]
    NoProgress {
        /// How often it fired in one batch.
        fired: usize,
        /// When it is still due.
        due: Timestamp,
    },
    /// What has to hold does not: an error in the service or in the driver.
    #[error("invariant `{name}` is broken: {detail}")]
    Invariant {
        /// Its name.
        name: &'static str,
        /// How, without personal data.
        detail: String,
    },
}

/// What has become of a record that a worker took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFate {
    /// It waits, or is in the open batch.
    Open,
    /// It is done, with all that came of it.
    Committed,
    /// It was given up before that: it is read again, by this worker or by another.
    TakenBack,
}

/// How many records of an input ended how.
pub type Counts = BTreeMap<CountKey, u64>;
/// Input, outcome, reason.
type CountKey = (&'static str, &'static str, &'static str);

/// Counts while a batch grows: there are few kinds, and most records are of the kind before.
#[derive(Debug, Default)]
pub(super) struct Tally(Vec<(CountKey, u64)>);

impl Tally {
    pub(super) fn add(&mut self, key: CountKey) {
        let same = |(a, b, c): CountKey| [(a, key.0), (b, key.1), (c, key.2)].iter().all(|(x, y)| std::ptr::eq(*x, *y));
        match self.0.iter().position(|(counted, _)| same(*counted)) {
            Some(at) => self.0[at].1 += 1,
            None => self.0.push((key, 1)),
        }
    }

    /// What was counted; the same words may have been counted in several places.
    pub(super) fn counts(self) -> Counts {
        let mut counts = Counts::new();
        for (key, count) in self.0 {
            *counts.entry(key).or_default() += count;
        }
        counts
    }
}

/// All that one transaction writes.
#[derive(Debug)]
pub struct Batch<S: Service> {
    /// Records for other services, in order.
    pub outputs: Vec<Emitted<S::Output>>,
    /// Records that could not be used.
    pub dead_letters: Vec<DeadLetter>,
    /// By partition that the batch touched.
    pub partitions: Vec<PartitionCommit>,
    /// How far time has come: all of these partitions before these times is done with this transaction.
    pub marks: Vec<(Partition, Timestamp)>,
    /// (input, outcome, reason) → records.
    pub counts: Counts,
}

/// What a batch does to one partition.
#[derive(Debug)]
pub struct PartitionCommit {
    /// Which partition.
    pub partition: Partition,
    /// Its state changes, for the changelog and then for the store.
    pub changes: Vec<StateChange>,
    /// The header, last; none where only time went on.
    pub header: Option<ChangelogHeader>,
    /// The next offset of the primary input: sent to the group with every transaction, because it fences.
    pub primary_offset: i64,
}

impl<S: Service> Batch<S> {
    pub(super) fn empty() -> Self {
        Self {
            outputs: Vec::new(),
            dead_letters: Vec::new(),
            partitions: Vec::new(),
            marks: Vec::new(),
            counts: Counts::new(),
        }
    }
}

/// The words of a disposition for metrics: (outcome, reason).
pub(super) fn words(disposition: Disposition) -> (&'static str, &'static str) {
    match disposition {
        Disposition::Emitted => ("emitted", ""),
        Disposition::Ignored(reason) => ("ignored", reason),
        Disposition::Rejected(reason) => ("rejected", reason),
        Disposition::DeadLettered(reason) => ("deadlettered", reason),
    }
}
