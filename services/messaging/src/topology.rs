//! What messaging reads, writes and keeps.

use stream::{Clock, Dataset, Input, Topology};

/// Index of the requests among the inputs.
pub(crate) const REQUESTS: usize = 0;
/// Index of the definitions among the tables.
pub(crate) const DEFINITIONS: usize = 0;
/// Where outcomes go.
pub(crate) const OUTCOMES: Dataset = "messaging.outcomes";
/// Where suppressions go, and come from.
pub(crate) const SUPPRESSIONS: Dataset = "messaging.suppressions";

/// Where what is held against customers' addresses is published.
pub(crate) const REACHABILITY: Dataset = "customer.reachability";

/// The topology. Nobody downstream waits for its watermark, so it writes no marks.
pub(crate) static TOPOLOGY: Topology = Topology {
    service: "messaging",
    inputs: &[
        Input { dataset: "messaging.requests", clock: Clock::Marks("journeys.marks") },
        Input { dataset: "messaging.commands", clock: Clock::Unclocked },
    ],
    tables: &["platform.definitions", SUPPRESSIONS],
    outputs: &[OUTCOMES, SUPPRESSIONS, REACHABILITY],
    changelog: "messaging.changelog",
    marks: None,
};
