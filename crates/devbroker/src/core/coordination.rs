//! Groups and transactions: what the coordinator answers.

use kafka_protocol::ResponseError;

use super::Core;
use super::groups::{
    CommitCheck, CommittedOffset, Group, GroupReply, GroupState, JoinReply, JoinRequest, Step, SyncReply, SyncRequest,
};
use super::topics::{Name, TopicPartition};
use super::transactions::ProducerIdentity;

/// The offsets that a member or a producer commits.
type Offsets = [(TopicPartition, CommittedOffset)];

impl Core {
    /// A member joins a group.
    pub fn join_group(&mut self, request: &JoinRequest, now_ms: i64) -> Step<JoinReply> {
        if let Err(error) = self.check_group(&request.group) {
            return Step::Done(JoinReply::refused(error, &request.member_id));
        }
        let named_after = request.instance_id.as_ref().unwrap_or(&request.client_id);
        let new_id: Name = if request.member_id.is_empty() {
            self.ids.member_id(named_after).into()
        } else {
            Name::clone(&request.member_id)
        };
        let policy = self.group_policy();
        let group = self.groups.entry(Name::clone(&request.group)).or_default();
        match group.join(request, new_id, policy, now_ms, &mut self.replies) {
            Step::Wait(ticket) => match self.replies.take_one(ticket) {
                Some(GroupReply::Join(reply)) => Step::Done(reply),
                _ => Step::Wait(ticket),
            },
            done @ Step::Done(_) => done,
        }
    }

    /// A member asks for its assignment.
    pub fn sync_group(&mut self, request: &SyncRequest, now_ms: i64) -> Step<SyncReply> {
        let Some(group) = self.groups.get_mut(&request.group) else {
            return Step::Done(SyncReply::refused(ResponseError::UnknownMemberId));
        };
        match group.sync(request, now_ms, &mut self.replies) {
            Step::Wait(ticket) => match self.replies.take_one(ticket) {
                Some(GroupReply::Sync(reply)) => Step::Done(reply),
                _ => Step::Wait(ticket),
            },
            done @ Step::Done(_) => done,
        }
    }

    /// A member lives.
    pub fn heartbeat(
        &mut self,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        let group = self.groups.get_mut(group).ok_or(ResponseError::UnknownMemberId)?;
        group.heartbeat(member_id, instance_id, generation, now_ms)
    }

    /// A member leaves, or an operator removes it.
    pub fn leave_group(
        &mut self,
        group: &str,
        member_id: &str,
        instance_id: Option<&str>,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        let policy = self.group_policy();
        let group = self.groups.get_mut(group).ok_or(ResponseError::UnknownMemberId)?;
        group.leave(member_id, instance_id, policy, now_ms, &mut self.replies)
    }

    /// A group commits offsets.
    pub fn commit_offsets(
        &mut self,
        group: &str,
        check: &CommitCheck,
        offsets: &Offsets,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        self.group_for_commit(group, check, offsets.len())?.commit(check, offsets, now_ms)
    }

    /// A group's offset of a partition; with `stable`, not while a transaction may change it.
    pub fn committed_offset(
        &self,
        group: &str,
        at: &TopicPartition,
        stable: bool,
    ) -> Result<Option<&CommittedOffset>, ResponseError> {
        self.groups.get(group).map_or(Ok(None), |group| group.committed(at, stable))
    }

    /// Partitions that a group has offsets of.
    pub fn offset_partitions(&self, group: &str) -> Vec<TopicPartition> {
        self.groups.get(group).map(Group::offset_partitions).unwrap_or_default()
    }

    /// Deletes a group that has no members.
    pub fn delete_group(&mut self, group: &str) -> Result<(), ResponseError> {
        match self.groups.get(group) {
            None => Err(ResponseError::GroupIdNotFound),
            Some(group) if group.state != GroupState::Empty => Err(ResponseError::NonEmptyGroup),
            Some(_) => {
                self.groups.remove(group);
                Ok(())
            }
        }
    }

    /// Forgets a group's offset of a partition; refused while the group has members, who may be reading it.
    pub fn delete_offset(&mut self, group: &str, at: &TopicPartition) -> Result<(), ResponseError> {
        let group = self.groups.get_mut(group).ok_or(ResponseError::GroupIdNotFound)?;
        if group.state != GroupState::Empty {
            return Err(ResponseError::GroupSubscribedToTopic);
        }
        group.forget_offset(at);
        Ok(())
    }

    /// A producer gets its id and epoch; with a transactional id it fences whoever had it before.
    pub fn init_producer_id(
        &mut self,
        transactional_id: Option<&str>,
        timeout_ms: i64,
        claimed: Option<ProducerIdentity>,
        now_ms: i64,
    ) -> Result<ProducerIdentity, ResponseError> {
        let Some(id) = transactional_id else {
            return Ok(ProducerIdentity { id: self.ids.producer_id(), epoch: 0 });
        };
        if id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        if timeout_ms <= 0 || timeout_ms > self.config.max_transaction_timeout_ms {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        if self.transactions.get(id).is_none() && self.transactions.len() >= self.config.max_transactional_ids {
            return Err(ResponseError::PolicyViolation);
        }
        let ids = &mut self.ids;
        let (producer, ended) = self.transactions.initialise(id, timeout_ms, claimed, || ids.producer_id())?;
        if let Some(ended) = ended {
            self.end_with_markers(&ended, now_ms);
            if self.transactions.is_busy(id) {
                // The new epoch is given once the old transaction's markers have landed; the client asks again.
                return Err(ResponseError::ConcurrentTransactions);
            }
            self.transactions.start_afresh(id);
        }
        Ok(producer)
    }

    /// Partitions take part in a transaction. The result has an error for each if one of them doesn't exist.
    pub fn add_partitions_to_transaction(
        &mut self,
        transactional_id: &str,
        producer: ProducerIdentity,
        partitions: &[TopicPartition],
        now_ms: i64,
    ) -> Vec<Result<(), ResponseError>> {
        let transaction = match self.transactions.owned(transactional_id, producer) {
            Ok(transaction) => transaction,
            Err(error) => return vec![Err(error); partitions.len()],
        };
        let exists = |at: &&TopicPartition| self.topics.log(at).is_some();
        if !partitions.iter().all(|at| exists(&at)) {
            let unknown = Err(ResponseError::UnknownTopicOrPartition);
            let other = Err(ResponseError::OperationNotAttempted);
            return partitions.iter().map(|at| if exists(&at) { other } else { unknown }).collect();
        }
        transaction.join(now_ms);
        transaction.partitions.extend(partitions.iter().cloned());
        vec![Ok(()); partitions.len()]
    }

    /// A group's offsets take part in a transaction.
    pub fn add_offsets_to_transaction(
        &mut self,
        transactional_id: &str,
        producer: ProducerIdentity,
        group: &str,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        self.check_group(group)?;
        let transaction = self.transactions.owned(transactional_id, producer)?;
        transaction.join(now_ms);
        transaction.groups.insert(group.into());
        Ok(())
    }

    /// Commits offsets with the transaction, fenced by the group's generation (KIP-447).
    pub fn commit_offsets_in_transaction(
        &mut self,
        transactional_id: &str,
        producer: ProducerIdentity,
        group: &str,
        check: &CommitCheck,
        offsets: &Offsets,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        let transaction = self.transactions.owned(transactional_id, producer).map_err(|error| match error {
            ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
            other => other,
        })?;
        if !transaction.groups.contains(group) {
            return Err(ResponseError::InvalidTxnState);
        }
        self.group_for_commit(group, check, offsets.len())?.commit_in_transaction(check, producer.id, offsets, now_ms)
    }

    /// Commits or aborts a transaction.
    pub fn end_transaction(
        &mut self,
        transactional_id: &str,
        producer: ProducerIdentity,
        commit: bool,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        if let Some(ended) = self.transactions.end(transactional_id, producer, commit)? {
            self.end_with_markers(&ended, now_ms);
        }
        Ok(())
    }

    fn group_for_commit(&mut self, group: &str, check: &CommitCheck, more: usize) -> Result<&mut Group, ResponseError> {
        self.check_group(group)?;
        if !self.groups.contains_key(group) && check.generation >= 0 {
            return Err(ResponseError::IllegalGeneration);
        }
        let limit = self.config.max_group_offsets;
        let group = self.groups.entry(group.into()).or_default();
        if group.offset_count().saturating_add(more) > limit {
            return Err(ResponseError::PolicyViolation);
        }
        Ok(group)
    }

    fn check_group(&self, group: &str) -> Result<(), ResponseError> {
        if group.is_empty() {
            return Err(ResponseError::InvalidGroupId);
        }
        if !self.groups.contains_key(group) && self.groups.len() >= self.config.max_groups {
            return Err(ResponseError::PolicyViolation);
        }
        Ok(())
    }
}
