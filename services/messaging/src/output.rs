//! What messaging writes.

use schemas::{EncodeError, MessageOutcome, Schemas, Suppression};
use stream::Dataset;

use crate::topology;

/// A record that messaging writes.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// What became of a message.
    Outcome(Box<MessageOutcome>),
    /// An address that must not be written to.
    Suppression(Suppression),
}

impl stream::Output for Output {
    fn dataset(&self) -> Dataset {
        match self {
            Self::Outcome(_) => topology::OUTCOMES,
            Self::Suppression(_) => topology::SUPPRESSIONS,
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Outcome(outcome) => &outcome.customer_id,
            Self::Suppression(suppression) => &suppression.address_hash,
        }
    }

    fn encode(&self, schemas: &Schemas, buffer: &mut Vec<u8>) -> Result<bool, EncodeError> {
        match self {
            Self::Outcome(outcome) => schemas.encode(topology::OUTCOMES, outcome.as_ref(), buffer),
            Self::Suppression(suppression) => schemas.encode(topology::SUPPRESSIONS, suppression, buffer),
        }
        .map(|()| true)
    }
}
