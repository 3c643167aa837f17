//! The records of all inputs, read by one client outside the group: the group decides who reads what, and nothing else.
//!
//! Wanted properties:
//! - a partition is read from the offsets that were asked for and from no other: no logical offset is ever handed to the
//!   client (one whose answer is overtaken by another call is asked for again, librdkafka 2.12
//!   `rd_kafka_toppar_offset_retry`, and moves the reader to the log's end over everything between), and a position that
//!   the log does not have is an error;
//! - where it says that it has come to, all that lies before was handed out.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use stream::{Partition, Topology};

use crate::KafkaFailure;
use crate::clients::{Cluster, Logged, create, settle};

pub(super) struct Inputs {
    reader: BaseConsumer<Logged>,
    /// By input.
    topics: Vec<String>,
    assigned: BTreeSet<Partition>,
}

/// What came.
pub(super) enum Heard<'a> {
    /// A record, and of which input.
    Record(usize, BorrowedMessage<'a>),
    /// Nothing that matters.
    Other,
    /// The broker is away, or was.
    Away(KafkaError),
}

impl Inputs {
    pub(super) fn new(cluster: &Cluster, slot_id: &str, topology: &Topology) -> Result<Self, KafkaFailure> {
        Ok(Self {
            reader: create(&cluster.input_reader(&format!("{slot_id}-inputs")), Logged, "the inputs' reader")?,
            topics: topology.inputs.iter().map(|input| cluster.topic(input.dataset)).collect(),
            assigned: BTreeSet::new(),
        })
    }

    /// From now on a partition of each input is read from its offset; what was fetched of it before is dropped.
    pub(super) fn start(&mut self, partition: Partition, positions: &[i64]) -> Result<(), KafkaFailure> {
        self.stop(&[partition])?;
        let failed = |source| KafkaFailure::of(format!("reading partition {partition} from {positions:?}"), source);
        let mut list = TopicPartitionList::new();
        for (topic, position) in self.topics.iter().zip(positions) {
            list.add_partition_offset(topic, partition, Offset::Offset(*position)).map_err(failed)?;
        }
        self.reader.incremental_assign(&list).map_err(failed)?;
        self.assigned.insert(partition);
        Ok(())
    }

    /// These partitions are not read any more.
    pub(super) fn stop(&mut self, partitions: &[Partition]) -> Result<(), KafkaFailure> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            if self.assigned.remove(partition) {
                for topic in &self.topics {
                    list.add_partition(topic, *partition);
                }
            }
        }
        if list.count() > 0 {
            let what = || format!("leaving partitions {partitions:?}");
            self.reader.incremental_unassign(&list).map_err(|source| KafkaFailure::of(what(), source))?;
            settle(&self.reader);
        }
        Ok(())
    }

    /// What came next, waiting at most so long.
    pub(super) fn poll(&self, wait: Duration) -> Result<Option<Heard<'_>>, KafkaFailure> {
        let message = match self.reader.poll(wait) {
            None => return Ok(None),
            Some(Ok(message)) => message,
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(Some(Heard::Other)),
            Some(Err(error)) => return self.failed(error),
        };
        let input = self.topics.iter().position(|topic| topic == message.topic());
        Ok(Some(input.map_or(Heard::Other, |input| Heard::Record(input, message))))
    }

    fn failed(&self, error: KafkaError) -> Result<Option<Heard<'_>>, KafkaFailure> {
        let what = format!("reading {}", self.topics.join(", "));
        // The takeover finds out what the log has instead.
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) {
            return Err(KafkaFailure::Unavailable { what: format!("{what}: a log begins anew"), source: error });
        }
        let failure = KafkaFailure::of(what, error.clone());
        if failure.is_passing() { Ok(Some(Heard::Away(error))) } else { Err(failure) }
    }

    /// How far each input was handed out, past what is no record: (input, partition, next offset). What was not heard of
    /// since it was started is left out.
    pub(super) fn positions(&self) -> Result<Vec<(usize, Partition, i64)>, KafkaFailure> {
        let failed = |source| KafkaFailure::of("asking for the reader's positions", source);
        let list = self.reader.position().map_err(failed)?;
        let known = list.elements().into_iter().filter_map(|element| {
            let input = self.topics.iter().position(|topic| topic == element.topic())?;
            match element.offset() {
                Offset::Offset(offset) => Some((input, element.partition(), offset)),
                _ => None,
            }
        });
        Ok(known.collect())
    }
}
