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
use crate::runs::visit;
use crate::state::JourneysState;
use crate::walk::end;
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
        past.iter().filter(|past| !past.is_of_a_machine()).map(EventView::of_past).collect();
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
    visit(policy, state, Some((view, profile)), context, effects, |run, scene| {
        let compiled = policy.version(&run.journey, run.version)?;
        let exits = compiled.journey.exits.iter().any(|exit| view.matches(exit, run, compiled));
        let since = run.trigger.event_time > view.time();
        (exits && !since).then(|| end(run, Decision::Exited, Some(&view.event.name), scene))
    });
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
