//! A time has come: messages expire or are tried again, and what was remembered long enough is forgotten.

use schemas::Outcome;
use stream::{Context, Disposition};

use crate::Effects;
use crate::outcome::{Ending, finish};
use crate::policy::Policy;
use crate::state::{MessagingState, Phase};

pub(crate) fn elapse(
    policy: &Policy,
    state: &mut MessagingState,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let now = context.now;
    let expired = state.messages.extract_if(.., |message| !message.is_claimed() && message.expires_at <= now);
    for message in expired.collect::<Vec<_>>() {
        finish(policy, state, message, Ending::new(Outcome::Expired, now), context, effects);
    }
    for message in &mut state.messages {
        if message.phase == Phase::Retry && message.phase_at <= now {
            message.phase = Phase::Ready;
            message.phase_at = now;
        }
    }
    state.finals.retain(|message| message.forget_at > now);
    state.barred.retain(|barred| barred.forget_at > now);
    state.lifted.retain(|lifted| lifted.forget_at > now);
    state.quiet_until = state.quiet_until.filter(|until| *until > now);
    Disposition::Emitted
}
