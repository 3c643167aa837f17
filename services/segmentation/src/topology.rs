//! What segmentation reads, writes and keeps.

use stream::{Clock, Input, Topology};

/// The topology.
pub(crate) static TOPOLOGY: Topology = Topology {
    service: "segmentation",
    inputs: &[Input { dataset: "storefront.events", clock: Clock::Marks("ingestion.marks") }],
    tables: &["platform.definitions"],
    outputs: &["customer.events", "customer.segments", "customer.profiles"],
    changelog: "segmentation.changelog",
    marks: Some("segmentation.marks"),
};
