//! Joining: who is in the next generation.

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::{Group, GroupPolicy, GroupReply, GroupState, Member, Replies, Step, SyncReply};
use crate::core::topics::Name;

/// A member that wants to be in the next generation.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// The group.
    pub group: Name,
    /// The id that it was given, or empty.
    pub member_id: Name,
    /// Its `group.instance.id`, if static.
    pub instance_id: Option<Name>,
    /// What its client calls itself.
    pub client_id: Name,
    /// Where it connects from.
    pub client_host: Name,
    /// Without a heartbeat for so long it is removed.
    pub session_timeout_ms: i64,
    /// It rejoins within so long.
    pub rebalance_timeout_ms: i64,
    /// "consumer", usually.
    pub protocol_type: Name,
    /// Assignors that it knows, the preferred one first, with its metadata for each.
    pub protocols: Vec<(Name, Bytes)>,
    /// Must it first get an id and come back with it (KIP-394)?
    pub id_required: bool,
    /// Does it understand "you are the leader, but don't assign" (KIP-814)?
    pub may_skip_assignment: bool,
}

/// A member, as the leader is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub id: Name,
    /// Its `group.instance.id`, if static.
    pub instance_id: Option<Name>,
    /// Its metadata for the chosen protocol.
    pub metadata: Bytes,
}

/// The answer to a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinReply {
    /// Why it failed, if it did.
    pub error: Option<ResponseError>,
    /// The generation that it belongs to now.
    pub generation: i32,
    /// "consumer", usually.
    pub protocol_type: Option<Name>,
    /// The assignor that was chosen.
    pub protocol: Option<Name>,
    /// Who assigns.
    pub leader: Name,
    /// Who it is.
    pub member_id: Name,
    /// All members, for the leader.
    pub members: Vec<JoinedMember>,
    /// The leader is to keep the assignment that there is.
    pub skip_assignment: bool,
}

impl JoinReply {
    pub(crate) fn refused(error: ResponseError, member_id: &str) -> Self {
        Self {
            error: Some(error),
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: "".into(),
            member_id: member_id.into(),
            members: Vec::new(),
            skip_assignment: false,
        }
    }
}

impl Group {
    /// A member joins or rejoins. `new_id` is used if it has none yet.
    pub(crate) fn join(
        &mut self,
        request: &JoinRequest,
        new_id: Name,
        policy: GroupPolicy,
        now_ms: i64,
        replies: &mut Replies,
    ) -> Step<JoinReply> {
        let refused = |error| Step::Done(JoinReply::refused(error, &request.member_id));
        if !(policy.min_session_timeout_ms..=policy.max_session_timeout_ms).contains(&request.session_timeout_ms) {
            return refused(ResponseError::InvalidSessionTimeout);
        }
        if !self.fits(request) {
            return refused(ResponseError::InconsistentGroupProtocol);
        }
        let known =
            self.members.contains_key(&request.member_id) || self.expected_members.contains_key(&request.member_id);
        let replaces = request.instance_id.as_ref().is_some_and(|id| self.member_by_instance.contains_key(id));
        if !known && !replaces && self.members.len() + self.expected_members.len() >= policy.max_members {
            return refused(ResponseError::GroupMaxSizeReached);
        }
        if !request.member_id.is_empty() {
            return match self.rejoin(request, policy, now_ms, replies) {
                Ok(step) => step,
                Err(error) => refused(error),
            };
        }
        let current = request.instance_id.as_ref().and_then(|id| self.member_by_instance.get(id)).cloned();
        if let Some(current) = current {
            return self.replace_static(&current, &new_id, request, policy, now_ms, replies);
        }
        if request.instance_id.is_none() && request.id_required {
            self.expected_members.insert(Name::clone(&new_id), now_ms + request.session_timeout_ms);
            return Step::Done(JoinReply::refused(ResponseError::MemberIdRequired, &new_id));
        }
        self.add_member(new_id, request, policy, now_ms, replies)
    }

    fn fits(&self, request: &JoinRequest) -> bool {
        if request.protocols.is_empty() || request.protocol_type.is_empty() {
            return false;
        }
        let supported = |name: &str| self.members.values().all(|member| member.supports(name));
        self.members.is_empty()
            || self.protocol_type.as_ref() == Some(&request.protocol_type)
                && request.protocols.iter().any(|(name, _)| supported(name))
    }

    fn add_member(
        &mut self,
        id: Name,
        request: &JoinRequest,
        policy: GroupPolicy,
        now_ms: i64,
        replies: &mut Replies,
    ) -> Step<JoinReply> {
        let ticket = replies.ticket();
        let member = Member {
            instance_id: request.instance_id.clone(),
            client_id: Name::clone(&request.client_id),
            client_host: Name::clone(&request.client_host),
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            protocols: request.protocols.clone(),
            assignment: Bytes::new(),
            awaiting_join: Some(ticket),
            awaiting_sync: None,
            synced: false,
            expires_ms: now_ms + request.session_timeout_ms,
        };
        if let Some(instance_id) = &request.instance_id {
            self.member_by_instance.insert(Name::clone(instance_id), Name::clone(&id));
        }
        if self.members.is_empty() {
            self.protocol_type = Some(Name::clone(&request.protocol_type));
        }
        self.leader.get_or_insert_with(|| Name::clone(&id));
        self.members.insert(id, member);
        if self.state != GroupState::PreparingRebalance {
            self.prepare_rebalance(policy, now_ms, replies);
        }
        self.try_complete_join(now_ms, replies);
        Step::Wait(ticket)
    }

    fn rejoin(
        &mut self,
        request: &JoinRequest,
        policy: GroupPolicy,
        now_ms: i64,
        replies: &mut Replies,
    ) -> Result<Step<JoinReply>, ResponseError> {
        let id = &request.member_id;
        if self.expected_members.remove(id).is_some() {
            return Ok(self.add_member(Name::clone(id), request, policy, now_ms, replies));
        }
        self.check_member(id, request.instance_id.as_deref())?;
        let unchanged = self.members.get(id).is_some_and(|member| member.protocols == request.protocols);
        let leads = self.leader.as_ref() == Some(id);
        match self.state {
            GroupState::Empty => return Err(ResponseError::UnknownMemberId),
            GroupState::CompletingRebalance if unchanged => return Ok(Step::Done(self.joined(id))),
            GroupState::Stable if unchanged && !leads => return Ok(Step::Done(self.joined(id))),
            _ => {}
        }
        let ticket = self.wait_for_join(id, request, now_ms, replies);
        if self.state != GroupState::PreparingRebalance {
            self.prepare_rebalance(policy, now_ms, replies);
        }
        self.try_complete_join(now_ms, replies);
        Ok(Step::Wait(ticket))
    }

    fn wait_for_join(&mut self, id: &Name, request: &JoinRequest, now_ms: i64, replies: &mut Replies) -> u64 {
        let ticket = replies.ticket();
        if let Some(member) = self.members.get_mut(id) {
            let stale = GroupReply::Join(JoinReply::refused(ResponseError::RebalanceInProgress, id));
            replies.send(member.awaiting_join.replace(ticket), stale);
            member.protocols.clone_from(&request.protocols);
            member.session_timeout_ms = request.session_timeout_ms;
            member.rebalance_timeout_ms = request.rebalance_timeout_ms;
            member.seen(now_ms);
        }
        ticket
    }

    /// A static member came back under a new id: the one before is fenced.
    fn replace_static(
        &mut self,
        old_id: &Name,
        new_id: &Name,
        request: &JoinRequest,
        policy: GroupPolicy,
        now_ms: i64,
        replies: &mut Replies,
    ) -> Step<JoinReply> {
        let Some(mut member) = self.members.remove(old_id) else {
            return Step::Done(JoinReply::refused(ResponseError::UnknownMemberId, &request.member_id));
        };
        let fenced = ResponseError::FencedInstanceId;
        replies.send(member.awaiting_join.take(), GroupReply::Join(JoinReply::refused(fenced, old_id)));
        replies.send(member.awaiting_sync.take(), GroupReply::Sync(SyncReply::refused(fenced)));
        member.client_id = Name::clone(&request.client_id);
        member.client_host = Name::clone(&request.client_host);
        if let Some(instance_id) = &member.instance_id {
            self.member_by_instance.insert(Name::clone(instance_id), Name::clone(new_id));
        }
        let led = self.leader.as_ref() == Some(old_id);
        if led {
            self.leader = Some(Name::clone(new_id));
        }
        self.members.insert(Name::clone(new_id), member);
        let ticket = self.wait_for_join(new_id, request, now_ms, replies);
        // What it wants besides does not matter, as with Kafka: only a member that joins again has it looked at.
        if self.state == GroupState::Stable && self.choose_protocol() == self.protocol {
            if let Some(member) = self.members.get_mut(new_id) {
                member.awaiting_join = None;
            }
            return Step::Done(self.returned(new_id, old_id, led, request.may_skip_assignment));
        }
        if self.state != GroupState::PreparingRebalance {
            self.prepare_rebalance(policy, now_ms, replies);
        }
        self.try_complete_join(now_ms, replies);
        Step::Wait(ticket)
    }

    /// The answer to a static member that came back: the generation goes on without a rebalance.
    fn returned(&self, id: &Name, old_id: &Name, leads: bool, may_skip_assignment: bool) -> JoinReply {
        let mut reply = self.joined(id);
        if leads && may_skip_assignment {
            reply.skip_assignment = true;
        } else if leads {
            // An older client would assign anew if it knew that it leads.
            reply.leader = Name::clone(old_id);
            reply.members.clear();
        }
        reply
    }

    /// The answer to a member of the present generation.
    fn joined(&self, id: &Name) -> JoinReply {
        let leader = self.leader.clone().unwrap_or_else(|| "".into());
        let protocol = self.protocol.clone();
        let chosen = protocol.as_deref().unwrap_or_default();
        let all = self.members.iter().map(|(id, member)| JoinedMember {
            id: Name::clone(id),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(chosen),
        });
        JoinReply {
            error: None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            members: if leader == *id { all.collect() } else { Vec::new() },
            protocol,
            leader,
            member_id: Name::clone(id),
            skip_assignment: false,
        }
    }

    pub(super) fn prepare_rebalance(&mut self, policy: GroupPolicy, now_ms: i64, replies: &mut Replies) {
        for member in self.members.values_mut() {
            if self.state == GroupState::CompletingRebalance {
                member.assignment = Bytes::new();
            }
            let interrupted = GroupReply::Sync(SyncReply::refused(ResponseError::RebalanceInProgress));
            if member.awaiting_sync.is_some() {
                replies.send(member.awaiting_sync.take(), interrupted);
                member.seen(now_ms);
            }
        }
        self.gathers = self.state == GroupState::Empty && policy.initial_rebalance_delay_ms > 0;
        let lasts_ms = if self.gathers { policy.initial_rebalance_delay_ms } else { self.slowest_rebalance_ms() };
        self.phase_ends_ms = now_ms + lasts_ms;
        self.state = GroupState::PreparingRebalance;
    }

    pub(super) fn try_complete_join(&mut self, now_ms: i64, replies: &mut Replies) {
        let all_here =
            self.expected_members.is_empty() && self.members.values().all(|member| member.awaiting_join.is_some());
        let over = now_ms >= self.phase_ends_ms;
        if self.state == GroupState::PreparingRebalance && (over || all_here && !self.gathers) {
            self.complete_join(now_ms, replies);
        }
    }

    fn complete_join(&mut self, now_ms: i64, replies: &mut Replies) {
        // A static member that has not come back keeps its place until its session ends.
        let missing = |member: &Member| member.awaiting_join.is_none() && member.instance_id.is_none();
        let gone: Vec<Name> =
            self.members.iter().filter(|(_, member)| missing(member)).map(|(id, _)| Name::clone(id)).collect();
        for id in gone {
            self.remove_member(&id, replies);
        }
        self.gathers = false;
        if self.members.is_empty() {
            self.generation += 1;
            self.state = GroupState::Empty;
            (self.protocol, self.leader) = (None, None);
            return;
        }
        let joined: Vec<Name> =
            self.members.iter().filter(|(_, m)| m.awaiting_join.is_some()).map(|(id, _)| Name::clone(id)).collect();
        let Some(first) = joined.first() else {
            self.phase_ends_ms = now_ms + self.slowest_rebalance_ms();
            return;
        };
        if !self.leader.as_ref().is_some_and(|leader| joined.contains(leader)) {
            self.leader = Some(Name::clone(first));
        }
        self.generation += 1;
        self.protocol = self.choose_protocol();
        self.state = GroupState::CompletingRebalance;
        self.phase_ends_ms = now_ms + self.slowest_rebalance_ms();
        for id in joined {
            let reply = self.joined(&id);
            if let Some(member) = self.members.get_mut(&id) {
                member.synced = false;
                member.seen(now_ms);
                replies.send(member.awaiting_join.take(), GroupReply::Join(reply));
            }
        }
    }

    /// Of the assignors that all know, the one that most prefer.
    fn choose_protocol(&self) -> Option<Name> {
        let first = self.members.values().next()?;
        let known_by_all = |name: &str| self.members.values().all(|member| member.supports(name));
        let votes = |candidate: &Name| {
            let favourite = |member: &Member| {
                member.protocols.iter().find(|(name, _)| known_by_all(name)).map(|(name, _)| Name::clone(name))
            };
            self.members.values().filter(|member| favourite(member).as_ref() == Some(candidate)).count()
        };
        let candidates = first.protocols.iter().map(|(name, _)| name).filter(|name| known_by_all(name));
        // `max_by_key` gives the last of equals; the first member's preference should win.
        candidates.rev().max_by_key(|name| votes(name)).cloned()
    }
}
