//! What segmentation reads, writes and keeps.

use stream::{Clock, Dataset, Input, Topology};

/// What is learnt from all customers.
pub(crate) const QUINTILES: Dataset = "customer.quintiles";

/// When those who are in a segment already come into journeys.
pub(crate) const ADMISSIONS: Dataset = "customer.admissions";

/// The topology.
pub(crate) static TOPOLOGY: Topology = Topology {
    service: "segmentation",
    inputs: &[Input { dataset: "storefront.events", clock: Clock::Marks("ingestion.marks") }],
    tables: &["platform.definitions", QUINTILES, ADMISSIONS],
    outputs: &["customer.events", "customer.segments", "customer.profiles", "privacy.requests"],
    changelog: "segmentation.changelog",
    marks: Some("segmentation.marks"),
};
