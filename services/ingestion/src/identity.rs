//! Whose an event is, and what becomes known when a device turns out to be somebody's.
//!
//! Wanted properties:
//! - an event with a user id is that customer's; without one it is hers to whom its device is linked; an order with an address
//!   and neither is the customer's under the address's hash; anything else is the anonymous id's own;
//! - the first event that carries an anonymous id and says who she is links the device: its history goes to the customer in one
//!   `identified` record, before that event; what services hold under the anonymous id ends by a `moved` record there;
//! - an alias does the same of its previous id where that is known to be a device; of any other it says that two customers are
//!   one, which is not for here to do: an id of which nothing is known may be a customer's of whom it was forgotten;
//! - a second person on the device takes nothing along: what was done on it while it was linked was never hers;
//! - a device that was linked to more than three customers is shared: it keeps no history and links nobody; nor does an id
//!   under which somebody is known as a customer, so that no browser takes her over by calling itself so: a link that was made
//!   before that was known ends;
//! - she is recognised at the time of that event, and never before what the history tells of: a device may tell late that
//!   somebody logged in, and what begins at that moment must not be due before what it is about;
//! - the records and their message ids depend on the device's own events alone, and are far below the size of a record.
//!
//! A link is made for each person once. Who logs out and goes on under the same anonymous id is still followed as the one that
//! she was; SDKs draw a new anonymous id at a logout (`reset`), and that is a device like any other.

use domain::Timestamp;
use schemas::{EventKind, LINKS, MAX_HOPS, PastEvent, StorefrontEvent};
use sha2::{Digest, Sha256};

use crate::ids::{MAX_ID_BYTES, names_somebody};
use crate::policy::ResolverPolicy;
use crate::state::{ResolverState, hash_of};

/// A device that was linked to more customers than this is shared by strangers.
const MOST_CUSTOMERS: usize = 3;

/// Says in the event whose it is, and returns what is to be told before it.
pub(crate) fn settle(
    policy: &ResolverPolicy,
    state: &mut ResolverState,
    key: &str,
    event: &mut StorefrontEvent,
    stored_at: Timestamp,
) -> Vec<StorefrontEvent> {
    let user = event.user_id.clone().filter(|id| names_somebody(id));
    if event.kind == EventKind::Alias {
        let told = match user.as_deref().filter(|user| *user != key) {
            Some(user) => state.link(policy, key, user, event, stored_at),
            None => Vec::new(),
        };
        event.customer_id = user;
        return told;
    }
    // One id for both, as some integrations send for want of another, says nothing of who she is.
    let user = user.filter(|id| id != key);
    if event.anonymous_id.as_deref() != Some(key) {
        // No device: the key is the user id. Only our own links say it of a visitor whom a message went to before she was
        // recognised; of anybody else it is a customer, who must not be somebody else's device.
        let of_a_link = event.source == LINKS;
        state.is_a_user |= !of_a_link;
        if state.is_a_user {
            state.linked_to = None;
        }
        event.customer_id = state.linked_to.clone().filter(|_| of_a_link).or_else(|| Some(key.to_owned()));
        return Vec::new();
    }
    // Whoever reads the event may believe what it says.
    event.user_id.clone_from(&user);
    if let Some(user) = user {
        let told = state.link(policy, key, &user, event, stored_at);
        event.customer_id = Some(user);
        return told;
    }
    // Which ids name nobody may have been learnt since.
    state.linked_to.take_if(|id| !names_somebody(id));
    if let Some(customer) = state.linked_to.clone() {
        state.linked_until = Some(stored_at + policy.link_age);
        event.customer_id = Some(customer);
        return Vec::new();
    }
    if let Some(address) = event.address_id.clone().filter(|id| names_somebody(id) && id != key) {
        let told = state.link(policy, key, &address, event, stored_at);
        // As shop platforms' orders of guests have it: readers need to know of one form only.
        event.user_id = Some(address.clone());
        event.customer_id = Some(address);
        return told;
    }
    if state.is_a_user || state.is_shared() {
        state.linked_until = Some(stored_at + policy.link_age);
    } else {
        state.remember(policy, event, stored_at);
    }
    event.customer_id = Some(key.to_owned());
    Vec::new()
}

/// Whether an alias under this key says whose a device is, or nothing: that an id is itself.
pub(crate) fn is_of_a_device(state: &ResolverState, key: &str, alias: &StorefrontEvent) -> bool {
    let is_known = state.linked_to.is_some() || state.anonymous_until.is_some();
    alias.user_id.as_deref() == Some(key) || is_known && !state.is_a_user && !state.is_shared()
}

impl ResolverState {
    /// Whether so many were recognised on the device that it is nobody's.
    pub fn is_shared(&self) -> bool {
        self.customers.0.len() > MOST_CUSTOMERS
    }

    /// Whether nobody was recognised on the device but a customer of these ids.
    pub fn is_only_of<'i>(&self, ids: impl Iterator<Item = &'i str>) -> bool {
        let ids: Vec<u64> = ids.map(hash_of).collect();
        self.customers.0.iter().all(|customer| ids.contains(customer))
    }

    /// The device is this customer's, by this event; returns what is to be told of it.
    fn link(
        &mut self,
        policy: &ResolverPolicy,
        key: &str,
        customer: &str,
        event: &StorefrontEvent,
        stored_at: Timestamp,
    ) -> Vec<StorefrontEvent> {
        self.linked_until = Some(stored_at + policy.link_age);
        if self.is_a_user || self.is_shared() || self.linked_to.as_deref() == Some(customer) {
            return Vec::new();
        }
        let hash = hash_of(customer);
        let is_new = !self.customers.0.contains(&hash);
        if is_new {
            self.customers.0.push(hash);
        }
        let was_anonymous = self.anonymous_until.take().is_some();
        self.drop_what_is_old(policy, event.event_time);
        let history = std::mem::take(&mut self.history);
        if self.is_shared() {
            self.linked_to = None;
            return Vec::new();
        }
        self.linked_to = Some(customer.to_owned());
        // Who was on it before needs no telling.
        if !is_new {
            return Vec::new();
        }
        // An event that is told late says of what was done since as well whose it is: nobody is recognised before that.
        let at = history.iter().map(|past| past.event_time).chain([event.event_time]).max();
        let recognition = Recognition { key, customer, event, at: at.unwrap_or(event.event_time) };
        let moved = was_anonymous.then(|| recognition.told(EventKind::Moved, key, Vec::new()));
        moved.into_iter().chain([recognition.told(EventKind::Identified, customer, history)]).collect()
    }
}

/// A device, who turned out to use it, the event that said so, and as of when she is recognised.
struct Recognition<'a> {
    key: &'a str,
    customer: &'a str,
    event: &'a StorefrontEvent,
    at: i64,
}

/// What the record repeats of the event, which may be as large as a record: not what is longer than any id.
fn short(text: &str) -> Option<String> {
    (text.len() <= MAX_ID_BYTES).then(|| text.to_owned())
}

impl Recognition<'_> {
    fn told(&self, kind: EventKind, under: &str, history: Vec<PastEvent>) -> StorefrontEvent {
        let Self { key, customer, event, at } = *self;
        StorefrontEvent {
            message_id: self.message_id(kind),
            kind,
            shop: short(&event.shop).unwrap_or_default(),
            source: short(&event.source).unwrap_or_default(),
            user_id: Some(customer.to_owned()),
            anonymous_id: Some(key.to_owned()),
            customer_id: Some(under.to_owned()),
            event_time: at,
            said_at: Some(event.event_time),
            received_at: event.received_at,
            historical: event.historical,
            traceparent: event.traceparent.as_deref().and_then(short),
            hops: event.hops.saturating_add(1).min(MAX_HOPS),
            history,
            ..StorefrontEvent::default()
        }
    }

    /// The same in a replay and after a restart.
    fn message_id(&self, kind: EventKind) -> String {
        let kind = if kind == EventKind::Moved { "moved" } else { "identified" };
        let mut hasher = Sha256::new();
        for part in [kind, self.key, self.customer, &self.event.message_id] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let mut id = format!("{kind}-");
        for byte in hasher.finalize().iter().take(16) {
            // Writing to a String can't fail.
            let _ = std::fmt::Write::write_fmt(&mut id, format_args!("{byte:02x}"));
        }
        id
    }
}
