//! Everything that is held about a customer, for herself.
//!
//! Wanted properties:
//! - it holds what every service keeps under each of her ids, and every record of hers that a topic still holds;
//! - it holds nothing of anybody else's (`whose.rs`);
//! - it says what it can't hold, and how long each topic is kept;
//! - a file is there only when it is whole, for its owner alone, and none is replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ingestion::{RECEIVED, partition_of};
use kafka::{ReadRecord, Section, read_section};
use schemas::{Cleanup, Contract, Partitions, PrivacyKind, PrivacyStage, TopicSpec};
use serde::Serialize;
use serde_json::Value;

use super::book::Book;
use super::forgotten::{ANYWHERE, now, receipt};
use super::receipts::write;
use super::states::{KEEPERS, shown};
use super::whose::Whose;
use crate::hosting::Installation;
use crate::{whole_file, written};

/// What is held about a customer.
#[derive(Debug, Serialize)]
pub struct Held {
    customer_id: String,
    as_of: String,
    /// Every id under which she is known.
    ids: Vec<String>,
    /// By service and id.
    states: BTreeMap<String, BTreeMap<String, Value>>,
    /// By dataset, in the order of partitions and offsets.
    records: BTreeMap<String, Vec<Record>>,
    /// How long each dataset is kept.
    kept_for: BTreeMap<String, String>,
    /// Records under her ids that could not be read as what they should be: they are here as bytes.
    unreadable: u64,
    limits: [&'static str; 5],
}

#[derive(Debug, Serialize)]
struct Record {
    id: String,
    partition: i32,
    offset: i64,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    /// As it lies there, in base64, where it is no record of the contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

const LIMITS: [&str; 5] = [
    "what topics held before their retention is gone, and is not here",
    "of a device on which somebody else was recognised or erased, too, only events that name her are here: what was done on it without saying who does can't be told apart, but where it counted as hers",
    "dead letters are found by her own id as their key: one that has none, another, or that of a device is not here",
    "of addresses that must not be written to, those that messaging came to know of under her ids are here; the table of all, under keyed hashes, is not",
    "logs, traces, backups and what others made of the topics are not here",
];

impl Held {
    /// Reads it; where a request asked for it, under the id of the address that it names, too. `told` hears which topic is read, and
    /// how much of it is, in percent.
    pub fn read(
        installation: &Installation,
        customer_id: &str,
        request_id: Option<&str>,
        timeout: Duration,
        told: &mut dyn FnMut(&str, u64),
    ) -> anyhow::Result<Self> {
        told("ingestion.changelog", 0);
        let book = request_id.map(|_| Book::read(installation, timeout)).transpose()?;
        let wish = request_id.zip(book.as_ref()).map(|(id, book)| asked(book, id, customer_id)).transpose()?;
        let own = wish.and_then(Book::id_of_address).into_iter().chain([customer_id.to_owned()]).collect();
        let whose = Whose::find(installation, &own, timeout)?;
        let mut held = Self {
            customer_id: customer_id.to_owned(),
            as_of: written::time(now()),
            ids: whose.ids().into_iter().collect(),
            states: BTreeMap::new(),
            records: BTreeMap::new(),
            kept_for: BTreeMap::new(),
            unreadable: 0,
            limits: LIMITS,
        };
        let cluster = &installation.cluster;
        let specs = schemas::topics(&cluster.prefix, cluster.partitions.unsigned_abs());
        for spec in specs.iter().filter(|spec| spec.partitions == Partitions::Customer) {
            held.read_topic(installation, spec, &whose, timeout, told)?;
        }
        Ok(held)
    }

    /// Whether anything is known under her ids.
    pub fn is_empty(&self) -> bool {
        self.states.values().all(BTreeMap::is_empty) && self.records.values().all(Vec::is_empty)
    }

    /// How many records it holds.
    pub fn records(&self) -> usize {
        self.records.values().map(Vec::len).sum()
    }

    fn read_topic(
        &mut self,
        installation: &Installation,
        spec: &TopicSpec,
        whose: &Whose,
        timeout: Duration,
        told: &mut dyn FnMut(&str, u64),
    ) -> anyhow::Result<()> {
        let service = spec.dataset.strip_suffix(".changelog").filter(|service| KEEPERS.contains(service));
        let cluster = &installation.cluster;
        let hers: BTreeSet<i32> = self.ids.iter().map(|id| partition_of(id.as_bytes(), cluster.partitions)).collect();
        // What came on a foreign partition, and what a worker put aside, may lie anywhere.
        let anywhere = ANYWHERE.contains(&spec.dataset);
        let partitions = if anywhere { (0..cluster.partitions).collect() } else { hers };
        let mut last: BTreeMap<String, ReadRecord> = BTreeMap::new();
        let mut failure = None;
        for partition in partitions {
            let section = Section { partition: Some(partition), ..Section::default() };
            read_section(cluster, &spec.name, section, timeout, |record, progress| {
                told(spec.dataset, progress.done * 100 / progress.total.max(1));
                let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
                let hers = key.filter(|key| whose.may_hold(spec.dataset, key));
                let Some(id) = hers.map(str::to_owned) else { return true };
                if spec.cleanup == Cleanup::Compact {
                    // Of what is compacted the last is in force.
                    drop(if record.value.is_some() { last.insert(id, record) } else { last.remove(&id) });
                    return true;
                }
                let added = match is_hers(installation, whose, spec.dataset, &id, &record) {
                    Ok(true) => self.add(installation, spec.dataset, id, &record),
                    Ok(false) => Ok(()),
                    Err(error) => Err(error),
                };
                failure = added.err();
                failure.is_none()
            })?;
            if let Some(error) = failure {
                return Err(error);
            }
        }
        if let Some(service) = service {
            let states = self.states.entry(service.to_owned()).or_default();
            for (id, record) in last {
                let value = record.value.as_deref().context("a state without a value")?;
                states.insert(id, shown(installation, service, value)?);
            }
            return Ok(());
        }
        for (id, record) in last {
            self.add(installation, spec.dataset, id, &record)?;
        }
        if spec.cleanup == Cleanup::Delete {
            let days = spec.retention.as_secs() / 86_400;
            self.kept_for.insert(spec.dataset.to_owned(), format!("{days}d"));
        }
        Ok(())
    }

    fn add(
        &mut self,
        installation: &Installation,
        dataset: &str,
        id: String,
        record: &ReadRecord,
    ) -> anyhow::Result<()> {
        let (value, bytes) = match record.value.as_deref() {
            None => (None, None),
            Some(raw) => match value(installation, dataset, raw)? {
                Some(value) => (Some(value), None),
                None => (None, Some(STANDARD.encode(raw))),
            },
        };
        self.unreadable += u64::from(bytes.is_some() && dataset != "platform.deadletters");
        self.records.entry(dataset.to_owned()).or_default().push(Record {
            id,
            partition: record.partition,
            offset: record.offset,
            at: written::time(record.timestamp),
            value,
            bytes,
        });
        Ok(())
    }

    /// Writes it into a new file, which takes its name only when it is whole.
    pub fn write_to(&self, path: &Path) -> anyhow::Result<()> {
        let shown = || path.display().to_string();
        ensure!(!path.exists(), "{} is there already, and is not replaced", shown());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut draft = whole_file::draft(folder).with_context(shown)?;
        // It is about a person.
        draft.as_file().set_permissions(Permissions::from_mode(0o600)).with_context(shown)?;
        serde_json::to_writer_pretty(&mut draft, self).with_context(shown)?;
        draft.write_all(b"\n").with_context(shown)?;
        draft.as_file().sync_all().with_context(shown)?;
        draft.persist_noclobber(path).with_context(shown)?;
        Ok(())
    }

    /// As it is written.
    pub fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// Writes the receipt of a request for this customer's data; an error where there is no such request.
pub fn say_given_out(
    installation: &Installation,
    request_id: &str,
    held: &Held,
    timeout: Duration,
) -> anyhow::Result<()> {
    let book = Book::read(installation, timeout)?;
    let wish = asked(&book, request_id, &held.customer_id)?;
    let mut receipt = receipt(wish, PrivacyStage::GivenOut, held.ids.clone(), Vec::new());
    receipt.remains.clear();
    write(installation, &[receipt], timeout)?;
    Ok(())
}

/// There is a request for this customer's data with this id.
pub fn check_asked(
    installation: &Installation,
    request_id: &str,
    customer_id: &str,
    timeout: Duration,
) -> anyhow::Result<()> {
    asked(&Book::read(installation, timeout)?, request_id, customer_id).map(drop)
}

fn asked<'b>(book: &'b Book, request_id: &str, customer_id: &str) -> anyhow::Result<&'b super::Wish> {
    let found = book.find(request_id, Some(customer_id));
    let found = found.filter(|progress| progress.wish.request.kind == PrivacyKind::Export);
    let found =
        found.with_context(|| format!("`{customer_id}` did not ask for her data by a request `{request_id}`"))?;
    Ok(found.wish)
}

/// Whether a record under one of her ids is hers: under that of a device others may have told something, too.
fn is_hers(
    installation: &Installation,
    whose: &Whose,
    dataset: &str,
    id: &str,
    record: &ReadRecord,
) -> anyhow::Result<bool> {
    if dataset != RECEIVED {
        return Ok(true);
    }
    let event =
        record.value.as_deref().map(|value| installation.decode::<schemas::StorefrontEvent>(value)).transpose()?;
    Ok(whose.is_hers(id, event.flatten().as_ref()))
}

/// A record's value as JSON; none where it can't be read as what the dataset holds.
fn value(installation: &Installation, dataset: &str, value: &[u8]) -> anyhow::Result<Option<Value>> {
    fn of<T: Contract>(installation: &Installation, value: &[u8]) -> anyhow::Result<Option<Value>> {
        Ok(installation.decode::<T>(value)?.map(serde_json::to_value).transpose()?)
    }
    match dataset {
        "storefront.received" | "storefront.events" => of::<schemas::StorefrontEvent>(installation, value),
        "customer.events" => of::<schemas::CustomerEvent>(installation, value),
        "customer.reachability" => of::<schemas::CustomerReachability>(installation, value),
        "customer.scores" => of::<schemas::CustomerScore>(installation, value),
        "customer.profiles" => of::<schemas::CustomerProfile>(installation, value),
        "customer.segments" => of::<schemas::SegmentChange>(installation, value),
        "journeys.decisions" => of::<schemas::JourneyDecision>(installation, value),
        "messaging.requests" => of::<schemas::MessageRequest>(installation, value),
        "messaging.outcomes" => of::<schemas::MessageOutcome>(installation, value),
        "messaging.commands" => of::<schemas::MessagingCommand>(installation, value),
        "privacy.requests" => of::<schemas::PrivacyRequest>(installation, value),
        "privacy.receipts" => of::<schemas::PrivacyReceipt>(installation, value),
        _ => Ok(None),
    }
}
