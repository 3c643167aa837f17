//! One transaction a batch: outputs, dead letters, state changes, marks, headers, offsets.
//!
//! Wanted properties:
//! - after `commit` either all of it is visible to `read_committed` readers, or none;
//! - an answer that was lost is never guessed: the producer is made anew, which settles it, and the log is asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use schemas::{Mark, MarkEntry, OutputBound, Schemas};
use stream::{Batch, Output, Partition, Service, Topology};

use crate::KafkaFailure;
use crate::append::{Header, owned_headers};
use crate::clients::{Cluster, create, log};
use crate::dead_letters;

use super::spans::Spans;

/// The key of a changelog's header. No customer id begins with this character.
pub(crate) const HEADER_KEY: &str = "\0";
/// How long the client is left alone with the end of a transaction.
const STEP: Duration = Duration::from_millis(200);
/// After its time-out a call has so long to return.
const GRACE: Duration = Duration::from_secs(2);
/// Names the writer of a changelog record.
pub(super) const WRITER_HEADER: &str = "vuelve-writer";
/// What a key waits for, on its changelog record: the four lanes, 8 bytes each, big-endian milliseconds; `i64::MIN` for none.
pub(super) const DUE_HEADER: &str = "vuelve-due";
/// W3C trace context.
pub(super) const TRACE_HEADER: &str = "traceparent";

/// How a transaction ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// By partition: the offset of the header; none where the broker did not say.
    Committed(HashMap<Partition, Option<i64>>),
    /// Nothing was written; the same producer goes on.
    Aborted(KafkaError),
    /// Nobody knows, or the producer is of no use any more: make it anew and ask the log.
    Rebuild(KafkaError),
    /// Nothing was written, and nothing will be: what comes of this partition's records can't be.
    Unwritable(Partition, String),
}

/// Why a transaction was not committed.
enum Failure {
    Client(KafkaError),
    /// A call of the client did not return.
    Stuck,
    Unwritable(Partition, String),
}

impl From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Self {
        Self::Client(error)
    }
}

#[derive(Debug, Default)]
struct Deliveries {
    /// By topic and partition: the last offset written; −1 where the broker did not say.
    last: Vec<(String, HashMap<Partition, i64>)>,
    /// The first, and of which topic and partition.
    failure: Option<(KafkaError, String, Partition)>,
}

#[derive(Debug, Default)]
pub(super) struct DeliveryContext(Mutex<Deliveries>);

impl ClientContext for DeliveryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka producer error");
    }
}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut deliveries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Err((error, message)) => {
                deliveries
                    .failure
                    .get_or_insert_with(|| (error.clone(), message.topic().to_owned(), message.partition()));
            }
            Ok(message) => {
                let index = deliveries.last.iter().position(|(topic, _)| topic == message.topic());
                let index = index.unwrap_or_else(|| {
                    deliveries.last.push((message.topic().to_owned(), HashMap::new()));
                    deliveries.last.len() - 1
                });
                let last = deliveries.last[index].1.entry(message.partition()).or_insert(-1);
                *last = (*last).max(message.offset());
            }
        }
    }
}

/// A worker's producer.
pub(super) struct Transactions {
    cluster: Cluster,
    topology: &'static Topology,
    schemas: Schemas,
    transactional_id: String,
    producer: Arc<BaseProducer<DeliveryContext>>,
    /// By output: by partition: all that this worker's predecessors and this worker wrote lies below.
    bounds: Vec<(&'static str, Vec<i64>)>,
    buffer: Vec<u8>,
}

impl Transactions {
    /// Makes the producer; this ends whatever its predecessor under the same id had open, and fences it.
    pub(super) fn begin(
        cluster: &Cluster,
        topology: &'static Topology,
        schemas: &Schemas,
        transactional_id: &str,
    ) -> Result<Self, KafkaFailure> {
        let bounds = topology.outputs.iter().map(|dataset| (*dataset, vec![0; cluster.partitions as usize]));
        Ok(Self {
            producer: Arc::new(initialised(cluster, transactional_id)?),
            cluster: cluster.clone(),
            topology,
            schemas: schemas.clone(),
            transactional_id: transactional_id.to_owned(),
            bounds: bounds.collect(),
            buffer: Vec::new(),
        })
    }

    /// After [`Outcome::Rebuild`].
    pub(super) fn rebuild(&mut self) -> Result<(), KafkaFailure> {
        self.producer = Arc::new(initialised(&self.cluster, &self.transactional_id)?);
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
    pub(super) fn commit<S: Service>(
        &mut self,
        batch: &Batch<S>,
        group: ConsumerGroupMetadata,
        spans: &mut Spans,
    ) -> Outcome {
        *self.deliveries() = Deliveries::default();
        let result = self.try_commit(batch, group, spans);
        spans.sent(result.is_ok());
        match result {
            Ok(headers) => Outcome::Committed(headers),
            Err(Failure::Client(error)) => self.give_up(error),
            Err(Failure::Stuck) => Outcome::Rebuild(KafkaError::MessageProduction(RDKafkaErrorCode::OperationTimedOut)),
            Err(Failure::Unwritable(partition, reason)) => match self.abort() {
                Ok(()) => Outcome::Unwritable(partition, reason),
                Err(error) => Outcome::Rebuild(error),
            },
        }
    }

    fn try_commit<S: Service>(
        &mut self,
        batch: &Batch<S>,
        group: ConsumerGroupMetadata,
        spans: &mut Spans,
    ) -> Result<HashMap<Partition, Option<i64>>, Failure> {
        self.producer.begin_transaction()?;
        self.write_outputs(batch, spans)?;
        self.write_changes(batch)?;
        if !batch.marks.is_empty() {
            // The mark names offsets, so what it speaks of has to have them.
            self.wait_for_deliveries()?;
            self.write_mark(batch)?;
        }
        self.write_headers(batch)?;
        let mut offsets = TopicPartitionList::new();
        let primary = self.cluster.topic(self.topology.primary().dataset);
        for partition in &batch.partitions {
            offsets.add_partition_offset(&primary, partition.partition, Offset::Offset(partition.primary_offset))?;
        }
        let limit = self.cluster.transaction_timeout;
        let producer = Arc::clone(&self.producer);
        returning(limit + GRACE, move || {
            retrying(limit, || producer.send_offsets_to_transaction(&offsets, &group, limit))
        })?;
        self.wait_for_deliveries()?;
        let headers = self.header_offsets(batch);
        self.raise_own_bounds();
        // In steps, each of which goes on with the same request.
        retrying(limit, || self.producer.commit_transaction(STEP))?;
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
            let mut record = BaseRecord::<[u8], [u8]>::to(topic).key(emitted.output.key().as_bytes());
            if value {
                record = record.payload(&self.buffer);
            }
            let span = spans.send(emitted, dataset);
            if let Some(trace) = span.as_deref().or(emitted.trace.as_deref()) {
                let header = Header { name: TRACE_HEADER.to_owned(), value: trace.as_bytes().to_vec() };
                record = record.headers(owned_headers(&[header]));
            }
            send(&self.producer, record).map_err(of_record(emitted.partition, dataset))?;
        }
        let dead_letters = self.cluster.topic(dead_letters::DATASET);
        for letter in &batch.dead_letters {
            let headers = dead_letters::headers(&self.cluster, self.topology.service, letter);
            let mut record = BaseRecord::<[u8], [u8]>::to(&dead_letters).headers(owned_headers(&headers));
            record.key = letter.key.as_deref();
            record.payload = letter.value.as_deref();
            send(&self.producer, record).map_err(of_record(letter.partition, dead_letters::DATASET))?;
        }
        Ok(())
    }

    fn write_changes<S: Service>(&self, batch: &Batch<S>) -> Result<(), Failure> {
        let topic = self.cluster.topic(self.topology.changelog);
        let writer = Header { name: WRITER_HEADER.to_owned(), value: self.transactional_id.clone().into_bytes() };
        for partition in &batch.partitions {
            for change in &partition.changes {
                let due = Header { name: DUE_HEADER.to_owned(), value: due_bytes(&change.due) };
                let mut record = BaseRecord::<[u8], [u8]>::to(&topic)
                    .partition(partition.partition)
                    .key(change.key.as_bytes())
                    .headers(owned_headers(&[writer.clone(), due]));
                record.payload = change.value.as_deref();
                send(&self.producer, record).map_err(of_record(partition.partition, self.topology.changelog))?;
            }
        }
        Ok(())
    }

    fn write_mark<S: Service>(&mut self, batch: &Batch<S>) -> Result<(), Failure> {
        let Some(dataset) = self.topology.marks else { return Ok(()) };
        self.raise_own_bounds();
        let bounds = self
            .bounds
            .iter()
            .map(|(dataset, offsets)| OutputBound { dataset: (*dataset).to_owned(), offsets: offsets.clone() });
        let entries =
            batch.marks.iter().map(|(partition, time)| MarkEntry { partition: *partition, time: time.as_millis() });
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
        let record = BaseRecord::<[u8], [u8]>::to(&topic)
            .partition(0)
            .key(self.topology.service.as_bytes())
            .payload(&self.buffer);
        Ok(send(&self.producer, record)?)
    }

    fn write_headers<S: Service>(&mut self, batch: &Batch<S>) -> Result<(), Failure> {
        let topic = self.cluster.topic(self.topology.changelog);
        let writer = Header { name: WRITER_HEADER.to_owned(), value: self.transactional_id.clone().into_bytes() };
        for partition in &batch.partitions {
            let Some(header) = &partition.header else { continue };
            self.buffer.clear();
            self.schemas
                .encode_changelog::<S::State>(self.topology.changelog, Some(header), None, None, &mut self.buffer)
                .map_err(|error| Failure::Unwritable(partition.partition, format!("a header: {error}")))?;
            let record = BaseRecord::<[u8], [u8]>::to(&topic)
                .partition(partition.partition)
                .key(HEADER_KEY.as_bytes())
                .payload(&self.buffer)
                .headers(owned_headers(std::slice::from_ref(&writer)));
            send(&self.producer, record)?;
        }
        Ok(())
    }

    /// Waits until the broker has acknowledged all that was sent. `flush` would wait in steps of 100 ms.
    fn wait_for_deliveries(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + self.cluster.transaction_timeout;
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(Duration::from_millis(1));
            if Instant::now() > deadline {
                return Err(KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut).into());
            }
        }
        match self.deliveries().failure.take() {
            None => Ok(()),
            Some((error, topic, partition)) => Err(of_record(partition, &topic)(error)),
        }
    }

    fn raise_own_bounds(&mut self) {
        let deliveries = std::mem::take(&mut self.deliveries().last);
        for (dataset, bounds) in &mut self.bounds {
            let topic = self.cluster.topic(dataset);
            let Some((_, last)) = deliveries.iter().find(|(name, _)| *name == topic) else { continue };
            for (partition, offset) in last {
                if let Some(bound) = bounds.get_mut(*partition as usize) {
                    *bound = (*bound).max(offset + 1);
                }
            }
        }
        self.deliveries().last = deliveries;
    }

    fn header_offsets<S: Service>(&self, batch: &Batch<S>) -> HashMap<Partition, Option<i64>> {
        let topic = self.cluster.topic(self.topology.changelog);
        let deliveries = self.deliveries();
        let last = deliveries.last.iter().find(|(name, _)| *name == topic).map(|(_, last)| last);
        let headers = batch.partitions.iter().filter(|partition| partition.header.is_some()).map(|partition| {
            // The header is the last record of its partition.
            let offset = last.and_then(|last| last.get(&partition.partition)).copied().filter(|offset| *offset >= 0);
            (partition.partition, offset)
        });
        headers.collect()
    }

    /// After a failure: abort if that is known to help.
    fn give_up(&mut self, error: KafkaError) -> Outcome {
        let (fatal, indefinite) = match &error {
            KafkaError::Transaction(inner) => (inner.is_fatal(), !inner.txn_requires_abort() && !inner.is_fatal()),
            _ => (false, false),
        };
        // A commit whose answer was lost may still happen, and even to a later transaction: never abort or repeat it.
        if fatal || indefinite {
            return Outcome::Rebuild(error);
        }
        match self.abort() {
            Ok(()) => Outcome::Aborted(error),
            Err(second) => Outcome::Rebuild(second),
        }
    }

    /// Aborts in short steps. The client waits until every record of the transaction has been told as delivered or purged,
    /// and tells it only when it is polled: an abort without end would wait for this very thread.
    fn abort(&self) -> Result<(), KafkaError> {
        let deadline = Instant::now() + self.cluster.transaction_timeout;
        self.producer.purge(PurgeConfig::default().queue().inflight());
        loop {
            while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
                self.producer.poll(Duration::from_millis(1));
            }
            match self.producer.abort_transaction(STEP) {
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                    tracing::debug!(%error, "aborting goes on");
                }
                result => return result,
            }
        }
    }

    fn deliveries(&self) -> std::sync::MutexGuard<'_, Deliveries> {
        self.producer.context().0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transactional producer that has settled what was open under its id.
pub(super) fn initialised(
    cluster: &Cluster,
    transactional_id: &str,
) -> Result<BaseProducer<DeliveryContext>, KafkaFailure> {
    let config = cluster.transactional_producer(transactional_id);
    let producer: BaseProducer<DeliveryContext> = create(&config, DeliveryContext::default(), "the producer")?;
    producer
        .init_transactions(cluster.transaction_timeout)
        .map_err(|source| KafkaFailure::of(format!("initialising the transactional id {transactional_id}"), source))?;
    Ok(producer)
}

/// The same call again while the client says that this is safe, for so long.
fn retrying(limit: Duration, mut call: impl FnMut() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    let deadline = Instant::now() + limit;
    loop {
        match call() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                tracing::debug!(%error, "a transactional call is repeated");
            }
            result => return result,
        }
    }
}

/// What a call answers that may never return; then it is left behind with the producer that it waits on. Where the group's
/// coordinator drops out of the metadata for a moment, the client's request to it can wait without end, whatever the call's
/// time-out says (librdkafka 2.12, issue 5511).
fn returning(limit: Duration, call: impl FnOnce() -> Result<(), KafkaError> + Send + 'static) -> Result<(), Failure> {
    let (answer, answered) = mpsc::sync_channel(1);
    let calling = std::thread::Builder::new().name("offsets".to_owned()).spawn(move || drop(answer.send(call())));
    if calling.is_err() {
        return Err(Failure::Client(KafkaError::MessageProduction(RDKafkaErrorCode::CriticalSystemResource)));
    }
    Ok(answered.recv_timeout(limit).map_err(|_| Failure::Stuck)??)
}

/// What is wrong with a record itself is wrong again the next time; everything else may pass.
fn of_record(partition: Partition, dataset: &str) -> impl FnOnce(KafkaError) -> Failure {
    move |error| {
        let for_good = matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::MessageSizeTooLarge
                    | RDKafkaErrorCode::InvalidMessageSize
                    | RDKafkaErrorCode::InvalidRecord
            )
        );
        if for_good {
            Failure::Unwritable(partition, format!("a record of {dataset}: {error}"))
        } else {
            Failure::Client(error)
        }
    }
}

/// Hands a record to the client; where its buffer is full, waits for the broker.
fn send(producer: &BaseProducer<DeliveryContext>, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<(), KafkaError> {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                producer.poll(Duration::from_millis(5));
                record = back;
            }
            Err((error, _)) => return Err(error),
        }
    }
}

fn due_bytes(due: &stream::Due) -> Vec<u8> {
    let lanes = stream::Lane::ALL.map(|lane| due.lane(lane).map_or(i64::MIN, domain::Timestamp::as_millis));
    lanes.iter().flat_map(|millis| millis.to_be_bytes()).collect()
}

/// What a changelog record's header says its key waits for.
pub(super) fn due_from(bytes: &[u8]) -> Option<stream::Due> {
    let (lanes, rest) = bytes.as_chunks::<8>();
    let [timer, ready, claimed, held] = lanes else { return None };
    if !rest.is_empty() {
        return None;
    }
    let at = |bytes: &[u8; 8]| {
        let millis = i64::from_be_bytes(*bytes);
        (millis != i64::MIN).then_some(domain::Timestamp::from_millis(millis))
    };
    Some(stream::Due { timer: at(timer), ready: at(ready), claimed: at(claimed), held: at(held) })
}
