//! Committed offsets, and those that wait for their transaction.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;

use super::{Group, GroupState};
use crate::core::topics::{Name, TopicPartition};

/// How far a group has come on a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch that the client knew, or -1.
    pub leader_epoch: i32,
    /// What the client noted with it.
    pub metadata: Option<Name>,
}

/// Who commits: checked against the group's present generation (KIP-447).
#[derive(Clone, Debug)]
pub struct CommitCheck {
    /// The member's id, or empty.
    pub member_id: Name,
    /// Its `group.instance.id`, if static.
    pub instance_id: Option<Name>,
    /// Its generation, or -1.
    pub generation: i32,
}

impl CommitCheck {
    /// No member at all: an admin tool, or a producer that says nothing of its consumer.
    pub fn none() -> Self {
        Self { member_id: "".into(), instance_id: None, generation: -1 }
    }

    fn names_a_member(&self) -> bool {
        self.generation >= 0 || !self.member_id.is_empty() || self.instance_id.is_some()
    }
}

#[derive(Debug, Default)]
pub(super) struct Offsets {
    committed: BTreeMap<TopicPartition, CommittedOffset>,
    /// By producer: what its open transaction wants to commit.
    pending: BTreeMap<i64, BTreeMap<TopicPartition, CommittedOffset>>,
}

impl Offsets {
    pub(super) fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }
}

impl Group {
    /// May this member commit? A transactional commit that names no member is let through, as Kafka does.
    fn check_commit(&mut self, check: &CommitCheck, transactional: bool, now_ms: i64) -> Result<(), ResponseError> {
        if check.generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        if !check.names_a_member() {
            return if transactional { Ok(()) } else { Err(ResponseError::UnknownMemberId) };
        }
        self.check_generation(&check.member_id, check.instance_id.as_deref(), check.generation)?;
        if !transactional && self.state == GroupState::CompletingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        self.seen(&check.member_id, now_ms);
        Ok(())
    }

    pub(crate) fn commit(
        &mut self,
        check: &CommitCheck,
        offsets: &[(TopicPartition, CommittedOffset)],
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        self.check_commit(check, false, now_ms)?;
        self.offsets.committed.extend(offsets.iter().cloned());
        Ok(())
    }

    pub(crate) fn commit_in_transaction(
        &mut self,
        check: &CommitCheck,
        producer_id: i64,
        offsets: &[(TopicPartition, CommittedOffset)],
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        self.check_commit(check, true, now_ms)?;
        self.offsets.pending.entry(producer_id).or_default().extend(offsets.iter().cloned());
        Ok(())
    }

    /// The producer's transaction ended: its offsets become visible or vanish.
    pub(crate) fn end_transaction(&mut self, producer_id: i64, commit: bool) {
        let pending = self.offsets.pending.remove(&producer_id).unwrap_or_default();
        if commit {
            self.offsets.committed.extend(pending);
        }
    }

    /// The committed offset of a partition; if `stable` is required, not while a transaction may change it.
    pub(crate) fn committed(
        &self,
        at: &TopicPartition,
        stable: bool,
    ) -> Result<Option<&CommittedOffset>, ResponseError> {
        if stable && self.offsets.pending.values().any(|pending| pending.contains_key(at)) {
            return Err(ResponseError::UnstableOffsetCommit);
        }
        Ok(self.offsets.committed.get(at))
    }

    /// All partitions with an offset, committed or pending.
    pub(crate) fn offset_partitions(&self) -> Vec<TopicPartition> {
        let pending = self.offsets.pending.values().flat_map(BTreeMap::keys);
        let mut all: Vec<TopicPartition> = self.offsets.committed.keys().chain(pending).cloned().collect();
        all.sort();
        all.dedup();
        all
    }

    pub(crate) fn offset_count(&self) -> usize {
        self.offsets.committed.len() + self.offsets.pending.values().map(BTreeMap::len).sum::<usize>()
    }

    pub(crate) fn forget_offset(&mut self, at: &TopicPartition) {
        self.offsets.committed.remove(at);
    }

    /// A topic is gone: so are its offsets.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        self.offsets.committed.retain(|at, _| &*at.topic != topic);
        for pending in self.offsets.pending.values_mut() {
            pending.retain(|at, _| &*at.topic != topic);
        }
    }
}
