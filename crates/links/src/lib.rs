//! What a message carries out and a click brings back: signed tokens, and the keyed hash that stands for an address.
//!
//! Wanted properties:
//! - `verify(sign(token)) == token`; a text that was changed in any bit is refused, in constant time;
//! - a token made for one use (to unsubscribe, to be sent on, …) does not pass for another;
//! - a link leads to what was signed, to the letter (but for one parameter more where the door says so, [`VisitToken`]), and to
//!   nothing but a web address;
//! - a token names the key that signed it, so that a new key can be put first while old links keep working;
//! - no token is longer than [`MAX_TOKEN_CHARS`], of a link with its address [`MAX_CLICK_TOKEN_CHARS`], and a longer text is
//!   refused before anything is computed;
//! - an address's hash depends on the address as mail and phone networks read it, not on how it was typed, and
//!   can't be computed without the secret;
//! - secrets are never shown, not even by `Debug`.
//!
//! It is pure: no clock, no random source, no I/O. An unsubscribe link has no end date on purpose: a person
//! who digs out an old mail must still get off the list.

mod address;
mod keys;
mod message;
mod target;
mod token;
mod unsubscribe;
mod visit;

pub use address::{AddressHash, ParseAddressHashError};
pub use keys::{KeyId, KeyRing, KeyRingError, Secret, WeakSecret};
pub use message::{ClickToken, MAX_CLICK_TOKEN_CHARS, OpenToken, SentMessage};
pub use target::{Target, TargetError};
pub use token::TokenError;
pub use unsubscribe::{MAX_TOKEN_CHARS, PreferencesToken, UnsubscribeToken};
pub use visit::{MAX_VISIT_TOKEN_CHARS, VisitToken};
