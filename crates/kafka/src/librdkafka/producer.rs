//! A transactional producer.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::Timestamp;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use stream::Partition;

use crate::KafkaFailure;
use crate::clients::{create_with, log};
use crate::port::{ClientError, Deliveries, ErrorKind, Outgoing, Producer};

/// After its time-out a call has so long to return.
const GRACE: Duration = Duration::from_secs(2);
/// How long a call is waited for before it is looked what else there is to do.
const MEANWHILE: Duration = Duration::from_millis(1);

/// A transactional producer.
pub struct TransactionalProducer {
    producer: Arc<BaseProducer<DeliveryContext>>,
    calls: Calls,
}

impl std::fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionalProducer").finish_non_exhaustive()
    }
}

impl TransactionalProducer {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, KafkaFailure> {
        let producer = Arc::new(create_with(config, DeliveryContext::default(), "the producer")?);
        let calls = Calls::begin().map_err(|error| {
            KafkaFailure::of("starting a thread of the producer", ClientError::passing(error.to_string()))
        })?;
        Ok(Self { producer, calls })
    }
}

impl Producer for TransactionalProducer {
    type Metadata = Arc<ConsumerGroupMetadata>;

    fn init(&self, timeout: Duration) -> Result<(), ClientError> {
        Ok(self.producer.init_transactions(timeout)?)
    }

    fn begin(&self) -> Result<(), ClientError> {
        Ok(self.producer.begin_transaction()?)
    }

    fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), ClientError> {
        let mut record = BaseRecord::<[u8], [u8]>::to(outgoing.topic);
        record.partition = outgoing.partition;
        record.key = outgoing.key;
        record.payload = outgoing.value;
        if !outgoing.headers.is_empty() {
            let empty = OwnedHeaders::new_with_capacity(outgoing.headers.len());
            let headers = outgoing
                .headers
                .iter()
                .fold(empty, |owned, (key, value)| owned.insert(Header { key, value: Some(*value) }));
            record = record.headers(headers);
        }
        self.producer.send(record).map_err(|(error, _)| error.into())
    }

    fn poll(&self, wait: Duration) {
        self.producer.poll(wait);
    }

    fn in_flight(&self) -> usize {
        usize::try_from(self.producer.in_flight_count()).unwrap_or_default()
    }

    fn deliveries(&self) -> MutexGuard<'_, Deliveries> {
        self.producer.context().deliveries()
    }

    fn send_offsets(
        &self,
        topic: &str,
        offsets: &[(Partition, i64)],
        group: &Arc<ConsumerGroupMetadata>,
        timeout: Duration,
        meanwhile: &mut dyn FnMut() -> bool,
    ) -> Result<(), ClientError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
        }
        let (producer, group) = (Arc::clone(&self.producer), Arc::clone(group));
        let call = move || Ok(producer.send_offsets_to_transaction(&list, group.as_ref(), timeout)?);
        self.calls.call(timeout + GRACE, meanwhile, call)
    }

    fn commit(&self, timeout: Duration, meanwhile: &mut dyn FnMut() -> bool) -> Result<(), ClientError> {
        let producer = Arc::clone(&self.producer);
        self.calls.call(timeout + GRACE, meanwhile, move || Ok(producer.commit_transaction(timeout)?))
    }

    fn abort(&self, timeout: Duration) -> Result<(), ClientError> {
        Ok(self.producer.abort_transaction(timeout)?)
    }
}

/// A thread for the calls of one producer that wait for the broker.
///
/// - A call may never return; then it is left behind with the producer that it waits on, which is of no use any more. Where
///   the group's coordinator drops out of the metadata for a moment, the client's request to it can wait without end,
///   whatever the call's time-out says (librdkafka 2.12, issue 5511).
/// - A commit is not waited for in short calls that go on with the same request: where such a call gives up before the
///   client's main thread has taken it up, the client forgets what it is about, takes the broker's answer for that of an
///   abort, and ends the process by an assertion (librdkafka 2.12, `rd_kafka_txn_endtxn_complete`).
struct Calls(mpsc::Sender<Box<dyn FnOnce() + Send>>);

impl Calls {
    /// The thread ends when nothing is left to call.
    fn begin() -> std::io::Result<Self> {
        let (calls, waiting) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        std::thread::Builder::new().name("transactions".to_owned()).spawn(move || {
            for call in waiting {
                call();
            }
        })?;
        Ok(Self(calls))
    }

    fn call(
        &self,
        limit: Duration,
        meanwhile: &mut dyn FnMut() -> bool,
        call: impl FnOnce() -> Result<(), ClientError> + Send + 'static,
    ) -> Result<(), ClientError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let deadline = Instant::now() + limit;
        let mut waits = self.0.send(Box::new(move || drop(answer.send(call())))).is_ok();
        while waits {
            match answered.recv_timeout(if meanwhile() { Duration::ZERO } else { MEANWHILE }) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) => waits = Instant::now() < deadline,
                Err(RecvTimeoutError::Disconnected) => waits = false,
            }
        }
        let kind = ErrorKind::Transaction { fatal: true, requires_abort: false, retriable: false };
        Err(ClientError { kind, ..ClientError::passing("a call of the client did not return") })
    }
}

#[derive(Debug, Default)]
struct DeliveryContext(Mutex<Deliveries>);

impl DeliveryContext {
    fn deliveries(&self) -> MutexGuard<'_, Deliveries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
        let mut deliveries = self.deliveries();
        match result {
            Err((error, message)) => {
                deliveries
                    .failure
                    .get_or_insert_with(|| (error.clone().into(), message.topic().to_owned(), message.partition()));
            }
            Ok(message) => {
                deliveries.written(message.topic(), message.partition(), message.offset());
                if let rdkafka::Timestamp::LogAppendTime(millis) = message.timestamp() {
                    deliveries.broker_time = Some(Timestamp::from_millis(millis));
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by it")]
mod tests {
    use std::collections::BTreeMap;

    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::clients::Cluster;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn other_things_are_done_while_the_broker_takes_its_time_to_commit() {
        let brokers = MockCluster::new(1).unwrap();
        brokers.create_topic("t", 1, 1).unwrap();
        let cluster = Cluster {
            bootstrap_servers: brokers.bootstrap_servers(),
            prefix: "test".to_owned(),
            partitions: 1,
            security: BTreeMap::new(),
            transaction_timeout: LIMIT,
            session_timeout: LIMIT,
        };
        let producer = TransactionalProducer::new(&cluster.transactional_producer("id")).unwrap();
        producer.init(LIMIT).unwrap();
        let mut looked = 0;
        for _ in 0..3 {
            producer.begin().unwrap();
            let record = Outgoing { topic: "t", partition: Some(0), key: None, value: Some(b"value"), headers: &[] };
            producer.send(&record).unwrap();
            let deadline = Instant::now() + LIMIT;
            while producer.in_flight() > 0 && Instant::now() < deadline {
                producer.poll(Duration::from_millis(10));
            }
            assert_eq!(producer.in_flight(), 0);
            brokers.broker_round_trip_time(1, Duration::from_millis(300)).unwrap();
            let mut meanwhile = || {
                looked += 1;
                false
            };
            producer.commit(LIMIT, &mut meanwhile).unwrap();
            brokers.broker_round_trip_time(1, Duration::ZERO).unwrap();
        }
        assert!(looked > 10, "{looked}");
    }

    #[test]
    fn a_call_that_does_not_return_is_left_behind_with_its_producer() {
        let calls = Calls::begin().unwrap();
        let (_held, never) = mpsc::channel::<()>();
        let result = calls.call(Duration::from_millis(20), &mut || false, move || {
            never.recv().map_err(|error| ClientError::passing(error.to_string()))
        });
        assert!(matches!(result.unwrap_err().kind, ErrorKind::Transaction { fatal: true, .. }));
    }
}
