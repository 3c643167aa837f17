//! There is room to send: one message is claimed for it.

use std::sync::Arc;

use schemas::Outcome;
use stream::{Context, Disposition};

use crate::Effects;
use crate::action::Email;
use crate::outcome::{Ending, finish};
use crate::policy::{NoTemplate, Policy};
use crate::reachability::{self, News};
use crate::state::{MessagingState, PendingMessage, Phase};
use crate::template::Template;

/// Claims the message that has waited longest. One that may no longer be sent ends instead, and the next is looked at.
pub(crate) fn claim(
    policy: &Policy,
    state: &mut MessagingState,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    while let Some(index) = eldest_ready(state) {
        let (hash, hops) = (state.messages[index].address_hash.clone(), state.messages[index].hops);
        reachability::learn(policy, state, &hash, News { at: context.now, hops }, context, effects);
        match examine(policy, state, &state.messages[index], context) {
            Err(ending) => {
                let message = state.messages.remove(index);
                finish(policy, state, message, ending, context, effects);
            }
            Ok(template) => {
                let message = &mut state.messages[index];
                message.claims = message.claims.saturating_add(1);
                message.phase = Phase::Claimed;
                message.phase_at = context.now;
                effects.act(message.claim_id(), email(policy, message, template, context));
                return Disposition::Emitted;
            }
        }
    }
    Disposition::Emitted
}

fn eldest_ready(state: &MessagingState) -> Option<usize> {
    let ready = state.messages.iter().enumerate().filter(|(_, message)| message.phase == Phase::Ready);
    ready.min_by_key(|(_, message)| message.phase_at).map(|(index, _)| index)
}

/// What may have changed since the message was asked for.
fn examine(
    policy: &Policy,
    state: &MessagingState,
    message: &PendingMessage,
    context: &Context<'_>,
) -> Result<Arc<Template>, Ending> {
    if context.now >= message.expires_at {
        return Err(Ending::new(Outcome::Expired, context.now));
    }
    if let Some(reason) = policy.suppression(state, &message.address_hash, &message.category) {
        return Err(Ending::suppressed(reason, context.now));
    }
    let template = policy.template(&message.template);
    template.cloned().map_err(|NoTemplate(reason)| Ending::new(Outcome::RenderFailed, context.now).because(reason))
}

fn email(policy: &Policy, message: &PendingMessage, template: Arc<Template>, context: &Context<'_>) -> Email {
    Email {
        claim: message.claim_id(),
        customer_id: context.key.clone(),
        message_id: message.message_id.clone(),
        shop: message.shop.clone(),
        journey: message.journey.clone(),
        journey_version: message.journey_version,
        run_id: message.run_id.clone(),
        step: message.step.clone(),
        category: message.category.clone(),
        template,
        from_name: policy.sender_name().cloned(),
        transactional: policy.is_transactional(&message.category),
        recipient: message.recipient.clone(),
        address_hash: message.address_hash.clone(),
        context_json: message.context_json.clone(),
        due_at: message.due_at,
        expires_at: message.expires_at,
        traceparent: message.traceparent.clone(),
    }
}
