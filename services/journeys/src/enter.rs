//! A trigger: whether it opens a run.

use std::sync::Arc;

use schemas::{CustomerView, Decision, MAX_HOPS};
use stream::Context;

use crate::event::EventView;
use crate::policy::{CompiledJourney, Entrance, Policy};
use crate::scene::{Note, Scene};
use crate::state::{ArmChoice, JourneysState, MAX_RUNS, Run, WaitsFor};
use crate::walk::{Fate, go_on};
use crate::{Effects, ids, memory};

/// What became of a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Entered,
    Refused(&'static str),
}

/// Opens a run of the journey, or records why not. That a run is active already, or that the event is imported history,
/// is no decision about the customer: it is only counted.
pub(crate) fn enter(
    policy: &Policy,
    state: &mut JourneysState,
    compiled: &Arc<CompiledJourney>,
    view: &EventView<'_>,
    profile: &CustomerView,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Entry {
    let journey = &compiled.journey;
    let open_cart = state.open_cart().and_then(|cart| cart.cart_id.clone());
    let key = view.correlation_key(journey.correlate.as_ref(), open_cart.as_deref());
    if state.runs.iter().any(|run| run.journey == journey.name && *run.key == *key) {
        return Entry::Refused("run_active");
    }
    if view.event.historical && !policy.settings.open_from_history {
        return Entry::Refused("historical");
    }
    let arm = state.arms.iter().find(|arm| arm.journey == journey.name).map(|arm| arm.holdout);
    let refusal = refusal(policy, state, compiled, view, context, &key);
    let holdout = arm.unwrap_or_else(|| {
        let share = journey.holdout.basis_points();
        ids::held_out(&policy.settings.holdout_seed, &journey.name, context.key, share)
    });
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
    if let Some(reason) = refusal {
        scene.refuse(compiled, &key, holdout, reason);
        return Entry::Refused(reason);
    }
    let ordinal = memory::ordinal(state, &journey.name, &key, context.now);
    let trace = context.trace.cloned().or_else(|| view.event.traceparent.as_deref().map(Into::into));
    let mut run = Run {
        journey: Arc::clone(&journey.name),
        version: journey.version,
        run_id: ids::run(context.key, &journey.name, &key, context.now, ordinal).into(),
        key: key.into(),
        holdout,
        shop: view.event.shop.as_str().into(),
        started_at: context.now,
        ordinal,
        trigger: view.trigger(compiled),
        position: 0,
        step: Arc::from(""),
        waits_for: WaitsFor::Time,
        wakes_at: None,
        held_since: None,
        restarts: 0,
        steps: Vec::new(),
        traceparent: trace,
        hops: view.event.hops,
    };
    scene.decide(&run, Decision::Entered, &Note::default());
    let fate = go_on(&mut run, compiled, false, &mut scene);
    if arm.is_none() {
        state.arms.push(ArmChoice { journey: Arc::clone(&journey.name), holdout });
    }
    match fate {
        Fate::Goes => state.runs.push(run),
        Fate::Ended(ending) => memory::note_end(policy, state, run, ending, context.now),
    }
    Entry::Entered
}

fn refusal(
    policy: &Policy,
    state: &JourneysState,
    compiled: &CompiledJourney,
    view: &EventView<'_>,
    context: &Context<'_>,
    key: &str,
) -> Option<&'static str> {
    let journey = &compiled.journey;
    match policy.entrance(compiled) {
        Entrance::Paused => return Some("paused"),
        Entrance::Stopped => return Some("stopped"),
        Entrance::Open => {}
    }
    if view.event.hops >= MAX_HOPS {
        return Some("too_many_hops");
    }
    // A past is as old as it is when it is heard of, in a replay as well. What came in time, and was overtaken by what she did
    // long after it, is late, too: what ended it may be forgotten by then.
    let now = context.now.as_millis();
    let (heard_at, may_be_late) = if view.is_past {
        (now, true)
    } else {
        (view.event.received_at.max(now), !policy.settings.replay && !view.event.historical)
    };
    if may_be_late && heard_at.saturating_sub(view.event.event_time) > policy.settings.late_limit.as_millis() {
        return Some("too_late");
    }
    if memory::exited_after(state, &journey.name, key, view.time()) {
        return Some("exited_later");
    }
    if memory::ran_since(state, &journey.name, key, view) {
        return Some("ran_since");
    }
    if memory::ended_within(state, journey, key, context.now) {
        return Some("reentry");
    }
    (state.runs.len() >= MAX_RUNS).then_some("too_many_runs")
}
