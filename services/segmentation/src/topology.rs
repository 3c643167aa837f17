//! What segmentation reads, writes and keeps.

use stream::{Clock, Input, Topology};

/// The topology. Nobody downstream waits for its watermark yet, so it writes no marks.
pub(crate) static TOPOLOGY: Topology = Topology {
    service: "segmentation",
    inputs: &[Input { dataset: "storefront.events", clock: Clock::Marks("ingestion.marks") }],
    tables: &["platform.definitions"],
    outputs: &["customer.segments"],
    changelog: "segmentation.changelog",
    marks: None,
};
