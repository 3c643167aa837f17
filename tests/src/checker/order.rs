//! Order per key, and each timer once unless its run was over.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use serde_json::Value;
use testkit::clients::TopicRecord;

use super::{by_key, millis, text};
use crate::installation::Installation;

/// What ends a run.
const ENDS: [&str; 3] = ["exited", "completed", "stopped"];

/// A customer's decisions are in the order of her time; each is there once; a run is entered first, asks for each message
/// once, and ends once, with nothing after but what became of its messages.
pub fn decisions_are_in_order(installation: &Installation) -> anyhow::Result<usize> {
    let records = installation.records("journeys.decisions")?;
    let mut ids = BTreeSet::new();
    for (customer, decisions) in by_key(&records) {
        is_in_order(customer, &decisions, "at")?;
        let mut runs: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for decision in decisions.iter().map(|record| &record.value) {
            let id = text(decision, "decision_id");
            ensure!(ids.insert(id.to_owned()), "decision {id} of {customer} is there twice");
            if !text(decision, "run_id").is_empty() {
                runs.entry(text(decision, "run_id")).or_default().push(decision);
            }
        }
        for (run, decisions) in runs {
            is_a_run(&decisions).with_context(|| format!("run {run} of {customer}"))?;
        }
    }
    Ok(records.len())
}

fn is_a_run(decisions: &[&Value]) -> anyhow::Result<()> {
    let words: Vec<&str> = decisions.iter().map(|decision| text(decision, "decision")).collect();
    let own: Vec<&str> = words.iter().copied().filter(|word| *word != "message_outcome").collect();
    ensure!(own.first() == Some(&"entered"), "it does not begin by being entered: {words:?}");
    ensure!(own.iter().filter(|word| **word == "entered").count() == 1, "it was entered twice: {words:?}");
    let ends: Vec<usize> = (0..own.len()).filter(|index| ENDS.contains(&own[*index])).collect();
    ensure!(ends == [own.len() - 1], "it does not end once and last: {words:?}");
    let asked: Vec<&str> = decisions
        .iter()
        .filter(|decision| text(decision, "decision") == "message_requested")
        .map(|decision| text(decision, "step"))
        .collect();
    let once: BTreeSet<&&str> = asked.iter().collect();
    ensure!(once.len() == asked.len(), "a timer fired twice: {asked:?}");
    Ok(())
}

/// A customer's changes of segments are in the order of her time, and each is there once; what she enters she was not in, what
/// she leaves she was, and of a group she is in one segment at most.
pub fn segment_changes_are_in_order(installation: &Installation) -> anyhow::Result<usize> {
    let records = installation.records("customer.segments")?;
    let mut ids = BTreeSet::new();
    for (customer, changes) in by_key(&records) {
        is_in_order(customer, &changes, "at")?;
        let mut segments: BTreeMap<&str, &str> = BTreeMap::new();
        for change in changes.iter().map(|record| &record.value) {
            let (id, segment, group) = (text(change, "change_id"), text(change, "segment"), text(change, "group"));
            ensure!(ids.insert(id.to_owned()), "change {id} of {customer} is there twice");
            if text(change, "change") == "entered" {
                ensure!(segments.insert(segment, group).is_none(), "{customer} enters {segment} and is in it");
                let of_group = segments.values().filter(|other| !group.is_empty() && **other == group).count();
                ensure!(of_group <= 1, "{customer} is in {of_group} segments of {group}");
            } else {
                ensure!(segments.remove(segment).is_some(), "{customer} leaves {segment} and is not in it");
            }
        }
    }
    Ok(records.len())
}

/// A customer's requests are in the order of her time, and a run's in the order of their due times.
pub fn requests_are_in_order(installation: &Installation) -> anyhow::Result<usize> {
    let records = installation.records("messaging.requests")?;
    for (customer, requests) in by_key(&records) {
        is_in_order(customer, &requests, "requested_at")?;
        let mut due: BTreeMap<&str, i64> = BTreeMap::new();
        for request in requests.iter().map(|record| &record.value) {
            let at = millis(request, "due_at").unwrap_or_default();
            let before = due.insert(text(request, "run_id"), at);
            ensure!(before.is_none_or(|before| before <= at), "{customer}: {} is due before the last", request["step"]);
        }
    }
    Ok(records.len())
}

/// The events of each customer came once, and in the order in which the storefront sent them: `sent` has the message ids of
/// each in that order.
pub fn events_are_in_order(installation: &Installation, sent: &BTreeMap<String, Vec<String>>) -> anyhow::Result<usize> {
    let records = installation.records("storefront.events")?;
    let events = by_key(&records);
    ensure!(events.len() == sent.len(), "{} customers instead of {}", events.len(), sent.len());
    for (customer, ids) in sent {
        let found = events.get(customer.as_str()).map_or(&[][..], Vec::as_slice);
        is_on_one_partition(customer, found)?;
        let found: Vec<&str> = found.iter().map(|record| text(&record.value, "message_id")).collect();
        ensure!(found == *ids, "{customer}: {} events instead of {}, or in another order", found.len(), ids.len());
    }
    Ok(records.len())
}

fn is_in_order(customer: &str, records: &[&TopicRecord], field: &str) -> anyhow::Result<()> {
    is_on_one_partition(customer, records)?;
    let times = records.iter().map(|record| millis(&record.value, field));
    let times = times.collect::<Option<Vec<i64>>>().with_context(|| format!("{customer}: no {field}"))?;
    let falls = times.windows(2).position(|pair| pair[1] < pair[0]);
    ensure!(
        falls.is_none(),
        "{customer}: her time went back: {:?}",
        falls.map(|at| records[at..at + 2].iter().map(|record| &record.value).collect::<Vec<_>>())
    );
    Ok(())
}

fn is_on_one_partition(customer: &str, records: &[&TopicRecord]) -> anyhow::Result<()> {
    let partitions: BTreeSet<i32> = records.iter().map(|record| record.partition).collect();
    ensure!(partitions.len() <= 1, "{customer} is on the partitions {partitions:?}");
    Ok(())
}
