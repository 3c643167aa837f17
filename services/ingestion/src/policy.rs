use domain::HumanDuration;
use serde::{Deserialize, Serialize};

/// How the resolver tells repeats and people apart: its settings; it follows no table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResolverPolicy {
    /// For how long after the broker stored it a message id is remembered (default `24h`). SDKs that were offline send again
    /// under the same id; what comes later than this is taken for new.
    pub window: HumanDuration,
    /// How many message ids are remembered for one device or customer (default 4096, which is 32 KB of state). Beyond it the
    /// eldest are forgotten first: only a robot sends more than that in a day.
    pub remembered_ids: usize,
    /// How many events of a visitor are kept until she is recognised (default 100); beyond it the eldest go first.
    pub history_events: usize,
    /// How old such an event may be (default `720h`, 30 days); a visitor who is silent for so long is forgotten.
    pub history_age: HumanDuration,
    /// How many bytes they may take (default 32768; 262144 is the most that is heeded, so that a state stays far below the
    /// size of a record).
    pub history_bytes: usize,
    /// For how long after it was last heard of a device stays linked to its customer (default `8760h`, a year).
    pub link_age: HumanDuration,
    /// How many partitions every customer topic has. A record that some producer put on another partition than its key's is
    /// forwarded once to its own; 0 (the default) takes every record where it lies.
    pub partitions: i32,
}

impl Default for ResolverPolicy {
    fn default() -> Self {
        Self {
            window: HumanDuration::from_hours(24),
            remembered_ids: 4096,
            history_events: 100,
            history_age: HumanDuration::from_hours(30 * 24),
            history_bytes: 32 * 1024,
            link_age: HumanDuration::from_hours(365 * 24),
            partitions: 0,
        }
    }
}
