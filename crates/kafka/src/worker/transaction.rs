//! One transaction a batch: outputs, dead letters, state changes, marks, headers, offsets.
//!
//! Wanted properties:
//! - after `commit` either all of it is visible to `read_committed` readers, or none;
//! - an answer that was lost is never guessed: the producer is made anew, which settles it, and the log is asked.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use domain::Timestamp;
use schemas::{Mark, MarkEntry, OutputBound, Schemas};
use stream::{Batch, Clock, Due, Lane, Output, Partition, Service, Topology};

use crate::KafkaFailure;
use crate::append::Header;
use crate::clients::Cluster;
use crate::dead_letters;
use crate::port::{ClientError, Clients, Deliveries, ErrorKind, Member, Outgoing, Producer};

use super::broker_clock::BrokerClock;
use super::hear::Ears;
use super::spans::Spans;

/// The key of a changelog's header. No customer id begins with this character.
pub(crate) const HEADER_KEY: &str = "\0";
/// How long the client is left alone with an abort.
const STEP: Duration = Duration::from_millis(200);
/// How long it is left alone with deliveries, while there may be something to hear.
const SHORT_STEP: Duration = Duration::from_millis(1);
/// Of so many marks in a row the broker says its time, or it never does.
const MANY_MARKS: u32 = 8;
/// Names the writer, on the first record of a transaction on each partition of the changelog, and on each header.
pub(super) const WRITER_HEADER: &str = "vuelve-writer";
/// What a key waits for, on its changelog record: the four lanes, 8 bytes each, big-endian milliseconds; `i64::MIN` for none.
/// A key that waits for nothing has none.
pub(super) const DUE_HEADER: &str = "vuelve-due";
/// W3C trace context.
pub(super) const TRACE_HEADER: &str = "traceparent";

/// How a transaction ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// By partition: the offset of the header; none where the broker did not say.
    Committed(HashMap<Partition, Option<i64>>),
    /// Nothing was written; the same producer goes on.
    Aborted(ClientError),
    /// Nobody knows, or the producer is of no use any more: make it anew and ask the log.
    Rebuild(ClientError),
    /// Nothing was written, and nothing will be: what comes of this partition's records can't be.
    Unwritable(Partition, String),
}

/// Why a transaction was not committed.
enum Failure {
    Client(ClientError),
    Unwritable(Partition, String),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// Asks where a partition of an output ends.
pub(super) type EndOf<'e> = dyn FnMut(&str, Partition) -> Result<i64, ClientError> + 'e;

/// A worker's producer.
pub(super) struct Transactions<'a, C: Clients> {
    clients: &'a C,
    cluster: Cluster,
    topology: &'static Topology,
    schemas: Schemas,
    transactional_id: String,
    producer: C::Producer,
    /// By output: by partition: all that this worker's predecessors and this worker wrote lies below.
    bounds: Vec<(&'static str, Vec<i64>)>,
    /// Of these the broker did not say where the last records lie, so that their bounds may be too low.
    unknown: BTreeSet<(&'static str, Partition)>,
    clock: BrokerClock,
    /// So many marks were committed, one after the other, of which the broker did not say when it took them.
    untimed_marks: u32,
    buffer: Vec<u8>,
}

impl<'a, C: Clients> Transactions<'a, C> {
    /// Makes the producer; this ends whatever its predecessor under the same id had open, and fences it.
    pub(super) fn begin(
        clients: &'a C,
        cluster: &Cluster,
        topology: &'static Topology,
        schemas: &Schemas,
        transactional_id: &str,
    ) -> Result<Self, KafkaFailure> {
        let bounds = topology.outputs.iter().map(|dataset| (*dataset, vec![0; cluster.partitions as usize]));
        Ok(Self {
            producer: initialised(clients, cluster, transactional_id)?,
            clients,
            cluster: cluster.clone(),
            topology,
            schemas: schemas.clone(),
            transactional_id: transactional_id.to_owned(),
            bounds: bounds.collect(),
            unknown: BTreeSet::new(),
            clock: BrokerClock::default(),
            untimed_marks: 0,
            buffer: Vec::new(),
        })
    }

    /// The broker's present, as far as it is known.
    pub(super) fn broker_time(&self) -> Option<Timestamp> {
        self.clock.present(self.clients.monotonic())
    }

    /// A record was read on which the broker wrote this time.
    pub(super) fn read_time(&mut self, time: Timestamp) {
        self.clock.read(time, self.clients.monotonic());
    }

    /// After [`Outcome::Rebuild`].
    pub(super) fn rebuild(&mut self) -> Result<(), KafkaFailure> {
        self.producer = initialised(self.clients, &self.cluster, &self.transactional_id)?;
        Ok(())
    }

    /// Raises a bound to what the broker holds.
    pub(super) fn raise_bound(&mut self, dataset: &str, partition: Partition, end: i64) {
        let bound = self.bounds.iter_mut().find(|(name, _)| *name == dataset);
        if let Some(bound) = bound.and_then(|(_, ends)| ends.get_mut(partition as usize)) {
            *bound = (*bound).max(end);
        }
    }

    /// Writes a batch in one transaction.
    ///
    /// While it waits for the broker it hears records of the next batch.
    pub(super) fn commit<S: Service>(
        &mut self,
        batch: &Batch<S>,
        group: &<C::Member as Member>::Metadata,
        ears: &mut Ears<'_, C, S>,
        end: &mut EndOf<'_>,
    ) -> Outcome {
        *self.producer.deliveries() = Deliveries::default();
        let result = self.try_commit(batch, group, ears, end);
        ears.spans.sent(result.is_ok());
        match result {
            Ok(headers) => Outcome::Committed(headers),
            Err(Failure::Client(error)) => self.give_up(error),
            Err(Failure::Unwritable(partition, reason)) => match self.abort() {
                Ok(()) => Outcome::Unwritable(partition, reason),
                Err(error) => Outcome::Rebuild(error),
            },
        }
    }

    fn try_commit<S: Service>(
        &mut self,
        batch: &Batch<S>,
        group: &<C::Member as Member>::Metadata,
        ears: &mut Ears<'_, C, S>,
        end: &mut EndOf<'_>,
    ) -> Result<HashMap<Partition, Option<i64>>, Failure> {
        self.producer.begin()?;
        self.write_outputs(batch, ears.spans)?;
        self.write_changes(batch)?;
        if !batch.marks.is_empty() {
            // The mark names offsets, so what it speaks of has to have them.
            self.wait_for_deliveries(ears)?;
            self.write_mark(batch, end)?;
        }
        self.write_headers(batch)?;
        let primary = self.cluster.topic(self.topology.primary().dataset);
        let offsets = batch.partitions.iter().map(|partition| (partition.partition, partition.primary_offset));
        let offsets: Vec<(Partition, i64)> = offsets.collect();
        let limit = self.cluster.transaction_timeout;
        let mut meanwhile = || ears.hear_meanwhile();
        self.retrying(limit, || self.producer.send_offsets(&primary, &offsets, group, limit, &mut meanwhile))?;
        self.wait_for_deliveries(ears)?;
        if !batch.marks.is_empty() {
            self.look_at_clock();
        }
        let headers = self.header_offsets(batch);
        self.raise_own_bounds();
        self.retrying(limit, || self.producer.commit(limit, &mut || ears.hear_meanwhile()))?;
        Ok(headers)
    }

    fn write_outputs<S: Service>(&mut self, batch: &Batch<S>, spans: &mut Spans) -> Result<(), Failure> {
        let topics: Vec<(&str, String)> =
            self.topology.outputs.iter().map(|dataset| (*dataset, self.cluster.topic(dataset))).collect();
        for emitted in &batch.outputs {
            let dataset = emitted.output.dataset();
            let Some((_, topic)) = topics.iter().find(|(name, _)| *name == dataset) else {
                tracing::error!(
                    dataset,
                    "invariant `outputs_are_declared` is broken: an output is not in the topology"
                );
                return Err(Failure::Unwritable(emitted.partition, format!("{dataset} is not in the topology")));
            };
            self.buffer.clear();
            let value = emitted
                .output
                .encode(&self.schemas, &mut self.buffer)
                .map_err(|error| Failure::Unwritable(emitted.partition, format!("a record of {dataset}: {error}")))?;
            let span = spans.send(emitted, dataset);
            let trace = span.as_deref().or(emitted.trace.as_deref());
            let trace = trace.map(|trace| (TRACE_HEADER, trace.as_bytes()));
            self.send(&Outgoing {
                topic,
                partition: None,
                key: Some(emitted.output.key().as_bytes()),
                value: value.then_some(self.buffer.as_slice()),
                headers: trace.as_slice(),
            })
            .map_err(of_record(emitted.partition, dataset))?;
        }
        let dead_letters = self.cluster.topic(dead_letters::DATASET);
        for letter in &batch.dead_letters {
            let written = dead_letters::written(&self.cluster, self.topology.service, letter);
            let headers: Vec<(&str, &[u8])> =
                written.headers.iter().map(|Header { name, value }| (name.as_ref(), value.as_ref())).collect();
            self.send(&Outgoing {
                topic: &dead_letters,
                partition: None,
                key: written.key,
                value: written.value,
                headers: &headers,
            })
            .map_err(of_record(letter.partition, dead_letters::DATASET))?;
        }
        Ok(())
    }

    fn write_changes<S: Service>(&self, batch: &Batch<S>) -> Result<(), Failure> {
        let topic = self.cluster.topic(self.topology.changelog);
        let writer = (WRITER_HEADER, self.transactional_id.as_bytes());
        for partition in &batch.partitions {
            for (number, change) in partition.changes.iter().enumerate() {
                let due = due_bytes(&change.due);
                let headers = [writer, (DUE_HEADER, due.as_slice())];
                // Who takes over asks the first record of an open transaction for its writer.
                let first = usize::from(number > 0);
                let last = if change.due == Due::default() { 1 } else { 2 };
                self.send(&Outgoing {
                    topic: &topic,
                    partition: Some(partition.partition),
                    key: Some(change.key.as_bytes()),
                    value: change.value.as_deref(),
                    headers: headers.get(first..last).unwrap_or_default(),
                })
                .map_err(of_record(partition.partition, self.topology.changelog))?;
            }
        }
        Ok(())
    }

    fn write_mark<S: Service>(&mut self, batch: &Batch<S>, end: &mut EndOf<'_>) -> Result<(), Failure> {
        let Some(dataset) = self.topology.marks else { return Ok(()) };
        self.raise_own_bounds();
        while let Some((dataset, partition)) = self.unknown.first().copied() {
            let end = end(&self.cluster.topic(dataset), partition)?;
            self.raise_bound(dataset, partition, end);
            self.unknown.remove(&(dataset, partition));
        }
        let bounds = self
            .bounds
            .iter()
            .map(|(dataset, offsets)| OutputBound { dataset: (*dataset).to_owned(), offsets: offsets.clone() });
        let entries = batch
            .marks
            .iter()
            .map(|(partition, time)| MarkEntry { partition: *partition, time: time.as_millis().max(0) });
        let mark = Mark {
            service: self.topology.service.to_owned(),
            transactional_id: self.transactional_id.clone(),
            entries: entries.collect(),
            bounds: bounds.collect(),
        };
        let topic = self.cluster.topic(dataset);
        self.buffer.clear();
        self.schemas.encode(dataset, &mark, &mut self.buffer).map_err(|error| {
            let first = batch.marks.first().map_or(0, |(partition, _)| *partition);
            Failure::Unwritable(first, format!("a mark: {error}"))
        })?;
        Ok(self.send(&Outgoing {
            topic: &topic,
            partition: Some(0),
            key: Some(self.topology.service.as_bytes()),
            value: Some(&self.buffer),
            headers: &[],
        })?)
    }

    fn write_headers<S: Service>(&mut self, batch: &Batch<S>) -> Result<(), Failure> {
        let topic = self.cluster.topic(self.topology.changelog);
        for partition in &batch.partitions {
            let Some(header) = &partition.header else { continue };
            self.buffer.clear();
            self.schemas
                .encode_changelog::<S::State>(self.topology.changelog, Some(header), None, None, &mut self.buffer)
                .map_err(|error| Failure::Unwritable(partition.partition, format!("a header: {error}")))?;
            self.send(&Outgoing {
                topic: &topic,
                partition: Some(partition.partition),
                key: Some(HEADER_KEY.as_bytes()),
                value: Some(&self.buffer),
                headers: &[(WRITER_HEADER, self.transactional_id.as_bytes())],
            })?;
        }
        Ok(())
    }

    /// Waits until the broker has acknowledged all that was sent. `flush` would wait in steps of 100 ms.
    fn wait_for_deliveries<S: Service>(&mut self, ears: &mut Ears<'_, C, S>) -> Result<(), Failure> {
        let deadline = self.clients.monotonic() + self.cluster.transaction_timeout;
        while self.producer.in_flight() > 0 {
            self.producer.poll(if ears.hear_meanwhile() { Duration::ZERO } else { SHORT_STEP });
            if self.clients.monotonic() > deadline {
                return Err(ClientError::timed_out().into());
            }
        }
        let (failure, time) = {
            let mut deliveries = self.producer.deliveries();
            (deliveries.failure.take(), deliveries.broker_time.take())
        };
        if let Some(time) = time {
            self.clock.wrote(time, self.clients.monotonic());
            self.untimed_marks = 0;
        }
        match failure {
            None => Ok(()),
            Some((error, topic, partition)) => Err(of_record(partition, &topic)(error)),
        }
    }

    /// The broker's clock is known from the marks: now and then it says nothing of one, but not of many.
    fn look_at_clock(&mut self) {
        let by_broker = self.topology.inputs.iter().any(|input| input.clock == Clock::Broker);
        self.untimed_marks += u32::from(by_broker);
        if self.untimed_marks == MANY_MARKS {
            tracing::warn!(
                topic = self.topology.marks.map(|marks| self.cluster.topic(marks)),
                "its records carry the times of who wrote them, so time stands still where nothing comes: set \
                 message.timestamp.type = LogAppendTime on the topic (kafka-configs.sh --alter)"
            );
        }
    }

    fn raise_own_bounds(&mut self) {
        let deliveries = std::mem::take(&mut self.producer.deliveries().last);
        for (dataset, bounds) in &mut self.bounds {
            let topic = self.cluster.topic(dataset);
            let Some((_, last)) = deliveries.iter().find(|(name, _)| *name == topic) else { continue };
            for (partition, offset) in last {
                match bounds.get_mut(*partition as usize) {
                    Some(_) if *offset < 0 => drop(self.unknown.insert((*dataset, *partition))),
                    Some(bound) => *bound = (*bound).max(offset + 1),
                    None => {}
                }
            }
        }
        self.producer.deliveries().last = deliveries;
    }

    fn header_offsets<S: Service>(&self, batch: &Batch<S>) -> HashMap<Partition, Option<i64>> {
        let topic = self.cluster.topic(self.topology.changelog);
        let deliveries = self.producer.deliveries();
        let last = deliveries.last.iter().find(|(name, _)| *name == topic).map(|(_, last)| last);
        let headers = batch.partitions.iter().filter(|partition| partition.header.is_some()).map(|partition| {
            // The header is the last record of its partition.
            let offset = last.and_then(|last| last.get(&partition.partition)).copied().filter(|offset| *offset >= 0);
            (partition.partition, offset)
        });
        headers.collect()
    }

    /// After a failure: abort if that is known to help.
    fn give_up(&mut self, error: ClientError) -> Outcome {
        // A commit whose answer was lost may still happen, and even to a later transaction: never abort or repeat it.
        if let ErrorKind::Transaction { fatal, requires_abort, .. } = error.kind
            && (fatal || !requires_abort)
        {
            return Outcome::Rebuild(error);
        }
        match self.abort() {
            Ok(()) => Outcome::Aborted(error),
            Err(second) => Outcome::Rebuild(second),
        }
    }

    /// Aborts, once everything that was sent is delivered or was given up by the client: where it is given up here, the client
    /// leaves a hole in the sequence numbers, and the next transaction fails by that (seen with librdkafka 2.12). In steps: the
    /// client tells what became of records only when it is polled, so an abort without end would wait for this very thread.
    fn abort(&self) -> Result<(), ClientError> {
        let deadline = self.clients.monotonic() + self.cluster.transaction_timeout;
        loop {
            while self.producer.in_flight() > 0 && self.clients.monotonic() < deadline {
                self.producer.poll(SHORT_STEP);
            }
            match self.producer.abort(STEP) {
                Err(error) if error.is_retriable() && self.clients.monotonic() < deadline => {
                    tracing::debug!(%error, "aborting goes on");
                }
                result => return result,
            }
        }
    }

    /// The same call again while the client says that this is safe, for so long.
    fn retrying(&self, limit: Duration, mut call: impl FnMut() -> Result<(), ClientError>) -> Result<(), ClientError> {
        let deadline = self.clients.monotonic() + limit;
        loop {
            match call() {
                Err(error) if error.is_retriable() && self.clients.monotonic() < deadline => {
                    tracing::debug!(%error, "a transactional call is repeated");
                }
                result => return result,
            }
        }
    }

    /// Hands a record to the client; where its buffer is full, waits for the broker.
    fn send(&self, record: &Outgoing<'_>) -> Result<(), ClientError> {
        loop {
            match self.producer.send(record) {
                Err(error) if error.kind == ErrorKind::BufferFull => self.producer.poll(Duration::from_millis(5)),
                result => return result,
            }
        }
    }
}

/// A transactional producer that has settled what was open under its id.
pub(super) fn initialised<C: Clients>(
    clients: &C,
    cluster: &Cluster,
    transactional_id: &str,
) -> Result<C::Producer, KafkaFailure> {
    let producer = clients.producer(transactional_id)?;
    producer
        .init(cluster.transaction_timeout)
        .map_err(|source| KafkaFailure::of(format!("initialising the transactional id {transactional_id}"), source))?;
    Ok(producer)
}

/// What is wrong with a record itself is wrong again the next time; everything else may pass.
fn of_record(partition: Partition, dataset: &str) -> impl FnOnce(ClientError) -> Failure {
    move |error| {
        if error.kind == ErrorKind::BadRecord {
            Failure::Unwritable(partition, format!("a record of {dataset}: {error}"))
        } else {
            Failure::Client(error)
        }
    }
}

fn due_bytes(due: &Due) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (lane, bytes) in Lane::ALL.into_iter().zip(bytes.as_chunks_mut::<8>().0) {
        *bytes = due.lane(lane).map_or(i64::MIN, domain::Timestamp::as_millis).to_be_bytes();
    }
    bytes
}

/// What a changelog record's header says its key waits for.
pub(super) fn due_from(bytes: &[u8]) -> Option<Due> {
    let (lanes, rest) = bytes.as_chunks::<8>();
    let [timer, ready, claimed, held] = lanes else { return None };
    if !rest.is_empty() {
        return None;
    }
    let at = |bytes: &[u8; 8]| {
        let millis = i64::from_be_bytes(*bytes);
        (millis != i64::MIN).then_some(domain::Timestamp::from_millis(millis))
    };
    Some(Due { timer: at(timer), ready: at(ready), claimed: at(claimed), held: at(held) })
}
