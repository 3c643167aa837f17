//! What comes in: what happens to customers, and outcomes of messages.

use domain::Timestamp;
use schemas::{CustomerEvent, MessageOutcome, Schemas};
use stream::{Decoded, Poison, RecordRef};

use crate::topology::{CUSTOMER_EVENTS, OUTCOMES};

/// A record that concerns a customer.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Something happened to her.
    Event(Box<CustomerEvent>),
    /// A message to her came to its end.
    Outcome(Box<MessageOutcome>),
    /// She is forgotten: a record without a value.
    Erased,
}

pub(crate) fn decode(schemas: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Input>, Poison> {
    let malformed = |detail: String| Poison { reason: "malformed", detail };
    let key = record.customer()?;
    let Some(value) = record.value else {
        if record.input != CUSTOMER_EVENTS {
            return Err(Poison { reason: "no_value", detail: "the record has no value".to_owned() });
        }
        return Ok(Decoded { key, at: Timestamp::MIN, input: Input::Erased });
    };
    let (at, input) = match record.input {
        CUSTOMER_EVENTS => {
            let told: CustomerEvent = schemas.decode(value).map_err(|error| malformed(error.to_string()))?;
            // What a device tells late happened when it happened.
            let at = told.event.as_ref().map_or(told.at, |event| event.event_time);
            (at, Input::Event(Box::new(told)))
        }
        OUTCOMES => {
            let outcome: MessageOutcome = schemas.decode(value).map_err(|error| malformed(error.to_string()))?;
            (outcome.decided_at, Input::Outcome(Box::new(outcome)))
        }
        other => return Err(malformed(format!("there is no input {other}"))),
    };
    Ok(Decoded { key, at: Timestamp::from_millis(at), input })
}
