//! A visitor is recognised: what she did before, on a device that nobody knew, becomes the customer's.
//!
//! Wanted properties:
//! - what is still open of it may begin a run, at the moment of recognition, so that nothing is sent at that moment;
//! - what she has bought meanwhile, under whichever id it was told, begins nothing and ends what began before; nor does
//!   anything begin that is too late;
//! - under the visitor's id everything ends.

use std::collections::HashSet;

use domain::Timestamp;
use schemas::{CustomerView, Decision, EventKind, StorefrontEvent};
use stream::{Context, Disposition};

use crate::event::EventView;
use crate::policy::Policy;
use crate::scene::Scene;
use crate::state::{JourneysState, Run};
use crate::walk::{Fate, end};
use crate::{Effects, cart, enter, erased, memory};

/// Under the customer's id: takes over the device's carts and exits, and opens a run for the last trigger of each journey and
/// correlation key.
pub(crate) fn recognised(
    policy: &Policy,
    state: &mut JourneysState,
    identified: &StorefrontEvent,
    profile: &CustomerView,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let (written, before) = (effects.outputs.len(), state.clone());
    let past: Vec<StorefrontEvent> = identified.past_events().filter(|past| past.kind == EventKind::Track).collect();
    let views: Vec<EventView<'_>> =
        past.iter().map(EventView::of_past).filter(|view| !view.is_of_a_machine()).collect();
    // What lies before any order of hers may have been bought with it.
    let last_order_at = profile.last_order_at.map_or(Timestamp::MIN, Timestamp::from_millis);
    for view in &views {
        if view.time() > last_order_at {
            cart::observe(&mut state.carts, view, view.time().min(context.now));
        }
        memory::note_exits(policy, state, view, context.now);
        if view.is("Order Completed") {
            cart::close_past(&mut state.carts, view.event.cart_id.as_deref(), view.time());
        }
        end_what_it_exits(policy, state, view, profile, context, effects);
    }
    state.carts.retain(|cart| cart.closes_at() > context.now);
    state.carts.sort_by_key(|cart| cart.changed_at);
    let mut seen = HashSet::new();
    for view in views.iter().rev() {
        for compiled in policy.listeners(&view.event.name) {
            let key = view.correlation_key(compiled.journey.correlate.as_ref(), None);
            if view.triggers(&compiled.journey) && seen.insert((compiled.journey.name.clone(), key)) {
                enter::enter(policy, state, compiled, view, profile, context, effects);
            }
        }
    }
    if *state == before && effects.outputs.len() == written {
        return Disposition::Ignored("nothing_open");
    }
    state.known = true;
    state.touched_at = Some(context.now);
    Disposition::Emitted
}

/// What she did on the device ends those of her runs that it exits, unless they began since.
fn end_what_it_exits(
    policy: &Policy,
    state: &mut JourneysState,
    view: &EventView<'_>,
    profile: &CustomerView,
    context: &Context<'_>,
    effects: &mut Effects,
) {
    let exits = |run: &Run| {
        let compiled = policy.version(&run.journey, run.version);
        compiled.is_some_and(|compiled| {
            let is_exit = compiled.journey.exits.iter().any(|exit| view.matches(exit, run, compiled));
            is_exit && run.trigger.event_time <= view.time()
        })
    };
    let (ended, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut state.runs).into_iter().partition(exits);
    state.runs = kept;
    let mut scene = Scene {
        policy,
        customer: context.key,
        now: context.now,
        trace: context.trace,
        contact: state.contact.as_ref(),
        carts: &state.carts,
        profile: Some(profile),
        event: Some(view),
        effects,
    };
    let mut endings = Vec::with_capacity(ended.len());
    for mut run in ended {
        if let Fate::Ended(ending) = end(&mut run, Decision::Exited, Some(&view.event.name), &mut scene) {
            endings.push((run, ending));
        }
    }
    for (run, ending) in endings {
        memory::note_end(policy, state, run, ending, context.now);
    }
}

/// Under the visitor's id: she is somebody else from now on.
pub(crate) fn moved(
    policy: &Policy,
    state: &mut JourneysState,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    if *state == JourneysState::default() {
        return Disposition::Ignored("nothing_known");
    }
    erased::end_all(policy, state, "recognised", context, effects);
    Disposition::Emitted
}
