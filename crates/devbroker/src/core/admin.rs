//! Topics as an operator sees them.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;

use super::Core;
use super::log::PartitionLog;
use super::topic_config::TopicConfig;
use super::topics::{Name, Refusal, Topic};

impl Core {
    /// Creates a topic (or only checks). `None` partitions means the default.
    pub fn create_topic(
        &mut self,
        name: &str,
        partitions: Option<i32>,
        overrides: BTreeMap<String, String>,
        validate_only: bool,
    ) -> Result<Name, Refusal> {
        let partitions = usize::try_from(partitions.unwrap_or(self.config.default_partitions)).unwrap_or(0);
        self.topics.check_new(name, partitions, self.topic_limits())?;
        let config =
            TopicConfig::new(overrides).map_err(|message| Refusal::new(ResponseError::InvalidConfig, message))?;
        if validate_only {
            return Ok(name.into());
        }
        let id = self.ids.uuid();
        Ok(self.topics.create(name, id, partitions, config))
    }

    /// Creates a topic that a client asked for, where that is allowed.
    pub fn auto_create_topic(&mut self, name: &str) -> Result<Name, Refusal> {
        if !self.config.auto_create_topics {
            let message = format!("The topic '{name}' does not exist.");
            return Err(Refusal::new(ResponseError::UnknownTopicOrPartition, message));
        }
        self.create_topic(name, None, BTreeMap::new(), false)
    }

    /// Deletes a topic, its records, and the groups' offsets of it.
    pub fn delete_topic(&mut self, name: &str) -> Result<Topic, Refusal> {
        let Some(topic) = self.topics.delete(name) else {
            let message = format!("The topic '{name}' does not exist.");
            return Err(Refusal::new(ResponseError::UnknownTopicOrPartition, message));
        };
        self.used_bytes -= topic.partitions.iter().map(PartitionLog::cost_bytes).sum::<usize>();
        for group in self.groups.values_mut() {
            group.forget_topic(name);
        }
        self.transactions.forget_topic(name);
        self.drop_markers_of(name);
        for partition in 0..topic.partitions.len() {
            self.progress.insert(super::TopicPartition::new(Name::clone(&topic.name), partition as i32));
        }
        Ok(topic)
    }

    /// Grows a topic to `count` partitions (or only checks).
    pub fn create_partitions(&mut self, name: &str, count: i32, validate_only: bool) -> Result<(), Refusal> {
        let limits = self.topic_limits();
        self.topics.grow(name, count, limits, validate_only)
    }

    /// Replaces a topic's settings by `change`d ones (or only checks).
    pub fn alter_topic_config(
        &mut self,
        name: &str,
        validate_only: bool,
        change: impl FnOnce(&TopicConfig) -> Result<BTreeMap<String, String>, String>,
    ) -> Result<(), Refusal> {
        let Some(topic) = self.topics.get_mut(name) else {
            let message = format!("The topic '{name}' does not exist.");
            return Err(Refusal::new(ResponseError::UnknownTopicOrPartition, message));
        };
        let config = change(&topic.config)
            .and_then(TopicConfig::new)
            .map_err(|message| Refusal::new(ResponseError::InvalidConfig, message))?;
        if !validate_only {
            topic.config = config;
        }
        Ok(())
    }
}
