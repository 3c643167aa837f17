//! What comes in: storefront events, and outcomes of messages.

use std::sync::Arc;

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

/// The longest customer id.
const MAX_KEY_BYTES: usize = 512;

pub(crate) fn decode(schemas: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Input>, Poison> {
    let malformed = |detail: String| Poison { reason: "malformed", detail };
    let key = record.key.and_then(|key| std::str::from_utf8(key).ok()).filter(|key| !key.is_empty());
    let key = key.filter(|key| key.len() <= MAX_KEY_BYTES).ok_or_else(|| Poison {
        reason: "no_key",
        detail: format!("the record's key is no customer id: text of at most {MAX_KEY_BYTES} bytes"),
    })?;
    let Some(value) = record.value else {
        return Ok(Decoded { key: Arc::from(key), at: Timestamp::MIN, input: Input::Erased });
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
    Ok(Decoded { key: Arc::from(key), at: Timestamp::from_millis(at), input })
}
