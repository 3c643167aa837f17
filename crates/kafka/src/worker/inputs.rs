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

use stream::{Partition, Topology};

use crate::KafkaFailure;
use crate::clients::Cluster;
use crate::port::{ClientError, Clients, ErrorKind, Place, Polled, Reader, Reading, Record, Start};

pub(super) struct Inputs<R> {
    reader: R,
    /// By input.
    topics: Vec<String>,
    assigned: BTreeSet<Partition>,
}

/// What came.
pub(super) enum Heard<M> {
    /// A record, and of which input.
    Record(usize, M),
    /// Nothing that matters.
    Other,
    /// The broker is away, or was.
    Away(ClientError),
}

impl<R: Reader> Inputs<R> {
    pub(super) fn new(
        clients: &impl Clients<Reader = R>,
        cluster: &Cluster,
        slot_id: &str,
        topology: &Topology,
    ) -> Result<Self, KafkaFailure> {
        Ok(Self {
            reader: clients.reader(&format!("{slot_id}-inputs"), Reading::Inputs)?,
            topics: topology.inputs.iter().map(|input| cluster.topic(input.dataset)).collect(),
            assigned: BTreeSet::new(),
        })
    }

    /// From now on a partition of each input is read from its offset; what was fetched of it before is dropped.
    pub(super) fn start(&mut self, partition: Partition, positions: &[i64]) -> Result<(), KafkaFailure> {
        self.stop(&[partition])?;
        let places = self.topics.iter().zip(positions).map(|(topic, position)| Place {
            topic,
            partition,
            from: Start::Offset(*position),
        });
        self.reader
            .read_also(&places.collect::<Vec<_>>())
            .map_err(|source| KafkaFailure::of(format!("reading partition {partition} from {positions:?}"), source))?;
        self.assigned.insert(partition);
        Ok(())
    }

    /// These partitions are not read any more.
    pub(super) fn stop(&mut self, partitions: &[Partition]) -> Result<(), KafkaFailure> {
        let mut places = Vec::new();
        for partition in partitions {
            if self.assigned.remove(partition) {
                places.extend(self.topics.iter().map(|topic| (topic.as_str(), *partition)));
            }
        }
        if !places.is_empty() {
            let what = || format!("leaving partitions {partitions:?}");
            self.reader.leave(&places).map_err(|source| KafkaFailure::of(what(), source))?;
        }
        Ok(())
    }

    /// What came next, waiting at most so long.
    pub(super) fn poll(&self, wait: Duration) -> Result<Option<Heard<R::Record<'_>>>, KafkaFailure> {
        let message = match self.reader.poll(wait) {
            Ok(Polled::Nothing) => return Ok(None),
            Ok(Polled::Record(message)) => message,
            Ok(Polled::End(_)) => return Ok(Some(Heard::Other)),
            Err(error) => return self.failed(error),
        };
        let input = self.topics.iter().position(|topic| topic == message.topic());
        Ok(Some(input.map_or(Heard::Other, |input| Heard::Record(input, message))))
    }

    fn failed<M>(&self, error: ClientError) -> Result<Option<Heard<M>>, KafkaFailure> {
        let what = format!("reading {}", self.topics.join(", "));
        // The takeover finds out what the log has instead.
        if error.kind == ErrorKind::NoSuchOffset {
            return Err(KafkaFailure::Unavailable { what: format!("{what}: a log begins anew"), source: error });
        }
        let failure = KafkaFailure::of(what, error.clone());
        if failure.is_passing() { Ok(Some(Heard::Away(error))) } else { Err(failure) }
    }

    /// How far each input was handed out, past what is no record: (input, partition, next offset). What was not heard of
    /// since it was started is left out.
    pub(super) fn positions(&self) -> Result<Vec<(usize, Partition, i64)>, KafkaFailure> {
        let failed = |source| KafkaFailure::of("asking for the reader's positions", source);
        let positions = self.reader.positions().map_err(failed)?;
        let known = positions.into_iter().filter_map(|(topic, partition, offset)| {
            Some((self.topics.iter().position(|name| *name == topic)?, partition, offset))
        });
        Ok(known.collect())
    }
}
