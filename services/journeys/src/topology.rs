//! What journeys reads, writes and keeps.

use stream::{Clock, Input, Topology};

/// Index of what happens to customers among the inputs.
pub(crate) const CUSTOMER_EVENTS: usize = 0;
/// Index of the outcomes among the inputs.
pub(crate) const OUTCOMES: usize = 1;

pub(crate) static TOPOLOGY: Topology = Topology {
    service: "journeys",
    inputs: &[
        Input { dataset: "customer.events", clock: Clock::Marks("segmentation.marks") },
        // Answers to our own requests: they take no part in the watermark.
        Input { dataset: "messaging.outcomes", clock: Clock::Unclocked },
    ],
    tables: &["platform.definitions"],
    outputs: &["messaging.requests", "journeys.decisions"],
    changelog: "journeys.changelog",
    marks: Some("journeys.marks"),
};
