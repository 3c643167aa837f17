//! How a message ends, and how an address is barred: shared by all that may end one.
//!
//! Wanted properties:
//! - ending a message takes it out of those that wait, remembers it and writes one outcome: nothing else does any of these;
//! - a message that an earlier attempt may have delivered never ends as if it had not: it is `unknown` then.

use domain::{HumanDuration, Timestamp};
use schemas::{MAX_HOPS, MessageOutcome, Outcome, Suppression, SuppressionReason};
use stream::Context;

use crate::Effects;
use crate::output::Output;
use crate::policy::Policy;
use crate::reachability::{self, News};
use crate::state::{BarredAddress, FinalMessage, MessagingState, PendingMessage, Withdrawal, WithdrawalOutcome};

/// More are not remembered of one customer: the eldest is forgotten first.
const MAX_FINALS: usize = 500;
/// More are not held of one customer: the table has them all soon after.
const MAX_BARRED: usize = 64;
/// By then the table of suppressions has surely brought a suppression to every worker.
pub(crate) const TABLE_CATCHES_UP: HumanDuration = HumanDuration::from_hours(1);

/// Ends a message that is no longer (or never was) among those that wait.
pub(crate) fn finish(
    policy: &Policy,
    state: &mut MessagingState,
    message: PendingMessage,
    ending: Ending,
    context: &Context<'_>,
    effects: &mut Effects,
) {
    let Ending { outcome, reason, at } = ending;
    let (outcome, reason) = if message.uncertain && outcome != Outcome::Sent {
        (Outcome::Unknown, reason.or_else(|| Some("an_earlier_attempt".to_owned())))
    } else {
        (outcome, reason)
    };
    state.finals.push(FinalMessage {
        message_id: message.message_id.clone(),
        forget_at: at.max(context.now) + policy.settings.remember_outcomes,
    });
    if state.finals.len() > MAX_FINALS {
        state.finals.remove(0);
    }
    let record = MessageOutcome {
        message_id: message.message_id,
        customer_id: context.key.to_string(),
        shop: message.shop,
        journey: message.journey,
        journey_version: message.journey_version,
        run_id: message.run_id,
        step: message.step,
        template: message.template,
        category: message.category,
        channel: Some(message.channel).filter(|channel| !channel.is_empty()),
        outcome,
        reason,
        due_at: message.due_at.as_millis(),
        expires_at: message.expires_at.as_millis(),
        decided_at: at.as_millis(),
        attempts: message.attempts,
        hops: message.hops.saturating_add(1).min(MAX_HOPS),
    };
    effects.emit_traced(Output::Outcome(Box::new(record)), message.traceparent);
}

/// How a message ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    outcome: Outcome,
    reason: Option<String>,
    at: Timestamp,
}

impl Ending {
    pub(crate) fn new(outcome: Outcome, at: Timestamp) -> Self {
        Self { outcome, reason: None, at }
    }

    pub(crate) fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    /// The ending of a message whose address is suppressed.
    pub(crate) fn suppressed(reason: SuppressionReason, at: Timestamp) -> Self {
        let (outcome, word) = of_suppression(reason);
        Self { outcome: outcome.into(), reason: word, at }
    }

    pub(crate) fn withdrawn(withdrawal: Withdrawal, at: Timestamp) -> Self {
        Self { outcome: withdrawal.outcome.into(), reason: withdrawal.reason, at }
    }
}

fn of_suppression(reason: SuppressionReason) -> (WithdrawalOutcome, Option<String>) {
    let word = match reason {
        SuppressionReason::Unsubscribed => return (WithdrawalOutcome::Unsubscribed, None),
        SuppressionReason::Bounced => "bounced",
        SuppressionReason::Complained => "complained",
        SuppressionReason::Manual => "manual",
        SuppressionReason::Other => "other",
    };
    (WithdrawalOutcome::Suppressed, Some(word.to_owned()))
}

/// Ends those of the waiting messages that `concerns` names, and withdraws those of them that are claimed. Returns how
/// many it found.
pub(crate) fn withdraw(
    policy: &Policy,
    state: &mut MessagingState,
    concerns: impl Fn(&PendingMessage) -> bool,
    withdrawal: &Withdrawal,
    context: &Context<'_>,
    effects: &mut Effects,
) -> usize {
    if policy.settings.mode.leaves_at_request() {
        return 0;
    }
    let (concerned, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut state.messages).into_iter().partition(concerns);
    state.messages = kept;
    let found = concerned.len();
    for mut message in concerned {
        if message.is_claimed() {
            message.withdrawal.get_or_insert_with(|| withdrawal.clone());
            state.messages.push(message);
        } else {
            finish(policy, state, message, Ending::withdrawn(withdrawal.clone(), context.now), context, effects);
        }
    }
    found
}

/// What led to a suppression.
pub(crate) struct Cause<'a> {
    pub(crate) reason: SuppressionReason,
    pub(crate) since: Timestamp,
    pub(crate) shop: &'a str,
    pub(crate) message_id: Option<&'a str>,
    /// Of what led to it.
    pub(crate) hops: i32,
}

/// By when the table has surely reached every worker with what is held against an address, or wished of it, since then. A customer of
/// whom nothing is known has no time of her own yet; and what waited in the log for hours is heard of now.
pub(crate) fn table_knows_by(since: Timestamp, context: &Context<'_>) -> Timestamp {
    since.max(context.now).max(context.watermark) + TABLE_CATCHES_UP
}

/// Bars an address: for this customer at once, for everybody by the table; her messages to it end, and others are told.
pub(crate) fn bar(
    policy: &Policy,
    state: &mut MessagingState,
    address_hash: &str,
    cause: &Cause<'_>,
    context: &Context<'_>,
    effects: &mut Effects,
) {
    state.barred.retain(|barred| barred.address_hash != address_hash);
    if state.barred.len() >= MAX_BARRED {
        state.barred.remove(0);
    }
    state.barred.push(BarredAddress {
        address_hash: address_hash.to_owned(),
        reason: cause.reason,
        forget_at: table_knows_by(cause.since, context),
        since: Some(cause.since),
    });
    effects.emit(Output::Suppression(Suppression {
        address_hash: address_hash.to_owned(),
        reason: cause.reason,
        since: cause.since.as_millis(),
        shop: cause.shop.to_owned(),
        message_id: cause.message_id.map(str::to_owned),
    }));
    let (outcome, reason) = of_suppression(cause.reason);
    let withdrawal = Withdrawal { outcome, reason };
    let concerns = |message: &PendingMessage| {
        message.address_hash == address_hash && policy.concerns(cause.reason, &message.category)
    };
    withdraw(policy, state, concerns, &withdrawal, context, effects);
    reachability::learn(policy, state, address_hash, News { at: cause.since, hops: cause.hops }, context, effects);
}
