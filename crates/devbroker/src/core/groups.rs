//! Consumer groups, as Kafka's classic group coordinator keeps them; which assignor the members use is their affair.
//!
//! Wanted properties:
//! - A generation's assignments are given out only to its members; whoever belongs to an older one is told so.
//! - Of two members with the same `group.instance.id` the later one stays, the earlier one is fenced.
//! - A member that is silent for its session time-out is removed; a rebalance ends at the latest when the slowest
//!   member's rebalance time-out is over.
//! - Offsets of an open transaction are pending: visible only once it is committed.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::topics::Name;

mod join;
mod offsets;
mod sync;

pub use join::{JoinReply, JoinRequest, JoinedMember};
pub use offsets::{CommitCheck, CommittedOffset};
pub use sync::{SyncReply, SyncRequest};

/// A reply that is owed: handed out when a request has to wait.
pub type Ticket = u64;

/// What becomes of a request that may have to wait for other members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// Answer with this.
    Done(T),
    /// The answer comes with this ticket, from [`super::Core::take_replies`].
    Wait(Ticket),
}

/// A reply that was waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupReply {
    /// To a `JoinGroup`.
    Join(JoinReply),
    /// To a `SyncGroup`.
    Sync(SyncReply),
}

/// Replies that became ready, and the next ticket.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    next: Ticket,
    ready: Vec<(Ticket, GroupReply)>,
}

impl Replies {
    fn ticket(&mut self) -> Ticket {
        self.next += 1;
        self.next
    }

    fn send(&mut self, ticket: Option<Ticket>, reply: GroupReply) {
        if let Some(ticket) = ticket {
            self.ready.push((ticket, reply));
        }
    }

    pub(crate) fn take(&mut self) -> Vec<(Ticket, GroupReply)> {
        std::mem::take(&mut self.ready)
    }

    /// The reply to a ticket, if it became ready at once.
    pub(crate) fn take_one(&mut self, ticket: Ticket) -> Option<GroupReply> {
        let index = self.ready.iter().position(|(ready, _)| *ready == ticket)?;
        Some(self.ready.swap_remove(index).1)
    }
}

/// What the coordinator allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupPolicy {
    pub(crate) min_session_timeout_ms: i64,
    pub(crate) max_session_timeout_ms: i64,
    pub(crate) initial_rebalance_delay_ms: i64,
    pub(crate) max_members: usize,
}

/// State of a group, in Kafka's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupState {
    /// No members.
    #[default]
    Empty,
    /// Members are joining.
    PreparingRebalance,
    /// The leader is assigning.
    CompletingRebalance,
    /// All have their assignment.
    Stable,
}

impl GroupState {
    /// As `DescribeGroups` shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// One member of a group.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its `group.instance.id`, if static.
    pub instance_id: Option<Name>,
    /// What its client calls itself.
    pub client_id: Name,
    /// Where it connects from.
    pub client_host: Name,
    session_timeout_ms: i64,
    rebalance_timeout_ms: i64,
    protocols: Vec<(Name, Bytes)>,
    /// What the leader gave it.
    pub assignment: Bytes,
    awaiting_join: Option<Ticket>,
    awaiting_sync: Option<Ticket>,
    /// Has it asked for its assignment in this generation?
    synced: bool,
    expires_ms: i64,
}

impl Member {
    /// Its metadata for a protocol.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| &**name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| &**name == protocol)
    }

    fn seen(&mut self, now_ms: i64) {
        self.expires_ms = now_ms + self.session_timeout_ms;
    }

    fn waits(&self) -> bool {
        self.awaiting_join.is_some() || self.awaiting_sync.is_some()
    }
}

/// One consumer group.
#[derive(Debug, Default)]
pub struct Group {
    /// Where it stands.
    pub state: GroupState,
    /// Counted up at each rebalance.
    pub generation: i32,
    /// "consumer", or what else its members said.
    pub protocol_type: Option<Name>,
    /// The assignor that was chosen.
    pub protocol: Option<Name>,
    leader: Option<Name>,
    members: BTreeMap<Name, Member>,
    member_by_instance: BTreeMap<Name, Name>,
    /// Ids that were handed out and not yet used, with their end.
    expected_members: BTreeMap<Name, i64>,
    /// End of the present phase (joining or assigning).
    phase_ends_ms: i64,
    /// The first members of an empty group are waited for until the phase ends.
    gathers: bool,
    offsets: offsets::Offsets,
}

impl Group {
    /// The members, by id.
    pub fn members(&self) -> impl Iterator<Item = (&Name, &Member)> {
        self.members.iter()
    }

    /// Does it have neither members nor offsets?
    pub(crate) fn is_void(&self) -> bool {
        self.members.is_empty() && self.expected_members.is_empty() && self.offsets.is_empty()
    }

    /// Is this member of the present generation who it says it is?
    fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ResponseError> {
        if let Some(instance_id) = instance_id {
            let current = self.member_by_instance.get(instance_id).ok_or(ResponseError::UnknownMemberId)?;
            if &**current != member_id {
                return Err(ResponseError::FencedInstanceId);
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ResponseError::UnknownMemberId) }
    }

    fn check_generation(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        self.check_member(member_id, instance_id)?;
        if generation == self.generation { Ok(()) } else { Err(ResponseError::IllegalGeneration) }
    }

    /// Ends what is over by now: silent members, ids that nobody used, phases.
    pub(crate) fn tick(&mut self, policy: GroupPolicy, now_ms: i64, replies: &mut Replies) {
        self.expected_members.retain(|_, ends_ms| *ends_ms > now_ms);
        let silent = |member: &Member| !member.waits() && member.expires_ms <= now_ms;
        let mut gone: Vec<Name> =
            self.members.iter().filter(|(_, member)| silent(member)).map(|(id, _)| Name::clone(id)).collect();
        if self.state == GroupState::CompletingRebalance && now_ms >= self.phase_ends_ms {
            let idle = self.members.iter().filter(|(_, member)| !member.synced);
            gone.extend(idle.map(|(id, _)| Name::clone(id)));
        }
        for id in gone {
            self.remove_member(&id, replies);
            self.after_removal(policy, now_ms, replies);
        }
        self.try_complete_join(now_ms, replies);
    }

    fn remove_member(&mut self, id: &str, replies: &mut Replies) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(instance_id) = &member.instance_id {
            self.member_by_instance.remove(instance_id);
        }
        replies.send(member.awaiting_join, GroupReply::Join(JoinReply::refused(ResponseError::UnknownMemberId, id)));
        replies.send(member.awaiting_sync, GroupReply::Sync(SyncReply::refused(ResponseError::UnknownMemberId)));
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    fn after_removal(&mut self, policy: GroupPolicy, now_ms: i64, replies: &mut Replies) {
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(policy, now_ms, replies),
            GroupState::PreparingRebalance | GroupState::Empty => {}
        }
        self.try_complete_join(now_ms, replies);
    }

    fn slowest_rebalance_ms(&self) -> i64 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }
}
