//! The customer is forgotten.

use schemas::Decision;
use stream::{Context, Disposition};

use crate::Effects;
use crate::output::Output;
use crate::policy::Policy;
use crate::scene::Scene;
use crate::state::JourneysState;
use crate::walk::end;

/// Ends her runs, so that nothing more is sent and each has its end on record; then nothing is known of her, here and at
/// messaging, which is told even where nothing was known here.
pub(crate) fn forget(
    policy: &Policy,
    state: &mut JourneysState,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let mut forgotten = std::mem::take(state);
    let mut scene = Scene {
        policy,
        customer: context.key,
        now: context.now,
        trace: context.trace,
        contact: None,
        carts: &[],
        profile: None,
        event: None,
        effects,
    };
    for run in &mut forgotten.runs {
        end(run, Decision::Exited, Some("erased"), &mut scene);
    }
    effects.emit(Output::Forgotten(context.key.clone()));
    Disposition::Emitted
}
