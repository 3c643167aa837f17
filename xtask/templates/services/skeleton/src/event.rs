//! The customer did something.

use schemas::{EventKind, StorefrontEvent};
use stream::{Context, Disposition};

use crate::policy::Policy;
use crate::state::SkeletonState;

pub(crate) fn count(
    policy: &Policy,
    state: &mut SkeletonState,
    event: &StorefrontEvent,
    context: &Context<'_>,
) -> Disposition {
    // Where it keeps something of visitors, it takes over what concerns it of `identified`, and ends it on `moved`.
    let of_her_ids = matches!(event.kind, EventKind::Alias | EventKind::Identified | EventKind::Moved | EventKind::Erased);
    if of_her_ids || event.kind == EventKind::Group {
        return Disposition::Ignored("nothing_done");
    }
    state.events = state.events.saturating_add(1);
    state.forget_at = Some(context.now + policy.settings.forget_after);
    Disposition::Emitted
}
