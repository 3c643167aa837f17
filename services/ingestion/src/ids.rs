//! Which ids name somebody, and where an event belongs by them. The door and the resolver agree on it here.

pub use domain::is_personal;
pub(crate) use domain::{is_email, is_phone};
use schemas::{EventKind, LINKS, StorefrontEvent};

/// No id is longer (bytes): it is a record key, a part of keys in the store, and goes into links.
pub const MAX_ID_BYTES: usize = 255;

/// No message id is longer (bytes), as the Segment specification has it.
pub const MAX_MESSAGE_ID_BYTES: usize = 100;

/// Sources that are no sender's: of what names one of these it is known by that alone where it comes from.
pub const RESERVED_SOURCES: [&str; 5] = ["segmentation", "eraser", "operator", "grpc", LINKS];

/// What a broken integration sends in place of an id; whoever believes it makes one customer of thousands. Not `0`: shops that count
/// from there have a customer of that id.
const NOBODY: [&str; 20] = [
    "undefined",
    "null",
    "none",
    "nil",
    "nan",
    "n/a",
    "unknown",
    "anonymous",
    "guest",
    "[object object]",
    "{}",
    "[]",
    "\"\"",
    "''",
    "-1",
    "true",
    "false",
    "(null)",
    "<null>",
    "00000000-0000-0000-0000-000000000000",
];

/// Whether an id names somebody: not empty, and not what a broken integration sends for "nobody".
pub fn names_somebody(id: &str) -> bool {
    let id = id.trim();
    !id.is_empty() && !NOBODY.iter().any(|nobody| id.eq_ignore_ascii_case(nobody))
}

/// The key under which an event lies on `storefront.received`: the anonymous id where there is one, else the user id; an
/// alias by its previous id. So all that a device sends stays in order on one partition.
pub fn received_key(event: &StorefrontEvent) -> Option<&str> {
    let previous = event.previous_id.as_deref().filter(|_| event.kind == EventKind::Alias);
    [previous, event.anonymous_id.as_deref(), event.user_id.as_deref()]
        .into_iter()
        .flatten()
        .find(|id| names_somebody(id))
}
