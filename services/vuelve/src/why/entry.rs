//! One thing that a record says of a message, without personal data.

use domain::Timestamp;
use kafka::ReadRecord;
use schemas::{JourneyDecision, MessageOutcome, MessageRequest, RequestAction};
use serde::Serialize;
use serde_json::Value;

use crate::written::{as_time, as_time_or_null, word};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// When: decisions and requests in the customer's time, outcomes when they were decided.
    #[serde(serialize_with = "as_time")]
    pub at: Timestamp,
    /// The record that says so: `topic[partition]@offset`.
    pub record: String,
    /// The journey.
    pub journey: String,
    /// Its version.
    pub version: i32,
    /// The run; empty where none began.
    pub run_id: String,
    /// The step; empty for what concerns the run as a whole.
    pub step: String,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What can have happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// The journeys service decided.
    Decision {
        /// What.
        decision: String,
        /// Why.
        reason: Option<String>,
        /// `treated` or `holdout`.
        arm: String,
        /// What the run is about.
        correlation_key: Option<String>,
        /// The template of the message, where it is about one.
        template: Option<String>,
        /// Whether it is about the message, and not about the run alone.
        about_message: bool,
        /// When what was decided is due.
        #[serde(serialize_with = "as_time_or_null")]
        due_at: Option<Timestamp>,
        /// The storefront event that caused it; none where time did.
        trigger_message_id: Option<String>,
        /// What the decision saw.
        saw: Option<Value>,
    },
    /// Messaging was asked for the message.
    Requested {
        /// Its template.
        template: String,
        /// Its category.
        category: String,
        /// The channels in the order of preference.
        channels: Vec<String>,
        /// When it is due.
        #[serde(serialize_with = "as_time")]
        due_at: Timestamp,
        /// Until when it may be put off.
        #[serde(serialize_with = "as_time")]
        expires_at: Timestamp,
    },
    /// What the run had asked for was taken back.
    Cancelled {
        /// Why.
        reason: Option<String>,
    },
    /// Messaging told what became of it.
    Outcome {
        /// What.
        outcome: String,
        /// Why: a word, or the mail server's answer without addresses.
        reason: Option<String>,
        /// By which channel.
        channel: Option<String>,
        /// How often it was tried.
        attempts: i32,
        /// When it was due.
        #[serde(serialize_with = "as_time")]
        due_at: Timestamp,
        /// Until when it could have been put off.
        #[serde(serialize_with = "as_time")]
        expires_at: Timestamp,
    },
}

impl Entry {
    pub(super) fn decision(record: &ReadRecord, decision: JourneyDecision) -> Self {
        let what = What::Decision {
            decision: word(&decision.decision),
            reason: decision.reason,
            arm: word(&decision.arm),
            correlation_key: decision.correlation_key,
            template: decision.template,
            about_message: decision.message_id.is_some(),
            due_at: decision.due_at.map(Timestamp::from_millis),
            trigger_message_id: decision.trigger_message_id,
            saw: decision.detail_json.map(|detail| serde_json::from_str(&detail).unwrap_or(Value::String(detail))),
        };
        Self {
            at: Timestamp::from_millis(decision.at),
            record: place(record),
            journey: decision.journey,
            version: decision.journey_version,
            run_id: decision.run_id.unwrap_or_default(),
            step: decision.step.unwrap_or_default(),
            what,
        }
    }

    pub(super) fn request(record: &ReadRecord, request: MessageRequest) -> Self {
        let what = match request.action {
            RequestAction::Cancel => What::Cancelled { reason: request.reason },
            RequestAction::Request | RequestAction::Other => What::Requested {
                template: request.template,
                category: request.category,
                channels: request.channels,
                due_at: Timestamp::from_millis(request.due_at),
                expires_at: Timestamp::from_millis(request.expires_at),
            },
        };
        Self {
            at: Timestamp::from_millis(request.requested_at),
            record: place(record),
            journey: request.journey,
            version: request.journey_version,
            run_id: request.run_id,
            step: request.step,
            what,
        }
    }

    pub(super) fn outcome(record: &ReadRecord, outcome: MessageOutcome) -> Self {
        let what = What::Outcome {
            outcome: word(&outcome.outcome),
            reason: outcome.reason,
            channel: outcome.channel,
            attempts: outcome.attempts,
            due_at: Timestamp::from_millis(outcome.due_at),
            expires_at: Timestamp::from_millis(outcome.expires_at),
        };
        Self {
            at: Timestamp::from_millis(outcome.decided_at),
            record: place(record),
            journey: outcome.journey,
            version: outcome.journey_version,
            run_id: outcome.run_id,
            step: outcome.step,
            what,
        }
    }

    /// What happened at the same time: first what was decided, then what was asked, then what became of it; a run takes
    /// note of an outcome after it, and ends last.
    fn rank(&self) -> u8 {
        match &self.what {
            What::Decision { decision, .. } => match decision.as_str() {
                "entered" => 0,
                "message_outcome" => 5,
                "exited" | "completed" | "stopped" => 6,
                _ => 1,
            },
            What::Requested { .. } => 2,
            What::Cancelled { .. } => 3,
            What::Outcome { .. } => 4,
        }
    }
}

/// The earliest first. Stable: decisions made at one time stay in the order of their records.
pub(super) fn in_order(entries: &mut [Entry]) {
    entries.sort_by_key(|entry| (entry.at, entry.rank()));
}

fn place(record: &ReadRecord) -> String {
    format!("{}[{}]@{}", record.topic, record.partition, record.offset)
}
