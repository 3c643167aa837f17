//! What comes in: storefront events, recognitions, erasures, what messaging holds against addresses, and what others score.

use domain::Timestamp;
use schemas::{CustomerReachability, DecodeError, EventKind, Schemas, StorefrontEvent, UnreachableAddress};
use stream::{Decoded, Key, Poison, RecordRef};

use crate::scores::{self, Scored};
use crate::topology;

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
    /// These of her addresses are not written to.
    Reachability(Reachability),
    /// Somebody scored her.
    Scored(Box<Scored>),
}

/// What messaging holds against a customer's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reachability {
    /// When it came to know it.
    pub at: Timestamp,
    /// All that it holds; nothing where she is forgotten there.
    pub unreachable: Vec<UnreachableAddress>,
    /// Hops of the record.
    pub hops: i32,
}

pub(crate) fn decode(schemas: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Input>, Poison> {
    let key = record.customer()?;
    match record.input {
        topology::REACHABILITY => return reachability(schemas, record, key),
        topology::SCORED => return scores::decode(schemas, record, key),
        _ => {}
    }
    let Some(value) = record.value else {
        // One that says nothing else says it of when it was written.
        return Ok(Decoded { key, at: Timestamp::MIN, input: Input::Erased(record.timestamp) });
    };
    let event: StorefrontEvent = schemas.decode(value).map_err(|error| malformed(&error))?;
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

fn reachability(schemas: &Schemas, record: &RecordRef<'_>, key: Key) -> Result<Decoded<Input>, Poison> {
    let told = match record.value {
        None => Reachability { at: record.timestamp, unreachable: Vec::new(), hops: 0 },
        Some(value) => {
            let told: CustomerReachability = schemas.decode(value).map_err(|error| malformed(&error))?;
            if told.customer_id != *key {
                return Err(key_mismatch());
            }
            Reachability { at: Timestamp::from_millis(told.at), unreachable: told.unreachable, hops: told.hops }
        }
    };
    Ok(Decoded { key, at: told.at, input: Input::Reachability(told) })
}

pub(crate) fn key_mismatch() -> Poison {
    let detail = "the record's key is not the customer id that its value names".to_owned();
    Poison { reason: "key_mismatch", detail }
}

pub(crate) fn malformed(error: &DecodeError) -> Poison {
    Poison { reason: "malformed", detail: error.to_string() }
}
