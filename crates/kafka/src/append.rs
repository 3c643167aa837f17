//! Appending records from outside the engine: the door, commands, definitions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header as RdHeader, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::{IntoOpaque, Timeout};
use tokio::sync::oneshot;

use crate::KafkaFailure;
use crate::bearings::{Bearings, STATISTICS_INTERVAL_MS};
use crate::clients::{Cluster, Logged, create_with, is_about_the_network};

/// How often it is looked whether there is room again.
const ROOM_POLL: Duration = Duration::from_millis(2);

/// A record's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its value.
    pub value: Bytes,
}

/// A record to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// The topic, in full.
    pub topic: Arc<str>,
    /// The partition; by the key where there is none.
    pub partition: Option<i32>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Bytes>,
    /// Its headers, which records may share.
    pub headers: Arc<[Header]>,
}

impl NewRecord {
    /// As the client takes it; of its delivery is told with `whom`.
    pub(crate) fn told_by<D: IntoOpaque>(&self, whom: D) -> BaseRecord<'_, [u8], [u8], D> {
        let mut new = BaseRecord::with_opaque_to(&self.topic, whom);
        new.partition = self.partition;
        new.key = self.key.as_deref();
        new.payload = self.value.as_deref();
        new.headers = (!self.headers.is_empty()).then(|| owned_headers(&self.headers));
        new
    }
}

/// Appends records, each once and acknowledged by all replicas.
#[derive(Clone)]
pub struct Appender {
    producer: Arc<ThreadedProducer<Delivering>>,
    bearings: Arc<Bearings>,
    timeout: Duration,
    room_timeout: Duration,
}

/// Tells batches what became of their records.
struct Delivering(Logged);

impl ClientContext for Delivering {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.0.stats_raw(statistics);
    }
}

impl ProducerContext for Delivering {
    type DeliveryOpaque = Arc<Batch>;

    fn delivery(&self, result: &DeliveryResult<'_>, batch: Arc<Batch>) {
        batch.note(match result {
            Ok(record) => Ok((record.partition(), record.offset())),
            Err((error, record)) => Err(failed(record.topic(), error.clone())),
        });
    }
}

/// By partition, the offset behind the last record of a batch; or the first failure.
type Answer = Result<BTreeMap<i32, i64>, KafkaFailure>;

/// Records that are appended together: one answer for all of them, so that who waits is woken once.
struct Batch(Mutex<Progress>);

struct Progress {
    /// How many records are not decided on.
    left: usize,
    ends: BTreeMap<i32, i64>,
    failure: Option<KafkaFailure>,
    answer: Option<oneshot::Sender<Answer>>,
}

impl Batch {
    fn new(records: usize, answer: oneshot::Sender<Answer>) -> Self {
        Self(Mutex::new(Progress { left: records, ends: BTreeMap::new(), failure: None, answer: Some(answer) }))
    }

    fn note(&self, delivery: Result<(i32, i64), KafkaFailure>) {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match delivery {
            Ok((partition, offset)) => {
                let end = progress.ends.entry(partition).or_default();
                *end = (*end).max(offset + 1);
            }
            Err(failure) => drop(progress.failure.get_or_insert(failure)),
        }
        progress.left -= 1;
        if progress.left == 0
            && let Some(answer) = progress.answer.take()
        {
            let ends = std::mem::take(&mut progress.ends);
            // Whoever has gone away sends again.
            let _ = answer.send(progress.failure.take().map_or(Ok(ends), Err));
        }
    }
}

impl std::fmt::Debug for Appender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appender").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Appender {
    /// An appender that gives a record up after `timeout`.
    pub fn new(cluster: &Cluster, client_id: &str, timeout: Duration) -> Result<Self, KafkaFailure> {
        let mut config = cluster.idempotent_producer(client_id, timeout);
        // A thread of its own polls it.
        config.set("statistics.interval.ms", STATISTICS_INTERVAL_MS);
        let logged = Logged::of(&config);
        let bearings = Arc::clone(&logged.bearings);
        let producer = Arc::new(create_with(&config, Delivering(logged), "the producer")?);
        Ok(Self { producer, bearings, timeout, room_timeout: timeout })
    }

    /// Where the client's buffer is full, waits for room only so long before it says [`KafkaFailure::Overloaded`]; by
    /// default as long as for the broker.
    #[must_use]
    pub fn waiting_for_room(mut self, timeout: Duration) -> Self {
        self.room_timeout = timeout;
        self
    }

    /// Asks the broker for a topic's leaders; returns when it has answered. [`KafkaFailure::ProducerFailed`] says that this
    /// appender will write nothing more. Waits up to `timeout`, on the thread of the caller.
    pub fn check(&self, topic: &str, timeout: Duration) -> Result<(), KafkaFailure> {
        if let Some((code, reason)) = self.producer.client().fatal_error() {
            return Err(KafkaFailure::ProducerFailed(format!("{reason} ({code})")));
        }
        let failed = |source| KafkaFailure::of(format!("asking for the leaders of {topic}"), source);
        let metadata = self.producer.client().fetch_metadata(Some(topic), timeout).map_err(|source| {
            if is_about_the_network(&source) {
                self.bearings.tell(self.producer.client());
            }
            failed(source)
        })?;
        self.bearings.answered();
        match metadata.topics().first().and_then(rdkafka::metadata::MetadataTopic::error) {
            Some(error) => Err(failed(KafkaError::MetadataFetch(error.into()))),
            None => Ok(()),
        }
    }

    /// Appends all, in order by key, and returns once the broker has decided on them all: for records of one topic, the offset
    /// behind the last of each partition; the first failure otherwise, at once where the client itself does not take a
    /// record (of the others, some may be stored: whoever sends them again is recognised by the message id).
    pub async fn append(&self, records: &[NewRecord]) -> Result<BTreeMap<i32, i64>, KafkaFailure> {
        if records.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.bearings.find_again(self.producer.client());
        let (answer, answered) = oneshot::channel();
        let batch = Arc::new(Batch::new(records.len(), answer));
        let deadline = tokio::time::Instant::now() + self.room_timeout;
        for record in records {
            let mut new = record.told_by(Arc::clone(&batch));
            while let Err((error, back)) = self.producer.send(new) {
                // The client's own buffer is full: room comes as the broker acknowledges.
                if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
                    return Err(failed(&record.topic, error));
                }
                if tokio::time::Instant::now() >= deadline {
                    return Err(KafkaFailure::Overloaded { what: format!("appending to {}", record.topic) });
                }
                tokio::time::sleep(ROOM_POLL).await;
                new = back;
            }
        }
        drop(batch);
        let lost = |_| Err(KafkaFailure::of("waiting for the broker's answers", KafkaError::Canceled));
        answered.await.unwrap_or_else(lost)
    }

    /// Waits until what was appended is out, at most for the appender's time-out.
    pub fn flush(&self) -> Result<(), KafkaFailure> {
        self.producer
            .flush(Timeout::After(self.timeout))
            .map_err(|source| KafkaFailure::of("waiting for the last records", source))
    }
}

fn failed(topic: &str, source: KafkaError) -> KafkaFailure {
    KafkaFailure::of(format!("appending to {topic}"), source)
}

fn owned_headers(headers: &[Header]) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |owned, header| {
        owned.insert(RdHeader { key: &header.name, value: Some(header.value.as_ref()) })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by it")]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    fn batch(records: usize) -> (Batch, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        (Batch::new(records, answer), answered)
    }

    fn failure(topic: &str) -> KafkaFailure {
        failed(topic, KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut))
    }

    #[test]
    fn a_batch_is_answered_once_its_last_record_is_decided_on_and_not_before() {
        let (batch, mut answered) = batch(3);
        for delivery in [Ok((0, 7)), Err(failure("a"))] {
            batch.note(delivery);
            assert_eq!(answered.try_recv().unwrap_err(), TryRecvError::Empty);
        }
        batch.note(Ok((0, 8)));
        assert!(answered.try_recv().is_ok());
    }

    #[test]
    fn one_failure_among_successes_is_the_answer_and_of_several_the_first() {
        let (success, first, second) = (|| Ok((0, 7)), || Err(failure("first")), || Err(failure("second")));
        for deliveries in [
            [first(), success(), success()],
            [success(), first(), success()],
            [success(), success(), first()],
            [first(), second(), success()],
            [first(), success(), second()],
            [success(), first(), second()],
        ] {
            let (batch, mut answered) = batch(3);
            for delivery in deliveries {
                batch.note(delivery);
            }
            let failure = answered.try_recv().unwrap().unwrap_err();
            assert_eq!(failure.to_string(), self::failure("first").to_string());
        }
    }

    #[test]
    fn the_end_of_each_partition_is_behind_its_last_record_in_whatever_order_the_answers_come() {
        let deliveries = [(0, 7), (0, 8), (0, 9), (3, 0), (1, i64::from(i32::MAX))];
        for turn in 0..deliveries.len() {
            for backwards in [false, true] {
                let mut order = deliveries;
                order.rotate_left(turn);
                if backwards {
                    order.reverse();
                }
                let (batch, mut answered) = batch(order.len());
                for delivery in order {
                    batch.note(Ok(delivery));
                }
                let ends = answered.try_recv().unwrap().unwrap();
                assert_eq!(ends, BTreeMap::from([(0, 10), (1, 1 << 31), (3, 1)]), "{order:?}");
            }
        }
    }

    #[test]
    fn whoever_does_not_wait_any_more_disturbs_nobody() {
        for last in [Ok((0, 8)), Err(failure("a"))] {
            let (batch, answered) = batch(2);
            batch.note(Ok((0, 7)));
            drop(answered);
            batch.note(last);
        }
    }
}
