//! What skeleton reads, writes and keeps.

use stream::{Clock, Input, Topology};

/// The topology. Nobody downstream waits for its watermark, so it writes no marks.
pub(crate) static TOPOLOGY: Topology = Topology {
    service: "skeleton",
    inputs: &[Input { dataset: "storefront.events", clock: Clock::Marks("ingestion.marks") }],
    tables: &[],
    outputs: &[],
    changelog: "skeleton.changelog",
    marks: None,
};
