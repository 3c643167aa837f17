//! Which ids name somebody, and where an event belongs by them. The door and the resolver agree on it here.

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

/// Whether an id is itself personal, an e-mail address or a phone number: ids go where personal data may not.
pub fn is_personal(id: &str) -> bool {
    let id = id.trim();
    is_email(id) || is_phone(id)
}

/// Whether a text has the form of an e-mail address.
pub(crate) fn is_email(text: &str) -> bool {
    let Some((local, host)) = text.rsplit_once('@') else { return false };
    text.len() <= 254
        && !local.is_empty()
        && host.contains('.')
        && !host.starts_with('.')
        && !host.ends_with('.')
        && !text.contains(char::is_whitespace)
}

/// Whether an id is a phone number in international form. (Digits alone are a customer number.)
pub(crate) fn is_phone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    (7..=15).contains(&count)
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'(' | b')' | b'.'))
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
