//! From the JSON of the Segment specification to the contract's event. Pure: the time of receipt, the write key's shop and chance
//! come in as arguments.
//!
//! Wanted properties:
//! - no text whatever makes it panic; what can't be taken is refused with a reason, event by event;
//! - lossless: each property, trait and context entry is in a typed field that says all of it, or in `properties_json`,
//!   `traits_json`, `context_json` to the letter;
//! - amounts go from decimal text to minor units exactly; no float touches them;
//! - an event time is never after the time of receipt, whatever the client's clock says;
//! - the same event sent again gets the same message id.

mod amounts;
mod call;
mod commerce;
mod draft;
mod engagement;
mod event;
mod json;
mod machine;
mod names;
pub mod past;
mod person;
mod refusal;
mod time;
mod urgency;
pub(crate) mod visits;
pub mod webhooks;

pub use call::{Call, CallKind, Unreadable, read_call};
pub(crate) use engagement::Engagement;
pub use event::{ADDRESS_ID_PREFIX, id_of_address};
pub use event::{Envelope, Scope, Source, map};
pub use json::mend_surrogates;
pub(crate) use machine::{Machine, Visitor};
pub use refusal::Refusal;
pub(crate) use urgency::{Urgency, of_call as urgency_of};

/// No event is larger (bytes of JSON).
pub const MAX_EVENT_BYTES: usize = 32 * 1024;
/// No call is larger (bytes of JSON, uncompressed).
pub const MAX_CALL_BYTES: usize = 500 * 1024;
/// No batch holds more events.
pub const MAX_BATCH_EVENTS: usize = 2_500;
/// What the events of a batch share is no larger (bytes of JSON): each of them gets a copy.
pub const MAX_SHARED_BYTES: usize = 8 * 1024;
/// All these copies are no larger (bytes of JSON), so that a small call does not become a large one.
pub const MAX_COPIED_BYTES: usize = 4 * 1024 * 1024;
/// No event is nested deeper: JSON readers stop at some depth, most of them at 128.
pub const MAX_DEPTH: usize = 64;
