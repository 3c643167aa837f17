//! What a broker is made with.

/// Settings of the core. The defaults suit a laptop and quick tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreConfig {
    /// Ids are made from it: two brokers with the same seed and the same calls give the same ids.
    pub seed: u64,
    /// The logs may cost so much.
    pub memory_limit_bytes: usize,
    /// Is a topic created when a client asks for one that is not there?
    pub auto_create_topics: bool,
    /// Partitions of a topic that doesn't say how many.
    pub default_partitions: i32,
    /// A shorter session time-out is refused.
    pub min_session_timeout_ms: i64,
    /// A longer one, too.
    pub max_session_timeout_ms: i64,
    /// How long the first member of an empty group waits for others.
    pub initial_rebalance_delay_ms: i64,
    /// A longer transaction time-out is refused.
    pub max_transaction_timeout_ms: i64,
    /// The markers of a transaction land within so long, one by one; 0 is at once. For simulations: on a real cluster
    /// they do.
    pub marker_delay_ms: i64,
    /// How often retention and compaction run.
    pub housekeeping_interval_ms: i64,
    /// A partition is compacted when so much is new.
    pub compaction_min_dirty_bytes: usize,
    /// Bounds, so that no client grows the broker without end.
    pub max_topics: usize,
    /// Partitions of all topics.
    pub max_partitions: usize,
    /// Consumer groups.
    pub max_groups: usize,
    /// Members of one group.
    pub max_group_members: usize,
    /// Committed offsets of one group.
    pub max_group_offsets: usize,
    /// Transactional ids.
    pub max_transactional_ids: usize,
}

impl Default for CoreConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            memory_limit_bytes: 1 << 30,
            auto_create_topics: false,
            default_partitions: 1,
            min_session_timeout_ms: 1_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 0,
            max_transaction_timeout_ms: 900_000,
            marker_delay_ms: 0,
            housekeeping_interval_ms: 5_000,
            compaction_min_dirty_bytes: 1 << 20,
            max_topics: 2_000,
            max_partitions: 20_000,
            max_groups: 10_000,
            max_group_members: 1_000,
            max_group_offsets: 100_000,
            max_transactional_ids: 10_000,
        }
    }
}
