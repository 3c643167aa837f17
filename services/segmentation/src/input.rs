//! What comes in: storefront events.

use domain::Timestamp;
use schemas::{Schemas, StorefrontEvent};
use stream::{Decoded, Key, Poison, RecordRef};

/// A record that concerns a customer.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// She did something, or something became known about her.
    Event(Box<StorefrontEvent>),
    /// She is forgotten: a record without a value.
    Erased,
}

/// The longest customer id.
const MAX_KEY_BYTES: usize = 512;

pub(crate) fn decode(schemas: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Input>, Poison> {
    let key = key_of(record)?;
    let Some(value) = record.value else {
        return Ok(Decoded { key, at: Timestamp::MIN, input: Input::Erased });
    };
    let event: StorefrontEvent =
        schemas.decode(value).map_err(|error| Poison { reason: "malformed", detail: error.to_string() })?;
    Ok(Decoded { key, at: Timestamp::from_millis(event.event_time), input: Input::Event(Box::new(event)) })
}

fn key_of(record: &RecordRef<'_>) -> Result<Key, Poison> {
    let key = record.key.and_then(|key| std::str::from_utf8(key).ok());
    let key = key.filter(|key| !key.is_empty() && key.len() <= MAX_KEY_BYTES);
    key.map(Key::from).ok_or_else(|| Poison {
        reason: "no_key",
        detail: format!("the record's key is no customer id: text of at most {MAX_KEY_BYTES} bytes"),
    })
}
