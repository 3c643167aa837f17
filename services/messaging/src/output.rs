//! What messaging writes.

use schemas::{CustomerReachability, EncodeError, MessageOutcome, Schemas, Suppression};
use stream::Dataset;

use crate::topology;

/// A record that messaging writes.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// What became of a message.
    Outcome(Box<MessageOutcome>),
    /// An address that must not be written to.
    Suppression(Suppression),
    /// An address that may be written to again: a tombstone.
    Lifted {
        /// Keyed hash of the address.
        address_hash: String,
    },
    /// What is held against a customer's addresses.
    Reachability(CustomerReachability),
    /// She is forgotten: a tombstone.
    NoReachability(stream::Key),
}

impl stream::Output for Output {
    fn dataset(&self) -> Dataset {
        match self {
            Self::Outcome(_) => topology::OUTCOMES,
            Self::Suppression(_) | Self::Lifted { .. } => topology::SUPPRESSIONS,
            Self::Reachability(_) | Self::NoReachability(_) => topology::REACHABILITY,
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Outcome(outcome) => &outcome.customer_id,
            Self::Suppression(Suppression { address_hash, .. }) | Self::Lifted { address_hash } => address_hash,
            Self::Reachability(reachability) => &reachability.customer_id,
            Self::NoReachability(customer) => customer,
        }
    }

    fn encode(&self, schemas: &Schemas, buffer: &mut Vec<u8>) -> Result<bool, EncodeError> {
        match self {
            Self::Outcome(outcome) => schemas.encode(topology::OUTCOMES, outcome.as_ref(), buffer),
            Self::Suppression(suppression) => schemas.encode(topology::SUPPRESSIONS, suppression, buffer),
            Self::Reachability(reachability) => schemas.encode(topology::REACHABILITY, reachability, buffer),
            Self::Lifted { .. } | Self::NoReachability(_) => return Ok(false),
        }
        .map(|()| true)
    }
}
