//! The customer is forgotten.

use schemas::Decision;
use stream::{Context, Disposition};

use crate::Effects;
use crate::output::Output;
use crate::policy::Policy;
use crate::runs::visit;
use crate::state::JourneysState;
use crate::walk::end;

/// Nothing is known of her any more, here and at messaging, which is told even where nothing was known here.
pub(crate) fn forget(
    policy: &Policy,
    state: &mut JourneysState,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    end_all(policy, state, "erased", context, effects);
    effects.emit(Output::Forgotten(context.key.clone()));
    Disposition::Emitted
}

/// Ends all runs, so that nothing more is sent and each has its end on record; nothing else is kept.
pub(crate) fn end_all(
    policy: &Policy,
    state: &mut JourneysState,
    reason: &str,
    context: &Context<'_>,
    effects: &mut Effects,
) {
    visit(policy, state, None, context, effects, |run, scene| Some(end(run, Decision::Exited, Some(reason), scene)));
    *state = JourneysState::default();
}
