//! A member of a group: its rebalances are taken out of the client's callback.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::groups::GroupInfo;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use stream::Partition;

use crate::KafkaFailure;
use crate::clients::{Logged, create_with};
use crate::port::{ClientError, Member, Rebalance};

/// A member of a group, under a stable slot.
pub struct GroupMember {
    client: BaseConsumer<Context>,
    group_id: String,
    slot_id: String,
    has_left: AtomicBool,
}

impl std::fmt::Debug for GroupMember {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("GroupMember").field(self.client.context()).finish()
    }
}

impl GroupMember {
    pub(super) fn new(
        config: &ClientConfig,
        group_id: &str,
        slot_id: &str,
        primary: &str,
    ) -> Result<Self, KafkaFailure> {
        let context = Context {
            logged: Logged::of(config),
            primary: primary.to_owned(),
            told: Mutex::default(),
            closing: AtomicBool::new(false),
            answered: AtomicU64::new(0),
        };
        let client = create_with(config, context, "the group's consumer")?;
        Ok(Self {
            client,
            group_id: group_id.to_owned(),
            slot_id: slot_id.to_owned(),
            has_left: AtomicBool::new(false),
        })
    }
}

impl Member for GroupMember {
    type Metadata = Arc<ConsumerGroupMetadata>;

    fn subscribe(&self, topics: &[&str]) -> Result<(), ClientError> {
        Ok(self.client.subscribe(topics)?)
    }

    fn poll(&self) -> Option<ClientError> {
        self.client.context().logged.bearings.find_again(self.client.client());
        self.client.poll(Duration::ZERO)?.err().map(ClientError::from)
    }

    fn is_fenced(&self) -> bool {
        matches!(self.client.client().fatal_error(), Some((RDKafkaErrorCode::FencedInstanceId, _)))
    }

    fn next(&self) -> Option<Rebalance> {
        let mut told = self.client.context().told();
        let (rebalance, metadata) = told.waiting.pop_front()?;
        told.metadata = metadata;
        Some(rebalance)
    }

    fn answer(&self, assigned: bool) -> Result<(), ClientError> {
        Ok(answer(&self.client, assigned)?)
    }

    fn metadata(&self) -> Option<Arc<ConsumerGroupMetadata>> {
        self.client.context().told().metadata.clone()
    }

    fn known_as(&self, timeout: Duration) -> Result<Option<String>, ClientError> {
        let groups = self.client.fetch_group_list(Some(&self.group_id), timeout)?;
        let mut members = groups.groups().iter().flat_map(GroupInfo::members);
        // The client can't be asked: what it knows of itself is kept from us.
        Ok(members.find(|member| member.client_id() == self.slot_id).map(|member| member.id().to_owned()))
    }

    fn committed(&self, topic: &str, partition: Partition, timeout: Duration) -> Result<Option<i64>, ClientError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let list = self.client.committed_offsets(list, timeout)?;
        let offset = list.elements().first().and_then(|element| match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        });
        Ok(offset)
    }

    fn answer_alone(&self) {
        self.client.context().closing.store(true, Ordering::SeqCst);
    }

    fn leave(&self) {
        // A client that is told twice says that it is broken.
        if !self.has_left.swap(true, Ordering::SeqCst) {
            self.client.unsubscribe();
        }
    }
}

impl Drop for GroupMember {
    /// All that the group still asks is answered before the client is closed: while it closes, an answer may come to a group
    /// that has just ended, which drops it without a word, and whoever waits for it waits for ever (librdkafka 2.12, issue
    /// 4884). A client without a subscription is asked nothing more.
    fn drop(&mut self) {
        self.answer_alone();
        self.leave();
        let context = self.client.context();
        let (began, mut asked_at) = (Instant::now(), Instant::now());
        let mut answered = context.answered.load(Ordering::SeqCst);
        while asked_at.elapsed() < QUIET && began.elapsed() < CLOSING {
            if let Some(Err(error)) = self.client.poll(QUIET / 10) {
                tracing::debug!(%error, "closing the group's client");
            }
            let before = std::mem::replace(&mut answered, context.answered.load(Ordering::SeqCst));
            if before != answered {
                asked_at = Instant::now();
            }
        }
    }
}

/// Who is asked nothing for so long after the last answer is asked nothing more: the client itself asks, and at once.
const QUIET: Duration = Duration::from_millis(50);
/// Nobody waits longer than this for it.
const CLOSING: Duration = Duration::from_secs(5);

/// Answers a rebalance: the group's client reads nothing, before and after.
fn answer(client: &BaseConsumer<Context>, assigned: bool) -> KafkaResult<()> {
    let nothing = TopicPartitionList::new();
    if assigned { client.incremental_assign(&nothing) } else { client.incremental_unassign(&nothing) }
}

#[derive(Debug)]
struct Context {
    logged: Logged,
    primary: String,
    told: Mutex<Told>,
    closing: AtomicBool,
    /// How many rebalances were answered since it is closing.
    answered: AtomicU64,
}

#[derive(Default)]
struct Told {
    /// Rebalances, each with the generation that it is of.
    waiting: VecDeque<(Rebalance, Option<Arc<ConsumerGroupMetadata>>)>,
    /// That of the last one that was taken.
    metadata: Option<Arc<ConsumerGroupMetadata>>,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Context {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.logged.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.logged.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.logged.stats_raw(statistics);
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::SeqCst) {
            if let Err(error) = answer(consumer, assigned) {
                tracing::debug!(%error, "answering the group while closing");
            }
            self.answered.fetch_add(1, Ordering::SeqCst);
            return;
        }
        let elements = list.elements();
        let ours = elements.iter().filter(|element| element.topic() == self.primary);
        let partitions = ours.map(TopicPartitionListElem::partition).collect();
        let event = if assigned {
            Rebalance::Assigned(partitions)
        } else {
            Rebalance::Revoked { partitions, lost: consumer.assignment_lost() }
        };
        // Until it is answered the client goes on to no other generation. Asked for later, it may be one in which the partitions
        // that the loop still holds are another's: a client that was thrown out joins again by itself, and says so when polled.
        let metadata = consumer.group_metadata().map(Arc::new);
        self.told().waiting.push_back((event, metadata));
    }
}
