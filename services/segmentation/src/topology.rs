//! What segmentation reads, writes and keeps.

use stream::{Clock, Dataset, Input, Topology};

/// What is learnt from all customers.
pub(crate) const QUINTILES: Dataset = "customer.quintiles";

/// The topology.
pub(crate) static TOPOLOGY: Topology = Topology {
    service: "segmentation",
    inputs: &[Input { dataset: "storefront.events", clock: Clock::Marks("ingestion.marks") }],
    tables: &["platform.definitions", QUINTILES],
    outputs: &["customer.events", "customer.segments", "customer.profiles", "privacy.requests"],
    changelog: "segmentation.changelog",
    marks: Some("segmentation.marks"),
};
