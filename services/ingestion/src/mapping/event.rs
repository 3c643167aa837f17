//! One event: from its JSON to the contract.

use domain::{Currency, Timestamp};
use links::{AddressHash, Secret};
use schemas::{Contact, EventKind, StorefrontEvent, names_an_order};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::call::{Call, Shared};
use super::json::{self, Object};
use super::{MAX_DEPTH, Refusal, commerce, names, person, time};
use crate::ids::{self, MAX_ID_BYTES, MAX_MESSAGE_ID_BYTES};

/// Where an event comes from: what its write key stands for.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Id of the write key.
    pub id: &'a str,
    /// The shop.
    pub shop: &'a str,
    /// The currency of amounts that name none.
    pub currency: Currency,
    /// What may come with it.
    pub scope: Scope,
}

/// What may come with a write key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Everything: the key is known to the shop's servers alone.
    #[default]
    Server,
    /// What somebody does: track, page and screen, now. The key is in web pages for everybody to read, so it must not do for
    /// saying who somebody is, or what happened long ago; and nobody's browser is an order.
    Browser,
}

impl Scope {
    fn allows(self, kind: EventKind, historical: bool) -> bool {
        match self {
            Self::Server => true,
            Self::Browser => matches!(kind, EventKind::Track | EventKind::Page | EventKind::Screen) && !historical,
        }
    }
}

/// What is known of a call beside its body.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// When it was received.
    pub received_at: Timestamp,
    /// Its write key.
    pub source: Source<'a>,
    /// The W3C trace context to carry on.
    pub traceparent: Option<&'a str>,
    /// The secret of address hashes: an id that is an address is replaced by its hash.
    pub address_secret: &'a Secret,
    /// A number drawn for this call, for events without a message id.
    pub random: u128,
}

/// Names at the top of an event that belong to the protocol and say nothing about the customer.
const PROTOCOL: [&str; 6] = ["type", "writeKey", "receivedAt", "integrations", "_metadata", "batch"];

/// Maps the event at `index` of a call.
pub fn map(call: &Call<'_>, index: usize, envelope: &Envelope<'_>) -> Result<StorefrontEvent, Refusal> {
    let json = call.events.get(index).copied().unwrap_or_default();
    if json.len() > call.most_event_bytes {
        return Err(Refusal::TooLarge { bytes: json.len() });
    }
    let demands = json::demands(json);
    if demands.depth > MAX_DEPTH {
        return Err(Refusal::TooDeep);
    }
    if demands.number_out_of_range {
        return Err(Refusal::NumberOutOfRange);
    }
    let mut item = Object::read(json).ok_or(Refusal::NotAnObject)?;
    let kind = kind(&item, &call.shared)?;
    let mut ids = Ids::take(&mut item, envelope.address_secret);
    let is_an_order =
        kind == EventKind::Track && item.text("event").is_some_and(|name| names::is_an_order(names::canonical(&name)));
    ids.check(kind, is_an_order)?;
    let times = Times::take(&mut item);
    let sent_at = times.sent_at.or(call.shared.sent_at);
    let message_id = message_id(&mut item, json, times.original.is_some(), index, envelope);
    let mut parts = Parts::take(&mut item, kind, &call.shared);
    let historical = parts.context.get("historical").and_then(json::boolean).unwrap_or_default();
    if !envelope.source.scope.allows(kind, historical) || envelope.source.scope == Scope::Browser && ids.name_an_order()
    {
        return Err(Refusal::OutOfScope);
    }
    let name = event_name(&mut item, kind, &mut parts.properties)?;
    let mut event = StorefrontEvent {
        message_id,
        kind,
        name,
        shop: envelope.source.shop.to_owned(),
        source: envelope.source.id.to_owned(),
        library: parts.library(),
        event_time: time::event_time(times.original.or(call.shared.timestamp), sent_at, envelope.received_at)
            .as_millis(),
        received_at: envelope.received_at.as_millis(),
        sent_at: sent_at.map(Timestamp::as_millis),
        historical,
        consent_marketing: person::consent(&parts.context),
        traceparent: envelope.traceparent.map(str::to_owned),
        ..StorefrontEvent::default()
    };
    let mut contact = person::contact(&mut parts.traits, &mut parts.context);
    if kind == EventKind::Track {
        commerce::fill(&mut event, &mut parts.properties, envelope.source.currency);
        if contact.email.is_none() {
            contact.email = parts.properties.take(&["email"], person::email);
        }
    }
    if is_an_order {
        ids.belong_to(contact.email.as_deref(), envelope.address_secret)?;
    }
    ids.fill(&mut event, &mut contact);
    event.contact = (contact != Contact::default()).then_some(contact);
    for name in PROTOCOL {
        item.remove(name);
    }
    event.traits_json = parts.traits.to_json();
    event.properties_json = parts.properties.to_json();
    event.context_json = parts.context.to_json_with(&[("integrations", &parts.integrations), ("extra", &item)]);
    Ok(event)
}

/// The path says what a single event is, the event itself what it is in a batch.
fn kind(item: &Object<'_>, shared: &Shared<'_>) -> Result<EventKind, Refusal> {
    if let Some(kind) = shared.kind {
        return Ok(kind);
    }
    match item.text("type").unwrap_or_default().to_ascii_lowercase().as_str() {
        "track" => Ok(EventKind::Track),
        "identify" => Ok(EventKind::Identify),
        "page" => Ok(EventKind::Page),
        "screen" => Ok(EventKind::Screen),
        "group" => Ok(EventKind::Group),
        "alias" => Ok(EventKind::Alias),
        _ => Err(Refusal::NoKind),
    }
}

fn event_name<'a>(item: &mut Object<'a>, kind: EventKind, properties: &mut Object<'a>) -> Result<String, Refusal> {
    let name = match kind {
        EventKind::Track => {
            let name = item.take_text(&["event"]).ok_or(Refusal::NoName)?;
            names::canonical(&name).to_owned()
        }
        EventKind::Page | EventKind::Screen => {
            if let Some(category) = item.get("category") {
                properties.fill("category", category);
                item.remove("category");
            }
            item.take_text(&["name"]).or_else(|| properties.text("name")).unwrap_or_default()
        }
        _ => String::new(),
    };
    if name.len() > MAX_ID_BYTES { Err(Refusal::NameTooLong) } else { Ok(name) }
}

/// The event's own message id. One that is too long is replaced by its hash, and where there is none, an event that
/// says when it happened is named by what it says: either way a repeat has the same id. Without a time, two like
/// events may well be two, so it gets a random one.
fn message_id(item: &mut Object<'_>, json: &str, timed: bool, index: usize, envelope: &Envelope<'_>) -> String {
    let said = item.text("messageId");
    if said.is_some() {
        item.remove("messageId");
    }
    let hashed = |what: &[u8]| format!("h-{:032x}", xxhash_rust::xxh3::xxh3_128(what));
    match said {
        Some(id) if id.len() <= MAX_MESSAGE_ID_BYTES => id,
        Some(id) => hashed(id.as_bytes()),
        None if timed => hashed(json.as_bytes()),
        None => format!("r-{:032x}-{index}", envelope.random),
    }
}

/// What the id of somebody of whom only an address is known begins with; the address's keyed hash follows.
pub const ADDRESS_ID_PREFIX: &str = "address-";

/// The id of somebody of whom only an address is known.
pub fn id_of_address(address: &str, secret: &Secret) -> String {
    format!("{ADDRESS_ID_PREFIX}{}", AddressHash::of(secret, address))
}

/// Who: the ids, and the addresses that stood where an id should.
#[derive(Default)]
struct Ids {
    user_id: Option<String>,
    anonymous_id: Option<String>,
    previous_id: Option<String>,
    group_id: Option<String>,
    address_id: Option<String>,
    email: Option<String>,
    phone: Option<String>,
}

impl Ids {
    fn take(item: &mut Object<'_>, secret: &Secret) -> Self {
        let mut found = Self::default();
        found.user_id = found.one(item, "userId", secret);
        found.anonymous_id = found.one(item, "anonymousId", secret);
        found.previous_id = found.one(item, "previousId", secret);
        found.group_id = match item.text("groupId") {
            // Not hers, so that it is no contact: it stays where it stands, among the context, which may hold it.
            Some(id) if ids::is_personal(&id) => Some(id_of_address(&id, secret)),
            _ => item.take_text(&["groupId"]),
        };
        found
    }

    /// An id; one that is an address is replaced by its keyed hash, because ids go where personal data may not.
    fn one(&mut self, item: &mut Object<'_>, name: &str, secret: &Secret) -> Option<String> {
        let id = item.text(name)?;
        item.remove(name);
        if !ids::names_somebody(&id) {
            return None;
        }
        let address = if ids::is_email(&id) {
            &mut self.email
        } else if ids::is_phone(&id) {
            &mut self.phone
        } else {
            return Some(id);
        };
        let hashed = id_of_address(&id, secret);
        address.get_or_insert(id);
        Some(hashed)
    }

    fn check(&self, kind: EventKind, is_an_order: bool) -> Result<(), Refusal> {
        if kind == EventKind::Alias
            && (self.user_id.is_none() || (self.previous_id.is_none() && self.anonymous_id.is_none()))
        {
            return Err(Refusal::AliasOfNobody);
        }
        // Whose an order is, its address may say.
        if !is_an_order && self.is_nobody() {
            return Err(Refusal::NoId);
        }
        let ids = [
            ("userId", &self.user_id),
            ("anonymousId", &self.anonymous_id),
            ("previousId", &self.previous_id),
            ("groupId", &self.group_id),
        ];
        let too_long = ids.into_iter().find(|(_, id)| id.as_ref().is_some_and(|id| id.len() > MAX_ID_BYTES));
        too_long.map_or(Ok(()), |(field, _)| Err(Refusal::IdTooLong { field }))
    }

    /// Whether one is what webhooks call an order: whoever says that it is his takes its refunds along.
    fn name_an_order(&self) -> bool {
        [&self.user_id, &self.anonymous_id].into_iter().flatten().any(|id| names_an_order(id))
    }

    const fn is_nobody(&self) -> bool {
        self.user_id.is_none() && self.anonymous_id.is_none()
    }

    /// An order that names an address and no user id is the customer's under the address's hash; with an anonymous id, only
    /// unless somebody else is known to use the device, which the resolver knows.
    fn belong_to(&mut self, address: Option<&str>, secret: &Secret) -> Result<(), Refusal> {
        if self.user_id.is_none() {
            let id = address.map(|address| id_of_address(address, secret));
            if self.anonymous_id.is_some() {
                self.address_id = id;
            } else {
                self.user_id = id;
            }
        }
        if self.is_nobody() { Err(Refusal::NoId) } else { Ok(()) }
    }

    fn fill(self, event: &mut StorefrontEvent, contact: &mut Contact) {
        event.address_id = self.address_id;
        event.user_id = self.user_id;
        event.anonymous_id = self.anonymous_id;
        event.previous_id = self.previous_id;
        event.group_id = self.group_id;
        contact.email = contact.email.take().or(self.email);
        contact.phone = contact.phone.take().or(self.phone);
    }
}

/// When, by the client's clock, as the event itself says.
struct Times {
    original: Option<Timestamp>,
    sent_at: Option<Timestamp>,
}

impl Times {
    fn take(item: &mut Object<'_>) -> Self {
        let mut one = |name: &str| {
            let read = item.get(name).and_then(time::read);
            if read.is_some() {
                item.remove(name);
            }
            read
        };
        let (original, timestamp, sent_at) = (one("originalTimestamp"), one("timestamp"), one("sentAt"));
        // RudderStack's Node SDK says in the first when it was called, beside what its caller says in the second.
        Self { original: timestamp.or(original), sent_at }
    }
}

/// The parts of an event that hold more, with what its batch adds to them.
struct Parts<'a> {
    properties: Object<'a>,
    traits: Object<'a>,
    context: Object<'a>,
    integrations: Object<'a>,
}

impl<'a> Parts<'a> {
    fn take(item: &mut Object<'a>, kind: EventKind, shared: &Shared<'a>) -> Self {
        let mut part = |name: &str| {
            let read = item.get(name).and_then(|raw: &'a RawValue| Object::read(raw.get()));
            if read.is_some() {
                item.remove(name);
            }
            read.unwrap_or_default()
        };
        let (mut properties, mut traits, mut context) = (part("properties"), part("traits"), part("context"));
        let mut integrations = part("integrations");
        context.fill_from(shared.context.clone());
        integrations.fill_from(shared.integrations.clone());
        if kind == EventKind::Group {
            // These are the group's, not hers.
            properties.fill_from(std::mem::take(&mut traits));
        }
        if let Some(hers) = context.get("traits").and_then(|raw| Object::read(raw.get())) {
            context.remove("traits");
            traits.fill_from(hers);
        }
        Self { properties, traits, context, integrations }
    }

    /// Takes the client library out of the context, as `name/version`.
    fn library(&mut self) -> Option<String> {
        let mut library = self.context.object("library");
        let (name, version) = (library.take_text(&["name"])?, library.take_text(&["version"]));
        if library.is_empty() {
            self.context.remove("library");
        }
        Some(version.map_or_else(|| name.clone(), |version| format!("{name}/{version}")))
    }
}
