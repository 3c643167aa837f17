//! Dispatches.

use std::convert::Infallible;

use stream::{Cause, Context, Disposition};

use crate::input::Input;
use crate::policy::Policy;
use crate::state::SegmentationState;
use crate::{Effects, event};

pub(crate) fn step(
    policy: &Policy,
    state: &mut SegmentationState,
    cause: Cause<Input, Infallible>,
    context: &Context<'_>,
    _: &mut Effects,
) -> Disposition {
    match cause {
        Cause::Record(Input::Event(event)) => event::count(policy, state, &event, context),
        // She is forgotten: nobody heard of her for long, or she asked for it.
        Cause::Record(Input::Erased) | Cause::Timer => {
            *state = SegmentationState::default();
            Disposition::Emitted
        }
        Cause::Completed(_, never) => match never {},
        // It claims nothing and holds for no change of its policy.
        Cause::Claim | Cause::Abandoned | Cause::PolicyChanged => Disposition::Ignored("not_asked_for"),
    }
}
