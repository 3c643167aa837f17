//! A worker took over: of the claims that it finds, nobody will tell the outcome.

use schemas::Outcome;
use stream::{Context, Disposition};

use crate::Effects;
use crate::outcome::{Ending, finish};
use crate::policy::Policy;
use crate::state::{MessagingState, PendingMessage, Phase};

/// Ends what was claimed as `unknown`; a transactional message is sent again, under the same Message-ID.
pub(crate) fn abandon(
    policy: &Policy,
    state: &mut MessagingState,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let (claimed, kept): (Vec<_>, Vec<_>) =
        std::mem::take(&mut state.messages).into_iter().partition(PendingMessage::is_claimed);
    state.messages = kept;
    for mut message in claimed {
        message.attempts = message.attempts.saturating_add(1);
        if is_sent_again(policy, &message, context) {
            message.uncertain = true;
            message.phase = Phase::Ready;
            message.phase_at = context.now;
            state.messages.push(message);
        } else {
            let ending = Ending::new(Outcome::Unknown, context.now).because("worker_lost");
            finish(policy, state, message, ending, context, effects);
        }
    }
    Disposition::Emitted
}

fn is_sent_again(policy: &Policy, message: &PendingMessage, context: &Context<'_>) -> bool {
    policy.is_transactional(&message.category)
        && message.withdrawal.is_none()
        && message.attempts < i32::from(policy.settings.retry.attempts)
        && context.now < message.expires_at
}
