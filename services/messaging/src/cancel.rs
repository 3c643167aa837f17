//! A run ended: what it asked for and is not yet claimed is not to be sent.

use stream::{Context, Disposition};

use crate::Effects;
use crate::input::Cancel;
use crate::outcome::withdraw;
use crate::policy::Policy;
use crate::state::{MessagingState, Withdrawal, WithdrawalOutcome};

pub(crate) fn cancel(
    policy: &Policy,
    state: &mut MessagingState,
    cancel: Cancel,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let Cancel { run_id, reason } = cancel;
    let withdrawal = Withdrawal { outcome: WithdrawalOutcome::Cancelled, reason };
    match withdraw(policy, state, |message| message.run_id == run_id, &withdrawal, context, effects) {
        0 => Disposition::Ignored("nothing_waits"),
        _ => Disposition::Emitted,
    }
}
