//! What goes out: requests to messaging, and decisions.

use schemas::{EncodeError, JourneyDecision, MessageRequest, Schemas};
use stream::{Dataset, Key};

/// A record that journeys writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Asks for a message, or for the cancelling of a run's messages.
    Request(Box<MessageRequest>),
    /// She is forgotten: a record without a value.
    Forgotten(Key),
    /// A decision.
    Decision(Box<JourneyDecision>),
}

impl stream::Output for Output {
    fn dataset(&self) -> Dataset {
        match self {
            Self::Request(_) | Self::Forgotten(_) => "messaging.requests",
            Self::Decision(_) => "journeys.decisions",
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Request(request) => &request.customer_id,
            Self::Forgotten(customer) => customer,
            Self::Decision(decision) => &decision.customer_id,
        }
    }

    fn encode(&self, schemas: &Schemas, buffer: &mut Vec<u8>) -> Result<bool, EncodeError> {
        match self {
            Self::Request(request) => schemas.encode(self.dataset(), &**request, buffer)?,
            Self::Forgotten(_) => return Ok(false),
            Self::Decision(decision) => schemas.encode(self.dataset(), &**decision, buffer)?,
        }
        Ok(true)
    }
}
