//! What lookups of journeys find, in the contract's words.

use domain::Timestamp;
use journeys::WaitsFor;
use journeys::lookups::{Explanation, Happened, RunView};
use proto::journeys::v1::explanation::Event;
use proto::journeys::v1::{self as contract, Arm, DecisionKind, OutcomeKind, RunStatus};

pub(super) fn run(run: &RunView) -> contract::JourneyRun {
    let status = match run.waits_for {
        WaitsFor::Event => RunStatus::WaitingForEvent,
        WaitsFor::Outcome => RunStatus::WaitingForOutcome,
        WaitsFor::Policy => RunStatus::Paused,
        WaitsFor::Time => RunStatus::WaitingForTime,
    };
    contract::JourneyRun {
        run_id: run.run_id.to_string(),
        journey: run.journey.to_string(),
        version: run.version,
        correlation_key: run.correlation_key.to_string(),
        arm: arm(run.holdout),
        step: run.step.to_string(),
        status: status.into(),
        entered_at: Some(time(run.entered_at)),
        next_due_at: run.next_due_at.map(time),
    }
}

pub(super) fn explanation(customer_id: &str, told: &Explanation) -> contract::Explanation {
    contract::Explanation {
        at: Some(time(told.at)),
        customer_id: customer_id.to_owned(),
        journey: told.journey.to_string(),
        version: told.version,
        run_id: told.run_id.to_string(),
        correlation_key: told.correlation_key.to_string(),
        arm: arm(told.holdout),
        step: told.step.to_string(),
        event: Some(event(told)),
    }
}

fn event(told: &Explanation) -> Event {
    let decided = |kind: DecisionKind| contract::Decision { kind: kind.into(), ..contract::Decision::default() };
    match &told.what {
        Happened::Entered => Event::Decision(decided(DecisionKind::Entered)),
        Happened::Paused => Event::Decision(decided(DecisionKind::Paused)),
        // It was asked for when it was due.
        Happened::Requested { message_id, template, .. } => Event::Decision(contract::Decision {
            message_id: message_id.to_string(),
            template: template.to_string(),
            due_at: Some(time(told.at)),
            ..decided(DecisionKind::MessageRequested)
        }),
        Happened::Withheld { message_id, template } => Event::Decision(contract::Decision {
            message_id: message_id.to_string(),
            template: template.to_string(),
            due_at: Some(time(told.at)),
            ..decided(DecisionKind::MessageWithheld)
        }),
        Happened::Ended { decision, reason } => Event::Decision(contract::Decision {
            reason: reason.clone().unwrap_or_default(),
            ..decided(ending(decision))
        }),
        Happened::Outcome { message_id, outcome, channel } => Event::Outcome(contract::Outcome {
            message_id: message_id.to_string(),
            kind: outcome_kind(outcome).into(),
            channel: channel.clone().unwrap_or_default(),
            decided_at: Some(time(told.at)),
            ..contract::Outcome::default()
        }),
    }
}

/// The records' words and the contract's are the same; one that this version does not know is unspecified.
fn ending(decision: &str) -> DecisionKind {
    DecisionKind::from_str_name(&format!("DECISION_KIND_{}", decision.to_ascii_uppercase())).unwrap_or_default()
}

fn outcome_kind(outcome: &str) -> OutcomeKind {
    OutcomeKind::from_str_name(&format!("OUTCOME_KIND_{}", outcome.to_ascii_uppercase())).unwrap_or_default()
}

fn arm(holdout: bool) -> i32 {
    if holdout { Arm::Holdout } else { Arm::Treated }.into()
}

fn time(at: Timestamp) -> proto::WireTime {
    proto::timestamp(at.as_millis())
}
