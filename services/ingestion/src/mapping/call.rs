//! One HTTP call: a single event, or a batch with what its events share.

use schemas::EventKind;
use serde_json::value::RawValue;

use super::json::{self, Object};
use super::{MAX_BATCH_EVENTS, MAX_COPIED_BYTES, MAX_EVENT_BYTES, MAX_SHARED_BYTES, time};
use domain::Timestamp;

/// Which call it is, by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// A single event of this kind.
    Single(EventKind),
    /// Many events, each with its `type`.
    Batch,
}

/// Why a call can't be read at all. Nothing of it is taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Broken JSON.
    #[error("the body is not JSON: it breaks off or goes wrong at line {line}, column {column}")]
    NotJson {
        /// Counted from one.
        line: usize,
        /// Counted from one.
        column: usize,
    },
    /// JSON, but no object.
    #[error(
        "the body is JSON but not an object; an object such as {{\"type\": \"track\", …}} or {{\"batch\": […]}} is expected"
    )]
    NotAnObject,
    /// No `batch`.
    #[error("the body has no array `batch` with the events")]
    NoBatch,
    /// Too many events.
    #[error("the batch has {count} events; at most {MAX_BATCH_EVENTS} are taken in one call (send several)")]
    TooMany {
        /// So many.
        count: usize,
    },
    /// Too much that each event would get a copy of.
    #[error(
        "the batch's `context` and `integrations` have {bytes} bytes, and each of its {count} events gets them; at most \
         {MAX_SHARED_BYTES} bytes are taken, and {MAX_COPIED_BYTES} in all copies (put less there, or send smaller batches)"
    )]
    SharedTooLarge {
        /// So large.
        bytes: usize,
        /// So many copies.
        count: usize,
    },
}

/// A call that was read: its events are still text.
#[derive(Debug)]
pub struct Call<'a> {
    /// The events, each as it came.
    pub events: Vec<&'a str>,
    /// The write key in the body, or in its first event.
    pub write_key: Option<String>,
    /// Size of what the events share (bytes of JSON).
    pub shared_bytes: usize,
    /// No event of it may be larger (bytes of JSON).
    pub(crate) most_event_bytes: usize,
    pub(crate) shared: Shared<'a>,
}

/// What the events of a batch share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared<'a> {
    pub(crate) kind: Option<EventKind>,
    pub(crate) context: Object<'a>,
    pub(crate) integrations: Object<'a>,
    pub(crate) sent_at: Option<Timestamp>,
    /// The time that a batch gives for events that have none.
    pub(crate) timestamp: Option<Timestamp>,
}

/// What JSON allows around a value.
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// Why a text is no JSON object.
fn unreadable(json: &str) -> Unreadable {
    serde_json::from_str::<&RawValue>(json).map_or_else(
        |error| Unreadable::NotJson { line: error.line(), column: error.column() },
        |_| Unreadable::NotAnObject,
    )
}

/// Reads a call's JSON, as far as it concerns all of its events.
pub fn read_call(kind: CallKind, json: &str) -> Result<Call<'_>, Unreadable> {
    let body = Object::read(json).ok_or_else(|| unreadable(json))?;
    let write_key = body.text("writeKey");
    let kind = match kind {
        CallKind::Single(kind) => {
            let shared = Shared { kind: Some(kind), ..Shared::default() };
            let events = vec![json.trim_matches(BLANKS)];
            return Ok(Call { events, write_key, shared_bytes: 0, most_event_bytes: MAX_EVENT_BYTES, shared });
        }
        CallKind::Batch => None,
    };
    let events: Vec<&str> =
        body.get("batch").and_then(json::elements).ok_or(Unreadable::NoBatch)?.into_iter().map(RawValue::get).collect();
    if events.len() > MAX_BATCH_EVENTS {
        return Err(Unreadable::TooMany { count: events.len() });
    }
    let bytes: usize =
        ["context", "integrations"].iter().filter_map(|name| body.get(name)).map(|raw| raw.get().len()).sum();
    if bytes > MAX_SHARED_BYTES || bytes * events.len() > MAX_COPIED_BYTES {
        return Err(Unreadable::SharedTooLarge { bytes, count: events.len() });
    }
    let write_key = write_key.or_else(|| Object::read(events.first()?)?.text("writeKey"));
    let shared = Shared {
        kind,
        context: body.object("context"),
        integrations: body.object("integrations"),
        sent_at: body.get("sentAt").and_then(time::read),
        timestamp: body.get("timestamp").and_then(time::read),
    };
    Ok(Call { events, write_key, shared_bytes: bytes, most_event_bytes: MAX_EVENT_BYTES, shared })
}
