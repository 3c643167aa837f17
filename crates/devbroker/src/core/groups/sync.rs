//! Assignments, heartbeats, leaving.

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::{Group, GroupPolicy, GroupReply, GroupState, Replies, Step};
use crate::core::topics::Name;

/// A member asks for its assignment; the leader brings everybody's.
#[derive(Clone, Debug)]
pub struct SyncRequest {
    /// The group.
    pub group: Name,
    /// Who asks.
    pub member_id: Name,
    /// Its `group.instance.id`, if static.
    pub instance_id: Option<Name>,
    /// The generation that it joined.
    pub generation: i32,
    /// "consumer", where the client says so.
    pub protocol_type: Option<Name>,
    /// The assignor, where the client says so.
    pub protocol: Option<Name>,
    /// Member id and assignment, from the leader.
    pub assignments: Vec<(Name, Bytes)>,
}

/// The answer to a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncReply {
    /// Why it failed, if it did.
    pub error: Option<ResponseError>,
    /// "consumer", usually.
    pub protocol_type: Option<Name>,
    /// The assignor.
    pub protocol: Option<Name>,
    /// What the leader gave this member.
    pub assignment: Bytes,
}

impl SyncReply {
    pub(crate) fn refused(error: ResponseError) -> Self {
        Self { error: Some(error), protocol_type: None, protocol: None, assignment: Bytes::new() }
    }
}

impl Group {
    pub(crate) fn sync(&mut self, request: &SyncRequest, now_ms: i64, replies: &mut Replies) -> Step<SyncReply> {
        match self.try_sync(request, now_ms, replies) {
            Ok(step) => step,
            Err(error) => Step::Done(SyncReply::refused(error)),
        }
    }

    fn try_sync(
        &mut self,
        request: &SyncRequest,
        now_ms: i64,
        replies: &mut Replies,
    ) -> Result<Step<SyncReply>, ResponseError> {
        let id = &request.member_id;
        self.check_generation(id, request.instance_id.as_deref(), request.generation)?;
        let differs = |said: &Option<Name>, is: &Option<Name>| said.is_some() && said != is;
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol, &self.protocol) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        match self.state {
            GroupState::Empty => Err(ResponseError::UnknownMemberId),
            GroupState::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            GroupState::Stable => {
                self.seen(id, now_ms);
                Ok(Step::Done(self.assignment_of(id)))
            }
            GroupState::CompletingRebalance => {
                let ticket = replies.ticket();
                if let Some(member) = self.members.get_mut(id) {
                    let stale = GroupReply::Sync(SyncReply::refused(ResponseError::RebalanceInProgress));
                    replies.send(member.awaiting_sync.replace(ticket), stale);
                    member.synced = true;
                }
                if self.leader.as_ref() == Some(id) {
                    self.assign(request, now_ms, replies);
                }
                Ok(Step::Wait(ticket))
            }
        }
    }

    fn assign(&mut self, request: &SyncRequest, now_ms: i64, replies: &mut Replies) {
        for (id, member) in &mut self.members {
            let given = request.assignments.iter().find(|(to, _)| to == id);
            member.assignment = given.map(|(_, assignment)| assignment.clone()).unwrap_or_default();
        }
        self.state = GroupState::Stable;
        let ids: Vec<Name> = self.members.keys().cloned().collect();
        for id in ids {
            let reply = GroupReply::Sync(self.assignment_of(&id));
            if let Some(member) = self.members.get_mut(&id) {
                member.seen(now_ms);
                replies.send(member.awaiting_sync.take(), reply);
            }
        }
    }

    fn assignment_of(&self, id: &str) -> SyncReply {
        SyncReply {
            error: None,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members.get(id).map(|member| member.assignment.clone()).unwrap_or_default(),
        }
    }

    pub(super) fn seen(&mut self, id: &str, now_ms: i64) {
        if let Some(member) = self.members.get_mut(id) {
            member.seen(now_ms);
        }
    }

    pub(crate) fn heartbeat(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        self.check_generation(member_id, instance_id, generation)?;
        self.seen(member_id, now_ms);
        match self.state {
            GroupState::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// A member leaves; an operator may name a static one by its instance id alone.
    pub(crate) fn leave(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        policy: GroupPolicy,
        now_ms: i64,
        replies: &mut Replies,
    ) -> Result<(), ResponseError> {
        let current = instance_id.and_then(|instance_id| self.member_by_instance.get(instance_id)).cloned();
        let leaver: Name = match current {
            Some(current) if member_id.is_empty() => current,
            _ => member_id.into(),
        };
        if self.expected_members.remove(&leaver).is_none() {
            self.check_member(&leaver, instance_id)?;
            self.remove_member(&leaver, replies);
        }
        self.after_removal(policy, now_ms, replies);
        Ok(())
    }
}
