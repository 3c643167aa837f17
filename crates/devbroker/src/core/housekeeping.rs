//! Retention and compaction, a little at a time.
//!
//! Wanted properties:
//! - One call compacts at most one partition, so that no client waits long for the lock.
//! - When memory is full, housekeeping starts at once and compacts whatever can be compacted.

use std::collections::VecDeque;

use super::Core;
use super::topics::TopicPartition;

/// A producer that was idle for so long is forgotten by its partitions (Kafka's default).
const PRODUCER_EXPIRY_MS: i64 = 86_400_000;
/// A group that has neither members nor offsets is forgotten when it is looked at, each so often (Kafka's default). Sooner
/// would not do: a group that begins its generations anew takes the word of a member of the one before for newer than its own.
const GROUPS_EACH_MS: i64 = 600_000;
/// Full or not: so long must lie between two rounds.
const LEAST_INTERVAL_MS: i64 = 250;

/// What is still to be looked at in this round, and when the next one begins.
#[derive(Debug, Default)]
pub(super) struct Chores {
    left: VecDeque<TopicPartition>,
    last_round_ms: Option<i64>,
    looked_at_groups_ms: Option<i64>,
    /// A producer was refused for want of memory.
    urgent: bool,
}

impl Chores {
    pub(super) fn hurry(&mut self) {
        self.urgent = true;
    }
}

impl Core {
    /// Goes on with the present round, or begins one if it is time.
    pub(super) fn do_chores(&mut self, now_ms: i64) {
        let urgent = self.chores.urgent;
        if self.chores.left.is_empty() {
            let interval_ms = if urgent { LEAST_INTERVAL_MS } else { self.config.housekeeping_interval_ms };
            if self.chores.last_round_ms.is_some_and(|last| now_ms - last < interval_ms) {
                return;
            }
            self.begin_round(now_ms);
        }
        while let Some(at) = self.chores.left.pop_front() {
            if self.tend(&at, urgent, now_ms) {
                break;
            }
        }
        if self.chores.left.is_empty() {
            self.chores.urgent = false;
        }
    }

    /// Retention and compaction of all topics, now.
    pub fn keep_house(&mut self, now_ms: i64) {
        self.begin_round(now_ms);
        while let Some(at) = self.chores.left.pop_front() {
            self.tend(&at, false, now_ms);
        }
    }

    fn begin_round(&mut self, now_ms: i64) {
        self.chores.last_round_ms = Some(now_ms);
        if self.chores.looked_at_groups_ms.is_none_or(|last| now_ms - last >= GROUPS_EACH_MS) {
            self.chores.looked_at_groups_ms = Some(now_ms);
            self.groups.retain(|_, group| !group.is_void());
        }
        let partitions = self.topics.iter().flat_map(|topic| {
            (0..topic.partitions.len()).map(|index| TopicPartition::new(topic.name.clone(), index as i32))
        });
        self.chores.left = partitions.collect();
    }

    /// Looks after one partition. True if it was compacted.
    fn tend(&mut self, at: &TopicPartition, urgent: bool, now_ms: i64) -> bool {
        let Some(config) = self.topics.get(&at.topic).map(|topic| topic.config.clone()) else { return false };
        let Some(log) = self.topics.log_mut(at) else { return false };
        let before = log.cost_bytes();
        if config.delete {
            log.retain(config.retention_ms, config.retention_bytes, now_ms);
        }
        let mut compacted = false;
        if config.compact {
            let mut policy = config.compaction(self.config.compaction_min_dirty_bytes);
            if urgent {
                (policy.min_dirty_bytes, policy.min_dirty_ratio) = (0, 0.0);
            }
            compacted = log.compact(policy, now_ms);
        }
        log.forget_idle_producers(now_ms - PRODUCER_EXPIRY_MS);
        self.used_bytes = self.used_bytes - before + log.cost_bytes();
        compacted
    }
}
