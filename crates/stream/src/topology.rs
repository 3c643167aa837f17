//! What a service reads, writes and keeps: data, written once in its `lib.rs`.

/// The name of a data set, `<domain>.<name>`; its topic is `<prefix>.<domain>.<name>.v1`.
pub type Dataset = &'static str;

/// A partition's number. Every customer topic has the same number of them.
pub type Partition = i32;

/// What a service reads, writes and keeps.
#[derive(Clone, Copy, Debug)]
pub struct Topology {
    /// The service's name: leads its group id, its transactional ids and its keys in the store.
    pub service: &'static str,
    /// The co-partitioned inputs; the first is the primary one: its offsets fence the group, its records carry time.
    pub inputs: &'static [Input],
    /// Compacted topics of one partition that every worker reads whole before it starts and follows from then on.
    pub tables: &'static [Dataset],
    /// The topics that its outputs may go to.
    pub outputs: &'static [Dataset],
    /// The compacted topic of its state.
    pub changelog: Dataset,
    /// The topic on which it hands its watermark on; none where nobody downstream waits for it.
    pub marks: Option<Dataset>,
}

/// A topic that is read partition by partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// What is read.
    pub dataset: Dataset,
    /// What says how far its time has come.
    pub clock: Clock,
}

/// What says that all that happened before a time is behind the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The time at which the broker stored the records (`LogAppendTime`); the present once the partition is drained.
    Broker,
    /// The marks that the service before this one writes on that data set.
    Marks(Dataset),
    /// The input takes no part in the watermark: it answers what this service asked (a feedback loop), or is a command.
    Unclocked,
}

impl Topology {
    /// The primary input.
    pub fn primary(&self) -> Input {
        self.inputs[0]
    }

    /// The index of an input by its data set.
    pub fn input_index(&self, dataset: &str) -> Option<usize> {
        self.inputs.iter().position(|input| input.dataset == dataset)
    }
}
