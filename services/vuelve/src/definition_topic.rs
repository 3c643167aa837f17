//! Definitions as records: put on their topic, and waited for until every partition has them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use anyhow::bail;
use definitions::{Definitions, Journey, Kind, Segment, parse_document, record_key};
use kafka::Appender;
use schemas::{ChangelogHeader, Definition, DefinitionStatus};

use crate::headers;
use crate::hosting::Installation;

pub(crate) const DATASET: &str = "platform.definitions";

/// The services that follow these definitions. Journeys wait for segments and dates, of which segmentation tells.
pub fn followers(definitions: &[Definition]) -> Vec<&'static str> {
    let of_kind = |kind: Kind| definitions.iter().any(|definition| definition.kind == kind.name());
    let of_segmentation = of_kind(Kind::Segment) || of_kind(Kind::Journey);
    let of_segments_alone = definitions.iter().all(|definition| definition.kind == Kind::Segment.name());
    let of_segmentation = of_segmentation.then_some(&["segmentation"][..]);
    let of_others = (!of_segments_alone).then_some(&["journeys", "messaging"][..]);
    [of_segmentation, of_others].into_iter().flatten().flatten().copied().collect()
}

/// Writes these records; returns the offset behind the last of them.
pub async fn write(installation: &Installation, records: &[Definition], timeout: Duration) -> anyhow::Result<i64> {
    let appender = Appender::new(&installation.cluster, "vuelve-definitions", timeout)?;
    let mut new = Vec::with_capacity(records.len());
    for record in records {
        let kind: Kind = record.kind.parse().map_err(anyhow::Error::msg)?;
        let key = record_key(kind, &record.name, record.version);
        new.push(installation.record(DATASET, Some(0), key, Some(record))?);
    }
    let ends = appender.append(&new).await?;
    Ok(ends.into_values().max().unwrap_or(0))
}

/// What is in force, and the offset behind the last record that says so.
#[derive(Debug, Default)]
pub struct InForce {
    by_key: HashMap<String, Definition>,
    /// Behind the last record.
    pub offset: i64,
}

impl InForce {
    /// Reads the topic.
    pub fn read(installation: &Installation, timeout: Duration) -> anyhow::Result<Self> {
        let (mut in_force, mut failure) = (Self::default(), None);
        kafka::read_topic(&installation.cluster, &installation.cluster.topic(DATASET), timeout, |record| {
            in_force.offset = record.offset + 1;
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
            match record.value.map_or_else(|| Ok(Some(deleted())), |value| installation.decode(&value)) {
                Ok(Some(definition)) => in_force.note(key, definition),
                // It can't be read, and changes nothing, as for the services.
                Ok(None) => {}
                Err(error) => failure = Some(error),
            }
            failure.is_none()
        })?;
        failure.map_or(Ok(in_force), |error| Err(error.into()))
    }

    fn note(&mut self, key: String, definition: Definition) {
        if definition.status == DefinitionStatus::Deleted {
            self.by_key.remove(&key);
        } else {
            self.by_key.insert(key, definition);
        }
    }

    /// The text under a record key.
    pub fn body(&self, key: &str) -> Option<String> {
        self.by_key.get(key).map(|definition| definition.body.clone())
    }

    /// The segments, in all their versions. What can't be read changes nothing, as for the service.
    pub fn segments(&self) -> impl Iterator<Item = Segment> {
        let segments = self.by_key.values().filter(|definition| definition.kind == Kind::Segment.name());
        segments.filter_map(|definition| match parse_document(Kind::Segment, &definition.name, &definition.body) {
            Ok(definitions::Definition::Segment(segment)) => Some(*segment),
            _ => None,
        })
    }

    /// The records that take a segment out of force, one for each of its versions, the lowest first, so that none that was replaced comes
    /// in force again; none where it is not in force.
    pub fn without_segment(&self, name: &str, applied_at: i64) -> Vec<Definition> {
        let is_it = |definition: &&Definition| definition.kind == Kind::Segment.name() && definition.name == name;
        let removed = |definition: &Definition| Definition {
            kind: definition.kind.clone(),
            name: definition.name.clone(),
            version: definition.version,
            applied_at,
            ..deleted()
        };
        let mut records: Vec<Definition> = self.by_key.values().filter(is_it).map(removed).collect();
        records.sort_unstable_by_key(|record| record.version);
        records
    }

    /// The journeys, each in the version in force. What can't be read changes nothing, as for the services.
    pub fn current_journeys(&self) -> Vec<Journey> {
        let mut current: BTreeMap<&str, Journey> = BTreeMap::new();
        for definition in self.by_key.values().filter(|definition| definition.kind == Kind::Journey.name()) {
            let read = parse_document(Kind::Journey, &definition.name, &definition.body);
            let Ok(definitions::Definition::Journey(journey)) = read else { continue };
            let is_newest = current.get(definition.name.as_str()).is_none_or(|other| other.version < journey.version);
            if is_newest {
                current.insert(&definition.name, journey);
            }
        }
        current.into_values().collect()
    }

    /// The names of all journeys, in order.
    pub fn journeys(&self) -> BTreeSet<&str> {
        let journeys = self.by_key.values().filter(|definition| definition.kind == Kind::Journey.name());
        journeys.map(|definition| definition.name.as_str()).collect()
    }
}

/// What a record without a value says.
fn deleted() -> Definition {
    Definition { status: DefinitionStatus::Deleted, ..Definition::default() }
}

/// The records of a folder.
pub fn records(definitions: &Definitions, applied_at: i64) -> Vec<Definition> {
    let record = |document: &definitions::Document| Definition {
        kind: document.kind.name().to_owned(),
        name: document.name.to_string(),
        version: document.version,
        body: document.body.clone(),
        digest: document.digest.clone(),
        status: DefinitionStatus::Active,
        applied_at,
    };
    definitions.documents.iter().map(record).collect()
}

/// Waits until every customer was judged by what lies below `offset`, and `show`s how many are left.
pub fn wait_until_judged(
    installation: &Installation,
    offset: i64,
    patience: Duration,
    show: impl Fn(u64),
) -> anyhow::Result<()> {
    headers::wait_until_told(installation, "segmentation", (DATASET, offset), patience, show)
}

/// Waits until every partition of these services has passed `offset`.
pub fn wait_until_in_force(
    installation: &Installation,
    services: &[&'static str],
    offset: i64,
    timeout: Duration,
) -> anyhow::Result<()> {
    let passed = |_, header: &ChangelogHeader| headers::has_taken_up(header, DATASET, offset);
    let behind = headers::wait_until_all(installation, services, timeout, passed)?;
    if behind.is_empty() {
        return Ok(());
    }
    let behind = behind.join(", ");
    bail!("after {timeout:?} these have not taken up the definitions: {behind}; are the services running?")
}
