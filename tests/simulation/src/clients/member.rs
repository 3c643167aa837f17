//! A member of a group, as librdkafka's classic consumer with the cooperative-sticky assignor is one: a thread of its own
//! joins, syncs and sends heartbeats; the loop is told of rebalances and answers them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use devbroker::core::ErrorCode;
use devbroker::core::groups::{
    CommitCheck, GroupReply, JoinReply, JoinRequest, JoinedMember, Step, SyncReply, SyncRequest, Ticket,
};
use devbroker::core::topics::TopicPartition;
use kafka::port::{ClientError, Member, Rebalance};
use stream::Partition;

use super::Handle;
use crate::plan::Coordinator;
use crate::world::{MS, Micros, ProcessId, World};

const ASSIGNOR: &str = "cooperative-sticky";
/// After a request that nobody answered.
const AGAIN: Micros = 200 * MS;

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
    member_id: Arc<str>,
    generation: i32,
    phase: Phase,
    owned: BTreeSet<TopicPartition>,
    /// What the last assignment gives beside what is owned: taken once what it takes away was given back.
    to_take: Option<BTreeSet<TopicPartition>>,
    /// Told to the loop, and answered by it in this order.
    told: VecDeque<Told>,
    waiting: VecDeque<Rebalance>,
    answers_alone: bool,
    fenced: bool,
    rejoin: bool,
    replied: Option<(Ticket, GroupReply)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Outside,
    Joining(Option<Ticket>),
    Syncing(Option<Ticket>),
    Stable,
}

#[derive(Clone, Debug)]
enum Told {
    Take(BTreeSet<TopicPartition>),
    Give(BTreeSet<TopicPartition>),
    Lost,
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
                member_id: "".into(),
                generation: -1,
                phase: Phase::Outside,
                owned: BTreeSet::new(),
                to_take: None,
                told: VecDeque::new(),
                waiting: VecDeque::new(),
                answers_alone: false,
                fenced: false,
                rejoin: false,
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
        self.with(|member, now| {
            member.topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
            member.rejoin = true;
            member.next_at = member.next_at.min(now + MS);
        });
        Ok(())
    }

    fn poll(&self) -> Option<ClientError> {
        None
    }

    fn is_fenced(&self) -> bool {
        self.with(|member, _| member.fenced).unwrap_or(false)
    }

    fn next(&self) -> Option<Rebalance> {
        self.with(|member, _| member.waiting.pop_front()).flatten()
    }

    fn answer(&self, _assigned: bool) -> Result<(), ClientError> {
        self.with(MemberThread::answered);
        Ok(())
    }

    fn metadata(&self) -> Option<CommitCheck> {
        self.with(|member, _| {
            (member.generation >= 0).then(|| CommitCheck {
                member_id: Arc::clone(&member.member_id),
                instance_id: Some(member.slot.as_str().into()),
                generation: member.generation,
            })
        })
        .flatten()
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
            while !member.told.is_empty() && member.waiting.len() < member.told.len() {
                member.answered(now);
            }
        });
    }

    fn leave(&self) {
        // A static member does not leave: its slot stays its own for a session.
        self.handle.world().members.remove(&self.number);
    }
}

impl MemberThread {
    /// An answer that it waited for.
    pub(crate) fn reply(&mut self, ticket: Ticket, reply: GroupReply, at: Micros) {
        self.replied = Some((ticket, reply));
        self.next_at = at;
    }

    fn tell(&mut self, told: Told, now: Micros) {
        let of_primary = |all: &BTreeSet<TopicPartition>| {
            all.iter().filter(|at| *at.topic == *self.primary).map(|at| at.partition).collect::<Vec<_>>()
        };
        let rebalance = match &told {
            Told::Take(taken) => Rebalance::Assigned(of_primary(taken)),
            Told::Give(given) => Rebalance::Revoked { partitions: of_primary(given), lost: false },
            Told::Lost => Rebalance::Revoked { partitions: of_primary(&self.owned), lost: true },
        };
        self.told.push_back(told);
        if self.answers_alone {
            self.answered(now);
        } else {
            self.waiting.push_back(rebalance);
        }
    }

    fn answered(&mut self, now: Micros) {
        match self.told.pop_front() {
            None => {}
            Some(Told::Take(taken)) => self.owned.extend(taken),
            Some(Told::Give(given)) => {
                self.owned.retain(|at| !given.contains(at));
                self.rejoin = true;
                if let Some(taken) = self.to_take.take() {
                    self.tell(Told::Take(taken), now);
                }
            }
            Some(Told::Lost) => {
                self.owned.clear();
                self.rejoin = true;
            }
        }
        self.next_at = self.next_at.min(now + MS);
    }

    /// The group goes on without it.
    fn lost(&mut self, now: Micros) {
        (self.member_id, self.generation, self.phase) = ("".into(), -1, Phase::Outside);
        self.to_take = None;
        self.told.clear();
        self.waiting.clear();
        self.tell(Told::Lost, now);
    }

    fn metadata(&self) -> Bytes {
        let owned: Vec<String> = self.owned.iter().map(|at| format!("{}:{}", at.topic, at.partition)).collect();
        format!("{}|{}|{}", self.topics.join(","), owned.join(","), self.generation).into()
    }

    fn assigned(&mut self, assignment: &[u8], now: Micros) {
        let given = read_places(std::str::from_utf8(assignment).unwrap_or_default());
        let gives: BTreeSet<TopicPartition> = self.owned.difference(&given).cloned().collect();
        let takes: BTreeSet<TopicPartition> = given.difference(&self.owned).cloned().collect();
        if gives.is_empty() {
            self.tell(Told::Take(takes), now);
        } else {
            self.to_take = Some(takes);
            self.tell(Told::Give(gives), now);
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
            if matches!(member.phase, Phase::Joining(Some(_)) | Phase::Syncing(Some(_))) && !answers {
                // The connection is gone, and with it the answer.
                member.phase = Phase::Joining(None);
            }
            member.next_at = self.now + AGAIN;
            self.members.insert(number, member);
            return;
        }
        self.go_on(number, &mut member);
        self.members.insert(number, member);
        self.deliver();
    }

    fn go_on(&mut self, number: u64, member: &mut MemberThread) {
        let now = self.now;
        let heartbeat = now + member.session_timeout_ms as Micros * MS / 4;
        if member.fenced {
            member.next_at = Micros::MAX;
            return;
        }
        if let Some((ticket, reply)) = member.replied.take() {
            match (member.phase, reply) {
                (Phase::Joining(Some(waited)), GroupReply::Join(reply)) if waited == ticket => {
                    return self.joined(number, member, reply);
                }
                (Phase::Syncing(Some(waited)), GroupReply::Sync(reply)) if waited == ticket => {
                    return self.synced(member, &reply);
                }
                _ => {}
            }
        }
        let busy = !member.told.is_empty();
        match member.phase {
            Phase::Outside | Phase::Stable if (member.rejoin || member.phase == Phase::Outside) && !busy => {
                if member.topics.is_empty() {
                    member.next_at = Micros::MAX;
                    return;
                }
                member.rejoin = false;
                member.phase = Phase::Joining(None);
                self.join(number, member);
            }
            Phase::Joining(None) => self.join(number, member),
            Phase::Outside | Phase::Syncing(None) => member.next_at = heartbeat,
            Phase::Joining(Some(_)) | Phase::Syncing(Some(_)) | Phase::Stable => {
                let answer = self.core.heartbeat(
                    &member.group,
                    &member.member_id,
                    Some(&member.slot),
                    member.generation,
                    self.now_ms(),
                );
                member.next_at = heartbeat;
                match answer {
                    Ok(()) => {}
                    Err(ErrorCode::RebalanceInProgress) => {
                        if member.phase == Phase::Stable {
                            member.rejoin = true;
                            member.next_at = now + if busy { 50 * MS } else { MS };
                        }
                    }
                    Err(ErrorCode::FencedInstanceId) => fence(member, now),
                    // Between a join and its answer there is no generation to speak of.
                    Err(_) if member.phase != Phase::Stable => {}
                    Err(_) => member.lost(now),
                }
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
            protocols: vec![(ASSIGNOR.into(), member.metadata())],
            id_required: false,
            may_skip_assignment: false,
        };
        let now_ms = self.now_ms();
        match self.core.join_group(&request, now_ms) {
            Step::Wait(ticket) => {
                self.await_ticket(ticket, number);
                member.phase = Phase::Joining(Some(ticket));
                member.next_at = self.now + member.session_timeout_ms as Micros * MS / 4;
            }
            Step::Done(reply) => self.joined(number, member, reply),
        }
    }

    fn joined(&mut self, number: u64, member: &mut MemberThread, reply: JoinReply) {
        match reply.error {
            None => {}
            Some(ErrorCode::FencedInstanceId) => return fence(member, self.now),
            Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration) => {
                member.lost(self.now);
                member.next_at = self.now + AGAIN;
                return;
            }
            Some(_) => {
                member.phase = Phase::Joining(None);
                member.next_at = self.now + AGAIN;
                return;
            }
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
                member.phase = Phase::Syncing(Some(ticket));
                member.next_at = self.now + member.session_timeout_ms as Micros * MS / 4;
            }
            Step::Done(reply) => self.synced(member, &reply),
        }
    }

    fn synced(&mut self, member: &mut MemberThread, reply: &SyncReply) {
        let now = self.now;
        match reply.error {
            None => {
                member.phase = Phase::Stable;
                member.next_at = now + member.session_timeout_ms as Micros * MS / 4;
                let (slot, generation) = (member.slot.clone(), member.generation);
                let assignment = String::from_utf8_lossy(&reply.assignment).into_owned();
                self.tell(|| format!("{slot} is given [{assignment}] in generation {generation}"));
                member.assigned(&reply.assignment, now);
            }
            Some(ErrorCode::FencedInstanceId) => fence(member, now),
            Some(ErrorCode::UnknownMemberId) => member.lost(now),
            Some(_) => {
                member.phase = Phase::Joining(None);
                member.next_at = now + 20 * MS;
            }
        }
    }

    /// Cooperative and sticky: nobody is given what another still has.
    fn assign(&self, members: &[JoinedMember]) -> Vec<(Arc<str>, Bytes)> {
        struct Claim<'m> {
            id: &'m str,
            generation: i32,
        }
        let mut wants: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut claims: BTreeMap<TopicPartition, Claim<'_>> = BTreeMap::new();
        for member in members {
            let text = std::str::from_utf8(&member.metadata).unwrap_or_default();
            let mut parts = text.split('|');
            let topics = parts.next().unwrap_or_default();
            let owned = read_places(parts.next().unwrap_or_default());
            let generation: i32 = parts.next().and_then(|text| text.parse().ok()).unwrap_or(-1);
            for topic in topics.split(',').filter(|topic| !topic.is_empty()) {
                wants.entry(topic).or_default().push(&member.id);
            }
            for at in owned {
                let claim = Claim { id: &member.id, generation };
                if claims.get(&at).is_none_or(|other| other.generation < generation) {
                    claims.insert(at, claim);
                }
            }
        }
        let mut given: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (topic, ids) in wants {
            let count = self.core.topic(topic).map_or(0, |topic| topic.partitions.len());
            let mut loads: BTreeMap<&str, Vec<i32>> = ids.iter().map(|id| (*id, Vec::new())).collect();
            let claim = |partition: i32| claims.get(&TopicPartition::new(topic, partition)).map(|claim| claim.id);
            let (mine, free): (Vec<i32>, Vec<i32>) =
                (0..count as i32).partition(|partition| claim(*partition).is_some_and(|id| loads.contains_key(id)));
            for partition in mine {
                if let Some(load) = claim(partition).and_then(|id| loads.get_mut(id)) {
                    load.push(partition);
                }
            }
            for partition in free {
                if let Some((_, load)) = loads.iter_mut().min_by_key(|(_, load)| load.len()) {
                    load.push(partition);
                }
            }
            loop {
                let most = loads.iter().max_by_key(|(_, load)| load.len()).map(|(id, load)| (*id, load.len()));
                let least = loads.iter().min_by_key(|(_, load)| load.len()).map(|(id, load)| (*id, load.len()));
                let (Some((most, high)), Some((least, low))) = (most, least) else { break };
                if high <= low + 1 {
                    break;
                }
                if let Some(moved) = loads.get_mut(most).and_then(Vec::pop)
                    && let Some(load) = loads.get_mut(least)
                {
                    load.push(moved);
                }
            }
            for (id, load) in loads {
                let free = load
                    .into_iter()
                    .filter(|partition| claim(*partition).is_none_or(|owner| owner == id || !ids.contains(&owner)));
                given.entry(id).or_default().extend(free.map(|partition| format!("{topic}:{partition}")));
            }
        }
        given.into_iter().map(|(id, places)| (Arc::from(id), Bytes::from(places.join(",")))).collect()
    }
}

fn fence(member: &mut MemberThread, now: Micros) {
    member.fenced = true;
    member.lost(now);
    member.next_at = Micros::MAX;
}

fn read_places(text: &str) -> BTreeSet<TopicPartition> {
    let places = text.split(',').filter_map(|place| {
        let (topic, partition) = place.rsplit_once(':')?;
        Some(TopicPartition::new(topic, partition.parse().ok()?))
    });
    places.collect()
}
