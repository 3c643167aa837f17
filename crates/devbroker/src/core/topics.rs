//! The topics: created, grown, configured, deleted, and found by name or id.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;

use super::log::PartitionLog;
use super::topic_config::TopicConfig;

/// A name that many places hold.
pub type Name = Arc<str>;

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Name,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition by topic name and number.
    pub fn new(topic: impl Into<Name>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

/// A refusal with a sentence for a human.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Kafka's code.
    pub code: ResponseError,
    /// What is wrong and what to do.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(code: ResponseError, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// One topic.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: Name,
    /// Its id: another one when a topic of the same name is created again.
    pub id: u128,
    /// Its partitions, by number.
    pub partitions: Vec<PartitionLog>,
    /// Its settings.
    pub config: TopicConfig,
}

/// Upper bounds, so that a client can't grow the broker without end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicLimits {
    pub(crate) topics: usize,
    pub(crate) partitions: usize,
}

/// All topics.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_name: BTreeMap<Name, Topic>,
    name_by_id: BTreeMap<u128, Name>,
}

impl Topics {
    pub(crate) fn get(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    pub(crate) fn by_id(&self, id: u128) -> Option<&Topic> {
        self.name_by_id.get(&id).and_then(|name| self.by_name.get(name))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Topic> {
        self.by_name.values()
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.by_name.get_mut(name)
    }

    pub(crate) fn log(&self, at: &TopicPartition) -> Option<&PartitionLog> {
        let index = usize::try_from(at.partition).ok()?;
        self.by_name.get(&at.topic)?.partitions.get(index)
    }

    pub(crate) fn log_mut(&mut self, at: &TopicPartition) -> Option<&mut PartitionLog> {
        let index = usize::try_from(at.partition).ok()?;
        self.by_name.get_mut(&at.topic)?.partitions.get_mut(index)
    }

    /// Would this topic be created?
    pub(crate) fn check_new(&self, name: &str, partitions: usize, limits: TopicLimits) -> Result<(), Refusal> {
        check_name(name)?;
        if self.by_name.contains_key(name) {
            return Err(Refusal::new(ResponseError::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
        }
        if partitions == 0 {
            let message = "Number of partitions must be larger than 0.";
            return Err(Refusal::new(ResponseError::InvalidPartitions, message));
        }
        if self.by_name.len() >= limits.topics {
            let message = format!("this broker holds {} topics, its limit; delete some", limits.topics);
            return Err(Refusal::new(ResponseError::PolicyViolation, message));
        }
        self.check_room(partitions, limits)
    }

    pub(crate) fn create(&mut self, name: &str, id: u128, partitions: usize, config: TopicConfig) -> Name {
        let name: Name = name.into();
        let partitions = vec![PartitionLog::default(); partitions];
        let topic = Topic { name: Arc::clone(&name), id, partitions, config };
        self.name_by_id.insert(id, Arc::clone(&name));
        self.by_name.insert(Arc::clone(&name), topic);
        name
    }

    pub(crate) fn delete(&mut self, name: &str) -> Option<Topic> {
        let topic = self.by_name.remove(name)?;
        self.name_by_id.remove(&topic.id);
        Some(topic)
    }

    /// Grows a topic to `count` partitions (or only checks).
    pub(crate) fn grow(&mut self, name: &str, count: i32, limits: TopicLimits, check: bool) -> Result<(), Refusal> {
        let Some(topic) = self.by_name.get(name) else {
            let message = format!("The topic '{name}' does not exist.");
            return Err(Refusal::new(ResponseError::UnknownTopicOrPartition, message));
        };
        let now = topic.partitions.len();
        let wanted = usize::try_from(count).unwrap_or(0);
        if wanted <= now {
            let message =
                format!("The topic '{name}' currently has {now} partition(s); {count} would not be an increase.");
            return Err(Refusal::new(ResponseError::InvalidPartitions, message));
        }
        self.check_room(wanted - now, limits)?;
        if let Some(topic) = self.by_name.get_mut(name).filter(|_| !check) {
            topic.partitions.resize_with(wanted, PartitionLog::default);
        }
        Ok(())
    }

    fn check_room(&self, more: usize, limits: TopicLimits) -> Result<(), Refusal> {
        let held: usize = self.by_name.values().map(|topic| topic.partitions.len()).sum();
        if held.saturating_add(more) > limits.partitions {
            let message = format!("this broker holds {held} partitions and its limit is {}", limits.partitions);
            return Err(Refusal::new(ResponseError::PolicyViolation, message));
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    let legal = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c);
    if name.is_empty() || name.len() > 249 || name == "." || name == ".." || !name.chars().all(legal) {
        let message = format!("Topic name '{name}' is illegal: 1 to 249 of ASCII letters, digits, '.', '_' and '-'.");
        return Err(Refusal::new(ResponseError::InvalidTopicException, message));
    }
    Ok(())
}
