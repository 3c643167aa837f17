use domain::HumanDuration;
use serde::{Deserialize, Serialize};

/// How the resolver tells repeats apart: its settings; it follows no table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResolverPolicy {
    /// For how long after the broker stored it a message id is remembered (default `24h`). SDKs that were offline send again
    /// under the same id; what comes later than this is taken for new.
    pub window: HumanDuration,
    /// How many message ids are remembered for one device or customer (default 4096, which is 32 KB of state). Beyond it the
    /// eldest are forgotten first: only a robot sends more than that in a day.
    pub remembered_ids: usize,
    /// How many partitions every customer topic has. A record that some producer put on another partition than its key's is
    /// forwarded once to its own; 0 (the default) takes every record where it lies.
    pub partitions: i32,
}

impl Default for ResolverPolicy {
    fn default() -> Self {
        Self { window: HumanDuration::from_hours(24), remembered_ids: 4096, partitions: 0 }
    }
}
