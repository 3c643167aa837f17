//! Membership of the service's group, under a slot that stays: the group says which partitions are ours.
//!
//! Wanted properties:
//! - a rebalance is taken out of the client's callback: the loop answers it when it has finished what it holds, so a
//!   partition is given back only after its last batch was committed or taken back; while the client is being closed, nobody
//!   is left to answer, so the callback does;
//! - the group's client reads nothing: then there is nothing that it could read from a wrong place;
//! - offsets are sent under the generation of the last rebalance that the loop has taken, never under one that it has not
//!   heard of;
//! - who was thrown out and is a member again has nothing left from before, whether or not the client tells of that;
//! - no partition belongs to nobody for longer than a session.

use std::time::Duration;

use stream::{Partition, Topology};

use crate::KafkaFailure;
use crate::clients::Cluster;
use crate::port::{ClientError, Clients, Member, Rebalance};

pub(super) struct Membership<M> {
    client: M,
    primary: String,
    /// What it wants as well until it has settled: a topic of one partition, which weighs next to nothing in an assignment.
    besides: String,
    standing: Standing,
    /// The id under which the group knew the slot at the last rebalance.
    known_as: Option<String>,
}

/// How far its join has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Joining,
    /// It was assigned something or nothing.
    Assigned,
    /// It wants what it needs and no more.
    Settled,
}

impl<M: Member> Membership<M> {
    /// A member that has not joined yet.
    pub(super) fn new(
        clients: &impl Clients<Member = M>,
        cluster: &Cluster,
        group_id: &str,
        slot_id: &str,
        topology: &Topology,
    ) -> Result<Self, KafkaFailure> {
        let primary = cluster.topic(topology.primary().dataset);
        Ok(Self {
            client: clients.member(group_id, slot_id, &primary)?,
            primary,
            besides: cluster.topic(BESIDES),
            standing: Standing::Joining,
            known_as: None,
        })
    }

    /// Joins: at first with one topic more than it needs, which it drops at its first assignment, so that the group
    /// assigns everything anew.
    ///
    /// A slot that comes back within its session is given what it had, and nobody is asked to join again. But a process may
    /// have died, or lost the broker, between hearing that it is to give partitions back and joining again to say that it
    /// has; the group is then stable, and those partitions are nobody's. Only a member that wants something else than before
    /// makes it look again.
    pub(super) fn join(&mut self) -> Result<(), KafkaFailure> {
        self.standing = Standing::Joining;
        self.subscribe(&[&self.primary, &self.besides])
    }

    fn subscribe(&self, topics: &[&str]) -> Result<(), KafkaFailure> {
        let what = || format!("subscribing to {}", topics.join(", "));
        self.client.subscribe(topics).map_err(|source| KafkaFailure::of(what(), source))
    }

    /// Lets the client speak: of rebalances, which then wait, and of what went wrong.
    pub(super) fn poll(&self) -> Option<ClientError> {
        self.client.poll()
    }

    /// Whether the slot was joined once more, so that this member is of no use any more.
    pub(super) fn is_fenced(&self) -> bool {
        self.client.is_fenced()
    }

    /// The next rebalance that waits. It has to be answered.
    pub(super) fn next(&self) -> Option<Rebalance> {
        self.client.next()
    }

    /// Whether the client has told of all that became of its membership up to this rebalance. To be asked before each is
    /// answered: until then the client joins no more, so that an id that is the same now was the same all the time.
    ///
    /// librdkafka says that partitions were lost where it notices at rest that it was thrown out. Where that happens while it
    /// is about to join again, or waits for an answer, it joins under a new id with all that it had, and goes on as if it had
    /// never been away; but meanwhile those partitions may have been another's, and may still be.
    pub(super) fn heard_all(&mut self, event: &Rebalance) -> bool {
        if matches!(event, Rebalance::Revoked { lost: true, .. }) {
            self.known_as = None;
            return true;
        }
        let known_as = self.client.known_as(ASKING).unwrap_or_else(|error| {
            tracing::debug!(%error, "asking under which id the group knows the slot");
            None
        });
        let before = std::mem::replace(&mut self.known_as, known_as);
        before.is_some() && before == self.known_as
    }

    /// Answers that partitions were taken.
    pub(super) fn taken(&mut self) -> Result<(), KafkaFailure> {
        self.client.answer(true).map_err(|source| KafkaFailure::of("assigning", source))?;
        if self.standing == Standing::Joining {
            self.standing = Standing::Assigned;
        }
        Ok(())
    }

    /// Drops what it joined with besides, once it was assigned something or nothing. Does nothing after that.
    pub(super) fn settle(&mut self) -> Result<(), KafkaFailure> {
        if self.standing == Standing::Assigned {
            self.subscribe(&[&self.primary])?;
            self.standing = Standing::Settled;
        }
        Ok(())
    }

    /// Answers that partitions were given back. Where they were lost the client comes back to the group by itself, as a slot
    /// that was away, and what holds for a first join holds again. One that was fenced needs no answer.
    pub(super) fn given_back(&mut self, lost: bool) -> Result<(), KafkaFailure> {
        let joined = if lost { self.join() } else { Ok(()) };
        let answered = self.client.answer(false).map_err(|source| KafkaFailure::of("unassigning", source));
        if self.is_fenced() { Ok(()) } else { joined.and(answered) }
    }

    /// What fences a transaction's offsets; none before it has joined.
    pub(super) fn metadata(&self) -> Option<M::Metadata> {
        self.client.metadata()
    }

    /// Asks whether the group has a stable offset of a partition.
    pub(super) fn has_offset(&self, partition: Partition) -> Result<bool, KafkaFailure> {
        let topic = &self.primary;
        let offset = self.client.committed(topic, partition, Duration::from_secs(5)).map_err(|source| {
            KafkaFailure::of(format!("asking for the group's offset of {topic}[{partition}]"), source)
        })?;
        Ok(offset.is_some())
    }

    /// The client answers from now on; what waits is answered here. A client that waits for an answer never ends.
    pub(super) fn close(&self) {
        self.client.answer_alone();
        while let Some(rebalance) = self.next() {
            if let Err(error) = self.client.answer(matches!(rebalance, Rebalance::Assigned(_))) {
                tracing::debug!(%error, "answering the group while closing");
            }
        }
    }

    /// Leaves the group.
    pub(super) fn leave(&self) {
        self.close();
        self.client.leave();
    }
}

/// Of the topics that every installation has, the one with a single partition that every service may read.
const BESIDES: &str = "platform.definitions";
/// How long the group is asked; who does not know takes over once more, which is cheap.
const ASKING: Duration = Duration::from_secs(2);
