//! Requests, outcomes, commands and suppressions: what the `messaging.*` topics hold.
//!
//! Outcomes are flat and without personal data, so that they can be kept. Requests hold the recipient and are kept for
//! days only. Suppressions hold a keyed hash of the address, which outlives the erasure of the customer.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::AvroSchema;
use crate::contract::record_contract;

/// Schema of [`MessageRequest`].
pub static MESSAGE_REQUEST: AvroSchema =
    AvroSchema::record("MessageRequest", include_str!("../messaging/message_request.avsc"));
/// Schema of [`MessageOutcome`].
pub static MESSAGE_OUTCOME: AvroSchema =
    AvroSchema::record("MessageOutcome", include_str!("../messaging/message_outcome.avsc"));
/// Schema of [`MessagingCommand`].
pub static MESSAGING_COMMAND: AvroSchema =
    AvroSchema::record("MessagingCommand", include_str!("../messaging/messaging_command.avsc"));
/// Schema of [`Suppression`].
pub static SUPPRESSION: AvroSchema = AvroSchema::record("Suppression", include_str!("../messaging/suppression.avsc"));

record_contract!(MessageRequest, MESSAGE_REQUEST);
record_contract!(MessageOutcome, MESSAGE_OUTCOME);
record_contract!(MessagingCommand, MESSAGING_COMMAND);
record_contract!(Suppression, SUPPRESSION);

/// A wish that a message be sent, or that those of a run be cancelled. The fields are documented in
/// `message_request.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct MessageRequest {
    pub message_id: String,
    pub action: RequestAction,
    pub customer_id: String,
    pub shop: String,
    pub journey: String,
    pub journey_version: i32,
    pub run_id: String,
    #[serde(default)]
    pub step: String,
    #[serde(default)]
    pub template: String,
    #[serde(default)]
    pub channels: Vec<String>,
    #[serde(default)]
    pub category: String,
    /// Milliseconds since 1970.
    pub due_at: i64,
    /// Milliseconds since 1970.
    pub expires_at: i64,
    /// Milliseconds since 1970, in the customer's time.
    pub requested_at: i64,
    pub recipient: Option<Recipient>,
    pub context_json: Option<String>,
    pub reason: Option<String>,
    pub traceparent: Option<String>,
    #[serde(default)]
    pub hops: i32,
}

/// What a message request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestAction {
    /// Send the message.
    Request,
    /// Cancel what the run has not yet had claimed.
    Cancel,
    /// An action that this reader does not know, and so does not take.
    #[default]
    #[serde(other)]
    Other,
}

/// Who gets a message, as known when it was asked for. Personal data: `Debug` tells only what is there.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Recipient {
    pub email: Option<String>,
    pub phone: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub locale: Option<String>,
    pub time_zone: Option<String>,
}

impl fmt::Debug for Recipient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { email, phone, first_name, last_name, locale, time_zone } = self;
        let fields = [
            ("email", email),
            ("phone", phone),
            ("first_name", first_name),
            ("last_name", last_name),
            ("locale", locale),
            ("time_zone", time_zone),
        ];
        crate::contract::debug_present(formatter, "Recipient", &fields)
    }
}

/// What became of a message request. The fields are documented in `message_outcome.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct MessageOutcome {
    pub message_id: String,
    pub customer_id: String,
    pub shop: String,
    pub journey: String,
    pub journey_version: i32,
    pub run_id: String,
    pub step: String,
    pub template: String,
    pub category: String,
    pub channel: Option<String>,
    pub outcome: Outcome,
    pub reason: Option<String>,
    /// Milliseconds since 1970.
    pub due_at: i64,
    /// Milliseconds since 1970.
    pub expires_at: i64,
    /// Milliseconds since 1970.
    pub decided_at: i64,
    #[serde(default)]
    pub attempts: i32,
    #[serde(default)]
    pub hops: i32,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The provider took it.
    Sent,
    /// The provider refused it, or the attempts are used up.
    Failed,
    /// It was claimed, and nobody knows whether it left.
    Unknown,
    /// It could not leave before it expired.
    Expired,
    /// A later message of the run took its place.
    Superseded,
    /// The run ended first.
    Cancelled,
    /// The address must not be written to.
    Suppressed,
    /// The customer does not want messages of this category.
    Unsubscribed,
    /// There is no address for any of its channels.
    NoAddress,
    /// The template could not be rendered.
    RenderFailed,
    /// An outcome newer than this reader.
    #[default]
    #[serde(other)]
    Other,
}

/// Something that a customer or an operator asks of messaging. The fields are documented in `messaging_command.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct MessagingCommand {
    pub request_id: String,
    pub kind: CommandKind,
    pub customer_id: String,
    pub address_hash: Option<String>,
    pub message_id: Option<String>,
    pub category: Option<String>,
    pub shop: String,
    /// Milliseconds since 1970.
    pub at: i64,
    #[serde(default)]
    pub source: String,
}

/// What a command asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandKind {
    /// Write to this address, or in this category, no more.
    Unsubscribe,
    /// Take that back: write to this address again.
    Subscribe,
    /// A command newer than this reader.
    #[default]
    #[serde(other)]
    Other,
}

/// An address that must not be written to. The fields are documented in `suppression.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct Suppression {
    pub address_hash: String,
    pub reason: SuppressionReason,
    /// Milliseconds since 1970.
    pub since: i64,
    pub shop: String,
    pub message_id: Option<String>,
}

/// Why an address is suppressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuppressionReason {
    /// The customer unsubscribed.
    Unsubscribed,
    /// The address does not exist.
    Bounced,
    /// The customer marked a message as spam.
    Complained,
    /// An operator said so.
    Manual,
    /// A reason newer than this reader; it suppresses like any.
    #[default]
    #[serde(other)]
    Other,
}

impl SuppressionReason {
    /// Whether the customer said so herself, and may take it back.
    pub const fn is_wish(self) -> bool {
        matches!(self, Self::Unsubscribed)
    }
}
