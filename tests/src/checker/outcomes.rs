//! Every request has one outcome, and what was sent came once.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use testkit::SmtpSink;

use super::text;
use crate::installation::Installation;

/// Of each outcome, how many messages.
pub type Outcomes = BTreeMap<String, usize>;

/// Every message that was asked for was asked for once and has one outcome, sent or unknown; the mail server has all that
/// count as sent, nothing twice, and nothing that nobody asked for.
pub fn every_request_ended_once(installation: &Installation, sink: &SmtpSink) -> anyhow::Result<Outcomes> {
    let requests = installation.records("messaging.requests")?;
    let requests = requests.iter().filter(|record| text(&record.value, "action").eq_ignore_ascii_case("request"));
    let asked_for: Vec<String> = requests.map(|record| text(&record.value, "message_id").to_owned()).collect();
    let mut ended: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for outcome in installation.records("messaging.outcomes")? {
        let word = text(&outcome.value, "outcome").to_lowercase();
        ended.entry(text(&outcome.value, "message_id").to_owned()).or_default().push(word);
    }
    let distinct: BTreeSet<_> = asked_for.iter().cloned().collect();
    ensure!(distinct.len() == asked_for.len(), "a request is there twice");
    ensure!(distinct == ended.keys().cloned().collect(), "not every request has an outcome, or one has that is none");
    let mut by_outcome: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (message, outcomes) in ended {
        let [outcome] = &outcomes[..] else { anyhow::bail!("{message} has several outcomes: {outcomes:?}") };
        by_outcome.entry(outcome.clone()).or_default().insert(message);
    }
    let counts: Outcomes = by_outcome.iter().map(|(outcome, messages)| (outcome.clone(), messages.len())).collect();
    let sent = by_outcome.remove("sent").unwrap_or_default();
    let unknown = by_outcome.remove("unknown").unwrap_or_default();
    ensure!(by_outcome.is_empty(), "sent and unknown are not everything: {counts:?}");
    none_came_twice(sink, &sent, &unknown)?;
    Ok(counts)
}

fn none_came_twice(sink: &SmtpSink, sent: &BTreeSet<String>, unknown: &BTreeSet<String>) -> anyhow::Result<()> {
    let received: Vec<_> = sink.messages()?.into_iter().map(|message| message.message_id).collect();
    let once: BTreeSet<_> = received.iter().cloned().collect();
    ensure!(once.len() == received.len(), "{} messages came twice", received.len() - once.len());
    let by_message_id = |messages: &BTreeSet<String>| -> BTreeSet<String> {
        messages.iter().map(|message| format!("<{message}@shop.example.com>")).collect()
    };
    ensure!(by_message_id(sent).is_subset(&once), "what counts as sent was not received");
    ensure!(once.is_subset(&by_message_id(&(sent | unknown))), "something else was received");
    Ok(())
}
