//! An attempt ended.
//!
//! Wanted properties:
//! - only what proves that nothing was done is tried again, as a new claim, and only while attempts and time are left;
//! - a marketing message whose attempt may have reached the customer ends as `unknown` and is never claimed again;
//! - a transactional one is claimed again, and ends as `sent` or `unknown`.

use domain::Timestamp;
use schemas::{Outcome, SuppressionReason};
use stream::{Context, Disposition};

use crate::Effects;
use crate::action::{Attempt, Completion, RefusalKind};
use crate::outcome::{Cause, Ending, bar, finish};
use crate::policy::Policy;
use crate::state::{MessagingState, PendingMessage, Phase};

/// What follows from an attempt.
enum Verdict {
    Ends(Ending),
    EndsAndBars(Ending),
    Waits(Phase, Timestamp),
}

/// Ends the message, or lets it wait for another attempt.
pub(crate) fn complete(
    policy: &Policy,
    state: &mut MessagingState,
    claim: &str,
    completion: Completion,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let is_of_claim = |message: &PendingMessage| message.is_claimed() && *message.claim_id() == *claim;
    let Some(index) = state.messages.iter().position(is_of_claim) else {
        return Disposition::Ignored("stale_completion");
    };
    let leaves_at_request = policy.settings.mode.leaves_at_request();
    let at = if leaves_at_request { context.now } else { completion.at.max(context.now) };
    match judge(policy, &mut state.messages[index], completion.attempt, at) {
        Verdict::Waits(phase, phase_at) => {
            let message = &mut state.messages[index];
            message.phase = phase;
            message.phase_at = phase_at;
        }
        Verdict::Ends(ending) => {
            let message = state.messages.remove(index);
            finish(policy, state, message, ending, context, effects);
        }
        Verdict::EndsAndBars(ending) => {
            let message = state.messages.remove(index);
            let (hash, shop, id) = (message.address_hash.clone(), message.shop.clone(), message.message_id.clone());
            let hops = message.hops;
            finish(policy, state, message, ending, context, effects);
            let reason = SuppressionReason::Bounced;
            let cause = Cause { reason, since: at, shop: &shop, message_id: Some(&id), hops };
            bar(policy, state, &hash, &cause, context, effects);
        }
    }
    Disposition::Emitted
}

fn judge(policy: &Policy, message: &mut PendingMessage, attempt: Attempt, at: Timestamp) -> Verdict {
    let was_tried = !matches!(attempt, Attempt::Dropped | Attempt::Expired | Attempt::RenderFailed(_));
    message.attempts = message.attempts.saturating_add(i32::from(was_tried));
    match attempt {
        Attempt::Sent => Verdict::Ends(Ending::new(Outcome::Sent, at)),
        Attempt::Expired => Verdict::Ends(Ending::new(Outcome::Expired, at)),
        Attempt::RenderFailed(reason) => Verdict::Ends(Ending::new(Outcome::RenderFailed, at).because(reason)),
        Attempt::Dropped => match message.withdrawal.take() {
            Some(withdrawal) => Verdict::Ends(Ending::withdrawn(withdrawal, at)),
            None => Verdict::Waits(Phase::Ready, at),
        },
        Attempt::Refused(refusal) => match refusal.kind {
            RefusalKind::Temporary => again(policy, message, &refusal.reason, at),
            RefusalKind::Permanent => Verdict::Ends(Ending::new(Outcome::Failed, at).because(refusal.reason)),
            RefusalKind::NoSuchAddress => {
                Verdict::EndsAndBars(Ending::new(Outcome::Failed, at).because(refusal.reason))
            }
        },
        Attempt::NotConnected(reason) => again(policy, message, &reason, at),
        Attempt::Uncertain(reason) if policy.is_transactional(&message.category) => {
            message.uncertain = true;
            again(policy, message, &reason, at)
        }
        Attempt::Uncertain(reason) => Verdict::Ends(Ending::new(Outcome::Unknown, at).because(reason)),
    }
}

/// Another attempt, if attempts and time are left and nobody withdrew the message.
fn again(policy: &Policy, message: &mut PendingMessage, reason: &str, at: Timestamp) -> Verdict {
    if let Some(withdrawal) = message.withdrawal.take() {
        return Verdict::Ends(Ending::withdrawn(withdrawal, at));
    }
    let retry = &policy.settings.retry;
    if message.attempts >= i32::from(retry.attempts) {
        return Verdict::Ends(Ending::new(Outcome::Failed, at).because(format!("attempts_used_up: {reason}")));
    }
    if policy.settings.mode.leaves_at_request() {
        return Verdict::Waits(Phase::Ready, at);
    }
    let next = at + retry.wait_after(message.attempts, &message.message_id);
    if next >= message.expires_at {
        return Verdict::Ends(
            Ending::new(Outcome::Expired, at).because(format!("no_time_for_another_attempt: {reason}")),
        );
    }
    Verdict::Waits(Phase::Retry, next)
}
