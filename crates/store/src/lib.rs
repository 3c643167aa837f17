//! State stores behind the engine's port ([`stream::StateStore`]): a view of the changelog in [`Redis`], fenced by how far it
//! stands, and one in [`Memory`] for the one-process mode. One test suite (`tests/suite`) runs on both.
//!
//! Wanted properties, beside the port's:
//! - a store holds nothing that its changelog does not: emptied, rolled back, half written or overtaken, it says so by its
//!   position, and whoever owns the partition heals it;
//! - nobody waits for ever: every call ends by its deadline, every size has a limit;
//! - no password reaches a log or an error.
//!
//! Architecture invariant: the crate `redis` is used here and nowhere else.

mod lookups;
mod memory;
mod redis;

pub mod limits;

use domain::Timestamp;
use stream::{Partition, StoreError};

pub use crate::lookups::{Acknowledged, Glance, Looked, LookupError, Lookups, Members, MembersQuery, Stored};
pub use crate::memory::{Memory, MemoryLookups};
pub use crate::redis::{CheckReport, OptionsError, Redis, RedisLookups, RedisOptions};

/// The farthest times that an index keeps apart, in both directions: Redis orders by a double, exact to 2^53 ms (285,000 years).
const FARTHEST_MILLIS: i64 = 1 << 53;

/// The place of a time in an index; what lies farther than [`FARTHEST_MILLIS`] is put there.
fn score(at: Timestamp) -> i64 {
    at.as_millis().clamp(-FARTHEST_MILLIS, FARTHEST_MILLIS)
}

/// The rebuild is not the one that the store knows: it was overtaken, or lost with a part of what was filled in.
fn rebuild_lost(partition: Partition) -> StoreError {
    StoreError::Unavailable(format!(
        "the rebuild of partition {partition} was lost or overtaken by another worker: begin it again"
    ))
}

fn generation_in_use(partition: Partition, generation: &str) -> StoreError {
    StoreError::Unusable(format!(
        "partition {partition} can't be rebuilt as generation {generation}, which is the one in use: draw a new one"
    ))
}
