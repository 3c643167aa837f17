//! The broker as a pure state machine: logs, transactions, groups.
//!
//! Architecture invariant: nothing in here knows a socket, a clock, a task or a source of chance. Time comes in as
//! `now_ms`, ids are counted up from a seed, and what has to wait is a [`groups::Ticket`] that is answered later. So a
//! simulation can drive it step by step, and the same calls always have the same results.
//!
//! Wanted properties:
//! - What a call changes, it changes wholly or not at all.
//! - A `read_committed` reader sees all committed records in order and never one of an aborted or open transaction.
//! - Memory is bounded: a producer is refused, with a reason, before the limit is passed; markers still fit.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;

pub use kafka_protocol::ResponseError as ErrorCode;

mod admin;
pub mod batch;
mod config;
mod coordination;
mod data;
pub mod groups;
mod ids;
pub mod log;
mod producers;
pub mod records;
pub mod topic_config;
pub mod topics;
pub mod transactions;

pub use config::CoreConfig;
pub use data::FetchWish;

use groups::{Group, GroupPolicy, GroupReply, Replies, Ticket};
use ids::Ids;
use topics::{Name, Topic, TopicLimits, TopicPartition, Topics};
use transactions::{Ended, Transaction, Transactions};

/// A producer that was idle for so long is forgotten by its partitions (Kafka's default).
const PRODUCER_EXPIRY_MS: i64 = 86_400_000;

/// The broker.
#[derive(Debug)]
pub struct Core {
    config: CoreConfig,
    ids: Ids,
    topics: Topics,
    transactions: Transactions,
    groups: BTreeMap<Name, Group>,
    replies: Replies,
    progress: BTreeSet<TopicPartition>,
    used_bytes: usize,
    next_housekeeping_ms: i64,
}

impl Core {
    /// An empty broker.
    pub fn new(config: CoreConfig) -> Self {
        let ids = Ids::new(config.seed);
        Self {
            config,
            ids,
            topics: Topics::default(),
            transactions: Transactions::default(),
            groups: BTreeMap::new(),
            replies: Replies::default(),
            progress: BTreeSet::new(),
            used_bytes: 0,
            next_housekeeping_ms: i64::MIN,
        }
    }

    /// The settings that it was made with.
    pub fn config(&self) -> &CoreConfig {
        &self.config
    }

    /// Bytes that the logs cost.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Answers to `JoinGroup` and `SyncGroup` requests that had to wait.
    pub fn take_replies(&mut self) -> Vec<(Ticket, GroupReply)> {
        self.replies.take()
    }

    /// Partitions where readers may see more than when this was last asked.
    pub fn take_progress(&mut self) -> BTreeSet<TopicPartition> {
        std::mem::take(&mut self.progress)
    }

    /// Lets time pass: sessions and rebalances end, overdue transactions are aborted, and now and then old records
    /// go and topics are compacted.
    pub fn tick(&mut self, now_ms: i64) {
        for ended in self.transactions.time_out(now_ms) {
            self.write_markers(&ended, now_ms);
        }
        let policy = self.group_policy();
        for group in self.groups.values_mut() {
            group.tick(policy, now_ms, &mut self.replies);
        }
        if now_ms >= self.next_housekeeping_ms {
            self.next_housekeeping_ms = now_ms.saturating_add(self.config.housekeeping_interval_ms);
            self.keep_house(now_ms);
        }
    }

    /// Retention and compaction of all topics, now.
    pub fn keep_house(&mut self, now_ms: i64) {
        let min_dirty_bytes = self.config.compaction_min_dirty_bytes;
        for topic in self.topics.iter_mut() {
            let config = &topic.config;
            let compaction = config.compact.then(|| config.compaction(min_dirty_bytes));
            for log in &mut topic.partitions {
                if config.delete {
                    log.retain(config.retention_ms, config.retention_bytes, now_ms);
                }
                if let Some(policy) = compaction {
                    log.compact(policy, now_ms);
                }
                log.forget_idle_producers(now_ms - PRODUCER_EXPIRY_MS);
            }
        }
        self.groups.retain(|_, group| !group.is_void());
        self.used_bytes =
            self.topics.iter().flat_map(|topic| &topic.partitions).map(log::PartitionLog::cost_bytes).sum();
    }

    /// When [`Self::tick`] has something to do at the latest, as far as open transactions are concerned.
    pub fn next_transaction_deadline_ms(&self) -> Option<i64> {
        self.transactions.next_deadline_ms()
    }

    /// A topic by name.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// A topic by id.
    pub fn topic_by_id(&self, id: u128) -> Option<&Topic> {
        self.topics.by_id(id)
    }

    /// All topics, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.iter()
    }

    /// A partition's log.
    pub fn log(&self, at: &TopicPartition) -> Result<&log::PartitionLog, ResponseError> {
        self.topics.log(at).ok_or(ResponseError::UnknownTopicOrPartition)
    }

    /// A group by name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// All groups, by name.
    pub fn groups(&self) -> impl Iterator<Item = (&Name, &Group)> {
        self.groups.iter()
    }

    /// A transactional id.
    pub fn transaction(&self, id: &str) -> Option<&Transaction> {
        self.transactions.get(id)
    }

    /// All transactional ids.
    pub fn transactions(&self) -> impl Iterator<Item = (&Name, &Transaction)> {
        self.transactions.iter()
    }

    fn write_markers(&mut self, ended: &Ended, now_ms: i64) {
        for at in &ended.partitions {
            if let Some(log) = self.topics.log_mut(at) {
                let before = log.cost_bytes();
                log.append_marker(ended.producer.id, ended.producer.epoch, ended.commit, now_ms);
                self.used_bytes += log.cost_bytes() - before;
                self.progress.insert(at.clone());
            }
        }
        for group in &ended.groups {
            if let Some(group) = self.groups.get_mut(group) {
                group.end_transaction(ended.producer.id, ended.commit);
            }
        }
    }

    fn group_policy(&self) -> GroupPolicy {
        GroupPolicy {
            min_session_timeout_ms: self.config.min_session_timeout_ms,
            max_session_timeout_ms: self.config.max_session_timeout_ms,
            initial_rebalance_delay_ms: self.config.initial_rebalance_delay_ms,
            max_members: self.config.max_group_members,
        }
    }

    fn topic_limits(&self) -> TopicLimits {
        TopicLimits { topics: self.config.max_topics, partitions: self.config.max_partitions }
    }
}
