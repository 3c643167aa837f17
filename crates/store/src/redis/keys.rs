//! The names of a partition's keys. All carry the tag `{service:partition}`, so that a partition is one slot of a cluster.
//!
//! ```text
//! prefix:service:{service:partition}:view               hash: layout, generation, log, header, pending
//! prefix:service:{service:partition}:rebuild            hash: generation, log, filled, over
//! prefix:service:{service:partition}:garbage            set: generations whose keys are to be dropped
//! prefix:service:generation:{service:partition}:A … :_  64 hashes: member → framed changelog value
//! prefix:service:generation:{service:partition}:timer   sorted set: member → due in ms (and :ready, :claimed, :held)
//! ```
//!
//! A member is the letter of its bucket, then the key: a script finds a due member's state without hashing anything.
//! Hashes cost less than a key each (the long name is written once), and a generation's keys are known by name: to drop
//! one takes no scan.

use stream::{Lane, Partition};

/// Changes whenever what stands under these names changes: a view of another layout is no view, and is rebuilt.
pub(super) const LAYOUT: &str = "1";

/// The buckets' letters.
pub(super) const BUCKETS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The bucket of a key: its index in [`BUCKETS`].
pub(super) fn bucket(key: &str) -> u8 {
    (crc32c::crc32c(key.as_bytes()) % BUCKETS.len() as u32) as u8
}

/// The keys of one partition.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    head: String,
    tag: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, service: &str, partition: Partition) -> Self {
        Self { head: format!("{prefix}:{service}"), tag: format!("{{{service}:{partition}}}") }
    }

    /// What the view stands for.
    pub(super) fn view(&self) -> String {
        format!("{}:{}:view", self.head, self.tag)
    }

    /// How far a rebuild is.
    pub(super) fn rebuild(&self) -> String {
        format!("{}:{}:rebuild", self.head, self.tag)
    }

    /// Which generations are to be dropped.
    pub(super) fn garbage(&self) -> String {
        format!("{}:{}:garbage", self.head, self.tag)
    }

    /// The states of one bucket.
    pub(super) fn bucket(&self, generation: &str, bucket: u8) -> String {
        format!("{}:{generation}:{}:{}", self.head, self.tag, BUCKETS[usize::from(bucket)] as char)
    }

    /// The index of one lane.
    pub(super) fn lane(&self, generation: &str, lane: Lane) -> String {
        let name = match lane {
            Lane::Timer => "timer",
            Lane::Ready => "ready",
            Lane::Claimed => "claimed",
            Lane::Held => "held",
        };
        format!("{}:{generation}:{}:{name}", self.head, self.tag)
    }

    /// All keys of a generation.
    pub(super) fn all(&self, generation: &str) -> Vec<String> {
        let buckets = (0..BUCKETS.len() as u8).map(|bucket| self.bucket(generation, bucket));
        buckets.chain(Lane::ALL.map(|lane| self.lane(generation, lane))).collect()
    }
}
