//! What segmentation keeps for one customer.
//!
//! The fields are those of `schemas/segmentation/segmentation_state.avsc`, in its order.

use domain::Timestamp;
use schemas::{AvroSchema, StateContract};
use serde::{Deserialize, Serialize};
use stream::{Due, State};

/// What segmentation knows of one customer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SegmentationState {
    /// How many events of the customer were counted.
    #[serde(default)]
    pub events: i64,
    /// When the customer is forgotten, unless something more is heard of her.
    pub forget_at: Option<Timestamp>,
}

impl StateContract for SegmentationState {
    const NAME: &'static str = "SegmentationChangelog";

    fn changelog() -> &'static AvroSchema {
        &schemas::SEGMENTATION_CHANGELOG
    }
}

impl State for SegmentationState {
    fn due(&self) -> Due {
        Due { timer: self.forget_at, ..Due::default() }
    }
}
