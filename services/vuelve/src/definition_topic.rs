//! Definitions as records: put on their topic, and waited for until every partition has them.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use definitions::{Definitions, Kind, record_key};
use kafka::{Appender, Follower, NewRecord, ReadRecord, is_changelog_header};
use schemas::{ChangelogHeader, ChangelogRecord, Definition, DefinitionStatus, Schemas};

use crate::hosting::Installation;

const DATASET: &str = "platform.definitions";
/// The services that follow the definitions.
const FOLLOWERS: [&str; 2] = ["journeys", "messaging"];

/// Writes these records; returns the offset behind the last of them.
pub async fn write(installation: &Installation, records: &[Definition], timeout: Duration) -> anyhow::Result<i64> {
    let appender = Appender::new(&installation.cluster, "vuelve-definitions", timeout)?;
    let mut new = Vec::with_capacity(records.len());
    for record in records {
        let kind: Kind = record.kind.parse().map_err(anyhow::Error::msg)?;
        let mut value = Vec::new();
        installation.schemas.encode(DATASET, record, &mut value)?;
        new.push(NewRecord {
            topic: installation.cluster.topic(DATASET),
            partition: Some(0),
            key: Some(record_key(kind, &record.name, record.version).into_bytes()),
            value: Some(value),
            headers: Vec::new(),
        });
    }
    let places = appender.append(&new).await?;
    Ok(places.iter().map(|(_, offset)| offset + 1).max().unwrap_or(0))
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

/// The last header of each changelog partition, followed from the beginning.
#[derive(Debug)]
pub struct Headers {
    follower: Follower,
    book: HeaderBook,
}

impl Headers {
    /// Of these services' changelogs.
    pub fn follow(installation: &Installation, services: &[&'static str], timeout: Duration) -> anyhow::Result<Self> {
        let book = HeaderBook::new(installation, services);
        let topics: Vec<String> = book.topics().map(str::to_owned).collect();
        Ok(Self { follower: Follower::new(&installation.cluster, &topics, timeout)?, book })
    }

    /// Reads what is there, and returns once nothing came for `quiet`.
    pub fn catch_up(&mut self, quiet: Duration) -> anyhow::Result<()> {
        while let Some(record) = self.follower.next(quiet)? {
            self.book.hear(&record)?;
        }
        Ok(())
    }

    /// The last header of a service's partition.
    pub fn of(&self, service: &'static str, partition: i32) -> Option<&ChangelogHeader> {
        self.book.of(service, partition)
    }

    /// All of them.
    pub fn book(&self) -> &HeaderBook {
        &self.book
    }

    /// The last stable offsets of a topic.
    pub fn stable_ends(&self, topic: &str, partitions: i32) -> anyhow::Result<Vec<i64>> {
        Ok(self.follower.stable_ends(topic, partitions)?)
    }
}

/// The last header of each changelog partition, of the records that were heard.
#[derive(Debug)]
pub struct HeaderBook {
    schemas: Schemas,
    services: HashMap<String, &'static str>,
    last: HashMap<(&'static str, i32), ChangelogHeader>,
}

impl HeaderBook {
    /// Of these services' changelogs; nothing was heard yet.
    pub fn new(installation: &Installation, services: &[&'static str]) -> Self {
        let topic = |service: &str| installation.cluster.topic(&format!("{service}.changelog"));
        Self {
            schemas: installation.schemas.clone(),
            services: services.iter().map(|service| (topic(service), *service)).collect(),
            last: HashMap::new(),
        }
    }

    /// The changelogs, in full.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }

    /// Notes a record; whether it was one of these changelogs'.
    pub fn hear(&mut self, record: &ReadRecord) -> anyhow::Result<bool> {
        let Some(service) = self.services.get(&record.topic).copied() else { return Ok(false) };
        if let Some(value) = record.value.as_ref().filter(|_| is_changelog_header(record)) {
            let header = header_of(&self.schemas, service, value)
                .with_context(|| format!("{}[{}]@{}", record.topic, record.partition, record.offset))?;
            self.last.insert((service, record.partition), header);
        }
        Ok(true)
    }

    /// The last header of a service's partition.
    pub fn of(&self, service: &'static str, partition: i32) -> Option<&ChangelogHeader> {
        self.last.get(&(service, partition))
    }
}

fn header_of(schemas: &Schemas, service: &str, value: &[u8]) -> anyhow::Result<ChangelogHeader> {
    let header = match service {
        "ingestion" => schemas.decode::<ChangelogRecord<ingestion::ResolverState>>(value)?.header,
        "journeys" => schemas.decode::<ChangelogRecord<journeys::JourneysState>>(value)?.header,
        "messaging" => schemas.decode::<ChangelogRecord<messaging::MessagingState>>(value)?.header,
        other => bail!("{other} keeps no changelog"),
    };
    header.context("a header's record has no header")
}

/// Waits until every partition of the services that follow the definitions has passed `offset`.
pub fn wait_until_in_force(installation: &Installation, offset: i64, timeout: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + timeout;
    let mut headers = Headers::follow(installation, &FOLLOWERS, timeout)?;
    loop {
        headers.catch_up(Duration::from_millis(200))?;
        let mut behind = Vec::new();
        for service in FOLLOWERS {
            for partition in 0..installation.cluster.partitions {
                let passed = headers.of(service, partition).is_some_and(|header| {
                    header.tables.iter().any(|table| table.dataset == DATASET && table.next_offset >= offset)
                });
                if !passed {
                    behind.push(format!("{service}[{partition}]"));
                }
            }
        }
        if behind.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "after {timeout:?} these have not taken up the definitions: {}; are the services running?",
                behind.join(", ")
            );
        }
    }
}
