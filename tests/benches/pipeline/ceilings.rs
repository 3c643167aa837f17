//! Rows: what plain Kafka clients reach with the same records, on a topic of the same settings. Nothing that stores events,
//! and nothing that turns events into events exactly once, does with less.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};

use crate::shared::calls::CallTimes;
use crate::shared::event::Event;
use crate::shared::installation::{Installation, Parts};
use crate::shared::kafka_clients::{CountingProducer, send, wait_for_deliveries};
use crate::shared::pace::Pace;
use crate::shared::sample::{Sample, Stopwatch};
use crate::shared::storefront::write_events;
use crate::shared::workload::Workload;

const RECEIVED: &str = "storefront.received";
/// Where the copies go: a topic of the same kind and number of partitions.
const COPIES: &str = "journeys.decisions";
const TRANSACTION: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(30);

/// An idempotent producer with acks=all, from the first record handed over to the last acknowledged.
pub(crate) fn produce(parts: &Parts, events: &[Event], round: u32) -> anyhow::Result<Sample> {
    let installation = parts.installation(&format!("produce{round}"))?;
    let records = encoded(&installation, events)?;
    let topic = installation.topic(RECEIVED);
    let producer = parts.clients().producer(None)?;
    let stopwatch = Stopwatch::start(std::process::id(), parts.broker_pid()?)?;
    for (key, value) in &records {
        send(&producer, BaseRecord::to(&topic).key(key.as_bytes()).payload(value))?;
    }
    wait_for_deliveries(&producer)?;
    let sample = stopwatch.stop(records.len() as u64)?;
    holds(&installation, RECEIVED, records.len() as u64)?;
    installation.remove()?;
    Ok(sample)
}

/// The same at a pace, each record handed over when it is due, by a producer that waits for no other record; how long after
/// that each was acknowledged.
pub(crate) fn produce_paced(parts: &Parts, events: &[Event], per_second: u32, round: u32) -> anyhow::Result<Sample> {
    let installation = parts.installation(&format!("paced{round}"))?;
    let records = encoded(&installation, events)?;
    let topic = installation.topic(RECEIVED);
    let producer = parts.clients().timing_producer()?;
    let stopwatch = Stopwatch::start(std::process::id(), parts.broker_pid()?)?;
    let pace = Pace::from_now(per_second);
    for (number, (key, value)) in records.iter().enumerate() {
        pace.wait(number);
        let due = pace.counts(number).then(|| pace.due(number));
        let record = BaseRecord::with_opaque_to(&topic, Box::new(due));
        producer.send(record.key(key.as_bytes()).payload(&value[..])).map_err(|(error, _)| error)?;
    }
    producer.flush(PATIENCE)?;
    let times = producer.context().times()?;
    let sample = Sample { calls: Some(CallTimes::of(&times)), ..stopwatch.stop(records.len() as u64)? };
    holds(&installation, RECEIVED, records.len() as u64)?;
    installation.remove()?;
    Ok(sample)
}

/// The keys and values of `storefront.received`.
pub(crate) fn encoded(installation: &Installation<'_>, events: &[Event]) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let record = |event: &Event| {
        let mut value = Vec::new();
        installation.schemas().encode(RECEIVED, &event.record(false), &mut value)?;
        Ok((event.anonymous_id(), value))
    };
    events.iter().map(record).collect()
}

/// Reads each record and writes it again, with the offsets in the same transaction; from the first commit to the last.
pub(crate) fn transactions(parts: &Parts, workload: &Workload, from: &str, round: u32) -> anyhow::Result<Sample> {
    let installation = parts.installation(&format!("transactions{round}"))?;
    let events = write_events(&parts.clients().producer(None)?, &installation, from, workload.for_workers())?;
    let group = installation.group("bench");
    let consumer = parts.clients().member(&group)?;
    consumer.subscribe(&[&installation.topic(from)])?;
    let mut copier = Copier {
        consumer,
        producer: parts.clients().producer(Some(&group))?,
        from: installation.topic(from),
        to: installation.topic(COPIES),
    };
    let before = copier.transaction(events)?;
    let stopwatch = Stopwatch::start(std::process::id(), parts.broker_pid()?)?;
    let mut done = before;
    while done < events {
        done += copier.transaction(events - done)?;
    }
    let sample = stopwatch.stop(events - before)?;
    let progress = parts.clients().progress(&group, &copier.from)?;
    testkit::wait_until(PATIENCE, "the group's offsets at the end", || {
        (progress.records().ok()? == events).then_some(())
    })?;
    holds(&installation, COPIES, events)?;
    drop(copier);
    installation.remove()?;
    Ok(sample)
}

struct Copier {
    consumer: BaseConsumer,
    producer: CountingProducer,
    from: String,
    to: String,
}

impl Copier {
    /// One transaction, of at most so many records; returns how many there were, at least one.
    fn transaction(&mut self, most: u64) -> anyhow::Result<u64> {
        let began_waiting = Instant::now();
        self.producer.begin_transaction()?;
        let mut positions = TopicPartitionList::new();
        let (mut records, mut until) = (0, None);
        while records < most && until.is_none_or(|until| Instant::now() < until) {
            ensure!(records > 0 || began_waiting.elapsed() < PATIENCE, "nothing comes from {}", self.from);
            let Some(message) = self.consumer.poll(Duration::from_millis(1)) else { continue };
            let message = message?;
            let copy = message.payload().map(<[u8]>::to_vec).unwrap_or_default();
            let record = BaseRecord::to(&self.to).partition(message.partition()).payload(&copy[..]);
            send(&self.producer, BaseRecord { key: message.key(), ..record })?;
            let next = Offset::Offset(message.offset() + 1);
            if positions.find_partition(&self.from, message.partition()).is_none() {
                positions.add_partition(&self.from, message.partition());
            }
            positions.set_partition_offset(&self.from, message.partition(), next)?;
            records += 1;
            until.get_or_insert_with(|| Instant::now() + TRANSACTION);
        }
        wait_for_deliveries(&self.producer)?;
        let group = self.consumer.group_metadata().context("the consumer is in no group")?;
        self.producer.send_offsets_to_transaction(&positions, &group, PATIENCE)?;
        self.producer.commit_transaction(Timeout::Never)?;
        Ok(records)
    }
}

fn holds(installation: &Installation<'_>, dataset: &str, expected: u64) -> anyhow::Result<()> {
    let mut records = 0;
    installation.read_all(dataset, |_| {
        records += 1;
        Ok(())
    })?;
    ensure!(records == expected, "no score: {dataset} holds {records} records, not {expected}");
    Ok(())
}
