//! The ceiling of S1: the plain loop that consumes the same records and produces as many and as large ones as the worker did,
//! with its offsets, in transactions of 100 ms. It reads nothing in a record and keeps no state.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};

use crate::drain::{Drained, Events, create_changelog, first};
use crate::profile::Found;
use crate::shared::installation::{Installation, Parts};
use crate::shared::kafka_clients::{CountingProducer, send, wait_for_deliveries};
use crate::shared::sample::{Sample, Stopwatch};
use crate::shared::storefront::EVENTS;

pub(crate) const STATES: &str = "ceiling.changelog";
pub(crate) const CHANGES: &str = "ceiling.changes";
const TRANSACTION: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(30);
/// As long as the engine's headers: who wrote it, and what the key waits for.
const WRITER: &[u8] = b"memory1.profile.0";
const DUE: [u8; 32] = [0x80; 32];

/// Runs the loop on the events of a worker's run; from the first commit of those that count to the last.
pub(crate) fn plain_loop(parts: &Parts, events: &Events, drained: &Drained<'_>) -> anyhow::Result<Sample> {
    let installation = &drained.installation;
    create_changelog(parts, installation, STATES)?;
    parts.clients().create(&[installation.topic(CHANGES)], &[])?;
    let group = installation.group("ceiling");
    let consumer = parts.clients().member(&group)?;
    consumer.subscribe(&[&installation.topic(EVENTS)])?;
    let found = &drained.found;
    let mut plain = Loop {
        consumer,
        producer: parts.clients().producer(Some(&group))?,
        from: installation.topic(EVENTS),
        states: Written::new(installation.topic(STATES), events.share(found.states)),
        changes: Written::new(installation.topic(CHANGES), events.share(found.changes)),
        headers: 0,
        found,
    };
    let (before, all) = (events.count_before(), events.count_before() + events.count());
    let mut done = 0;
    while done <= before {
        done += plain.transaction(all - done)?;
    }
    let begun_at = done;
    let stopwatch = Stopwatch::start(std::process::id(), parts.broker_pid()?)?;
    while done < all {
        done += plain.transaction(all - done)?;
    }
    let sample = stopwatch.stop(all - begun_at)?;
    plain.verify(installation)?;
    Ok(sample)
}

/// A topic that is written to, at so many records an event.
struct Written {
    topic: String,
    per_event: f64,
    due: f64,
    count: u64,
}

impl Written {
    fn new(topic: String, per_event: f64) -> Self {
        Self { topic, per_event, due: 0.0, count: 0 }
    }

    /// Whether one more is to be written after one more event.
    fn next(&mut self) -> Option<usize> {
        self.due += self.per_event;
        // What remains is not exact.
        if self.due < 1.0 - 1e-9 {
            return None;
        }
        self.due -= 1.0;
        self.count += 1;
        Some(self.count as usize)
    }
}

struct Loop<'a> {
    consumer: BaseConsumer,
    producer: CountingProducer,
    from: String,
    states: Written,
    changes: Written,
    headers: u64,
    /// What the records look like.
    found: &'a Found,
}

impl Loop<'_> {
    /// One transaction, of at most so many records; returns how many there were, at least one.
    fn transaction(&mut self, most: u64) -> anyhow::Result<u64> {
        let began_waiting = Instant::now();
        self.producer.begin_transaction()?;
        let mut positions: BTreeMap<i32, i64> = BTreeMap::new();
        let (mut records, mut until) = (0, None);
        while records < most && until.is_none_or(|until| Instant::now() < until) {
            ensure!(records > 0 || began_waiting.elapsed() < PATIENCE, "nothing comes from {}", self.from);
            let Some(message) = self.consumer.poll(Duration::from_millis(1)) else { continue };
            let message = message?;
            write(&self.producer, &mut self.states, &mut self.changes, self.found, &message)?;
            positions.insert(message.partition(), message.offset() + 1);
            records += 1;
            until.get_or_insert_with(|| Instant::now() + TRANSACTION);
        }
        let header = first(&self.found.some_headers)?;
        let mut offsets = TopicPartitionList::new();
        for (partition, next) in positions {
            let record = BaseRecord::to(&self.states.topic)
                .partition(partition)
                .key(&header.key[..])
                .payload(&header.value[..])
                .headers(OwnedHeaders::new_with_capacity(1).insert(written_by()));
            send(&self.producer, record)?;
            self.headers += 1;
            offsets.add_partition_offset(&self.from, partition, Offset::Offset(next))?;
        }
        wait_for_deliveries(&self.producer)?;
        let group = self.consumer.group_metadata().context("the consumer is in no group")?;
        self.producer.send_offsets_to_transaction(&offsets, &group, PATIENCE)?;
        self.producer.commit_transaction(Timeout::Never)?;
        Ok(records)
    }

    /// All of it was written, once.
    fn verify(&self, installation: &Installation<'_>) -> anyhow::Result<()> {
        for (dataset, wanted) in [(STATES, self.states.count + self.headers), (CHANGES, self.changes.count)] {
            let mut records = 0;
            installation.read_all(dataset, |_| {
                records += 1;
                Ok(())
            })?;
            ensure!(records == wanted, "no score: {dataset} holds {records} records, not {wanted}");
        }
        let wanted = [(self.states.count, self.found.states), (self.changes.count, self.found.changes)];
        ensure!(
            wanted.iter().all(|(own, theirs)| own.abs_diff(*theirs) <= 1),
            "the loop wrote other numbers of records than the worker: {wanted:?}"
        );
        Ok(())
    }
}

fn written_by() -> Header<'static, &'static [u8]> {
    Header { key: "vuelve-writer", value: Some(WRITER) }
}

/// What the worker writes for an event, on the average.
fn write(
    producer: &CountingProducer,
    states: &mut Written,
    changes: &mut Written,
    found: &Found,
    message: &BorrowedMessage<'_>,
) -> anyhow::Result<()> {
    let key = message.key().unwrap_or_default();
    if let Some(number) = states.next() {
        let value = &found.some_states[number % found.some_states.len()].value;
        let headers = OwnedHeaders::new_with_capacity(2)
            .insert(written_by())
            .insert(Header { key: "vuelve-due", value: Some(&DUE[..]) });
        let record = BaseRecord::to(&states.topic).partition(message.partition()).key(key).payload(&value[..]);
        send(producer, record.headers(headers))?;
    }
    if let Some(number) = changes.next() {
        let value = &found.some_changes[number % found.some_changes.len()].value;
        let mut record = BaseRecord::to(&changes.topic).key(key).payload(&value[..]);
        if let Some(trace) = message.headers().and_then(|headers| headers.try_get(0)) {
            record = record.headers(OwnedHeaders::new_with_capacity(1).insert(trace));
        }
        send(producer, record)?;
    }
    Ok(())
}
