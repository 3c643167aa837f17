use std::time::Duration;

use domain::BootTime;
use stream::{ClaimId, Counts, HaltReason, Key, Partition, Service, WorkerSettings};

use crate::Registry;
use crate::clients::Cluster;

/// How a worker is run.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Where.
    pub cluster: Cluster,
    /// The stable slot of this instance: its transactional id and its static membership hang on it.
    pub slot: String,
    /// The engine's bounds; `partitions` and `transactional_id` are set from the cluster and the slot.
    pub settings: WorkerSettings,
    /// For schemas of writers that this version does not know.
    pub registry: Option<Registry>,
    /// How long a planned revocation waits for side effects under way.
    pub drain_timeout: Duration,
    /// How long a takeover waits for an open transaction before it looks for who holds it.
    pub blocked_after: Duration,
    /// How long the broker keeps tombstones of changelogs: a view that is older is rebuilt.
    pub tombstone_retention: Duration,
}

/// A committed claim: perform it.
#[derive(Debug)]
pub struct Act<S: Service> {
    /// Where its state lives.
    pub partition: Partition,
    /// Whose it is.
    pub key: Key,
    /// The claim.
    pub claim: ClaimId,
    /// What to do.
    pub action: S::Action,
    /// When its commit began: too late and it is dropped.
    pub claimed_at: BootTime,
}

/// A side effect that ended.
#[derive(Debug)]
pub struct Done<S: Service> {
    /// Where its state lives.
    pub partition: Partition,
    /// Whose it is.
    pub key: Key,
    /// The claim.
    pub claim: ClaimId,
    /// How it ended.
    pub completion: S::Completion,
}

/// Performs a service's side effects, away from the worker's thread.
pub trait Shell<S: Service>: Send {
    /// How many it can have under way at once.
    fn capacity(&self) -> usize;
    /// Begins one; does not block.
    fn perform(&mut self, act: Act<S>);
    /// One that ended since the last call.
    fn done(&mut self) -> Option<Done<S>>;
}

/// For services without side effects.
#[derive(Clone, Copy, Debug)]
pub struct NoShell;

impl<S: Service> Shell<S> for NoShell {
    fn capacity(&self) -> usize {
        0
    }

    fn perform(&mut self, _act: Act<S>) {}

    fn done(&mut self) -> Option<Done<S>> {
        None
    }
}

/// Hears what a worker does: readiness, metrics, logs.
pub trait WorkerReport: Send + Sync {
    /// Whether it can work; why not, in words for people.
    fn ready(&self, ready: bool, why: &str);
    /// A batch was committed: its counts, its records to other services, how long the transaction took.
    fn committed(&self, service: &'static str, counts: &Counts, outputs: usize, took: Duration);
    /// So many customers of a partition have not heard of what is in force, as far as that is known.
    fn untold(&self, service: &'static str, partition: Partition, untold: u64);
    /// A batch was aborted, and will be done again.
    fn aborted(&self, service: &'static str, why: &str);
    /// A partition was taken over, after so many changelog records.
    fn taken_over(&self, service: &'static str, partition: Partition, records: u64, took: Duration);
    /// A partition is not this process's any more.
    fn given_up(&self, service: &'static str, partition: Partition);
    /// A partition stands still.
    fn halted(&self, service: &'static str, partition: Partition, reason: &HaltReason);
}
