//! What every worker reads whole: tables from their beginning, marks from now on.

use std::time::Duration;

use stream::{Clock, Topology};

use super::poll;
use crate::KafkaFailure;
use crate::clients::Cluster;
use crate::port::{ClientError, Clients, Place, Polled, Reader, Reading, Record, Start};

/// What was read.
pub(super) enum Broadcast<M> {
    /// A record of a table, by its index.
    Table(usize, M),
    /// A mark on that data set.
    Mark(&'static str, M),
}

pub(super) struct Broadcasts<R> {
    reader: R,
    tables: Vec<String>,
    marks: Vec<(&'static str, String)>,
}

impl<R: Reader> Broadcasts<R> {
    pub(super) fn new(
        clients: &impl Clients<Reader = R>,
        cluster: &Cluster,
        slot: &str,
        topology: &'static Topology,
    ) -> Result<Self, KafkaFailure> {
        let marks = topology.inputs.iter().filter_map(|input| match input.clock {
            Clock::Marks(dataset) => Some((dataset, cluster.topic(dataset))),
            Clock::Broker | Clock::Unclocked => None,
        });
        Ok(Self {
            reader: clients.reader(&format!("{slot}-tables"), Reading::Followed)?,
            tables: topology.tables.iter().map(|dataset| cluster.topic(dataset)).collect(),
            marks: marks.collect(),
        })
    }

    /// Reads the tables whole, then follows them and the marks.
    pub(super) fn read_tables(
        &self,
        clients: &impl Clients,
        timeout: Duration,
        mut each: impl FnMut(usize, &R::Record<'_>) -> Result<(), KafkaFailure>,
    ) -> Result<(), KafkaFailure> {
        let mut follow = Vec::new();
        for (index, topic) in self.tables.iter().enumerate() {
            let failed = |source| KafkaFailure::of(format!("reading {topic}"), source);
            let mut next = Start::Beginning;
            self.reader.read(&[Place { topic, partition: 0, from: next }]).map_err(failed)?;
            let mut heard = clients.monotonic();
            loop {
                match poll(&self.reader, Duration::from_millis(20)).map_err(failed)? {
                    Polled::Record(message) => {
                        heard = clients.monotonic();
                        next = Start::Offset(message.offset() + 1);
                        each(index, &message)?;
                    }
                    Polled::End(_) => break,
                    Polled::Nothing if clients.elapsed(heard) > timeout => {
                        return Err(failed(ClientError::timed_out()));
                    }
                    Polled::Nothing => {}
                }
            }
            follow.push(Place { topic, partition: 0, from: next });
        }
        follow.extend(self.marks.iter().map(|(_, topic)| Place { topic, partition: 0, from: Start::End }));
        self.reader.read(&follow).map_err(|source| KafkaFailure::of("following the tables", source))
    }

    /// The next record of a table or mark that is here already.
    pub(super) fn poll(&self) -> Result<Option<Broadcast<R::Record<'_>>>, KafkaFailure> {
        loop {
            let heard = self.reader.poll(Duration::ZERO);
            match heard.map_err(|source| KafkaFailure::of("following the tables", source))? {
                Polled::Nothing => return Ok(None),
                Polled::End(_) => {}
                Polled::Record(message) => {
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
