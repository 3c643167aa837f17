//! The time has come that a run waits for, or at which something is forgotten.

use stream::{Context, Disposition};

use crate::Effects;
use crate::policy::Policy;
use crate::runs::visit;
use crate::state::{JourneysState, Run};
use crate::walk::{Fate, Settled, settle, wake};

pub(crate) fn fire(
    policy: &Policy,
    state: &mut JourneysState,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let now = context.now;
    let due = |run: &Run| run.wakes_at.is_some_and(|time| time <= now);
    visit(policy, state, None, context, effects, |run, scene| {
        due(run).then(|| match settle(run, scene) {
            Settled::Goes { compiled, paused } if due(run) => wake(run, &compiled, paused, scene),
            Settled::Goes { .. } => Fate::Goes,
            Settled::Ended(ending) => Fate::Ended(ending),
        })
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
    visit(policy, state, None, context, effects, |run, scene| {
        run.waits_for_policy().then(|| match settle(run, scene) {
            Settled::Goes { .. } => Fate::Goes,
            Settled::Ended(ending) => Fate::Ended(ending),
        })
    });
    // Whatever it did, this revision has been seen, and that has to be kept.
    Disposition::Emitted
}
