//! Membership of the service's group, under a slot that stays: the group says which partitions are ours.
//!
//! Wanted properties:
//! - a rebalance is taken out of the client's callback: the loop answers it when it has finished what it holds, so a
//!   partition is given back only after its last batch was committed or taken back; while the client is being closed, nobody
//!   is left to answer, so the callback does;
//! - the group's client reads nothing: then there is nothing that it could read from a wrong place;
//! - no partition belongs to nobody for longer than a session.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use stream::{Partition, Topology};

use crate::KafkaFailure;
use crate::clients::{Cluster, create, log};

/// What the group decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rebalance {
    Assigned(Vec<Partition>),
    Revoked { partitions: Vec<Partition>, lost: bool },
}

pub(super) struct Membership {
    client: BaseConsumer<Context>,
    /// What it wants as well until it has settled: a topic of one partition, which weighs next to nothing in an assignment.
    besides: String,
    standing: Standing,
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

impl Membership {
    /// A member that has not joined yet.
    pub(super) fn new(
        cluster: &Cluster,
        group_id: &str,
        slot_id: &str,
        topology: &Topology,
    ) -> Result<Self, KafkaFailure> {
        let context = Context { primary: cluster.topic(topology.primary().dataset), ..Context::default() };
        Ok(Self {
            client: create(&cluster.group_consumer(group_id, slot_id), context, "the group's consumer")?,
            besides: cluster.topic(BESIDES),
            standing: Standing::Joining,
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
        self.subscribe(&[self.primary(), &self.besides])
    }

    fn primary(&self) -> &str {
        &self.client.context().primary
    }

    fn subscribe(&self, topics: &[&str]) -> Result<(), KafkaFailure> {
        let what = || format!("subscribing to {}", topics.join(", "));
        self.client.subscribe(topics).map_err(|source| KafkaFailure::of(what(), source))
    }

    /// Lets the client speak: of rebalances, which then wait, and of what went wrong.
    pub(super) fn poll(&self) -> Option<KafkaError> {
        self.client.poll(Duration::ZERO)?.err()
    }

    /// Whether the slot was joined once more, so that this member is of no use any more.
    pub(super) fn is_fenced(&self) -> bool {
        matches!(self.client.client().fatal_error(), Some((RDKafkaErrorCode::FencedInstanceId, _)))
    }

    /// The next rebalance that waits. It has to be answered.
    pub(super) fn next(&self) -> Option<Rebalance> {
        self.client.context().waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Answers that partitions were taken.
    pub(super) fn taken(&mut self) -> Result<(), KafkaFailure> {
        answer(&self.client, true).map_err(|source| KafkaFailure::of("assigning", source))?;
        if self.standing == Standing::Joining {
            self.standing = Standing::Assigned;
        }
        Ok(())
    }

    /// Drops what it joined with besides, once it was assigned something or nothing. Does nothing after that.
    pub(super) fn settle(&mut self) -> Result<(), KafkaFailure> {
        if self.standing == Standing::Assigned {
            self.subscribe(&[self.primary()])?;
            self.standing = Standing::Settled;
        }
        Ok(())
    }

    /// Answers that partitions were given back. Where they were lost the client comes back to the group by itself, as a slot
    /// that was away, and what holds for a first join holds again. One that was fenced needs no answer.
    pub(super) fn given_back(&mut self, lost: bool) -> Result<(), KafkaFailure> {
        let joined = if lost { self.join() } else { Ok(()) };
        let answered = answer(&self.client, false).map_err(|source| KafkaFailure::of("unassigning", source));
        if self.is_fenced() { Ok(()) } else { joined.and(answered) }
    }

    /// What fences a transaction's offsets; none before it has joined.
    pub(super) fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.client.group_metadata()
    }

    /// Asks whether the group has a stable offset of a partition.
    pub(super) fn has_offset(&self, partition: Partition) -> Result<bool, KafkaFailure> {
        let topic = self.primary();
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let list = self.client.committed_offsets(list, Duration::from_secs(5)).map_err(|source| {
            KafkaFailure::of(format!("asking for the group's offset of {topic}[{partition}]"), source)
        })?;
        Ok(list.elements().iter().any(|element| matches!(element.offset(), Offset::Offset(_))))
    }

    /// The callback answers from now on; what waits is answered here. A client that waits for an answer never ends.
    pub(super) fn close(&self) {
        self.client.context().closing.store(true, Ordering::SeqCst);
        while let Some(rebalance) = self.next() {
            answer_while_closing(&self.client, matches!(rebalance, Rebalance::Assigned(_)));
        }
    }

    /// Leaves the group.
    pub(super) fn leave(&self) {
        self.close();
        self.client.unsubscribe();
    }
}

/// Of the topics that every installation has, the one with a single partition that every service may read.
const BESIDES: &str = "platform.definitions";

/// Answers a rebalance: the group's client reads nothing, before and after.
fn answer(client: &BaseConsumer<Context>, assigned: bool) -> KafkaResult<()> {
    let nothing = TopicPartitionList::new();
    if assigned { client.incremental_assign(&nothing) } else { client.incremental_unassign(&nothing) }
}

fn answer_while_closing(client: &BaseConsumer<Context>, assigned: bool) {
    if let Err(error) = answer(client, assigned) {
        tracing::debug!(%error, "answering the group while closing");
    }
}

#[derive(Debug, Default)]
struct Context {
    primary: String,
    waiting: Mutex<VecDeque<Rebalance>>,
    closing: AtomicBool,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client error");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::SeqCst) {
            return answer_while_closing(consumer, assigned);
        }
        let elements = list.elements();
        let ours = elements.iter().filter(|element| element.topic() == self.primary);
        let partitions = ours.map(TopicPartitionListElem::partition).collect();
        let event = if assigned {
            Rebalance::Assigned(partitions)
        } else {
            Rebalance::Revoked { partitions, lost: consumer.assignment_lost() }
        };
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }
}
