//! The time has come that a run waits for, or at which something is forgotten.

use stream::{Context, Disposition};

use crate::policy::Policy;
use crate::scene::Scene;
use crate::state::{JourneysState, Run};
use crate::walk::{Fate, Settled, settle, wake};
use crate::{Effects, memory};

pub(crate) fn fire(
    policy: &Policy,
    state: &mut JourneysState,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let now = context.now;
    let due = |run: &Run| run.wakes_at.is_some_and(|time| time <= now);
    visit(policy, state, context, effects, due, |run, scene| match settle(run, scene) {
        Settled::Goes { compiled, paused } if due(run) => wake(run, &compiled, paused, scene),
        Settled::Goes { .. } => Fate::Goes,
        Settled::Ended(ending) => Fate::Ended(ending),
    });
    state.forget(now);
    Disposition::Emitted
}

/// The policy changed: what is paused or stopped cancels its open messages, what was resumed goes on.
pub(crate) fn policy_changed(
    policy: &Policy,
    state: &mut JourneysState,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    visit(policy, state, context, effects, Run::waits_for_policy, |run, scene| match settle(run, scene) {
        Settled::Goes { .. } => Fate::Goes,
        Settled::Ended(ending) => Fate::Ended(ending),
    });
    // Whatever it did, this revision has been seen, and that has to be kept.
    Disposition::Emitted
}

/// Does something with the runs that are `concerned`, and remembers those that end by it.
fn visit(
    policy: &Policy,
    state: &mut JourneysState,
    context: &Context<'_>,
    effects: &mut Effects,
    concerned: impl Fn(&Run) -> bool,
    act: impl Fn(&mut Run, &mut Scene<'_>) -> Fate,
) {
    let mut runs = std::mem::take(&mut state.runs);
    let mut ended = Vec::new();
    let mut scene = Scene {
        policy,
        customer: context.key,
        now: context.now,
        trace: context.trace,
        contact: state.contact.as_ref(),
        carts: &state.carts,
        profile: state.customer.as_deref(),
        event: None,
        effects,
    };
    for mut run in runs.drain(..) {
        if !concerned(&run) {
            state.runs.push(run);
            continue;
        }
        match act(&mut run, &mut scene) {
            Fate::Goes => state.runs.push(run),
            Fate::Ended(ending) => ended.push((run, ending)),
        }
    }
    for (run, ending) in ended {
        memory::note_end(policy, state, run, ending, context.now);
    }
}
