//! Appending what only one process at a time may append.
//!
//! No [`Appender`](crate::Appender) does: it lives on and shuts nobody out, and what this appends is decided on only when the
//! others are shut out.

use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use crate::KafkaFailure;
use crate::append::NewRecord;
use crate::clients::{Cluster, Logged, create};

const POLL: Duration = Duration::from_millis(5);

/// What was not delivered is told by the commit, which fails.
impl ProducerContext for Logged {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// Appends, in one transaction, what `decide` says; returns how many records that were. Whoever calls it under the same `id`
/// later shuts this caller out: so what `decide` reads in the log holds until its records are there, or none of them is
/// written. What a predecessor left open is ended before `decide` is asked. Waits for the broker, on the thread of the caller.
pub fn append_alone(
    cluster: &Cluster,
    id: &str,
    timeout: Duration,
    decide: impl FnOnce() -> Result<Vec<NewRecord>, KafkaFailure>,
) -> Result<usize, KafkaFailure> {
    let transactional_id = format!("{}-{id}", cluster.prefix);
    let producer: BaseProducer<_> =
        create::<BaseProducer<Logged>>(&cluster.transactional_producer(&transactional_id), "the producer")?;
    let failed = |source| KafkaFailure::of(format!("appending as {transactional_id}"), source);
    producer.init_transactions(timeout).map_err(failed)?;
    let records = decide()?;
    if records.is_empty() {
        return Ok(0);
    }
    producer.begin_transaction().map_err(failed)?;
    let deadline = Instant::now() + timeout;
    for record in &records {
        let mut new = record.told_by(());
        while let Err((error, back)) = producer.send(new) {
            let is_full = matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            if !is_full || Instant::now() >= deadline {
                return Err(failed(error));
            }
            producer.poll(POLL);
            new = back;
        }
    }
    // The client's own flush looks only every 100 ms. What was not delivered fails the commit.
    while producer.in_flight_count() > 0 && Instant::now() < deadline {
        producer.poll(POLL);
    }
    producer.commit_transaction(timeout).map_err(failed)?;
    Ok(records.len())
}
