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
        // Of whom nothing is known nothing is to be judged or forgotten.
        _ if *state == SegmentationState::default() => Disposition::Ignored("nothing_known"),
        Cause::Record(Input::Erased | Input::Moved) => forget(policy, state, context, effects),
        Cause::Timer if state.ends_at().is_some_and(|end| end <= context.now) => {
            forget(policy, state, context, effects)
        }
        Cause::Timer => {
            hear_of_definitions(policy, state, context, effects);
            state.close_idle_cart(context.now);
            judge(policy, state, Occasion::Time, context.now, context, effects);
            Disposition::Emitted
        }
        Cause::PolicyChanged => {
            // Of somebody silent, her own time stands still. What new definitions make of her, they make of her as of when
            // they were applied: what time did to her before is no news then. But never of more than is known by now.
            let applied_at = policy.applied_at().map_or(context.now, |applied_at| applied_at.min(context.watermark));
            judge(policy, state, Occasion::Definition, applied_at.max(context.now), context, effects);
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
    if let Some(reason) = event::refusal(event) {
        return Disposition::Ignored(reason);
    }
    hear_of_definitions(policy, state, context, effects);
    event::learn(state, event, context.now);
    judge(policy, state, Occasion::Event(event), context.now, context, effects);
    state.policy_seen = Some(context.revision);
    Disposition::Emitted
}

/// What new definitions make of her is not put down to what she does, or time, before she is told of them.
fn hear_of_definitions(policy: &Policy, state: &mut SegmentationState, context: &Context<'_>, effects: &mut Effects) {
    if state.policy_seen.is_some_and(|seen| seen != context.revision) {
        judge(policy, state, Occasion::Definition, context.now, context, effects);
        state.policy_seen = Some(context.revision);
    }
}

fn forget(policy: &Policy, state: &mut SegmentationState, context: &Context<'_>, effects: &mut Effects) -> Disposition {
    leave_all(policy, state, context, effects);
    *state = SegmentationState::default();
    Disposition::Emitted
}
