//! Reading single records by their places, again and again.
//!
//! Wanted properties:
//! - what is given is the committed record of that very place, or nothing: never another;
//! - it ends: a broker that says nothing for the time-out is an error.

use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::KafkaFailure;
use crate::admin::{ReadRecord, owned};
use crate::clients::{Cluster, Logged, create, poll, reassign, unassign};
use crate::port::Polled;

const POLL: Duration = Duration::from_millis(100);

/// Reads single records; its connections stay open in between.
pub struct PlaceReader {
    reader: BaseConsumer<Logged>,
    timeout: Duration,
}

impl fmt::Debug for PlaceReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlaceReader").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl PlaceReader {
    /// It waits at most `timeout` for the broker.
    pub fn new(cluster: &Cluster, timeout: Duration) -> Result<Self, KafkaFailure> {
        Ok(Self { reader: create(&cluster.section_reader("vuelve-place", true), "a reader")?, timeout })
    }

    /// The record at an offset of a topic's partition; none where there is none, or none any more.
    pub fn at(&self, topic: &str, partition: i32, offset: i64) -> Result<Option<ReadRecord>, KafkaFailure> {
        let failed = |source| KafkaFailure::of(format!("reading {topic}[{partition}]@{offset}"), source);
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(failed)?;
        reassign(&self.reader, &place).map_err(failed)?;
        let began = Instant::now();
        let found = loop {
            match poll(&self.reader, POLL) {
                // What comes first lies there or, where there is nothing, elsewhere.
                Ok(Polled::Record(message)) => break Ok((message.offset() == offset).then(|| owned(&message))),
                Ok(Polled::End(_)) => break Ok(None),
                Ok(Polled::Nothing) if began.elapsed() > self.timeout => {
                    break Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
                }
                Ok(Polled::Nothing) => {}
                Err(error) => break Err(error),
            }
        };
        unassign(&self.reader).map_err(failed)?;
        found.map_err(failed)
    }
}
