//! A message is asked for.

use domain::Timestamp;
use schemas::{MessageRequest, Outcome};
use stream::{Context, Disposition};

use crate::Effects;
use crate::channel::{Channel, Unreachable, reach};
use crate::options::Mode;
use crate::outcome::{Ending, finish, withdraw};
use crate::policy::{NoTemplate, Policy};
use crate::reachability::{self, News};
use crate::state::{ContextJson, MessagingState, PendingMessage, Phase, Withdrawal, WithdrawalOutcome};

/// Lets the message wait for room to be sent, or ends it at once with the outcome that says why not.
pub(crate) fn receive(
    policy: &Policy,
    state: &mut MessagingState,
    request: MessageRequest,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    if is_known(state, &request.message_id) {
        return Disposition::Ignored("repeated");
    }
    let channels = request.channels.clone();
    let mut message = pending(request, context);
    // Who is written to is somebody again.
    state.quiet_until = None;
    let examined = examine(policy, state, &mut message, &channels, context.now);
    let news = News { at: context.now, hops: message.hops };
    reachability::learn(policy, state, &message.address_hash, news, context, effects);
    let ending = match examined {
        Err(ending) => Some(ending),
        Ok(()) => accept(policy, state, &message, context, effects),
    };
    if let Some(ending) = ending {
        finish(policy, state, message, ending, context, effects);
        return Disposition::Emitted;
    }
    if policy.settings.mode.leaves_at_request() {
        message.expires_at = NEVER;
    }
    state.messages.push(message);
    Disposition::Emitted
}

/// The end of the year 9999, the last one that every reader of timestamps knows.
const NEVER: Timestamp = Timestamp::from_millis(253_402_300_799_999);

/// What the message that may be sent ends with at once; none if it waits for room.
fn accept(
    policy: &Policy,
    state: &mut MessagingState,
    message: &PendingMessage,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Option<Ending> {
    let waits = policy.settings.mode != Mode::Replay;
    if waits && !has_place(policy, state, message) {
        return Some(Ending::new(Outcome::Failed, context.now).because("too_many_waiting"));
    }
    supersede(policy, state, message, context, effects);
    (!waits).then(|| Ending::new(Outcome::Sent, context.now))
}

/// Whether the message can wait beside those that go on to. All of them lie in one record, so their bytes are bounded in
/// every mode.
fn has_place(policy: &Policy, state: &MessagingState, message: &PendingMessage) -> bool {
    let settings = &policy.settings;
    let leaves_at_request = settings.mode.leaves_at_request();
    let stays =
        |waiting: &&PendingMessage| leaves_at_request || waiting.is_claimed() || waiting.run_id != message.run_id;
    let (mut count, mut size_bytes) = (0, message.size_bytes());
    for waiting in state.messages.iter().filter(stays) {
        count += 1;
        size_bytes += waiting.size_bytes();
    }
    let few = leaves_at_request || count < usize::from(settings.waiting_per_customer);
    few && size_bytes <= settings.waiting_bytes_per_customer as usize
}

fn is_known(state: &MessagingState, message_id: &str) -> bool {
    state.messages.iter().any(|message| message.message_id == message_id)
        || state.finals.iter().any(|message| message.message_id == message_id)
}

fn pending(request: MessageRequest, context: &Context<'_>) -> PendingMessage {
    PendingMessage {
        message_id: request.message_id,
        shop: request.shop,
        journey: request.journey,
        journey_version: request.journey_version,
        run_id: request.run_id,
        step: request.step,
        template: request.template,
        category: request.category,
        channel: String::new(),
        address_hash: String::new(),
        due_at: Timestamp::from_millis(request.due_at),
        expires_at: Timestamp::from_millis(request.expires_at),
        recipient: request.recipient.unwrap_or_default(),
        context_json: request.context_json.map(ContextJson),
        traceparent: context.trace.cloned().or_else(|| request.traceparent.map(Into::into)),
        hops: request.hops,
        phase: Phase::Ready,
        phase_at: context.now,
        claims: 0,
        attempts: 0,
        uncertain: false,
        withdrawal: None,
    }
}

/// Whether the message may be sent, and by which channel to which address.
fn examine(
    policy: &Policy,
    state: &MessagingState,
    message: &mut PendingMessage,
    channels: &[String],
    now: Timestamp,
) -> Result<(), Ending> {
    if now >= message.expires_at {
        return Err(Ending::new(Outcome::Expired, now).because("at_request"));
    }
    match reach(channels, &message.recipient, &policy.address_secret) {
        Ok((channel, hash)) => {
            channel.name().clone_into(&mut message.channel);
            message.address_hash = hash.to_string();
        }
        Err(Unreachable(reason)) => match first_supported(channels).filter(|_| counts_as_reached(policy)) {
            Some(channel) => channel.name().clone_into(&mut message.channel),
            None => return Err(Ending::new(Outcome::NoAddress, now).because(reason)),
        },
    }
    if let Some(reason) = policy.suppression(state, &message.address_hash, &message.category) {
        return Err(Ending::suppressed(reason, now));
    }
    if let Err(NoTemplate(reason)) = policy.template(&message.template) {
        return Err(Ending::new(Outcome::RenderFailed, now).because(reason));
    }
    let context_bytes = message.context_json.as_ref().map_or(0, |context| context.0.len());
    if context_bytes > policy.settings.context_bytes as usize {
        return Err(Ending::new(Outcome::RenderFailed, now).because("context_too_large"));
    }
    Ok(())
}

fn first_supported(channels: &[String]) -> Option<Channel> {
    channels.iter().find_map(|name| Channel::from_name(name))
}

fn counts_as_reached(policy: &Policy) -> bool {
    policy.settings.mode == Mode::Replay && policy.settings.replay_without_address
}

/// A later message of a run takes the place of those of it that still wait.
fn supersede(
    policy: &Policy,
    state: &mut MessagingState,
    by: &PendingMessage,
    context: &Context<'_>,
    effects: &mut Effects,
) {
    let withdrawal =
        Withdrawal { outcome: WithdrawalOutcome::Superseded, reason: Some(format!("by {}", by.message_id)) };
    withdraw(policy, state, |message| message.run_id == by.run_id, &withdrawal, context, effects);
}
