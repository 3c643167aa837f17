//! What a replay gives: every decision as a row, and the sums.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use domain::Timestamp;
use schemas::{Decision, JourneyDecision, MessageOutcome};
use serde::Serialize;

use crate::hosting::Installation;
use crate::written::{self, word};

/// A row of `messages.csv`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Row {
    customer_id: String,
    journey: String,
    step: String,
    template: String,
    channel: String,
    due_at: String,
    outcome: String,
    reason: String,
}

/// `summary.json`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Calls that were sent.
    pub events: u64,
    /// Until when time was moved, RFC 3339 in UTC.
    pub until: String,
    /// By journey: by decision: how many; exits by the step that the run stood at.
    pub decisions: BTreeMap<String, BTreeMap<String, u64>>,
    /// By outcome: how many messages.
    pub outcomes: BTreeMap<String, u64>,
    /// How long the replay took, in seconds.
    pub seconds: f64,
}

/// Reads decisions and outcomes, and writes both files.
pub(super) fn write(
    installation: &Installation,
    directory: &Path,
    mut summary: Summary,
    timeout: Duration,
) -> anyhow::Result<Summary> {
    let mut outcomes: HashMap<String, MessageOutcome> = HashMap::new();
    read(installation, "messaging.outcomes", timeout, |outcome: MessageOutcome| {
        *summary.outcomes.entry(word(&outcome.outcome)).or_default() += 1;
        outcomes.insert(outcome.message_id.clone(), outcome);
    })?;
    let mut rows = Vec::new();
    let mut decisions: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    read(installation, "journeys.decisions", timeout, |decision: JourneyDecision| {
        let of_journey = decisions.entry(decision.journey.clone()).or_default();
        let kind = word(&decision.decision);
        *of_journey.entry(kind.clone()).or_default() += 1;
        if let Some(step) = &decision.step {
            *of_journey.entry(format!("{kind} {step}")).or_default() += 1;
        }
        rows.push(decision);
    })?;
    summary.decisions = decisions;
    let mut rows: Vec<Row> = rows.into_iter().filter_map(|decision| row(decision, &outcomes)).collect();
    rows.sort_unstable();
    let path = directory.join("messages.csv");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    let mut csv = csv::Writer::from_writer(BufWriter::new(file));
    for row in &rows {
        csv.serialize(row).with_context(|| path.display().to_string())?;
    }
    csv.flush().with_context(|| path.display().to_string())?;
    let path = directory.join("summary.json");
    let text = serde_json::to_string_pretty(&summary)?;
    std::fs::write(&path, text + "\n").with_context(|| path.display().to_string())?;
    Ok(summary)
}

fn row(decision: JourneyDecision, outcomes: &HashMap<String, MessageOutcome>) -> Option<Row> {
    let outcome = match decision.decision {
        // The outcome has its own record, which the request's row shows.
        Decision::MessageOutcome => return None,
        Decision::MessageRequested => decision.message_id.as_ref().and_then(|id| outcomes.get(id)),
        _ => None,
    };
    let (result, reason, channel) = match outcome {
        Some(outcome) => (word(&outcome.outcome), outcome.reason.clone(), outcome.channel.clone()),
        None if decision.decision == Decision::MessageRequested => {
            ("pending".to_owned(), None, decision.channel.clone())
        }
        None => (word(&decision.decision), decision.reason.clone(), decision.channel.clone()),
    };
    Some(Row {
        customer_id: decision.customer_id,
        journey: decision.journey,
        step: decision.step.unwrap_or_default(),
        template: decision.template.unwrap_or_default(),
        channel: channel.unwrap_or_default(),
        due_at: written::time(Timestamp::from_millis(decision.due_at.unwrap_or(decision.at))),
        outcome: result,
        reason: reason.unwrap_or_default(),
    })
}

fn read<T: schemas::Contract>(
    installation: &Installation,
    dataset: &str,
    timeout: Duration,
    mut each: impl FnMut(T),
) -> anyhow::Result<()> {
    let mut failure = None;
    kafka::read_topic(&installation.cluster, &installation.cluster.topic(dataset), timeout, |record| {
        let place = || format!("{}[{}]@{}", record.topic, record.partition, record.offset);
        match record.value.as_ref().map(|value| installation.read::<T>(value)) {
            None => true,
            Some(Ok(value)) => {
                each(value);
                true
            }
            Some(Err(error)) => {
                failure = Some(error.context(place()));
                false
            }
        }
    })?;
    failure.map_or(Ok(()), Err)
}
