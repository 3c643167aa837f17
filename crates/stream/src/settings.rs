use domain::{HumanDuration, LogPosition};

/// How time passes in an installation (design promise 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeMode {
    /// The watermark follows the broker's time.
    #[default]
    Live,
    /// The watermark stands still until the replay tool moves it.
    Replay,
}

/// What bounds a worker's batches and paces its commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSettings {
    /// How many partitions every customer topic of the installation has.
    pub partitions: i32,
    /// How time passes.
    pub time_mode: TimeMode,
    /// The stable slot's id: named in every changelog record.
    pub transactional_id: String,
    /// The installation's feature level: a header of a higher one is refused (promise 16).
    pub feature_level: i32,
    /// The shortest time between two batches, unless one is full: what came since the last is in the next.
    pub commit_interval: HumanDuration,
    /// The shortest time between two marks.
    pub mark_interval: HumanDuration,
    /// At most so many records, timers and completions a batch.
    pub max_batch_records: usize,
    /// At most so many bytes of records read a batch (one record fits always); twice as much may wait to be processed.
    pub max_batch_bytes: usize,
    /// How many bytes of encoded state the cache of decoded states may stand for.
    pub cache_bytes: usize,
    /// After how long a position that moved without a batch (past markers) is written down.
    pub header_refresh: HumanDuration,
    /// Gaps in the inputs that may be gone past: each by the position where the worker stands before it.
    pub skip: Vec<LogPosition>,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            partitions: 32,
            time_mode: TimeMode::Live,
            transactional_id: "test-0".to_owned(),
            feature_level: 1,
            commit_interval: HumanDuration::from_millis(100),
            mark_interval: HumanDuration::from_millis(250),
            max_batch_records: 10_000,
            max_batch_bytes: 16 << 20,
            cache_bytes: 64 << 20,
            header_refresh: HumanDuration::from_millis(10_000),
            skip: Vec::new(),
        }
    }
}
