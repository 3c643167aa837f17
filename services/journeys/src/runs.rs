//! What happened, looked at by each of a customer's runs.

use schemas::CustomerView;
use stream::Context;

use crate::event::EventView;
use crate::policy::Policy;
use crate::scene::Scene;
use crate::state::{JourneysState, Run};
use crate::walk::Fate;
use crate::{Effects, memory};

/// Lets each run act, eldest first; none is what became of one that it does not concern. Those that end are remembered. Returns
/// whether any acted. Where nothing was told, who she is is what was told last.
pub(crate) fn visit(
    policy: &Policy,
    state: &mut JourneysState,
    told: Option<(&EventView<'_>, &CustomerView)>,
    context: &Context<'_>,
    effects: &mut Effects,
    act: impl Fn(&mut Run, &mut Scene<'_>) -> Option<Fate>,
) -> bool {
    if state.runs.is_empty() {
        return false;
    }
    let mut runs = std::mem::take(&mut state.runs);
    let (mut acted, mut ended) = (false, Vec::new());
    let mut scene = Scene {
        policy,
        customer: context.key,
        now: context.now,
        trace: context.trace,
        contact: state.contact.as_ref(),
        carts: &state.carts,
        profile: told.map(|(_, profile)| profile).or(state.customer.as_deref()),
        event: told.map(|(view, _)| view),
        effects,
    };
    for mut run in runs.drain(..) {
        let fate = act(&mut run, &mut scene);
        acted |= fate.is_some();
        match fate {
            Some(Fate::Ended(ending)) => ended.push((run, ending)),
            Some(Fate::Goes) | None => state.runs.push(run),
        }
    }
    for (run, ending) in ended {
        memory::note_end(policy, state, run, ending, context.now);
    }
    acted
}
