//! Who decides what: nothing is decided here.

use stream::{Cause, Context, Disposition};

use crate::action::Completion;
use crate::input::Input;
use crate::policy::Policy;
use crate::state::MessagingState;
use crate::{Effects, abandoned, cancel, claim, completed, elapsed, request, subscribe, unsubscribe};

pub(crate) fn step(
    policy: &Policy,
    state: &mut MessagingState,
    cause: Cause<Input, Completion>,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    match cause {
        Cause::Record(Input::Request(request)) => request::receive(policy, state, *request, context, effects),
        Cause::Record(Input::Cancel(cancel)) => cancel::cancel(policy, state, cancel, context, effects),
        Cause::Record(Input::Unsubscribe(wish)) => unsubscribe::unsubscribe(policy, state, &wish, context, effects),
        Cause::Record(Input::Subscribe(wish)) => subscribe::subscribe(policy, state, &wish, context, effects),
        Cause::Record(Input::Erased) => cancel::forget(policy, state, context, effects),
        Cause::Record(Input::Unknown) => Disposition::Ignored("newer_than_this_reader"),
        Cause::Timer => elapsed::elapse(policy, state, context, effects),
        Cause::Claim => claim::claim(policy, state, context, effects),
        Cause::Completed(claim, completion) => completed::complete(policy, state, &claim, completion, context, effects),
        Cause::Abandoned => abandoned::abandon(policy, state, context, effects),
        Cause::PolicyChanged => Disposition::Ignored("nothing_held"),
    }
}
