//! Dispatches.

use std::convert::Infallible;

use stream::{Cause, Context, Disposition};

use crate::input::Input;
use crate::policy::Policy;
use crate::state::{JourneysState, Run};
use crate::{Effects, customer_event, erased, outcome, timer};

pub(crate) fn step(
    policy: &Policy,
    state: &mut JourneysState,
    cause: Cause<Input, Infallible>,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let disposition = dispatch(policy, state, cause, context, effects);
    if disposition == Disposition::Emitted {
        if !policy.reads_customer(&state.runs) {
            state.customer = None;
        }
        state.policy_seen = state.runs.iter().any(Run::waits_for_policy).then_some(context.revision);
    }
    disposition
}

fn dispatch(
    policy: &Policy,
    state: &mut JourneysState,
    cause: Cause<Input, Infallible>,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    match cause {
        Cause::Record(Input::Event(told)) => customer_event::receive(policy, state, &told, context, effects),
        Cause::Record(Input::Outcome(outcome)) => outcome::receive(policy, state, &outcome, context, effects),
        Cause::Record(Input::Erased) => erased::forget(policy, state, context, effects),
        Cause::Timer => timer::fire(policy, state, context, effects),
        Cause::PolicyChanged => timer::policy_changed(policy, state, context, effects),
        Cause::Completed(_, never) => match never {},
        // It claims nothing: all that it wants done, messaging does.
        Cause::Claim | Cause::Abandoned => Disposition::Ignored("no_claims"),
    }
}
