//! Topic settings: Kafka's names, checked when they are set, parsed once.
//!
//! Wanted property: a name or value that Kafka would refuse is refused with a sentence that names it; a name that Kafka
//! knows and this broker has no use for is kept and given back.

use std::collections::BTreeMap;

use super::log::CompactionPolicy;

/// Settings that act here: name, default.
const ACTING: [(&str, &str); 10] = [
    ("cleanup.policy", "delete"),
    ("delete.retention.ms", "86400000"),
    ("max.compaction.lag.ms", "9223372036854775807"),
    ("max.message.bytes", "1048588"),
    ("message.timestamp.type", "CreateTime"),
    ("min.cleanable.dirty.ratio", "0.5"),
    ("min.compaction.lag.ms", "0"),
    ("retention.bytes", "-1"),
    ("retention.ms", "604800000"),
    ("compression.type", "producer"),
];

/// Settings that are kept and given back, without effect in memory on one node.
const KEPT: [(&str, &str); 16] = [
    ("file.delete.delay.ms", "60000"),
    ("flush.messages", "9223372036854775807"),
    ("flush.ms", "9223372036854775807"),
    ("follower.replication.throttled.replicas", ""),
    ("index.interval.bytes", "4096"),
    ("leader.replication.throttled.replicas", ""),
    ("message.timestamp.after.max.ms", "9223372036854775807"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("min.insync.replicas", "1"),
    ("preallocate", "false"),
    ("remote.storage.enable", "false"),
    ("segment.bytes", "1073741824"),
    ("segment.index.bytes", "10485760"),
    ("segment.jitter.ms", "0"),
    ("segment.ms", "604800000"),
    ("unclean.leader.election.enable", "false"),
];

/// A setting as `DescribeConfigs` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Is it Kafka's default?
    pub is_default: bool,
}

/// A topic's settings.
#[derive(Clone, Debug)]
pub struct TopicConfig {
    overrides: BTreeMap<String, String>,
    /// Does the broker stamp its own time?
    pub log_append_time: bool,
    /// Is the newest record of each key kept?
    pub compact: bool,
    /// Are old records dropped?
    pub delete: bool,
    /// How long, in ms; `None` is for ever.
    pub retention_ms: Option<i64>,
    /// How many bytes a partition keeps; `None` is all.
    pub retention_bytes: Option<usize>,
    /// The greatest batch.
    pub max_message_bytes: usize,
    /// Compaction leaves newer records alone.
    pub min_compaction_lag_ms: i64,
    /// Tombstones stay so long.
    pub delete_retention_ms: i64,
    /// Part of a log that must be new before it is compacted.
    pub min_cleanable_dirty_ratio: f64,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            overrides: BTreeMap::new(),
            log_append_time: false,
            compact: false,
            delete: true,
            retention_ms: Some(604_800_000),
            retention_bytes: None,
            max_message_bytes: 1_048_588,
            min_compaction_lag_ms: 0,
            delete_retention_ms: 86_400_000,
            min_cleanable_dirty_ratio: 0.5,
        }
    }
}

impl TopicConfig {
    /// Settings from overrides of the defaults; the error says which is wrong and why.
    pub fn new(overrides: BTreeMap<String, String>) -> Result<Self, String> {
        let mut config = Self::default();
        for (name, value) in &overrides {
            config.set(name, value)?;
        }
        config.overrides = overrides;
        Ok(config)
    }

    /// The overrides that it was made from.
    pub fn overrides(&self) -> &BTreeMap<String, String> {
        &self.overrides
    }

    /// All settings, by name.
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings: Vec<Setting> = known()
            .map(|(name, default)| {
                let chosen = self.overrides.get(*name);
                Setting {
                    name,
                    value: chosen.map_or(*default, String::as_str).to_owned(),
                    is_default: chosen.is_none(),
                }
            })
            .collect();
        settings.sort_by_key(|setting| setting.name);
        settings
    }

    pub(crate) fn compaction(&self, min_dirty_bytes: usize) -> CompactionPolicy {
        CompactionPolicy {
            min_dirty_ratio: self.min_cleanable_dirty_ratio,
            min_dirty_bytes,
            min_lag_ms: self.min_compaction_lag_ms,
            delete_retention_ms: self.delete_retention_ms,
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "cleanup.policy" => {
                let policies: Vec<&str> = value.split(',').map(str::trim).collect();
                if policies.is_empty() || !policies.iter().all(|policy| ["compact", "delete"].contains(policy)) {
                    return Err(wrong(name, value, "`delete`, `compact` or `compact,delete`"));
                }
                self.compact = policies.contains(&"compact");
                self.delete = policies.contains(&"delete");
            }
            "message.timestamp.type" => {
                self.log_append_time = match value {
                    "CreateTime" => false,
                    "LogAppendTime" => true,
                    _ => return Err(wrong(name, value, "`CreateTime` or `LogAppendTime`")),
                };
            }
            "retention.ms" => self.retention_ms = Some(at_least(name, value, -1)?).filter(|ms| *ms >= 0),
            "retention.bytes" => self.retention_bytes = usize::try_from(at_least(name, value, -1)?).ok(),
            "max.message.bytes" => self.max_message_bytes = usize::try_from(at_least(name, value, 0)?).unwrap_or(0),
            "min.compaction.lag.ms" => self.min_compaction_lag_ms = at_least(name, value, 0)?,
            "max.compaction.lag.ms" => drop(at_least(name, value, 1)?),
            "delete.retention.ms" => self.delete_retention_ms = at_least(name, value, 0)?,
            "min.cleanable.dirty.ratio" => {
                let ratio = value.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
                self.min_cleanable_dirty_ratio = ratio.ok_or_else(|| wrong(name, value, "a number from 0 to 1"))?;
            }
            _ if known().any(|(known, _)| *known == name) => {}
            _ => return Err(format!("unknown topic config name: {name}")),
        }
        Ok(())
    }
}

fn known() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    ACTING.iter().chain(&KEPT)
}

fn at_least(name: &str, value: &str, least: i64) -> Result<i64, String> {
    let number = value.parse().ok().filter(|number| *number >= least);
    number.ok_or_else(|| wrong(name, value, &format!("a whole number of at least {least}")))
}

fn wrong(name: &str, value: &str, wanted: &str) -> String {
    format!("invalid value `{value}` for topic config {name}: it must be {wanted}")
}
