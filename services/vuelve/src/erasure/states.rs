//! What services keep of somebody, and what of it may stay when she is erased.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use ingestion::ResolverState;
use kafka::{Section, is_changelog_header, read_section};
use messaging::MessagingState;
use schemas::{ChangelogRecord, Contract, UnreachableAddress};
use segmentation::SegmentationState;

use crate::hosting::Installation;

/// The services that keep something of customers.
pub(super) const KEEPERS: [&str; 4] = ["ingestion", "segmentation", "journeys", "messaging"];

/// What is kept of somebody who is erased, as receipts say it.
pub(super) const REMAINS: [&str; 5] = [
    "segmentation: her ids, and until when what happened is not to be known",
    "ingestion: hashes of message ids seen, for the resolver's window",
    "messaging: ids of messages that had their outcome, for as long as a repeat may come; hashes of addresses just suppressed",
    "messaging.suppressions: keyed hashes of addresses that must not be written to",
    "journeys.decisions, messaging.outcomes, customer.segments: what was decided under her ids, without personal data, for 365 days",
];

/// How long a reading may take: as long as the broker says something, and whoever asked for it still wants it.
#[derive(Clone, Copy)]
pub(super) struct Patience<'a> {
    pub(super) timeout: Duration,
    pub(super) go_on: &'a dyn Fn() -> bool,
}

impl Patience<'static> {
    /// Of a command, which is ended by a signal.
    pub(super) fn of_a_command(timeout: Duration) -> Self {
        Self { timeout, go_on: &|| true }
    }
}

impl Patience<'_> {
    pub(super) fn check(self) -> anyhow::Result<()> {
        ensure!((self.go_on)(), "the reading was given up");
        Ok(())
    }
}

/// What a value says of somebody who is erased; each more than the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Said {
    /// Nothing of who she is or what she did: it may stay.
    #[default]
    Nothing,
    /// Which addresses are not written to, as hashes.
    Unreachable,
    /// More, or what can't be read, which may say anything.
    More,
}

/// What a value of a dataset says of somebody who is erased.
pub(super) fn said(installation: &Installation, dataset: &str, value: &[u8]) -> anyhow::Result<Said> {
    fn state<S>(installation: &Installation, value: &[u8], said: impl Fn(&S) -> Said) -> anyhow::Result<Said>
    where
        ChangelogRecord<S>: Contract,
    {
        let record: Option<ChangelogRecord<S>> = installation.decode(value)?;
        Ok(record.map_or(Said::More, |record| record.state.map_or(Said::Nothing, |state| said(&state))))
    }
    let of = |knows_nobody: bool, unreachable: &[UnreachableAddress]| match knows_nobody {
        true if unreachable.is_empty() => Said::Nothing,
        true => Said::Unreachable,
        false => Said::More,
    };
    match dataset {
        "ingestion.changelog" => state(installation, value, |state| of(knows_nobody(state), &[])),
        "segmentation.changelog" => {
            state(installation, value, |state: &SegmentationState| of(!is_told_of(state), &state.unreachable))
        }
        "messaging.changelog" => {
            state(installation, value, |state: &MessagingState| of(state.messages.is_empty(), &state.unreachable))
        }
        "customer.reachability" => Ok(Said::Unreachable),
        _ => Ok(Said::More),
    }
}

/// Whether a device is nobody's, as far as the resolver knows, and nothing that was done on it is kept.
pub(super) fn knows_nobody(state: &ResolverState) -> bool {
    state.linked_to.is_none() && state.history.is_empty() && state.customers.0.is_empty()
}

/// Whether segmentation knows somebody, or what others scored of her.
pub(super) fn is_told_of(state: &SegmentationState) -> bool {
    !state.is_nobody() || !state.scores.is_empty()
}

/// The last committed state of each key that `wanted` takes, of these partitions of a service's changelog, or of all.
pub(super) fn fold<S>(
    installation: &Installation,
    service: &str,
    partitions: Option<&BTreeSet<i32>>,
    patience: Patience<'_>,
    wanted: impl Fn(&str, &S) -> bool,
) -> anyhow::Result<HashMap<String, S>>
where
    ChangelogRecord<S>: Contract,
{
    let cluster = &installation.cluster;
    let topic = cluster.topic(&format!("{service}.changelog"));
    let mut states = HashMap::new();
    let sections: Vec<Section> = match partitions {
        None => vec![Section::default()],
        Some(partitions) => {
            partitions.iter().map(|partition| Section { partition: Some(*partition), ..Section::default() }).collect()
        }
    };
    for section in sections {
        let mut failure = None;
        read_section(cluster, &topic, section, patience.timeout, |record, _| {
            failure = patience.check().err();
            if failure.is_some() || is_changelog_header(&record) {
                return failure.is_none();
            }
            let key = record.key.as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
            let state = match record.value.as_deref().map(|value| installation.read::<ChangelogRecord<S>>(value)) {
                None => None,
                Some(Ok(read)) => read.state,
                Some(Err(error)) => {
                    let place = format!("{}[{}]@{}", record.topic, record.partition, record.offset);
                    failure = Some(error.context(place));
                    return false;
                }
            };
            match state.filter(|state| wanted(&key, state)) {
                Some(state) => drop(states.insert(key, state)),
                None => drop(states.remove(&key)),
            }
            true
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
    }
    Ok(states)
}

/// A state as JSON, of any service.
pub(super) fn shown(installation: &Installation, service: &str, value: &[u8]) -> anyhow::Result<serde_json::Value> {
    fn json<S>(installation: &Installation, value: &[u8]) -> anyhow::Result<serde_json::Value>
    where
        ChangelogRecord<S>: Contract,
        S: serde::Serialize,
    {
        let record: ChangelogRecord<S> = installation.read(value)?;
        Ok(serde_json::to_value(record.state.context("a record without a state")?)?)
    }
    match service {
        "ingestion" => json::<ResolverState>(installation, value),
        "segmentation" => json::<SegmentationState>(installation, value),
        "journeys" => json::<journeys::JourneysState>(installation, value),
        "messaging" => json::<MessagingState>(installation, value),
        other => bail!("{other} keeps no changelog"),
    }
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;
    use segmentation::KeptScore;

    use super::*;

    #[test]
    fn who_was_scored_since_she_was_erased_is_told_of_again_though_she_is_nobody() {
        let erased_at = Some(Timestamp::from_millis(1));
        let nobody = SegmentationState { erased_at, ..SegmentationState::default() };
        let scored_at = Timestamp::from_millis(2);
        let score = KeptScore { name: "churn".into(), value: Some(80), label: None, scored_at, version: None };
        let scored = SegmentationState { scores: vec![score], ..nobody.clone() };
        let known = SegmentationState { known: true, ..nobody.clone() };
        assert_eq!([&nobody, &scored, &known].map(is_told_of), [false, true, true]);
        assert!(scored.is_nobody());
    }
}
