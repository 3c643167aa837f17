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
    match event.kind {
        // She asked to be forgotten, or the visitor is known as somebody by now.
        EventKind::Erased | EventKind::Moved => {
            *state = SkeletonState::default();
            return Disposition::Emitted;
        }
        // Of what the visitor did before (`identified`) a service takes over what concerns it.
        EventKind::Alias | EventKind::Identified | EventKind::Group => return Disposition::Ignored("nothing_done"),
        _ => {}
    }
    state.events = state.events.saturating_add(1);
    state.forget_at = Some(context.now + policy.settings.forget_after);
    Disposition::Emitted
}
