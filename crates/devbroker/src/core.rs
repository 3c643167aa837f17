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
mod housekeeping;
mod ids;
pub mod log;
mod markers;
mod producers;
pub mod records;
pub mod topic_config;
pub mod topics;
pub mod transactions;

pub use config::CoreConfig;
pub use data::FetchWish;

use groups::{Group, GroupPolicy, GroupReply, Replies, Ticket};
use housekeeping::Chores;
use ids::Ids;
use markers::MarkersUnderWay;
use topics::{Name, Topic, TopicLimits, TopicPartition, Topics};
use transactions::{Transaction, Transactions};

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
    markers: MarkersUnderWay,
    chores: Chores,
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
            markers: MarkersUnderWay::default(),
            chores: Chores::default(),
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

    /// Lets time pass: sessions and rebalances end, markers land, overdue transactions are aborted, and now and then old
    /// records go and topics are compacted.
    pub fn tick(&mut self, now_ms: i64) {
        self.land_markers(now_ms);
        for ended in self.transactions.time_out(now_ms) {
            self.end_with_markers(&ended, now_ms);
        }
        let policy = self.group_policy();
        for group in self.groups.values_mut() {
            group.tick(policy, now_ms, &mut self.replies);
        }
        self.do_chores(now_ms);
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
