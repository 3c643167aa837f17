//! What comes in: storefront events, and outcomes of messages.

use domain::Timestamp;
use schemas::{MessageOutcome, Schemas, StorefrontEvent};
use stream::{Decoded, Poison, RecordRef};

use crate::topology::{OUTCOMES, STOREFRONT_EVENTS};

/// A record that concerns a customer.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// She did something, or something became known about her.
    Event(Box<StorefrontEvent>),
    /// A message to her came to its end.
    Outcome(Box<MessageOutcome>),
    /// She is forgotten: a record without a value.
    Erased,
}

pub(crate) fn decode(schemas: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Input>, Poison> {
    let malformed = |detail: String| Poison { reason: "malformed", detail };
    let key = record.customer()?;
    let Some(value) = record.value else {
        return Ok(Decoded { key, at: Timestamp::MIN, input: Input::Erased });
    };
    let (at, input) = match record.input {
        STOREFRONT_EVENTS => {
            let event: StorefrontEvent = schemas.decode(value).map_err(|error| malformed(error.to_string()))?;
            (event.event_time, Input::Event(Box::new(event)))
        }
        OUTCOMES => {
            let outcome: MessageOutcome = schemas.decode(value).map_err(|error| malformed(error.to_string()))?;
            (outcome.decided_at, Input::Outcome(Box::new(outcome)))
        }
        other => return Err(malformed(format!("there is no input {other}"))),
    };
    Ok(Decoded { key, at: Timestamp::from_millis(at), input })
}
