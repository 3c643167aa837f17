//! What shop platforms tell by webhook, and others by a mapping, put into the form of the Segment specification. From there it
//! goes the way of every other event ([`map`](super::map)): amounts, ids, times and limits are read in one place.
//!
//! Wanted properties:
//! - no payload whatever makes it panic;
//! - lossless: what has no name in the specification stays a property or a trait, to the letter;
//! - the same webhook again becomes the same message ids;
//! - what only the platform's staff is (`user_id` of a refund) is never taken for the customer.

mod mapped;
mod shopify;
mod sums;
mod woocommerce;

use std::collections::BTreeMap;

use definitions::Mapping;
use domain::{Currency, Timestamp};
use schemas::{PrivacyKind, StorefrontEvent};
use serde_json::value::RawValue;

use super::call::{Call, Shared, Unreadable};
use super::draft::Draft;
use super::json::{self, Object};
use super::refusal::Refusal;

/// No webhook is larger (bytes of JSON): an order of some hundred lines is.
pub const MAX_WEBHOOK_BYTES: usize = 1 << 20;
/// What an event keeps of a webhook without typed fields is no larger (bytes of JSON), so that the event fits every topic.
pub(super) const MAX_REST_BYTES: usize = 512 * 1024;
/// What becomes of a webhook is no larger (bytes of JSON): all of it, and one of its lines a second time.
pub(super) const MAX_DRAFT_BYTES: usize = 3 * MAX_WEBHOOK_BYTES;
/// Platforms have fewer lines in an order.
pub(super) const MAX_LINES: usize = 2_500;
/// Under these names a shop notes on a cart or an order which visitor of the storefront it belongs to.
const VISITOR_NAMES: [&str; 3] = ["anonymous_id", "ajs_anonymous_id", "vuelve_anonymous_id"];

/// Which platform sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Shopify.
    Shopify,
    /// WooCommerce.
    WooCommerce,
}

/// Who sends.
#[derive(Clone, Copy, Debug)]
pub enum Sender<'a> {
    /// A platform.
    Platform(Platform),
    /// Anybody whose webhooks a mapping reads.
    Mapping {
        /// The mapping.
        mapping: &'a Mapping,
        /// Names the webhook: its message ids begin with it.
        source: &'a str,
        /// The headers, their names in lower case.
        headers: &'a BTreeMap<&'a str, &'a str>,
        /// When it came.
        now: Timestamp,
    },
}

/// A webhook, but for its payload.
#[derive(Clone, Copy, Debug)]
pub struct Webhook<'a> {
    /// Who sends it.
    pub sender: Sender<'a>,
    /// What it is about, such as `orders/create`; or the name of the mapping.
    pub topic: &'a str,
    /// What the platform calls this delivery; a repeat has the same.
    pub id: Option<&'a str>,
    /// The shop.
    pub shop: &'a str,
    /// The currency of amounts that name none.
    pub currency: Currency,
}

/// What a webhook means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Events of the Segment specification, as JSON.
    Events(Vec<String>),
    /// A wish about somebody's data.
    Privacy(PrivacyWish),
    /// Nothing that anybody here acts on.
    Nothing,
}

/// A wish about somebody's data, or a whole shop's.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivacyWish {
    /// Names the wish: a repeat has the same.
    pub request_id: String,
    /// What is wished for.
    pub kind: PrivacyKind,
    /// The platform's id of the customer.
    pub customer_id: Option<String>,
    /// Her e-mail address or phone number: it goes no further than to its hash.
    pub address: Option<String>,
}

/// The payload of a webhook that was read.
#[derive(Debug)]
pub struct Payload<'a> {
    object: Object<'a>,
    text: &'a str,
}

impl Sender<'_> {
    const fn word(self) -> &'static str {
        match self {
            Self::Platform(Platform::Shopify) => "shopify",
            Self::Platform(Platform::WooCommerce) => "woocommerce",
            Self::Mapping { .. } => "mapping",
        }
    }
}

impl Platform {
    /// The topic, if it is one of those known here, else `other`: for metrics, whose labels are few.
    pub fn topic_label(self, topic: &str) -> &'static str {
        let known: &[&'static str] = match self {
            Self::Shopify => &shopify::TOPICS,
            Self::WooCommerce => &woocommerce::TOPICS,
        };
        known.iter().find(|known| **known == topic).copied().unwrap_or("other")
    }
}

impl Webhook<'_> {
    /// Reads a payload. One of a platform is an object; a mapping may read any JSON.
    pub fn payload<'a>(&self, text: &'a str) -> Result<Payload<'a>, Unreadable> {
        let raw: &RawValue = serde_json::from_str(text)
            .map_err(|error| Unreadable::NotJson { line: error.line(), column: error.column() })?;
        let object = match (Object::read(raw.get()), self.sender) {
            (Some(object), _) => object,
            (None, Sender::Mapping { .. }) => Object::default(),
            (None, Sender::Platform(_)) => return Err(Unreadable::NotAnObject),
        };
        Ok(Payload { object, text: raw.get() })
    }

    /// What the webhook means.
    pub fn read(&self, payload: Payload<'_>) -> Result<Meaning, Refusal> {
        match self.sender {
            Sender::Platform(Platform::Shopify) => shopify::read(self, payload),
            Sender::Platform(Platform::WooCommerce) => woocommerce::read(self, payload),
            Sender::Mapping { mapping, source, headers, now } => mapped::read(mapping, source, headers, now, &payload),
        }
    }

    /// Names the delivery: by what the platform calls it, else by what it says.
    fn message_id(&self, text: &str) -> String {
        let platform = self.sender.word();
        match self.id.map(str::trim).filter(|id| !id.is_empty()) {
            Some(id) => format!("{platform}-{id}"),
            None => format!("{platform}-h-{}", hash_of(text)),
        }
    }

    /// The context that every event of a webhook has.
    fn context(&self) -> Draft {
        let (mut library, mut webhook, mut context) = (Draft::default(), Draft::default(), Draft::default());
        library.text("name", &format!("{}-webhook", self.sender.word()));
        webhook.text("topic", self.topic);
        context.raw("library", &library.finish());
        context.raw("webhook", &webhook.finish());
        context
    }
}

/// Names a payload by what it says.
fn hash_of(text: &str) -> String {
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(text.as_bytes()))
}

/// The events of a webhook as a call, for [`map`](super::map).
pub fn call(events: &[String]) -> Call<'_> {
    Call {
        events: events.iter().map(String::as_str).collect(),
        write_key: None,
        shared_bytes: 0,
        most_event_bytes: MAX_DRAFT_BYTES,
        shared: Shared::default(),
    }
}

/// Takes out of an event what has no typed field, where that is more than an event may hold; returns whether it was.
pub fn cut_rest(event: &mut StorefrontEvent) -> bool {
    let rest = [&event.properties_json, &event.traits_json, &event.context_json];
    let too_large = rest.into_iter().flatten().map(String::len).sum::<usize>() > MAX_REST_BYTES;
    if too_large {
        (event.properties_json, event.traits_json, event.context_json) = (None, None, None);
    }
    too_large
}

impl std::fmt::Debug for PrivacyWish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivacyWish")
            .field("request_id", &self.request_id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Whose an event is.
#[derive(Default)]
struct Who {
    user_id: Option<String>,
    anonymous_id: Option<String>,
}

/// What is said of an event beside its properties and traits.
struct Head<'a> {
    message_id: &'a str,
    who: &'a Who,
    /// When it happened, as the platform wrote it.
    at: Option<&'a RawValue>,
}

impl Head<'_> {
    fn track(&self, name: &str, properties: Draft, context: Draft) -> String {
        let mut event = self.begin("track", context);
        event.text("event", name);
        event.raw("properties", &properties.finish());
        event.finish()
    }

    fn identify(&self, traits: Draft, context: Draft) -> String {
        let mut event = self.begin("identify", context);
        event.raw("traits", &traits.finish());
        event.finish()
    }

    fn begin(&self, kind: &str, context: Draft) -> Draft {
        let mut event = Draft::default();
        event.text("type", kind);
        event.text("messageId", self.message_id);
        event.text_if("userId", self.who.user_id.as_deref());
        event.text_if("anonymousId", self.who.anonymous_id.as_deref());
        if let Some(at) = self.at {
            event.raw("timestamp", at.get());
        }
        event.raw("context", &context.finish());
        event
    }
}

/// An id of a platform: 0 and nothing are nobody's.
fn platform_id(object: &Object<'_>, name: &str) -> Option<String> {
    object.text(name).filter(|id| id != "0")
}

/// The first time of these names.
fn first_time<'a>(object: &Object<'a>, names: &[&str]) -> Option<&'a RawValue> {
    names.iter().find_map(|name| object.get(name))
}

/// The objects of an array; what else is in it is passed over.
fn objects<'a>(object: &Object<'a>, name: &str) -> Vec<Object<'a>> {
    let elements = object.get(name).and_then(json::elements).unwrap_or_default();
    elements.into_iter().filter_map(|element| Object::read(element.get())).collect()
}

/// The visitor that a shop noted in a list of `{name, value}`.
fn visitor(object: &Object<'_>, list: &str, name: &str) -> Option<String> {
    let noted = objects(object, list);
    let of_name =
        |wanted: &&str| noted.iter().find(|entry| entry.text(name).as_deref() == Some(*wanted))?.text("value");
    VISITOR_NAMES.iter().find_map(of_name)
}

/// Makes the products of the lines of an order, and takes the lines out of it where the products say all of them.
fn products(
    order: &mut Object<'_>,
    lines: &str,
    product: impl Fn(Object<'_>) -> Draft,
) -> Result<Option<String>, Refusal> {
    let Some(elements) = order.get(lines).and_then(json::elements) else { return Ok(None) };
    if elements.len() > MAX_LINES {
        return Err(Refusal::TooManyLines { count: elements.len() });
    }
    let count = elements.len();
    let products: Vec<String> =
        elements.into_iter().filter_map(|line| Object::read(line.get())).map(|line| product(line).finish()).collect();
    if products.len() == count {
        order.remove(lines);
    }
    Ok(Some(format!("[{}]", products.join(","))))
}
