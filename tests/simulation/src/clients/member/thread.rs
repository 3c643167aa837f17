//! What the client does by itself, without the loop: the states of librdkafka's consumer group and how it goes from one to
//! the next (`rdkafka_cgrp.c`).
//!
//! Wanted properties, each of them librdkafka's:
//! - while the loop is asked, the client goes on to no other generation, and nothing else is asked; it says that it is alive;
//! - a member that was thrown out while it was at rest says that all is lost, and joins again when that was answered;
//! - one that was thrown out while it was about to join again, or while the loop was asked, joins again under a new id with
//!   what it had, and does not say so: the group's next word is for a member that never was away.

use std::sync::Arc;

use devbroker::core::ErrorCode;
use devbroker::core::groups::{GroupReply, JoinReply, JoinRequest, Step, SyncReply, SyncRequest, Ticket};

use super::{MemberThread, Phase, Told, assignor};
use crate::plan::{Coordinator, Point};
use crate::world::{MS, Micros, SECOND, World};

/// After a request that nobody answered.
const AGAIN: Micros = 200 * MS;
/// The client joins no more often than this, but where it says so.
const JOINS_EACH: Micros = SECOND;

impl MemberThread {
    /// An answer that it waited for.
    pub(crate) fn reply(&mut self, ticket: Ticket, reply: GroupReply, at: Micros) {
        self.replied = Some((ticket, reply));
        self.next_at = at;
    }

    fn session(&self) -> Micros {
        self.session_timeout_ms as Micros * MS
    }

    fn heartbeat_at(&self, now: Micros) -> Micros {
        now + self.session() / 4
    }

    /// Something is under way that ends with another join, or with an answer.
    pub(super) fn is_rebalancing(&self) -> bool {
        let is_on_its_way = match self.phase {
            Phase::Joining(_) => !self.member_id.is_empty(),
            Phase::Syncing(_) | Phase::Asked => true,
            Phase::Outside | Phase::Stable => false,
        };
        is_on_its_way || self.to_take.is_some() || self.rejoins
    }

    /// It is about to join again: at once, or not too soon after it did the last time.
    pub(super) fn rejoin(&mut self, at_once: bool, now: Micros) {
        self.phase = Phase::Outside;
        if at_once {
            self.joins_at = now;
        }
        self.next_at = self.next_at.min(self.joins_at.max(now + MS));
    }

    /// Asks the loop. What it is asked about counts as done for the group at once.
    pub(super) fn ask(&mut self, told: Told, rejoins: bool, now: Micros) {
        match &told {
            Told::Take(taken) => self.owned.extend(taken.iter().cloned()),
            Told::Give { partitions, .. } => self.owned.retain(|at| !partitions.contains(at)),
        }
        (self.phase, self.rejoins) = (Phase::Asked, rejoins);
        self.asked = Some(told.clone());
        if self.answers_alone {
            self.answered(matches!(told, Told::Take(_)), now);
        } else {
            self.uncalled = Some(told);
        }
    }

    /// The loop has answered.
    pub(super) fn answered(&mut self, takes: bool, now: Micros) {
        let Some(told) = self.asked.take_if(|told| matches!(told, Told::Take(_)) == takes) else { return };
        if matches!(told, Told::Give { .. })
            && let Some(taken) = self.to_take.take()
        {
            return self.ask(Told::Take(taken), true, now);
        }
        self.phase = Phase::Stable;
        self.next_at = self.next_at.min(now + MS);
        if std::mem::take(&mut self.rejoins) || self.next_topics.is_some() {
            self.rejoin(true, now);
        }
    }

    /// The group goes on without it, and it has noticed.
    fn lost(&mut self, now: Micros) {
        self.to_take = None;
        if self.owned.is_empty() {
            return self.rejoin(false, now);
        }
        self.ask(Told::Give { partitions: self.owned.clone(), lost: true }, true, now);
    }

    /// The same, but where a rebalance is under way: that has to end first, and nothing is said.
    fn lost_unless_rebalancing(&mut self, now: Micros) {
        if !self.is_rebalancing() {
            self.lost(now);
        }
    }

    fn fence(&mut self) {
        self.fenced = true;
        self.next_at = Micros::MAX;
    }

    /// At rest it looks at the clock, too: after a session without an answer it takes itself for thrown out.
    fn looks_at_the_clock(&mut self, now: Micros) {
        if self.phase == Phase::Stable && self.session_ends.is_some_and(|ends| now >= ends) {
            self.session_ends = None;
            self.member_id = "".into();
            self.lost_unless_rebalancing(now);
        }
    }

    /// The broker has answered; that revives no session that is over.
    fn heard(&mut self, now: Micros) {
        let session = self.session();
        if let Some(ends) = &mut self.session_ends {
            *ends = now + session;
        }
    }

    fn assigned(&mut self, assignment: &[u8], now: Micros) {
        let given = assignor::read_places(std::str::from_utf8(assignment).unwrap_or_default());
        let gives = self.owned.difference(&given).cloned().collect::<std::collections::BTreeSet<_>>();
        let takes = given.difference(&self.owned).cloned().collect();
        if gives.is_empty() {
            self.ask(Told::Take(takes), false, now);
        } else {
            self.to_take = Some(takes);
            self.ask(Told::Give { partitions: gives, lost: false }, false, now);
        }
    }
}

impl World {
    /// When a member does something next.
    pub fn next_member(&self) -> Option<(Micros, u64)> {
        let awake = |member: &MemberThread| member.next_at.max(self.machines[member.process].paused_until);
        self.members.iter().filter(|(_, member)| member.next_at < Micros::MAX).map(|(n, m)| (awake(m), *n)).min()
    }

    /// Lets a member's thread do what it does next.
    pub fn step_member(&mut self, number: u64) {
        let Some(mut member) = self.members.remove(&number) else { return };
        let answers = self.broker_answers() && self.coordinates(Coordinator::Groups);
        if !answers || self.loses() {
            member.next_at = self.now + AGAIN;
            if !answers && matches!(member.phase, Phase::Joining(_) | Phase::Syncing(_)) {
                // The connection is gone, and with it the answer.
                member.rejoin(false, self.now);
            }
            member.looks_at_the_clock(self.now);
            member.next_at = member.next_at.max(self.now + MS);
        } else {
            member.looks_at_the_clock(self.now);
            self.go_on(number, &mut member);
        }
        self.members.insert(number, member);
        self.deliver();
    }

    fn go_on(&mut self, number: u64, member: &mut MemberThread) {
        let now = self.now;
        if member.fenced {
            member.next_at = Micros::MAX;
            return;
        }
        if let Some((ticket, reply)) = member.replied.take() {
            match (member.phase, reply) {
                (Phase::Joining(waited), GroupReply::Join(reply)) if waited == ticket => {
                    return self.joined(number, member, reply);
                }
                (Phase::Syncing(waited), GroupReply::Sync(reply)) if waited == ticket => {
                    return self.synced(member, &reply);
                }
                _ => {}
            }
        }
        member.next_at = member.heartbeat_at(now);
        match member.phase {
            Phase::Outside => {
                if let Some(topics) = member.next_topics.take() {
                    member.wants(topics, now);
                    if member.phase != Phase::Outside {
                        return;
                    }
                }
                if member.topics.is_empty() {
                    member.next_at = Micros::MAX;
                } else if now < member.joins_at {
                    member.next_at = member.joins_at;
                } else {
                    self.join(number, member);
                }
            }
            Phase::Joining(_) | Phase::Syncing(_) => {}
            Phase::Asked | Phase::Stable => self.heartbeat(member),
        }
    }

    fn heartbeat(&mut self, member: &mut MemberThread) {
        let (now, now_ms) = (self.now, self.now_ms());
        let (group, id, slot) = (&member.group, &member.member_id, Some(member.slot.as_str()));
        match self.core.heartbeat(group, id, slot, member.generation, now_ms) {
            Ok(()) => member.heard(now),
            Err(ErrorCode::RebalanceInProgress) => {
                member.heard(now);
                if !member.is_rebalancing() {
                    member.rejoin(false, now);
                    self.comes_to(member.process, Point::Rejoins);
                }
            }
            Err(ErrorCode::FencedInstanceId) => member.fence(),
            Err(ErrorCode::IllegalGeneration) => {
                member.generation = -1;
                member.lost_unless_rebalancing(now);
            }
            Err(_) => {
                member.member_id = "".into();
                member.lost_unless_rebalancing(now);
            }
        }
    }

    fn join(&mut self, number: u64, member: &mut MemberThread) {
        let slot: Arc<str> = member.slot.as_str().into();
        let request = JoinRequest {
            group: member.group.as_str().into(),
            member_id: Arc::clone(&member.member_id),
            instance_id: Some(Arc::clone(&slot)),
            client_id: slot,
            client_host: "".into(),
            session_timeout_ms: member.session_timeout_ms,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer".into(),
            protocols: vec![(
                assignor::NAME.into(),
                assignor::claim(&member.topics, &member.owned, member.assigned_in),
            )],
            id_required: false,
            may_skip_assignment: false,
        };
        let now_ms = self.now_ms();
        member.joins_at = self.now + JOINS_EACH;
        match self.core.join_group(&request, now_ms) {
            Step::Wait(ticket) => {
                self.await_ticket(ticket, number);
                member.phase = Phase::Joining(ticket);
                member.next_at = member.heartbeat_at(self.now);
            }
            Step::Done(reply) => self.joined(number, member, reply),
        }
    }

    fn joined(&mut self, number: u64, member: &mut MemberThread, reply: JoinReply) {
        let now = self.now;
        if let Some(error) = reply.error {
            member.joins_at = now + JOINS_EACH;
            member.next_at = member.joins_at;
            match error {
                ErrorCode::FencedInstanceId => return member.fence(),
                ErrorCode::IllegalGeneration => {
                    member.generation = -1;
                    return member.lost(now);
                }
                // Not a word of it to the loop: of a member without a slot the group asks for an id first, and that is when
                // the client says that all is lost. One with a slot simply joins.
                ErrorCode::UnknownMemberId => member.member_id = "".into(),
                _ => {}
            }
            return member.rejoin(false, now);
        }
        member.member_id = Arc::clone(&reply.member_id);
        member.generation = reply.generation;
        let leads = reply.leader == reply.member_id && !reply.members.is_empty();
        let assignments = if leads { self.assign(&reply.members) } else { Vec::new() };
        let request = SyncRequest {
            group: member.group.as_str().into(),
            member_id: reply.member_id,
            instance_id: Some(member.slot.as_str().into()),
            generation: reply.generation,
            protocol_type: None,
            protocol: None,
            assignments,
        };
        let now_ms = self.now_ms();
        match self.core.sync_group(&request, now_ms) {
            Step::Wait(ticket) => {
                self.await_ticket(ticket, number);
                member.phase = Phase::Syncing(ticket);
                member.next_at = member.heartbeat_at(now);
            }
            Step::Done(reply) => self.synced(member, &reply),
        }
    }

    fn synced(&mut self, member: &mut MemberThread, reply: &SyncReply) {
        let now = self.now;
        member.next_at = member.heartbeat_at(now);
        match reply.error {
            None => {
                member.session_ends = Some(now + member.session());
                member.assigned_in = member.generation;
                let (slot, id, generation) = (member.slot.clone(), Arc::clone(&member.member_id), member.generation);
                let assignment = String::from_utf8_lossy(&reply.assignment).into_owned();
                self.tell(|| format!("{slot} is given [{assignment}] in generation {generation} as {id}"));
                member.assigned(&reply.assignment, now);
            }
            Some(ErrorCode::FencedInstanceId) => member.fence(),
            Some(ErrorCode::UnknownMemberId) => {
                member.member_id = "".into();
                member.lost(now);
            }
            Some(ErrorCode::IllegalGeneration) => {
                member.generation = -1;
                member.lost(now);
            }
            Some(_) => member.rejoin(false, now),
        }
    }
}
