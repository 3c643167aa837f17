//! What messaging keeps for one customer.
//!
//! Wanted properties:
//! - a message is in `messages` from its request until its one final outcome, and then in `finals` until it is forgotten;
//! - `due()` names everything that it waits for, so that nothing waits for ever;
//! - the state ends (equals its default) once nothing waits, nothing has to be remembered, and nothing is published of her
//!   that stands against an address;
//! - whatever is asked for, it is smaller than a record may be: a text that it keeps is bounded, or counted in what may wait;
//! - nothing personal is shown by `Debug`.
//!
//! The fields are those of `schemas/messaging/messaging_state.avsc`, in its order.

use std::fmt;

use domain::Timestamp;
use schemas::{AvroSchema, Outcome, Recipient, StateContract, SuppressionReason, UnreachableAddress};
use serde::{Deserialize, Serialize};
use stream::{ClaimId, Due, State, Trace};

use crate::outcome::TABLE_CATCHES_UP;

/// What messaging knows of one customer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MessagingState {
    /// Messages without a final outcome, in the order in which they were asked for.
    #[serde(default)]
    pub messages: Vec<PendingMessage>,
    /// Messages that have their outcome, eldest first: a repeated request gets no second one.
    #[serde(default)]
    pub finals: Vec<FinalMessage>,
    /// Addresses just suppressed, until the table of suppressions has surely brought them to every worker.
    #[serde(default)]
    pub barred: Vec<BarredAddress>,
    /// Addresses that are not written to, as last published.
    #[serde(default)]
    pub unreachable: Vec<UnreachableAddress>,
    /// Addresses at which she just asked to be written to, until the table has surely forgotten everywhere what she took back.
    #[serde(default)]
    pub lifted: Vec<LiftedAddress>,
    /// She was erased: until then nothing is published of her, unless she is to be written to again.
    pub quiet_until: Option<Timestamp>,
}

/// A message without a final outcome. The fields are documented in the schema.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct PendingMessage {
    pub message_id: String,
    pub shop: String,
    pub journey: String,
    pub journey_version: i32,
    pub run_id: String,
    pub step: String,
    pub template: String,
    pub category: String,
    pub channel: String,
    pub address_hash: String,
    pub due_at: Timestamp,
    pub expires_at: Timestamp,
    pub recipient: Recipient,
    pub context_json: Option<ContextJson>,
    pub traceparent: Option<Trace>,
    #[serde(default)]
    pub hops: i32,
    pub phase: Phase,
    pub phase_at: Timestamp,
    #[serde(default)]
    pub claims: i32,
    #[serde(default)]
    pub attempts: i32,
    #[serde(default)]
    pub uncertain: bool,
    pub withdrawal: Option<Withdrawal>,
}

/// What a message waits for; `phase_at` says since or until when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// For room to be sent, since then.
    Ready,
    /// For the time of its next attempt.
    Retry,
    /// For the outcome of an attempt, since then.
    Claimed,
    /// A phase newer than this reader: it waits for its expiry only.
    #[default]
    #[serde(other)]
    Other,
}

/// Why a claimed message is not to be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// The outcome that it has if it did not leave.
    pub outcome: WithdrawalOutcome,
    /// The outcome's reason.
    pub reason: Option<String>,
}

/// The outcome of a message that was withdrawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithdrawalOutcome {
    /// A later message of the run took its place.
    Superseded,
    /// The customer unsubscribed.
    Unsubscribed,
    /// The address was suppressed.
    Suppressed,
    /// Its run ended; also what a reader sees of an outcome that it does not know.
    #[default]
    #[serde(other)]
    Cancelled,
}

impl From<WithdrawalOutcome> for Outcome {
    fn from(outcome: WithdrawalOutcome) -> Self {
        match outcome {
            WithdrawalOutcome::Cancelled => Self::Cancelled,
            WithdrawalOutcome::Superseded => Self::Superseded,
            WithdrawalOutcome::Unsubscribed => Self::Unsubscribed,
            WithdrawalOutcome::Suppressed => Self::Suppressed,
        }
    }
}

/// A message that has its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalMessage {
    /// The message.
    pub message_id: String,
    /// When it is forgotten.
    pub forget_at: Timestamp,
}

/// An address that was just suppressed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BarredAddress {
    /// Keyed hash of the address.
    pub address_hash: String,
    /// Why.
    pub reason: SuppressionReason,
    /// From when on the table alone is asked.
    pub forget_at: Timestamp,
    /// Since when; none in a state from before this was kept.
    pub since: Option<Timestamp>,
}

/// An address that she wants to be written to at again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiftedAddress {
    /// Keyed hash of the address.
    pub address_hash: String,
    /// When she said so: an unsubscription from before it stands no more.
    pub at: Timestamp,
    /// From when on the table alone is asked.
    pub forget_at: Timestamp,
}

/// What a template may show: the text of a JSON object. It may hold personal data, so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContextJson(pub String);

impl fmt::Debug for ContextJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContextJson({} bytes)", self.0.len())
    }
}

/// What a message takes in a record beside its texts: numbers, lengths, and the withdrawal that it may get yet.
const REST_BYTES: usize = 400;

impl PendingMessage {
    /// How many bytes of a record it takes, at most.
    pub(crate) fn size_bytes(&self) -> usize {
        let Recipient { email, phone, first_name, last_name, locale, time_zone } = &self.recipient;
        let recipient = [email, phone, first_name, last_name, locale, time_zone];
        let texts = [
            &self.message_id,
            &self.shop,
            &self.journey,
            &self.run_id,
            &self.step,
            &self.template,
            &self.category,
            &self.channel,
            &self.address_hash,
        ];
        REST_BYTES
            + texts.into_iter().map(String::len).sum::<usize>()
            + recipient.into_iter().flatten().map(String::len).sum::<usize>()
            + self.context_json.as_ref().map_or(0, |context| context.0.len())
            + self.traceparent.as_ref().map_or(0, |trace| trace.len())
    }

    /// The id of its latest claim: unique within the customer, because a claim's number is used once.
    pub fn claim_id(&self) -> ClaimId {
        format!("{}#{}", self.message_id, self.claims).into()
    }

    /// Whether somebody may be sending it at this moment.
    pub fn is_claimed(&self) -> bool {
        self.phase == Phase::Claimed
    }
}

impl BarredAddress {
    /// Since when it is held against the address. Where that was not kept: since it was suppressed, by the customer's time.
    pub fn since(&self) -> Timestamp {
        self.since.unwrap_or(self.forget_at - TABLE_CATCHES_UP)
    }
}

impl MessagingState {
    /// What her own last records hold against an address.
    pub(crate) fn barred(&self, address_hash: &str) -> Option<&BarredAddress> {
        self.barred.iter().find(|barred| barred.address_hash == address_hash)
    }

    /// Since when, of late, she wants to be written to at an address.
    pub(crate) fn subscribed_since(&self, address_hash: &str) -> Option<Timestamp> {
        self.lifted.iter().find(|lifted| lifted.address_hash == address_hash).map(|lifted| lifted.at)
    }
}

impl StateContract for MessagingState {
    const NAME: &'static str = "MessagingChangelog";

    fn changelog() -> &'static AvroSchema {
        &schemas::MESSAGING_CHANGELOG
    }
}

impl State for MessagingState {
    fn due(&self) -> Due {
        let since = |phase| self.messages.iter().filter(|m| m.phase == phase).map(|m| m.phase_at).min();
        let expiry = self.messages.iter().filter(|m| !m.is_claimed()).map(|m| m.expires_at);
        let forgotten = self.finals.iter().map(|f| f.forget_at).chain(self.barred.iter().map(|b| b.forget_at));
        let forgotten = forgotten.chain(self.lifted.iter().map(|l| l.forget_at)).chain(self.quiet_until);
        Due {
            timer: expiry.chain(since(Phase::Retry)).chain(forgotten).min(),
            ready: since(Phase::Ready),
            claimed: since(Phase::Claimed),
            held: None,
        }
    }
}
