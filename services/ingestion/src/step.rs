//! The resolver's step: it only dispatches.

use std::convert::Infallible;

use stream::{Cause, Context, Disposition, Effects};

use crate::input::Input;
use crate::output::Resolved;
use crate::policy::ResolverPolicy;
use crate::state::ResolverState;
use crate::{privacy, received};

pub(crate) fn step(
    policy: &ResolverPolicy,
    state: &mut ResolverState,
    cause: Cause<Input, Infallible>,
    context: &Context<'_>,
    effects: &mut Effects<Resolved, Infallible>,
) -> Disposition {
    match cause {
        Cause::Record(Input::Received(received)) => received::resolve(policy, state, received, context, effects),
        Cause::Record(Input::Privacy(request)) => privacy::receive(state, *request, context, effects),
        Cause::Timer => {
            state.expire(context.now);
            Disposition::Emitted
        }
        Cause::Completed(_, never) => match never {},
        // The resolver claims nothing and follows no definitions: nobody asks for these.
        Cause::Claim | Cause::Abandoned | Cause::PolicyChanged => Disposition::Ignored("not_asked_for"),
    }
}
