//! The names of a partition's keys. All carry the tag `{service:partition}`, so that a partition is one slot of a cluster.
//!
//! ```text
//! prefix:service:{service:partition}:view               hash: layout, generation, log, header, pending
//! prefix:service:{service:partition}:rebuild            hash: generation, log, filled, over
//! prefix:service:{service:partition}:garbage            set: generations whose keys are to be dropped
//! prefix:service:generation:{service:partition}:A … :_  64 hashes: member → framed changelog value
//! prefix:service:generation:{service:partition}:timer   sorted set: member → due in ms (and :ready, :claimed, :held)
//! prefix:service:generation:{service:partition}:labels  set: the labels under which there is anybody, or was
//! prefix:service:generation:{service:partition}:labels:LABEL  sorted set: the keys under the label, all with the score 0
//! ```
//!
//! A member is the letter of its bucket, then the key: a script finds a due member's state without hashing anything.
//! Hashes cost less than a key each (the long name is written once), and a generation's keys are known by name, its labels
//! being listed: to drop one takes no scan. Of equal scores a sorted set orders by the bytes: so it is paged through.

use stream::{Lane, Partition};

use super::options::RedisOptions;

/// Changes whenever what stands under these names changes: a view of another layout is no view, and is rebuilt.
const LAYOUT: &str = "1";

/// The layout of a service's views: by which rules its index was made is a part of it. Where there is no index nothing stands
/// under those names, and the layout is that of before there were any.
pub(super) fn layout(index: u32) -> String {
    if index == 0 { LAYOUT.to_owned() } else { format!("{LAYOUT}/{index}") }
}

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
    layout: String,
}

impl Keys {
    pub(super) fn new(options: &RedisOptions, partition: Partition) -> Self {
        let RedisOptions { prefix, service, index, .. } = options;
        Self { head: format!("{prefix}:{service}"), tag: format!("{{{service}:{partition}}}"), layout: layout(*index) }
    }

    /// The layout that the view has to have.
    pub(super) fn layout(&self) -> &str {
        &self.layout
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

    /// Which labels there are. A script makes their keys of it.
    pub(super) fn labels(&self, generation: &str) -> String {
        format!("{}:{generation}:{}:labels", self.head, self.tag)
    }

    /// Who is under a label.
    pub(super) fn label(&self, generation: &str, label: &str) -> String {
        format!("{}:{label}", self.labels(generation))
    }

    /// All keys of a generation that has these labels; the list of them comes last.
    pub(super) fn all(&self, generation: &str, labels: &[String]) -> Vec<String> {
        let buckets = (0..BUCKETS.len() as u8).map(|bucket| self.bucket(generation, bucket));
        let lanes = Lane::ALL.map(|lane| self.lane(generation, lane));
        let labels = labels.iter().map(|label| self.label(generation, label));
        buckets.chain(lanes).chain(labels).chain([self.labels(generation)]).collect()
    }
}
