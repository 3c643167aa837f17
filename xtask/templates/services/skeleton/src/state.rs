//! What skeleton keeps for one customer.
//!
//! The fields are those of `schemas/skeleton/skeleton_state.avsc`, in its order.

use domain::Timestamp;
use schemas::{AvroSchema, StateContract};
use serde::{Deserialize, Serialize};
use stream::{Due, State};

/// What skeleton knows of one customer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SkeletonState {
    /// How many events of the customer were counted.
    #[serde(default)]
    pub events: i64,
    /// When the customer is forgotten, unless something more is heard of her.
    pub forget_at: Option<Timestamp>,
}

impl StateContract for SkeletonState {
    const NAME: &'static str = "SkeletonChangelog";

    fn changelog() -> &'static AvroSchema {
        &schemas::SKELETON_CHANGELOG
    }
}

impl State for SkeletonState {
    fn due(&self) -> Due {
        Due { timer: self.forget_at, ..Due::default() }
    }
}
