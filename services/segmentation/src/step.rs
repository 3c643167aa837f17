//! Dispatches.

use std::convert::Infallible;

use schemas::StorefrontEvent;
use stream::{Cause, Context, Disposition};

use crate::input::Input;
use crate::judge::{Occasion, judge, leave_all};
use crate::policy::Policy;
use crate::state::SegmentationState;
use crate::{Effects, event};

pub(crate) fn step(
    policy: &Policy,
    state: &mut SegmentationState,
    cause: Cause<Input, Infallible>,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    match cause {
        Cause::Record(Input::Event(event)) => receive(policy, state, &event, context, effects),
        Cause::Record(Input::Erased) => forget(policy, state, context, effects),
        Cause::Timer if state.ends_at().is_some_and(|end| end <= context.now) => {
            forget(policy, state, context, effects)
        }
        Cause::Timer => {
            state.close_idle_cart(context.now);
            judge(policy, state, Occasion::Time, context, effects);
            Disposition::Emitted
        }
        Cause::PolicyChanged => {
            judge(policy, state, Occasion::Definition, context, effects);
            state.policy_seen = Some(context.revision);
            Disposition::Emitted
        }
        Cause::Completed(_, never) => match never {},
        Cause::Claim | Cause::Abandoned => Disposition::Ignored("no_claims"),
    }
}

fn receive(
    policy: &Policy,
    state: &mut SegmentationState,
    event: &StorefrontEvent,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    // What new definitions make of her is not put down to what she did just now.
    if state.policy_seen.is_some_and(|seen| seen != context.revision) {
        judge(policy, state, Occasion::Definition, context, effects);
        state.policy_seen = Some(context.revision);
    }
    if let Err(reason) = event::learn(state, event, context.now) {
        return Disposition::Ignored(reason);
    }
    judge(policy, state, Occasion::Event(event), context, effects);
    state.policy_seen = Some(context.revision);
    Disposition::Emitted
}

fn forget(policy: &Policy, state: &mut SegmentationState, context: &Context<'_>, effects: &mut Effects) -> Disposition {
    leave_all(policy, state, context, effects);
    *state = SegmentationState::default();
    Disposition::Emitted
}
