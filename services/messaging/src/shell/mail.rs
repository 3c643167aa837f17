//! The mail as it goes over the wire.
//!
//! Wanted properties:
//! - a repeat of a message has the same Message-ID;
//! - it is ASCII whatever the texts are, and no text makes a header of its own;
//! - one click unsubscribes (RFC 8058), but for messages that the customer asked for.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use domain::Timestamp;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};

use super::compose::Composed;
use crate::action::{Email, Reason};

/// Longer ids are hashed: a header line has at most 998 bytes (RFC 5322, 2.1.1).
const MAX_ID_BYTES: usize = 200;
/// Nobody reads a longer subject or name.
const MAX_HEADER_CHARS: usize = 500;
/// A link that would not fit on a header line is in the body only.
const MAX_LINK_BYTES: usize = 900;

/// Who sends.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) from: Address,
    pub(super) reply_to: Option<Address>,
    pub(super) message_id_domain: String,
}

/// Puts the mail together. A refusal is final: this message can't be sent.
pub(super) fn mail(email: &Email, composed: &Composed, sender: &Sender, now: Timestamp) -> Result<Message, Reason> {
    let address = email.recipient.email.as_deref().unwrap_or_default();
    let to: Address = address.trim().parse().map_err(|_| "malformed_email_address".to_owned())?;
    let date = UNIX_EPOCH + Duration::from_millis(now.as_millis().unsigned_abs());
    let mut builder = Message::builder()
        .from(Mailbox::new(composed.from_name.as_deref().map(on_one_line), sender.from.clone()))
        .to(Mailbox::new(None, to))
        .subject(on_one_line(&composed.rendered.subject))
        .date(date)
        .message_id(Some(message_id(&email.message_id, &sender.message_id_domain)));
    if let Some(reply_to) = &sender.reply_to {
        builder = builder.reply_to(Mailbox::new(None, reply_to.clone()));
    }
    if !email.transactional && composed.unsubscribe_url.len() <= MAX_LINK_BYTES {
        builder = builder
            .raw_header(raw("List-Unsubscribe", format!("<{}>", composed.unsubscribe_url)))
            .raw_header(raw("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
    }
    let body = MultiPart::alternative_plain_html(composed.rendered.text.clone(), composed.rendered.html.clone());
    builder.multipart(body).map_err(|_| "malformed_message".to_owned())
}

/// A text as a header may have it: without line ends and other control characters, and not endless.
fn on_one_line(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    shown.take(MAX_HEADER_CHARS).collect::<String>().trim().to_owned()
}

/// A header that is written as it is: it is ASCII and has no line end, because both are so made.
fn raw(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
}

/// `<id@domain>`; what may not stand in it is written as `%` and two hexadecimal digits.
fn message_id(id: &str, domain: &str) -> String {
    let mut local = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            local.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(local, "%{byte:02x}");
        }
    }
    if local.is_empty() || local.len() > MAX_ID_BYTES {
        local = format!("{:032x}", xxhash_rust::xxh3::xxh3_128(id.as_bytes()));
    }
    format!("<{local}@{domain}>")
}
