//! Decisions of journeys: what `journeys.decisions` holds. Flat and without personal data, so that it can be kept.

use serde::{Deserialize, Serialize};

use crate::AvroSchema;
use crate::contract::record_contract;

/// Schema of [`JourneyDecision`].
pub static JOURNEY_DECISION: AvroSchema =
    AvroSchema::record("JourneyDecision", include_str!("../journeys/journey_decision.avsc"));

record_contract!(JourneyDecision, JOURNEY_DECISION);

/// One decision of a journey about a customer. The fields are documented in `journey_decision.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct JourneyDecision {
    pub decision_id: String,
    pub customer_id: String,
    pub shop: String,
    pub journey: String,
    pub journey_version: i32,
    pub run_id: Option<String>,
    pub correlation_key: Option<String>,
    pub arm: Arm,
    pub step: Option<String>,
    pub decision: Decision,
    pub reason: Option<String>,
    pub template: Option<String>,
    pub message_id: Option<String>,
    pub channel: Option<String>,
    /// Milliseconds since 1970, in the customer's time.
    pub at: i64,
    /// Milliseconds since 1970.
    pub due_at: Option<i64>,
    pub trigger_message_id: Option<String>,
    pub detail_json: Option<String>,
    #[serde(default)]
    pub hops: i32,
}

/// Experimental arm of a customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// Gets the messages.
    Treated,
    /// Gets none: what the treated are measured against.
    Holdout,
    /// An arm that this reader does not know.
    #[default]
    #[serde(other)]
    Other,
}

/// What was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A run was opened.
    Entered,
    /// A trigger opened no run.
    NotEntered,
    /// A wait began anew.
    Restarted,
    /// Messaging was asked for a message.
    MessageRequested,
    /// A held-out customer would have got a message.
    MessageWithheld,
    /// A condition was judged.
    Branched,
    /// A wait ended.
    WaitEnded,
    /// The run ended by an exit.
    Exited,
    /// The run ended at its last step.
    Completed,
    /// The run was ended by an operator.
    Stopped,
    /// The run was put on hold by an operator.
    Paused,
    /// The run goes on after a pause.
    Resumed,
    /// The outcome of a message reached the run.
    MessageOutcome,
    /// A step failed and took its default branch.
    Failed,
    /// A decision newer than this reader.
    #[default]
    #[serde(other)]
    Other,
}
