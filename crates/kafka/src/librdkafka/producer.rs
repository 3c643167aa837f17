//! A transactional producer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};
use stream::Partition;

use crate::KafkaFailure;
use crate::clients::{create, log};
use crate::port::{ClientError, Deliveries, ErrorKind, Outgoing, Producer};

/// After its time-out a call has so long to return.
const GRACE: Duration = Duration::from_secs(2);

/// A transactional producer.
pub struct TransactionalProducer(Arc<BaseProducer<DeliveryContext>>);

impl std::fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionalProducer").finish_non_exhaustive()
    }
}

impl TransactionalProducer {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, KafkaFailure> {
        Ok(Self(Arc::new(create(config, DeliveryContext::default(), "the producer")?)))
    }
}

impl Producer for TransactionalProducer {
    type Metadata = Arc<ConsumerGroupMetadata>;

    fn init(&self, timeout: Duration) -> Result<(), ClientError> {
        Ok(self.0.init_transactions(timeout)?)
    }

    fn begin(&self) -> Result<(), ClientError> {
        Ok(self.0.begin_transaction()?)
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
        self.0.send(record).map_err(|(error, _)| error.into())
    }

    fn poll(&self, wait: Duration) {
        self.0.poll(wait);
    }

    fn in_flight(&self) -> usize {
        usize::try_from(self.0.in_flight_count()).unwrap_or_default()
    }

    fn deliveries(&self) -> MutexGuard<'_, Deliveries> {
        self.0.context().deliveries()
    }

    fn send_offsets(
        &self,
        topic: &str,
        offsets: &[(Partition, i64)],
        group: &Arc<ConsumerGroupMetadata>,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
        }
        let (producer, group) = (Arc::clone(&self.0), Arc::clone(group));
        returning(timeout + GRACE, move || Ok(producer.send_offsets_to_transaction(&list, group.as_ref(), timeout)?))
    }

    fn commit(&self, timeout: Duration) -> Result<(), ClientError> {
        Ok(self.0.commit_transaction(timeout)?)
    }

    fn abort(&self, timeout: Duration) -> Result<(), ClientError> {
        Ok(self.0.abort_transaction(timeout)?)
    }

    fn purge(&self) {
        self.0.purge(PurgeConfig::default().queue().inflight());
    }
}

/// What a call answers that may never return; then it is left behind with the producer that it waits on, which is of no use
/// any more. Where the group's coordinator drops out of the metadata for a moment, the client's request to it can wait
/// without end, whatever the call's time-out says (librdkafka 2.12, issue 5511).
fn returning(
    limit: Duration,
    call: impl FnOnce() -> Result<(), ClientError> + Send + 'static,
) -> Result<(), ClientError> {
    let (answer, answered) = mpsc::sync_channel(1);
    let calling = std::thread::Builder::new().name("offsets".to_owned()).spawn(move || drop(answer.send(call())));
    if let Err(error) = calling {
        return Err(ClientError::passing(format!("there is no room for a thread: {error}")));
    }
    answered.recv_timeout(limit).unwrap_or_else(|_| {
        let kind = ErrorKind::Transaction { fatal: true, requires_abort: false, retriable: false };
        Err(ClientError { kind, ..ClientError::passing("a call of the client did not return") })
    })
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
            Ok(message) => deliveries.written(message.topic(), message.partition(), message.offset()),
        }
    }
}
