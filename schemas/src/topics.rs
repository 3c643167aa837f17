//! The topics of an installation, from `topics.yaml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use thiserror::Error;

use crate::AvroSchema;

/// The list, as text.
const TOPICS_YAML: &str = include_str!("../topics.yaml");
/// Largest batch that a topic takes: Kafka's own default, said aloud so that a cluster with another one has it too.
const MAX_MESSAGE_BYTES: u32 = 1_048_588;
/// After how long a broker closes a segment where the topic does not say: Kafka's own default.
const DEFAULT_SEGMENT: Duration = Duration::from_hours(7 * 24);
/// Longest prefix: with the longest dataset a topic's name stays far below Kafka's 249 characters.
const MAX_PREFIX_CHARS: usize = 64;

/// A topic of an installation.
#[derive(Clone, Debug)]
pub struct TopicSpec {
    /// `<domain>.<name>`, such as `storefront.events`.
    pub dataset: &'static str,
    /// Name on the broker: `<prefix>.<dataset>.v1`.
    pub name: String,
    /// What its records are.
    pub about: &'static str,
    /// The service that writes it and answers for it.
    pub owner: &'static str,
    /// Whether others may rely on it.
    pub visibility: Visibility,
    /// What its values are; none where they are passed on as they came.
    pub schema: Option<&'static AvroSchema>,
    /// What its records are keyed by, in words.
    pub key: &'static str,
    /// How its number of partitions is set.
    pub partitions: Partitions,
    /// Its number of partitions in this installation.
    pub partition_count: u32,
    /// What becomes of old records.
    pub cleanup: Cleanup,
    /// For [`Cleanup::Delete`], how long records are kept; for [`Cleanup::Compact`], how long tombstones are.
    pub retention: Duration,
    /// Whose clock its records carry.
    pub timestamps: Timestamps,
    /// Fields of the schema that hold personal data, nested ones as `record.field`.
    pub personal: &'static [String],
    /// What to create the topic with, by name.
    pub config: BTreeMap<&'static str, String>,
}

impl TopicSpec {
    /// Whether what customers said or are may lie in it, under their ids: where an erasure has to look.
    pub fn holds_customers(&self) -> bool {
        // What is passed on as it came may be anything.
        let may_be_personal = !self.personal.is_empty() || self.schema.is_none();
        self.partitions == Partitions::Customer && (may_be_personal || self.cleanup == Cleanup::Compact)
    }

    /// How long after it was written, or written over, a record is gone at the latest, but for the minutes in which a broker
    /// looks after its logs: a segment is deleted when its last record is old enough, and cleaned when it is closed, which
    /// happens within `max.compaction.lag.ms`. None where nothing bounds it.
    pub fn gone_within(&self) -> Option<Duration> {
        let setting = |name| Some(Duration::from_millis(self.config.get(name)?.parse().ok()?));
        match self.cleanup {
            Cleanup::Delete => Some(self.retention + setting("segment.ms").unwrap_or(DEFAULT_SEGMENT)),
            Cleanup::Compact => setting("max.compaction.lag.ms"),
        }
    }

    /// Subject of its schema in the registry.
    pub fn subject(&self) -> Option<String> {
        self.schema.map(|_| format!("{}-value", self.name))
    }
}

/// Whether others than its owner may rely on a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Others may rely on it.
    Contract,
    /// Its form may change with a release.
    Internal,
}

/// How the number of partitions is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitions {
    /// The installation's number: all such topics have a customer on the same partition.
    Customer,
    /// This number.
    Fixed(u32),
}

/// What becomes of old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cleanup {
    /// Deleted after the retention.
    Delete,
    /// The latest record of each key is kept.
    Compact,
}

/// Whose clock a topic's records carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timestamps {
    /// The producer's (`CreateTime`).
    Producer,
    /// The broker's (`LogAppendTime`).
    Broker,
}

/// A prefix that can't lead topic names.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "prefix {prefix:?} can't be used: take 1 to {MAX_PREFIX_CHARS} lower-case letters, digits and hyphens, beginning \
     with a letter (Kafka confuses '.' and '_', so there is neither in it)"
)]
pub struct PrefixError {
    /// The prefix.
    pub prefix: String,
}

/// Whether a prefix may lead topic names, group ids, transactional ids and store keys.
pub fn check_prefix(prefix: &str) -> Result<(), PrefixError> {
    if prefix.len() <= MAX_PREFIX_CHARS && is_word(prefix) {
        Ok(())
    } else {
        Err(PrefixError { prefix: prefix.to_owned() })
    }
}

/// Name of a dataset's topic.
pub fn topic_name(prefix: &str, dataset: &str) -> String {
    format!("{prefix}.{dataset}.v1")
}

/// Every topic of an installation with this prefix (see [`check_prefix`]) and number of customer partitions.
pub fn topics(prefix: &str, partitions: u32) -> Vec<TopicSpec> {
    TOPICS.iter().map(|entry| entry.spec(prefix, partitions)).collect()
}

/// How long after an erasure the last that was written of a customer is gone at the latest, by `topics.yaml`.
pub fn erased_within() -> Duration {
    let of = topics("any", 1).into_iter().filter(TopicSpec::holds_customers);
    of.filter_map(|spec| spec.gone_within()).max().unwrap_or_default()
}

/// Dataset, contract and schema text of every dataset that has a schema, for registration.
pub fn contracts() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    TOPICS.iter().filter_map(|entry| {
        let schema = entry.schema()?;
        Some((entry.dataset.as_str(), schema.name(), schema.text()))
    })
}

/// What a dataset's values are, if it is in `topics.yaml` and has a schema.
pub fn schema_of(dataset: &str) -> Option<&'static AvroSchema> {
    TOPICS.iter().find(|entry| entry.dataset == dataset)?.schema()
}

static TOPICS: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    parse(TOPICS_YAML).unwrap_or_else(|reason| {
        panic!("the compiled-in topics.yaml is not valid, which its crate's tests rule out: {reason}")
    })
});

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    topics: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dataset: String,
    about: String,
    owner: String,
    visibility: Visibility,
    contract: String,
    key: String,
    #[serde(deserialize_with = "partitions")]
    partitions: Partitions,
    cleanup: Cleanup,
    #[serde(deserialize_with = "retention")]
    retention: Duration,
    timestamps: Timestamps,
    personal: Vec<String>,
    config: BTreeMap<String, String>,
}

impl Entry {
    fn schema(&self) -> Option<&'static AvroSchema> {
        crate::schemas().iter().find(|schema| schema.name() == self.contract).copied()
    }

    fn spec(&'static self, prefix: &str, customer_partitions: u32) -> TopicSpec {
        TopicSpec {
            dataset: &self.dataset,
            name: topic_name(prefix, &self.dataset),
            about: &self.about,
            owner: &self.owner,
            visibility: self.visibility,
            schema: self.schema(),
            key: &self.key,
            partitions: self.partitions,
            partition_count: match self.partitions {
                Partitions::Customer => customer_partitions,
                Partitions::Fixed(count) => count,
            },
            cleanup: self.cleanup,
            retention: self.retention,
            timestamps: self.timestamps,
            personal: &self.personal,
            config: self.broker_config(),
        }
    }

    fn broker_config(&'static self) -> BTreeMap<&'static str, String> {
        let retention_ms = self.retention.as_millis().to_string();
        let (policy, retention) = match self.cleanup {
            Cleanup::Delete => ("delete", ("retention.ms", retention_ms)),
            Cleanup::Compact => ("compact", ("delete.retention.ms", retention_ms)),
        };
        let timestamps = match self.timestamps {
            Timestamps::Producer => "CreateTime",
            Timestamps::Broker => "LogAppendTime",
        };
        let own = [
            ("cleanup.policy", policy.to_owned()),
            retention,
            ("message.timestamp.type", timestamps.to_owned()),
            ("max.message.bytes", MAX_MESSAGE_BYTES.to_string()),
        ];
        let further = self.config.iter().map(|(name, value)| (name.as_str(), value.clone()));
        own.into_iter().chain(further).collect()
    }
}

fn parse(yaml: &str) -> Result<Vec<Entry>, String> {
    let document: Document = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
    for entry in &document.topics {
        check(entry).map_err(|reason| format!("{}: {reason}", entry.dataset))?;
    }
    Ok(document.topics)
}

fn check(entry: &Entry) -> Result<(), String> {
    let mut words = entry.dataset.split('.');
    let (Some(domain), Some(name), None) = (words.next(), words.next(), words.next()) else {
        return Err("a dataset is <domain>.<name>".to_owned());
    };
    if !is_word(domain) || !is_word(name) {
        return Err("a dataset's words are lower-case letters, digits and hyphens".to_owned());
    }
    if entry.contract != "none" && entry.schema().is_none() {
        return Err(format!("there is no contract {}", entry.contract));
    }
    for (attribute, text) in [("about", &entry.about), ("owner", &entry.owner), ("key", &entry.key)] {
        if text.trim().is_empty() {
            return Err(format!("{attribute} is empty"));
        }
    }
    Ok(())
}

/// A lower-case word that begins with a letter.
fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-')
}

fn partitions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Partitions, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.parse() {
        _ if text == "customer" => Ok(Partitions::Customer),
        Ok(count) if count > 0 => Ok(Partitions::Fixed(count)),
        _ => Err(serde::de::Error::custom(format!("partitions is customer or a number above 0, not {text:?}"))),
    }
}

fn retention<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let hours = match (text.strip_suffix('h'), text.strip_suffix('d')) {
        (Some(hours), _) => hours.parse().ok(),
        (_, Some(days)) => days.parse().ok().and_then(|days: u64| days.checked_mul(24)),
        _ => None,
    };
    hours
        .filter(|hours| (1..=24 * 3_650).contains(hours))
        .map(Duration::from_hours)
        .ok_or_else(|| serde::de::Error::custom(format!("retention is such as 1h or 7d, not {text:?}")))
}
