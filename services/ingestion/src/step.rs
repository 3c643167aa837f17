//! The resolver's step: it only dispatches.

use std::convert::Infallible;

use stream::{Cause, Context, Disposition, Effects};

use crate::output::Resolved;
use crate::policy::ResolverPolicy;
use crate::received::{self, Received};
use crate::state::ResolverState;

pub(crate) fn step(
    policy: &ResolverPolicy,
    state: &mut ResolverState,
    cause: Cause<Received, Infallible>,
    context: &Context<'_>,
    effects: &mut Effects<Resolved, Infallible>,
) -> Disposition {
    match cause {
        Cause::Record(received) => received::resolve(policy, state, received, context, effects),
        Cause::Timer => {
            state.expire(context.now);
            Disposition::Emitted
        }
        Cause::Completed(_, never) => match never {},
        // The resolver claims nothing and follows no definitions: nobody asks for these.
        Cause::Claim | Cause::Abandoned | Cause::PolicyChanged => Disposition::Ignored("not_asked_for"),
    }
}
