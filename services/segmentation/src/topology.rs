//! What segmentation reads, writes and keeps.

use stream::{Clock, Dataset, Input, Topology};

/// What is learnt from all customers.
pub(crate) const QUINTILES: Dataset = "customer.quintiles";

/// When those who are in a segment already come into journeys.
pub(crate) const ADMISSIONS: Dataset = "customer.admissions";

/// What others score.
pub(crate) const SCORES: Dataset = "customer.scores";

/// Index of what messaging holds against addresses among the inputs.
pub(crate) const REACHABILITY: usize = 1;

/// Index of what others score.
pub(crate) const SCORED: usize = 2;

/// The topology.
pub(crate) static TOPOLOGY: Topology = Topology {
    service: "segmentation",
    inputs: &[
        Input { dataset: "storefront.events", clock: Clock::Marks("ingestion.marks") },
        // It answers what came of this service's own events: whoever waited for it would wait for himself.
        Input { dataset: "customer.reachability", clock: Clock::Unclocked },
        // Whoever scores may do so by what this service tells, and may be silent for days.
        Input { dataset: SCORES, clock: Clock::Unclocked },
    ],
    tables: &["platform.definitions", QUINTILES, ADMISSIONS],
    outputs: &["customer.events", "customer.segments", "customer.profiles", "privacy.requests"],
    changelog: "segmentation.changelog",
    marks: Some("segmentation.marks"),
};
