//! Something happened to the customer: an event of the storefront, what changed by it or by time alone, and what time has come for.

use definitions::{DATE_REACHED, SEGMENT_ENTERED, SEGMENT_LEFT, Trigger};
use schemas::{Change, ChangeCause, CustomerEvent, EventKind, Occasion, OccasionKind, StorefrontEvent, Transition};
use stream::{Context, Disposition};

use crate::enter::{self, Entry};
use crate::event::EventView;
use crate::policy::Policy;
use crate::state::JourneysState;
use crate::{Effects, identity, ids, storefront_event};

pub(crate) fn receive(
    policy: &Policy,
    state: &mut JourneysState,
    told: &CustomerEvent,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let written = effects.outputs.len();
    let disposition = match told.event.as_deref() {
        None => Disposition::Ignored("no_journey"),
        Some(event) if event.kind == EventKind::Identified => {
            identity::recognised(policy, state, event, &told.customer, context, effects)
        }
        Some(event) if event.kind == EventKind::Moved => identity::moved(policy, state, context, effects),
        Some(event) => storefront_event::receive(policy, state, event, &told.customer, context, effects),
    };
    let mut changed = disposition == Disposition::Emitted;
    let mut refused = None;
    for transition in &told.changes {
        // She did not leave it, she is nobody any more.
        if transition.cause == ChangeCause::Forgotten {
            continue;
        }
        let Some(event) = as_event(told, transition) else { continue };
        let view = EventView::of_segment(&event, &transition.segment);
        let (acted, reason) = storefront_event::act(policy, state, &view, &told.customer, context, effects);
        changed |= acted;
        refused = reason.or(refused);
        if acted {
            state.known |= told.customer.known;
            state.touched_at = Some(context.now);
        }
    }
    for occasion in &told.occasions {
        match let_in(policy, state, told, occasion, context, effects) {
            Entry::Entered => {
                changed = true;
                state.known |= told.customer.known;
                state.touched_at = Some(context.now);
            }
            Entry::Refused(reason) => refused = Some(reason),
        }
    }
    changed |= remember(policy, state, told);
    if changed || effects.outputs.len() > written {
        return Disposition::Emitted;
    }
    refused.map_or(disposition, Disposition::Ignored)
}

/// Who she is is kept while a run may ask for it at a time when nothing happens to her. Returns whether that changed.
fn remember(policy: &Policy, state: &mut JourneysState, told: &CustomerEvent) -> bool {
    if !policy.reads_customer(&state.runs) || state.customer.as_deref() == Some(&told.customer) {
        return false;
    }
    state.customer = Some(Box::new(told.customer.clone()));
    true
}

/// The moment has come at which a journey is to let her in, if it still says so.
fn let_in(
    policy: &Policy,
    state: &mut JourneysState,
    told: &CustomerEvent,
    occasion: &Occasion,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Entry {
    let Some(compiled) = policy.current(&occasion.journey) else { return Entry::Refused("no_journey") };
    let of = occasion.of.as_str();
    let says_so = |trigger: &Trigger| match (trigger, occasion.kind) {
        (Trigger::Date(date), OccasionKind::Date) => *date.trait_name == *of,
        (Trigger::Entered { segment, existing_per_hour: Some(_) }, OccasionKind::Existing) => *segment.name == *of,
        _ => false,
    };
    if !compiled.journey.triggers.iter().any(says_so) {
        return Entry::Refused("not_a_trigger");
    }
    let (name, properties) = if occasion.kind == OccasionKind::Date {
        (DATE_REACHED, serde_json::json!({ "trait": of }))
    } else {
        (SEGMENT_ENTERED, serde_json::json!({ "segment": of, "existing": true }))
    };
    let event = StorefrontEvent {
        message_id: ids::transition(&told.customer_id, of, name, told.at, &occasion.journey),
        ..made_up(told, name, &properties)
    };
    enter::enter(policy, state, compiled, &EventView::new(&event), &told.customer, context, effects)
}

/// A segment entered or left, as an event such as the storefront sends them; none where this version does not know the change.
fn as_event(told: &CustomerEvent, transition: &Transition) -> Option<StorefrontEvent> {
    let name = match transition.change {
        Change::Entered => SEGMENT_ENTERED,
        Change::Left => SEGMENT_LEFT,
        Change::Other => return None,
    };
    let message_id = told.event.as_ref().map_or("", |event| &event.message_id);
    Some(StorefrontEvent {
        message_id: ids::transition(&told.customer_id, &transition.segment, name, told.at, message_id),
        ..made_up(told, name, &serde_json::json!({ "segment": transition.segment }))
    })
}

fn made_up(told: &CustomerEvent, name: &str, properties: &serde_json::Value) -> StorefrontEvent {
    StorefrontEvent {
        kind: EventKind::Track,
        name: name.to_owned(),
        shop: told.shop.clone(),
        event_time: told.at,
        // How late it is is how late that came which brought it about.
        received_at: told.event.as_ref().map_or(told.at, |event| event.received_at),
        historical: told.historical,
        hops: told.hops.saturating_add(i32::from(told.event.is_some())),
        properties_json: Some(properties.to_string()),
        ..StorefrontEvent::default()
    }
}
