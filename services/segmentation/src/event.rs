//! The customer did something.

use schemas::{EventKind, StorefrontEvent};
use stream::{Context, Disposition};

use crate::policy::Policy;
use crate::state::SegmentationState;

pub(crate) fn count(
    policy: &Policy,
    state: &mut SegmentationState,
    event: &StorefrontEvent,
    context: &Context<'_>,
) -> Disposition {
    if matches!(event.kind, EventKind::Alias | EventKind::Group) {
        return Disposition::Ignored("nothing_done");
    }
    state.events = state.events.saturating_add(1);
    state.forget_at = Some(context.now + policy.settings.forget_after);
    Disposition::Emitted
}
