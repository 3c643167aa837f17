//! The customer did something: what is known of her grows, runs end, go on or begin.
//!
//! An event that ends a run may open the next one of the same journey; a run that it opens is not touched by it again.

use definitions::{Awaited, Wait};
use schemas::{CustomerView, Decision, EventKind, StorefrontEvent};
use stream::{Context, Disposition};

use crate::event::EventView;
use crate::policy::{CompiledJourney, Policy};
use crate::program::{Operation, Place};
use crate::runs::visit;
use crate::scene::Scene;
use crate::state::{JourneysState, Run};
use crate::walk::{Fate, Settled, end, resolve, restart, settle, standing_at};
use crate::{Effects, cart, contact, enter, memory};

/// Events that say that a link of a message was followed.
const CLICKS: [&str; 2] = ["Email Link Clicked", "Push Notification Tapped"];

pub(crate) fn receive(
    policy: &Policy,
    state: &mut JourneysState,
    event: &StorefrontEvent,
    profile: &CustomerView,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    match event.kind {
        EventKind::Alias => return Disposition::Ignored("alias"),
        EventKind::Group => return Disposition::Ignored("group"),
        EventKind::Identified | EventKind::Moved | EventKind::Erased => return Disposition::Ignored("identity"),
        EventKind::Other => return Disposition::Ignored("unknown_kind"),
        EventKind::Track | EventKind::Identify | EventKind::Page | EventKind::Screen => {}
    }
    let view = EventView::new(event);
    if event.is_of_a_machine() {
        return Disposition::Ignored("machine");
    }
    let written = effects.outputs.len();
    let mut changed = contact::observe(&mut state.contact, event);
    let mut reason = "no_journey";
    if event.kind == EventKind::Track {
        changed |= cart::observe(&mut state.carts, &view, context.now);
        let (acted, refused) = act(policy, state, &view, profile, context, effects);
        changed |= acted;
        reason = refused.unwrap_or(reason);
        if event.name == "Order Completed" {
            changed |= cart::close(&mut state.carts, event.cart_id.as_deref());
        }
    }
    if is_kept(state) {
        changed |= contact::observe_device(&mut state.contact, event);
    }
    if changed {
        state.known |= event.names_a_customer()
            || state.contact.as_ref().is_some_and(|contact| contact.email.is_some() || contact.phone.is_some());
        state.touched_at = Some(context.now);
    }
    if changed || effects.outputs.len() > written { Disposition::Emitted } else { Disposition::Ignored(reason) }
}

/// What happened moves the runs that it concerns, and opens those that it triggers. Returns whether anything changed, and why
/// the last run that it might have opened was refused.
pub(crate) fn act(
    policy: &Policy,
    state: &mut JourneysState,
    view: &EventView<'_>,
    profile: &CustomerView,
    context: &Context<'_>,
    effects: &mut Effects,
) -> (bool, Option<&'static str>) {
    let mut changed =
        visit(policy, state, Some((view, profile)), context, effects, |run, scene| react(run, view, scene));
    changed |= memory::note_exits(policy, state, view, context.now);
    let mut reason = None;
    for compiled in policy.listeners(&view.event.name) {
        if view.triggers(&compiled.journey) {
            match enter::enter(policy, state, compiled, view, profile, context, effects) {
                enter::Entry::Entered => changed = true,
                enter::Entry::Refused(refused) => reason = Some(refused),
            }
        }
    }
    (changed, reason)
}

/// Whether something is kept of the customer that a message could come of.
fn is_kept(state: &JourneysState) -> bool {
    let reachable = state.contact.as_ref().is_some_and(|contact| contact.email.is_some() || contact.phone.is_some());
    reachable || !state.runs.is_empty() || !state.carts.is_empty()
}

/// What it does to a run; nothing where it does not concern it.
fn react(run: &mut Run, view: &EventView<'_>, scene: &mut Scene<'_>) -> Option<Fate> {
    // What was imported from before the run began says nothing about it.
    if view.event.historical && view.time() < run.trigger.event_time {
        return None;
    }
    let (held, open) = (run.held_since, run.waits_for_policy());
    let (compiled, paused) = match settle(run, scene) {
        Settled::Goes { compiled, paused } => (compiled, paused),
        Settled::Ended(ending) => return Some(Fate::Ended(ending)),
    };
    if compiled.journey.exits.iter().any(|exit| view.matches(exit, run, &compiled)) {
        return Some(end(run, Decision::Exited, Some(&view.event.name), scene));
    }
    let settled = held != run.held_since || open != run.waits_for_policy();
    let unmoved = if note_click(run, view) | settled { Some(Fate::Goes) } else { None };
    if run.held_since.is_some() {
        return unmoved;
    }
    let Some(Place { operation: Operation::Wait(wait), .. }) = standing_at(run, &compiled) else { return unmoved };
    let awaited = match &wait.wait {
        Wait::For { what, .. } => what.iter().any(|awaited| happened(awaited, run, view, &compiled)),
        Wait::Duration(_) | Wait::Until { .. } => false,
    };
    if awaited {
        return Some(resolve(run, &compiled, "event", paused, scene));
    }
    if wait.restart_on.iter().any(|pattern| view.matches(pattern, run, &compiled)) {
        restart(run, &compiled, scene);
        return Some(Fate::Goes);
    }
    unmoved
}

fn happened(awaited: &Awaited, run: &Run, view: &EventView<'_>, compiled: &CompiledJourney) -> bool {
    let Awaited::Event { pattern, about } = awaited else { return false };
    view.matches(pattern, run, compiled)
        && about.as_ref().is_none_or(|step| {
            let message = run.step(step).and_then(|step| step.message_id.as_deref());
            message.is_some() && view.property("message_id").as_deref() == message
        })
}

fn note_click(run: &mut Run, view: &EventView<'_>) -> bool {
    if !CLICKS.iter().any(|click| view.is(click)) {
        return false;
    }
    let Some(message) = view.property("message_id") else { return false };
    let step = run.steps.iter_mut().find(|step| step.message_id.as_deref() == Some(&*message) && !step.clicked);
    step.is_some_and(|step| {
        step.clicked = true;
        true
    })
}
