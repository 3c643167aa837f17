//! Every input has an outcome: all services stand at the ends of their inputs, and nothing was put aside.

use std::collections::BTreeSet;

use anyhow::ensure;
use serde_json::Value;

use super::changelogs::Changelogs;
use crate::installation::{Installation, topic};

/// What each service reads: a header that leaves one out is not taken for one that is done.
const INPUTS: [(&str, &[&str]); 4] = [
    ("ingestion", &["storefront.received", "privacy.requests"]),
    ("journeys", &["customer.events", "messaging.outcomes"]),
    ("messaging", &["messaging.requests", "messaging.commands"]),
    ("segmentation", &["storefront.events", "customer.reachability", "customer.scores"]),
];

/// Where the last headers do not name the ends of the inputs.
pub(super) fn behind(installation: &Installation, changelogs: &Changelogs) -> anyhow::Result<Vec<String>> {
    let datasets: BTreeSet<&str> = INPUTS.iter().flat_map(|(_, inputs)| inputs.iter().copied()).collect();
    let ends = installation.ends(&datasets.into_iter().collect::<Vec<_>>())?;
    let mut behind = Vec::new();
    for fold in &changelogs.0 {
        let inputs = INPUTS.iter().find(|(service, _)| *service == fold.service).map_or(&[][..], |(_, inputs)| inputs);
        for dataset in inputs {
            let end = ends.get(&(topic(dataset), fold.partition)).copied();
            let position = position(&fold.header, dataset);
            if end.is_none() || position != end {
                let (service, partition) = (fold.service, fold.partition);
                behind
                    .push(format!("{service} stands at {position:?} of {dataset}[{partition}], whose end is {end:?}"));
            }
        }
    }
    Ok(behind)
}

fn position(header: &Value, dataset: &str) -> Option<i64> {
    let mut positions = header["positions"].as_array()?.iter();
    positions.find(|position| position["dataset"] == dataset)?["next_offset"].as_i64()
}

/// Nothing was put aside as unusable.
pub fn nothing_was_dead_lettered(installation: &Installation) -> anyhow::Result<()> {
    let letters = installation.raw_records("platform.deadletters")?;
    ensure!(letters.is_empty(), "{} dead letters, the first of them {:?}", letters.len(), letters[0].headers);
    Ok(())
}
