//! `vuelve why`: what was recorded about one message, from the topics and never recomputed.
//!
//! Wanted properties:
//! - nothing is told that no record says, and each thing names the record that says it;
//! - no address, no name and nothing of the message's context is read out;
//! - once it is known whose message it is, only her partition is read.

mod entry;
mod text;

use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use ingestion::partition_of;
use kafka::{ReadRecord, Section, read_section};
use schemas::{Contract, JourneyDecision, MessageOutcome, MessageRequest, RequestAction};

pub use entry::{Entry, What};
pub use text::text;

use crate::hosting::Installation;

const DECISIONS: &str = "journeys.decisions";
const REQUESTS: &str = "messaging.requests";
const OUTCOMES: &str = "messaging.outcomes";

/// What is known of a message.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Story {
    /// The message.
    pub message_id: String,
    /// Whose it is.
    pub customer_id: String,
    /// What happened, the earliest first.
    pub entries: Vec<Entry>,
    /// Records of her partition that could not be read, and so may be missing here.
    pub unreadable: u64,
}

/// Reads a message's story; none if no record names the message. Knowing the customer spares reading every partition.
pub fn read(
    installation: &Installation,
    message_id: &str,
    customer: Option<&str>,
    timeout: Duration,
) -> anyhow::Result<Option<Story>> {
    let search = Search { installation, message_id, timeout, bar: progress_bar(), go_on: &|| true };
    let story = search.run(customer);
    search.bar.finish_and_clear();
    story
}

/// Whose message it is; none if no record names it. Gives up, with an error, as soon as `go_on` says `false`.
pub fn customer_of(
    installation: &Installation,
    message_id: &str,
    timeout: Duration,
    go_on: &dyn Fn() -> bool,
) -> anyhow::Result<Option<String>> {
    let search = Search { installation, message_id, timeout, bar: ProgressBar::hidden(), go_on };
    Ok(search.find(None)?.map(|found| found.customer_id))
}

struct Search<'a> {
    installation: &'a Installation,
    message_id: &'a str,
    timeout: Duration,
    bar: ProgressBar,
    go_on: &'a dyn Fn() -> bool,
}

/// Whose message it is, and of which run.
struct Found {
    customer_id: String,
    run_id: String,
}

impl Search<'_> {
    fn run(&self, customer: Option<&str>) -> anyhow::Result<Option<Story>> {
        let Some(found) = self.find(customer)? else { return Ok(None) };
        let partition = self.partition(&found.customer_id);
        let mut story = Story {
            message_id: self.message_id.to_owned(),
            customer_id: found.customer_id.clone(),
            entries: Vec::new(),
            unreadable: 0,
        };
        let hers = |record: &ReadRecord| record.key.as_deref() == Some(found.customer_id.as_bytes());
        let mut unreadable = 0;
        let (entries, run_id) = (&mut story.entries, found.run_id.as_str());
        self.each(DECISIONS, Some(partition), hers, &mut unreadable, |record, decision: JourneyDecision| {
            let about = decision.message_id.as_deref();
            let of_run = decision.run_id.as_deref() == Some(run_id);
            if about == Some(self.message_id) || of_run && about.is_none() {
                entries.push(Entry::decision(record, decision));
            }
            true
        })?;
        self.each(REQUESTS, Some(partition), hers, &mut unreadable, |record, request: MessageRequest| {
            let cancels = request.action == RequestAction::Cancel && request.run_id == run_id;
            if request.message_id == self.message_id || cancels {
                entries.push(Entry::request(record, request));
            }
            true
        })?;
        self.each(OUTCOMES, Some(partition), hers, &mut unreadable, |record, outcome: MessageOutcome| {
            if outcome.message_id == self.message_id {
                entries.push(Entry::outcome(record, outcome));
            }
            true
        })?;
        story.unreadable = unreadable;
        entry::in_order(&mut story.entries);
        Ok(Some(story))
    }

    /// Looks first where little is kept: requests for days, outcomes and decisions for a year.
    fn find(&self, customer: Option<&str>) -> anyhow::Result<Option<Found>> {
        let partition = customer.map(|customer| self.partition(customer));
        let hers = |record: &ReadRecord| customer.is_none_or(|id| record.key.as_deref() == Some(id.as_bytes()));
        let mut found = None;
        let mut unreadable = 0;
        self.each(REQUESTS, partition, hers, &mut unreadable, |_, request: MessageRequest| {
            if request.message_id == self.message_id {
                found = Some(Found { customer_id: request.customer_id, run_id: request.run_id });
            }
            found.is_none()
        })?;
        if found.is_none() {
            self.each(OUTCOMES, partition, hers, &mut unreadable, |_, outcome: MessageOutcome| {
                if outcome.message_id == self.message_id {
                    found = Some(Found { customer_id: outcome.customer_id, run_id: outcome.run_id });
                }
                found.is_none()
            })?;
        }
        if found.is_none() {
            self.each(DECISIONS, partition, hers, &mut unreadable, |_, decision: JourneyDecision| {
                if decision.message_id.as_deref() == Some(self.message_id) {
                    let run_id = decision.run_id.unwrap_or_default();
                    found = Some(Found { customer_id: decision.customer_id, run_id });
                }
                found.is_none()
            })?;
        }
        Ok(found)
    }

    fn partition(&self, customer: &str) -> i32 {
        partition_of(customer.as_bytes(), self.installation.cluster.partitions)
    }

    /// Every record of a topic that `wanted` takes by its key, until `each` says `false`.
    fn each<T: Contract>(
        &self,
        dataset: &str,
        partition: Option<i32>,
        wanted: impl Fn(&ReadRecord) -> bool,
        unreadable: &mut u64,
        mut each: impl FnMut(&ReadRecord, T) -> bool,
    ) -> anyhow::Result<()> {
        let topic = self.installation.cluster.topic(dataset);
        self.bar.set_message(format!("reading {topic}"));
        let section = Section { partition, ..Section::default() };
        let mut failure = None;
        read_section(&self.installation.cluster, &topic, section, self.timeout, |record, progress| {
            self.bar.set_length(progress.total);
            self.bar.set_position(progress.done);
            if !(self.go_on)() {
                failure = Some(anyhow::anyhow!("given up in {topic}: it takes too long"));
                return false;
            }
            let Some(value) = record.value.as_ref().filter(|_| wanted(&record)) else { return true };
            match self.installation.decode::<T>(value) {
                Ok(Some(value)) => each(&record, value),
                Ok(None) => {
                    *unreadable += 1;
                    true
                }
                Err(error) => {
                    failure = Some(anyhow::Error::new(error));
                    false
                }
            }
        })
        .with_context(|| format!("looking for the message in {topic}"))?;
        failure.map_or(Ok(()), Err)
    }
}

/// How long what a story is read from is kept, in words.
pub fn retention(installation: &Installation) -> String {
    let specs = schemas::topics(&installation.cluster.prefix, installation.cluster.partitions.unsigned_abs());
    let kept = specs.iter().filter(|spec| [DECISIONS, REQUESTS, OUTCOMES].contains(&spec.dataset));
    let words: Vec<String> =
        kept.map(|spec| format!("{} for {} days", spec.dataset, spec.retention.as_secs() / 86_400)).collect();
    words.join(", ")
}

/// Drawn only where a person looks.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} {bar:30} {percent} %");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
