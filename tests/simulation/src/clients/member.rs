//! A member of a group, as librdkafka's classic consumer with the cooperative-sticky assignor is one: a thread of its own
//! joins, syncs and sends heartbeats ([`thread`]); the loop is told of rebalances when it polls, and answers them.

mod assignor;
mod thread;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use devbroker::core::groups::{CommitCheck, Group, GroupReply, Ticket};
use devbroker::core::topics::TopicPartition;
use kafka::port::{ClientError, Member, Rebalance};
use stream::Partition;

use super::Handle;
use crate::broken::Broken;
use crate::plan::{Coordinator, Point};
use crate::world::{MS, Micros, ProcessId};

/// A member of a group.
pub struct GroupMember<'y> {
    handle: Handle<'y>,
    number: u64,
}

/// The thread behind a member.
#[derive(Debug)]
pub struct MemberThread {
    /// Whose.
    pub process: ProcessId,
    /// When it does something next.
    pub next_at: Micros,
    /// Of which group.
    pub group: String,
    slot: String,
    primary: String,
    session_timeout_ms: i64,
    topics: Vec<String>,
    /// Wanted as soon as the rebalance that is under way has ended.
    next_topics: Option<Vec<String>>,
    member_id: Arc<str>,
    generation: i32,
    /// The generation that `owned` is of: what the group is told beside it.
    assigned_in: i32,
    phase: Phase,
    /// Not to join again before.
    joins_at: Micros,
    /// When it takes itself for thrown out; none once it has.
    session_ends: Option<Micros>,
    owned: BTreeSet<TopicPartition>,
    /// What the last assignment gives beside what is owned: taken once what it takes away was given back.
    to_take: Option<BTreeSet<TopicPartition>>,
    /// The answer is followed by another join.
    rejoins: bool,
    /// What the loop is asked, until it has answered.
    asked: Option<Told>,
    /// The same, until the loop polls, which calls it.
    uncalled: Option<Told>,
    /// What it was called with, each with the generation at that time.
    waiting: VecDeque<(Rebalance, Option<CommitCheck>)>,
    /// That of the last that was taken.
    metadata: Option<CommitCheck>,
    answers_alone: bool,
    fenced: bool,
    replied: Option<(Ticket, GroupReply)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has not joined, or is about to join again.
    Outside,
    Joining(Ticket),
    Syncing(Ticket),
    /// It waits for the loop's answer.
    Asked,
    Stable,
}

#[derive(Clone, Debug)]
enum Told {
    Take(BTreeSet<TopicPartition>),
    Give { partitions: BTreeSet<TopicPartition>, lost: bool },
}

impl MemberThread {
    /// What the group knows it by at present.
    fn present(&self) -> Option<CommitCheck> {
        (self.generation >= 0).then(|| CommitCheck {
            member_id: Arc::clone(&self.member_id),
            instance_id: Some(self.slot.as_str().into()),
            generation: self.generation,
        })
    }

    /// The loop polls, and is told what it is asked.
    fn call(&mut self) {
        let Some(told) = self.uncalled.take() else { return };
        let of_primary = |all: BTreeSet<TopicPartition>| {
            all.iter().filter(|at| *at.topic == *self.primary).map(|at| at.partition).collect::<Vec<_>>()
        };
        let rebalance = match told {
            Told::Take(taken) => Rebalance::Assigned(of_primary(taken)),
            Told::Give { partitions, lost } => Rebalance::Revoked { partitions: of_primary(partitions), lost },
        };
        self.waiting.push_back((rebalance, self.present()));
    }

    /// Wants these topics from now on; what it has of others is given back first.
    fn wants(&mut self, topics: Vec<String>, now: Micros) {
        self.topics = topics;
        let is_wanted = |at: &TopicPartition| self.topics.iter().any(|topic| **topic == *at.topic);
        let unwanted: BTreeSet<TopicPartition> = self.owned.iter().filter(|at| !is_wanted(at)).cloned().collect();
        if unwanted.is_empty() {
            self.rejoin(false, now);
        } else {
            self.ask(Told::Give { partitions: unwanted, lost: false }, true, now);
        }
    }
}

impl<'y> GroupMember<'y> {
    pub(super) fn new(handle: Handle<'y>, group: &str, slot: &str, primary: &str, session_timeout_ms: i64) -> Self {
        let number = {
            let mut world = handle.world();
            world.names += 1;
            let number = world.names;
            let thread = MemberThread {
                process: handle.process,
                next_at: Micros::MAX,
                group: group.to_owned(),
                slot: slot.to_owned(),
                primary: primary.to_owned(),
                session_timeout_ms,
                topics: Vec::new(),
                next_topics: None,
                member_id: "".into(),
                generation: -1,
                assigned_in: -1,
                phase: Phase::Outside,
                joins_at: 0,
                session_ends: None,
                owned: BTreeSet::new(),
                to_take: None,
                rejoins: false,
                asked: None,
                uncalled: None,
                waiting: VecDeque::new(),
                metadata: None,
                answers_alone: false,
                fenced: false,
                replied: None,
            };
            // The client before it, if there is one, is closed.
            let process = handle.process;
            world.members.retain(|_, member| member.process != process);
            world.members.insert(number, thread);
            number
        };
        Self { handle, number }
    }

    fn with<T>(&self, act: impl FnOnce(&mut MemberThread, Micros) -> T) -> Option<T> {
        let mut world = self.handle.world();
        let now = world.now;
        world.members.get_mut(&self.number).map(|member| act(member, now))
    }
}

impl Member for GroupMember<'_> {
    type Metadata = CommitCheck;

    fn subscribe(&self, topics: &[&str]) -> Result<(), ClientError> {
        let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        self.with(|member, now| {
            if member.is_rebalancing() || matches!(member.phase, Phase::Joining(_)) {
                member.next_topics = Some(topics);
            } else {
                member.next_topics = None;
                member.wants(topics, now);
            }
            member.next_at = member.next_at.min(now + MS);
        });
        Ok(())
    }

    fn poll(&self) -> Option<ClientError> {
        self.with(|member, _| member.call());
        None
    }

    fn is_fenced(&self) -> bool {
        self.with(|member, _| member.fenced).unwrap_or(false)
    }

    fn next(&self) -> Option<Rebalance> {
        self.with(|member, _| {
            let (rebalance, metadata) = member.waiting.pop_front()?;
            member.metadata = metadata;
            Some(rebalance)
        })
        .flatten()
    }

    fn answer(&self, assigned: bool) -> Result<(), ClientError> {
        self.handle.reach(Point::Answers);
        self.with(|member, now| member.answered(assigned, now));
        Ok(())
    }

    fn metadata(&self) -> Option<CommitCheck> {
        let afresh = self.handle.is_broken(Broken::AsksForGenerationAfresh);
        self.with(|member, _| if afresh { member.present() } else { member.metadata.clone() }).flatten()
    }

    fn known_as(&self, timeout: Duration) -> Result<Option<String>, ClientError> {
        if self.handle.is_broken(Broken::TakesSilenceForStaying) {
            return Ok(Some("the same".to_owned()));
        }
        let Some((group, slot)) = self.with(|member, _| (member.group.clone(), member.slot.clone())) else {
            return Ok(None);
        };
        self.handle.coordinated(Coordinator::Groups, timeout, |world| {
            let mut members = world.core.group(&group).into_iter().flat_map(Group::members);
            members.find(|(_, member)| *member.client_id == *slot).map(|(id, _)| id.to_string())
        })
    }

    fn committed(&self, topic: &str, partition: Partition, timeout: Duration) -> Result<Option<i64>, ClientError> {
        let Some(group) = self.with(|member, _| member.group.clone()) else { return Ok(None) };
        let at = TopicPartition::new(topic, partition);
        self.handle.coordinated(Coordinator::Groups, timeout, |world| {
            let offset = world.core.committed_offset(&group, &at, true);
            offset
                .map(|offset| offset.map(|offset| offset.offset))
                .map_err(|error| ClientError::passing(format!("{error:?}")))
        })?
    }

    fn answer_alone(&self) {
        self.with(|member, now| {
            member.answers_alone = true;
            // Whoever closes a client polls it to its end. What the loop was called with already it answers itself.
            if let Some(told) = member.uncalled.take() {
                member.answered(matches!(told, Told::Take(_)), now);
            }
        });
    }

    fn leave(&self) {
        // A static member does not leave: its slot stays its own for a session.
        self.handle.world().members.remove(&self.number);
    }
}
