//! What every worker reads whole: tables from their beginning, marks from now on.

use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use stream::{Clock, Topology};

use crate::KafkaFailure;
use crate::clients::{Cluster, Logged, Polled, create, poll, reassign};

/// What was read.
pub(super) enum Broadcast<'a> {
    /// A record of a table, by its index.
    Table(usize, BorrowedMessage<'a>),
    /// A mark on that data set.
    Mark(&'static str, BorrowedMessage<'a>),
}

pub(super) struct Broadcasts {
    reader: BaseConsumer<Logged>,
    tables: Vec<String>,
    marks: Vec<(&'static str, String)>,
}

impl Broadcasts {
    pub(super) fn new(cluster: &Cluster, slot: &str, topology: &'static Topology) -> Result<Self, KafkaFailure> {
        let marks = topology.inputs.iter().filter_map(|input| match input.clock {
            Clock::Marks(dataset) => Some((dataset, cluster.topic(dataset))),
            Clock::Broker | Clock::Unclocked => None,
        });
        Ok(Self {
            reader: create(&cluster.reader(&format!("{slot}-tables"), true), Logged, "the table reader")?,
            tables: topology.tables.iter().map(|dataset| cluster.topic(dataset)).collect(),
            marks: marks.collect(),
        })
    }

    /// Reads the tables whole, then follows them and the marks.
    pub(super) fn read_tables(
        &self,
        timeout: Duration,
        mut each: impl FnMut(usize, &BorrowedMessage<'_>) -> Result<(), KafkaFailure>,
    ) -> Result<(), KafkaFailure> {
        let mut follow = TopicPartitionList::new();
        for (index, topic) in self.tables.iter().enumerate() {
            let failed = |source| KafkaFailure::of(format!("reading {topic}"), source);
            let mut assignment = TopicPartitionList::new();
            assignment.add_partition_offset(topic, 0, Offset::Beginning).map_err(failed)?;
            reassign(&self.reader, &assignment).map_err(failed)?;
            let mut next = Offset::Beginning;
            let mut heard = Instant::now();
            loop {
                match poll(&self.reader, Duration::from_millis(20)).map_err(failed)? {
                    Polled::Record(message) => {
                        heard = Instant::now();
                        next = Offset::Offset(message.offset() + 1);
                        each(index, &message)?;
                    }
                    Polled::End(_) => break,
                    Polled::Nothing if heard.elapsed() > timeout => {
                        let code = rdkafka::types::RDKafkaErrorCode::OperationTimedOut;
                        return Err(failed(KafkaError::MessageConsumption(code)));
                    }
                    Polled::Nothing => {}
                }
            }
            follow.add_partition_offset(topic, 0, next).map_err(failed)?;
        }
        for (_, topic) in &self.marks {
            let failed = |source| KafkaFailure::of(format!("reading {topic}"), source);
            follow.add_partition_offset(topic, 0, Offset::End).map_err(failed)?;
        }
        let failed = |source| KafkaFailure::of("following the tables", source);
        reassign(&self.reader, &follow).map_err(failed)
    }

    /// The next record of a table or mark that is here already.
    pub(super) fn poll(&self) -> Result<Option<Broadcast<'_>>, KafkaFailure> {
        loop {
            match self.reader.poll(Duration::ZERO) {
                None => return Ok(None),
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(source)) => return Err(KafkaFailure::of("following the tables", source)),
                Some(Ok(message)) => {
                    if let Some(table) = self.tables.iter().position(|topic| topic == message.topic()) {
                        return Ok(Some(Broadcast::Table(table, message)));
                    }
                    if let Some((dataset, _)) = self.marks.iter().find(|(_, topic)| topic == message.topic()) {
                        return Ok(Some(Broadcast::Mark(dataset, message)));
                    }
                }
            }
        }
    }
}
