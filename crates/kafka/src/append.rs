//! Appending records from outside the engine: the door, commands, definitions.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::message::{Header as RdHeader, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::Timeout;

use crate::KafkaFailure;
use crate::bearings::{Bearings, STATISTICS_INTERVAL_MS};
use crate::clients::{Cluster, Logged, create_with, is_about_the_network};

/// A record's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Vec<u8>,
}

/// A record to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// The topic, in full.
    pub topic: String,
    /// The partition; by the key where there is none.
    pub partition: Option<i32>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<Header>,
}

/// Appends records, each once and acknowledged by all replicas.
#[derive(Clone)]
pub struct Appender {
    producer: FutureProducer<Logged>,
    bearings: Arc<Bearings>,
    timeout: Duration,
    room_timeout: Duration,
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
        Ok(Self { producer: create_with(&config, logged, "the producer")?, bearings, timeout, room_timeout: timeout })
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

    /// Appends all, in order by key, and returns once the broker has them all; the first failure otherwise (of the
    /// others, some may be stored: whoever sends them again is recognised by the message id).
    pub async fn append(&self, records: &[NewRecord]) -> Result<Vec<(i32, i64)>, KafkaFailure> {
        let mut deliveries = Vec::with_capacity(records.len());
        for record in records {
            deliveries.push((record, self.enqueue(record).await?));
        }
        let mut places = Vec::with_capacity(records.len());
        let mut failure = None;
        for (record, delivery) in deliveries {
            match delivery.await {
                Ok(Ok(delivery)) => places.push((delivery.partition, delivery.offset)),
                Ok(Err((error, _))) => failure = failure.or(Some(failed(&record.topic, error))),
                Err(_) => failure = failure.or(Some(failed(&record.topic, KafkaError::Canceled))),
            }
        }
        failure.map_or(Ok(places), Err)
    }

    async fn enqueue(&self, record: &NewRecord) -> Result<rdkafka::producer::DeliveryFuture, KafkaFailure> {
        self.bearings.find_again(self.producer.client());
        let deadline = tokio::time::Instant::now() + self.room_timeout;
        loop {
            let mut future = FutureRecord::<[u8], [u8]>::to(&record.topic);
            future.partition = record.partition;
            future.key = record.key.as_deref();
            future.payload = record.value.as_deref();
            if !record.headers.is_empty() {
                future.headers = Some(owned_headers(&record.headers));
            }
            match self.producer.send_result(future) {
                Ok(delivery) => return Ok(delivery),
                // The client's own buffer is full: room comes as the broker acknowledges.
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    if tokio::time::Instant::now() >= deadline {
                        return Err(KafkaFailure::Overloaded { what: format!("appending to {}", record.topic) });
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Err((error, _)) => return Err(failed(&record.topic, error)),
            }
        }
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

pub(crate) fn owned_headers(headers: &[Header]) -> OwnedHeaders {
    headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |owned, header| {
        owned.insert(RdHeader { key: &header.name, value: Some(&header.value) })
    })
}
