//! A record of `storefront.received`, whoever wrote it: the door, a webhook, or a producer that speaks Avro.
//!
//! Wanted properties:
//! - a message is emitted once, however often it comes and whoever restarts in between;
//! - it is emitted under its customer (`identity.rs`): the user id, else whom its device is linked to, else the anonymous id;
//! - its event time is not after the broker's time, and not before [`EARLIEST`]; it reached us at most [`LONGEST_WAY`] before
//!   the broker stored it; its other times are in the calendar;
//! - an alias of anything but a device that is known as one is set aside in the dead letters, and moves nothing;
//! - what names nobody, lies under a key that is not its own, names somebody by her address, or would be too large with the
//!   customer in it, ends in the dead letters and moves nothing.

use std::convert::Infallible;
use std::sync::Arc;

use domain::{HumanDuration, Timestamp};
use schemas::{EncodeError, EventKind, MAX_HOPS, MAX_VALUE_BYTES, ROOM_BYTES, Schemas, StorefrontEvent};
use stream::{Context, DeadLetter, Decoded, Disposition, Effects, Partition, Poison, RecordRef, partition_of};

use crate::identity;
use crate::ids::{self, MAX_ID_BYTES, MAX_MESSAGE_ID_BYTES};
use crate::mapping::MAX_EVENT_BYTES;
use crate::output::Resolved;
use crate::policy::ResolverPolicy;
use crate::state::{ResolverState, Seen};
use crate::{EVENTS, RECEIVED};

/// Nothing happened before 1990-01-01: an earlier event time is a clock that was never set, or a field that was never filled.
pub const EARLIEST: Timestamp = Timestamp::from_seconds(631_152_000);

/// So long before the broker stored it an event may have reached us: a door's spool may have held it. Of what claims to have
/// been on its way for longer, the broker's time is what is known. How late a trigger came is judged by it, so a producer
/// that writes days of backlog must not make it look new.
pub const LONGEST_WAY: HumanDuration = HumanDuration::from_hours(1);

/// What has a date in every time zone, within the years 1 to 9998: most readers can't read a record with another time.
const CALENDAR: std::ops::RangeInclusive<i64> = -62_135_510_400_000..=253_370_764_799_999;

/// An event as it came, and where it lay.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// The event.
    pub event: Box<StorefrontEvent>,
    /// The partition that it lay on.
    pub partition: Partition,
    /// Of an alias: the record for the dead letters, where it turns out that two customers would have to be merged.
    pub merge: Option<Box<DeadLetter>>,
}

/// The time in force for a claimed event time: not in the future of `known_at`; a time before [`EARLIEST`] is no time, and
/// `known_at` stands in for it.
pub fn clamp_event_time(claimed: Timestamp, known_at: Timestamp) -> Timestamp {
    if claimed < EARLIEST { known_at } else { claimed.min(known_at) }
}

/// When an event reached us, by what it says and by when the broker stored it.
fn received_at(claimed: Timestamp, stored_at: Timestamp) -> Timestamp {
    if (stored_at - LONGEST_WAY..=stored_at).contains(&claimed) { claimed } else { stored_at }
}

/// Reads the record, and makes sure that it names somebody, lies under its own key and can be written on.
pub(crate) fn decode(schemas: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Received>, Poison> {
    let value = record.value.ok_or_else(|| poison("no_value", "the record has no value"))?;
    let mut event: StorefrontEvent =
        schemas.decode(value).map_err(|error| Poison { reason: "malformed", detail: error.to_string() })?;
    // Whoever wrote it, only the resolver says whose it is, and that somebody was recognised.
    event.customer_id = None;
    event.history = Vec::new();
    if matches!(event.kind, EventKind::Identified | EventKind::Moved | EventKind::Erased) {
        return Err(poison(
            "reserved_kind",
            "only the resolver says `identified`, `moved` and `erased`; send the event that identifies, or a privacy request",
        ));
    }
    let own_key = ids::received_key(&event).ok_or_else(|| {
        poison("no_id", "the event has neither a user id nor an anonymous id that names somebody; send one of them")
    })?;
    let names_a_user = || event.user_id.as_deref().is_some_and(ids::names_somebody);
    if event.kind == EventKind::Alias && !names_a_user() {
        return Err(poison("no_id", "the alias names a previous id but no user id; send the id that takes its place"));
    }
    let ids = [&event.user_id, &event.anonymous_id, &event.previous_id, &event.group_id, &event.address_id];
    if ids.into_iter().flatten().any(|id| ids::is_personal(id)) {
        return Err(poison(
            "personal_id",
            "an id is an e-mail address or a phone number; send an id of the shop's own, or send the event through the door",
        ));
    }
    if record.key != Some(own_key.as_bytes()) {
        return Err(poison(
            "wrong_key",
            "the record's key is not the event's anonymous id, else its user id (for an alias its previous id)",
        ));
    }
    if ids.into_iter().flatten().any(|id| id.len() > MAX_ID_BYTES) {
        return Err(poison("id_too_long", "an id is longer than 255 bytes"));
    }
    if event.message_id.is_empty() || event.message_id.len() > MAX_MESSAGE_ID_BYTES {
        return Err(poison("bad_message_id", "the message id is empty or longer than 100 bytes"));
    }
    // Written under another schema it may have said in a byte what ours says in many: as a symbol, or not at all.
    if value.len() > MAX_EVENT_BYTES || !schemas.is_bound(RECEIVED, value) {
        fits(schemas, &event)?;
    }
    let key = Arc::from(own_key);
    let merge = (event.kind == EventKind::Alias).then(|| Box::new(record.dead_letter(RECEIVED, merge_of_customers())));
    let input = Received { event: Box::new(event), partition: record.partition, merge };
    Ok(Decoded { key, at: record.timestamp, input })
}

/// Makes sure that the event can be written with its customer in it: one that could not be would hold up its partition.
fn fits(schemas: &Schemas, event: &StorefrontEvent) -> Result<(), Poison> {
    let mut written = Vec::new();
    match schemas.encode(EVENTS, event, &mut written) {
        Ok(()) if written.len() + ROOM_BYTES <= MAX_VALUE_BYTES => Ok(()),
        Ok(()) | Err(EncodeError::TooLarge { .. }) => {
            Err(poison("too_large", "with the customer in it the event would be larger than a record may be"))
        }
        Err(error) => Err(Poison { reason: "malformed", detail: error.to_string() }),
    }
}

pub(crate) fn resolve(
    policy: &ResolverPolicy,
    state: &mut ResolverState,
    received: Received,
    context: &Context<'_>,
    effects: &mut Effects<Resolved, Infallible>,
) -> Disposition {
    let Received { mut event, partition, merge } = received;
    if !(0..=MAX_HOPS).contains(&event.hops) {
        return Disposition::Rejected("too_many_hops");
    }
    if policy.partitions > 0 && partition_of(context.key.as_bytes(), policy.partitions) != partition {
        event.hops += 1;
        effects.emit(Resolved::Forward { key: context.key.to_string(), event });
        return Disposition::Emitted;
    }
    let stored_at = context.stored_at.unwrap_or(context.now);
    event.event_time = clamp_event_time(Timestamp::from_millis(event.event_time), stored_at).as_millis();
    let is_an_alias = event.kind == EventKind::Alias;
    let by_device = event.anonymous_id.as_deref() == Some(context.key) || is_an_alias && !state.is_a_user;
    if state.is_erased(event.event_time, by_device) {
        return Disposition::Ignored("erased");
    }
    // It is not remembered: it may come again once it can be honoured.
    if let Some(letter) = merge
        && !identity::is_of_a_device(state, context.key, &event)
        && !state.has_seen(&event.message_id, stored_at)
    {
        return effects.set_aside(*letter);
    }
    if state.see(&event.message_id, stored_at, policy.window, policy.remembered_ids) == Seen::Again {
        return Disposition::Ignored("duplicate");
    }
    event.received_at = received_at(Timestamp::from_millis(event.received_at), stored_at).as_millis();
    event.sent_at = event.sent_at.filter(|sent_at| CALENDAR.contains(sent_at));
    for told in identity::settle(policy, state, context.key, &mut event, stored_at) {
        effects.emit(Resolved::Event(Box::new(told)));
    }
    effects.emit(Resolved::Event(event));
    Disposition::Emitted
}

fn merge_of_customers() -> Poison {
    poison(
        "merge_of_customers",
        "the alias's previous id is no device that is known: merging two customers is not built; redrive it once it is",
    )
}

fn poison(reason: &'static str, detail: &str) -> Poison {
    Poison { reason, detail: detail.to_owned() }
}
