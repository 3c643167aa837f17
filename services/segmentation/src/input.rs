//! What comes in: storefront events.

use domain::Timestamp;
use schemas::{EventKind, Schemas, StorefrontEvent};
use stream::{Decoded, Poison, RecordRef};

/// A record that concerns a customer.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// She did something, or something became known about her.
    Event(Box<StorefrontEvent>),
    /// Whom this id stood for is recognised: what was known of her is somebody else's now.
    Moved(Box<StorefrontEvent>),
    /// She is to be forgotten: nothing that happened until then is to be known any more.
    Erased(Timestamp),
    /// The same of an id as that of somebody's device.
    DeviceErased(Timestamp),
}

pub(crate) fn decode(schemas: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Input>, Poison> {
    let key = record.customer()?;
    let Some(value) = record.value else {
        // One that says nothing else says it of when it was written.
        return Ok(Decoded { key, at: Timestamp::MIN, input: Input::Erased(record.timestamp) });
    };
    let event: StorefrontEvent =
        schemas.decode(value).map_err(|error| Poison { reason: "malformed", detail: error.to_string() })?;
    let at = Timestamp::from_millis(event.event_time);
    let (kind, event) = (event.kind, Box::new(event));
    let input = match kind {
        EventKind::Moved => Input::Moved(event),
        EventKind::Erased if event.anonymous_id.is_some() => Input::DeviceErased(at),
        EventKind::Erased => Input::Erased(at),
        _ => Input::Event(event),
    };
    Ok(Decoded { key, at, input })
}
