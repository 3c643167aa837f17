//! A run ended, or the customer is forgotten: what was asked for and is not yet claimed is not to be sent.

use stream::{Context, Disposition};

use crate::Effects;
use crate::input::Cancel;
use crate::outcome::withdraw;
use crate::policy::Policy;
use crate::reachability;
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

/// Nothing more is sent to her, and nothing that is personal is kept: what waits ends now, what is on its way when it has its
/// outcome; and nothing is published of her any more. What stays is which messages had one, so that no repeat is sent, and hashes of
/// addresses that must not be written to.
pub(crate) fn forget(
    policy: &Policy,
    state: &mut MessagingState,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let withdrawal = Withdrawal { outcome: WithdrawalOutcome::Cancelled, reason: Some("erased".to_owned()) };
    withdraw(policy, state, |_| true, &withdrawal, context, effects);
    reachability::forget(state, context, effects);
    Disposition::Emitted
}
