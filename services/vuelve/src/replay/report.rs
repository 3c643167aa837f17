//! What a replay gives: every decision as a row, and the sums.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use domain::Timestamp;
use schemas::{Decision, JourneyDecision, MessageOutcome};
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::hosting::Installation;
use crate::written::{self, word};
use crate::{letters, whole_file};

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
    /// What could not be processed: by reason: how many events or records.
    pub dead_letters: BTreeMap<String, u64>,
    /// How long the replay took, in seconds.
    pub seconds: f64,
}

/// What a replay gave.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) summary: Summary,
    rows: Vec<Row>,
}

impl Report {
    /// Reads decisions, outcomes and dead letters.
    pub(super) fn collect(
        installation: &Installation,
        mut summary: Summary,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
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
        letters::each(installation, &letters::Filter::default(), timeout, |letter| {
            let reason = letter.head.map_or_else(|| "unknown".to_owned(), |head| head.reason);
            *summary.dead_letters.entry(reason).or_default() += 1;
            true
        })?;
        let mut rows: Vec<Row> = rows.into_iter().filter_map(|decision| row(decision, &outcomes)).collect();
        rows.sort_unstable();
        Ok(Self { summary, rows })
    }

    /// Writes its two files beside the tables. All take their names only when all are whole, the summary last: where it is,
    /// all is there.
    pub(super) fn write(&self, folder: &Path, tables: Vec<(String, NamedTempFile)>) -> anyhow::Result<()> {
        let mut messages = draft(folder)?;
        let mut csv = csv::Writer::from_writer(BufWriter::new(&mut messages));
        for row in &self.rows {
            csv.serialize(row).with_context(|| told(folder, MESSAGES))?;
        }
        csv.flush().with_context(|| told(folder, MESSAGES))?;
        drop(csv);
        let mut summary = draft(folder)?;
        let text = serde_json::to_string_pretty(&self.summary)? + "\n";
        summary.write_all(text.as_bytes()).with_context(|| told(folder, SUMMARY))?;
        let tables_named = tables.iter().map(|(name, draft)| (draft, name.as_str()));
        for (draft, name) in [(&messages, MESSAGES), (&summary, SUMMARY)].into_iter().chain(tables_named) {
            draft.as_file().sync_all().with_context(|| told(folder, name))?;
        }
        match std::fs::remove_file(folder.join(SUMMARY)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context(told(folder, SUMMARY));
            }
            _ => {}
        }
        for (name, table) in tables {
            table.persist(folder.join(&name)).with_context(|| told(folder, &name))?;
        }
        messages.persist(folder.join(MESSAGES)).with_context(|| told(folder, MESSAGES))?;
        summary.persist(folder.join(SUMMARY)).with_context(|| told(folder, SUMMARY))?;
        Ok(())
    }
}

const MESSAGES: &str = "messages.csv";
const SUMMARY: &str = "summary.json";

/// Makes the result's folder, and makes sure that the result can be written there: known only at the end, it would cost the
/// whole replay.
pub(super) fn check_folder(folder: &Path, tables: &[String]) -> anyhow::Result<()> {
    let shown = folder.display();
    ensure!(!folder.exists() || folder.is_dir(), "--out {shown} is a file: name a folder");
    std::fs::create_dir_all(folder).with_context(|| format!("--out {shown} can't be made"))?;
    for name in [MESSAGES, SUMMARY].into_iter().chain(tables.iter().map(String::as_str)) {
        ensure!(!folder.join(name).is_dir(), "--out {shown} has a folder {name}, where the result's file would be");
    }
    draft(folder).map(drop)
}

/// A file that goes away by itself unless it is given a name.
pub(super) fn draft(folder: &Path) -> anyhow::Result<NamedTempFile> {
    whole_file::draft(folder).with_context(|| format!("--out {} can't be written to", folder.display()))
}

fn told(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
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
