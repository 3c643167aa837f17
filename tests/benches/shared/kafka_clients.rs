//! Plain Kafka clients: those that the ceilings are made of, and those that fill and read topics around a run.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use super::percentiles::Percentiles;

/// How long an answer of the broker, or its next record, may take.
const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(1);

/// Makes clients of one broker.
#[derive(Debug)]
pub(crate) struct KafkaClients {
    servers: String,
    partitions: i32,
}

/// A producer that knows how many of its records were not stored.
pub(crate) type CountingProducer = BaseProducer<Failures>;

#[derive(Debug, Default)]
pub(crate) struct Failures(AtomicU64);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Knows how long after it was due each stored record was acknowledged; a record whose time counts carries when that was.
#[derive(Debug, Default)]
pub(crate) struct Times(Mutex<Vec<Duration>>);

impl Times {
    pub(crate) fn times(&self) -> anyhow::Result<Percentiles> {
        Ok(Percentiles::of(self.0.lock().ok().context("a delivery panicked")?.clone()))
    }
}

impl ClientContext for Times {}

impl ProducerContext for Times {
    type DeliveryOpaque = Box<Option<Instant>>;

    fn delivery(&self, result: &DeliveryResult<'_>, due: Box<Option<Instant>>) {
        if result.is_ok()
            && let Some(due) = *due
            && let Ok(mut times) = self.0.lock()
        {
            times.push(due.elapsed());
        }
    }
}

impl KafkaClients {
    pub(crate) fn new(servers: &str, partitions: i32) -> Self {
        Self { servers: servers.to_owned(), partitions }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers);
        config
    }

    /// Where the broker is.
    pub(crate) fn servers(&self) -> &str {
        &self.servers
    }

    pub(crate) fn partitions(&self) -> i32 {
        self.partitions
    }

    /// An idempotent producer, and a transactional one with an id. Partitioned and compressed as the services do it.
    pub(crate) fn producer(&self, transactional_id: Option<&str>) -> anyhow::Result<CountingProducer> {
        self.producer_with(transactional_id, "5")
    }

    /// An idempotent producer that hardly waits for more, as the door's.
    pub(crate) fn prompt_producer(&self) -> anyhow::Result<CountingProducer> {
        self.producer_with(None, "2")
    }

    /// An idempotent producer that waits for no other record, polled by a thread of its own.
    pub(crate) fn timing_producer(&self) -> anyhow::Result<ThreadedProducer<Times>> {
        Ok(self.producer_config("0").create_with_context(Times::default())?)
    }

    fn producer_config(&self, linger_ms: &str) -> ClientConfig {
        let mut config = self.config();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", linger_ms)
            .set("queue.buffering.max.messages", "1000000");
        config
    }

    fn producer_with(&self, transactional_id: Option<&str>, linger_ms: &str) -> anyhow::Result<CountingProducer> {
        let mut config = self.producer_config(linger_ms);
        if let Some(id) = transactional_id {
            config.set("transactional.id", id);
        }
        let producer: CountingProducer = config.create_with_context(Failures::default())?;
        if transactional_id.is_some() {
            producer.init_transactions(PATIENCE)?;
        }
        Ok(producer)
    }

    /// A member of a group, which reads from the beginning and commits nothing by itself.
    pub(crate) fn member(&self, group: &str) -> anyhow::Result<BaseConsumer> {
        let mut config = self.config();
        config
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky");
        Ok(config.create()?)
    }

    /// A reader that belongs to no group.
    pub(crate) fn reader(&self, isolation: &str) -> anyhow::Result<BaseConsumer> {
        let mut config = self.config();
        config
            .set("group.id", "bench-reader")
            .set("isolation.level", isolation)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        Ok(config.create()?)
    }

    /// Tells every committed record of a topic, to its end.
    pub(crate) fn read_all(
        &self,
        topic: &str,
        mut tell: impl FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let reader = self.reader("read_committed")?;
        let all = self.reader("read_uncommitted")?;
        for partition in 0..self.partitions {
            let end =
                |reader: &BaseConsumer| reader.fetch_watermarks(topic, partition, PATIENCE).ok().map(|(_, end)| end);
            // A commit is answered before its markers lie on every partition.
            let decided = || (end(&reader)? == end(&all)?).then_some(());
            testkit::wait_until(PATIENCE, &format!("the end of all transactions on {topic}[{partition}]"), decided)?;
        }
        reader.assign(&self.each_partition(topic, Offset::Beginning)?)?;
        let mut left = self.partitions;
        while left > 0 {
            match reader.poll(PATIENCE).with_context(|| format!("reading {topic} takes too long"))? {
                Ok(message) => tell(&message)?,
                Err(KafkaError::PartitionEOF(_)) => left -= 1,
                Err(error) => return Err(error).context(format!("reading {topic}")),
            }
        }
        Ok(())
    }

    /// Follows what a group has committed of a topic.
    pub(crate) fn progress(&self, group: &str, topic: &str) -> anyhow::Result<Progress> {
        let mut config = self.config();
        // What is committed now, also while a transaction that will commit more is open.
        config.set("group.id", group).set("isolation.level", "read_uncommitted").set("enable.auto.commit", "false");
        Ok(Progress { asker: config.create()?, partitions: self.each_partition(topic, Offset::Invalid)? })
    }

    /// Reads every committed record of a topic from now on.
    pub(crate) fn follow(&self, topic: &str) -> anyhow::Result<BaseConsumer> {
        let reader = self.reader("read_committed")?;
        let ends = self.ends(topic)?;
        let mut list = TopicPartitionList::new();
        for (partition, end) in (0..self.partitions).zip(ends) {
            list.add_partition_offset(topic, partition, Offset::Offset(end))?;
        }
        reader.assign(&list)?;
        Ok(reader)
    }

    /// The end of each partition as of now, with what is not committed.
    pub(crate) fn ends(&self, topic: &str) -> anyhow::Result<Vec<i64>> {
        let all = self.reader("read_uncommitted")?;
        (0..self.partitions).map(|partition| Ok(all.fetch_watermarks(topic, partition, PATIENCE)?.1)).collect()
    }

    /// Creates topics with as many partitions as every customer topic has.
    pub(crate) fn create(&self, topics: &[String], settings: &[(&str, &str)]) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let topics: Vec<NewTopic<'_>> = topics
            .iter()
            .map(|name| {
                let topic = NewTopic::new(name, self.partitions, TopicReplication::Fixed(1));
                settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
            })
            .collect();
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        for result in tokio.block_on(admin.create_topics(&topics, &options))? {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic} can't be created: {code}"))?;
        }
        Ok(())
    }

    pub(crate) fn delete<'a>(&self, topics: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let topics: Vec<&str> = topics.collect();
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        for result in tokio.block_on(admin.delete_topics(&topics, &options))? {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic} can't be deleted: {code}"))?;
        }
        Ok(())
    }

    fn each_partition(&self, topic: &str, offset: Offset) -> anyhow::Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions {
            list.add_partition_offset(topic, partition, offset)?;
        }
        Ok(list)
    }
}

/// How far a group has come.
pub(crate) struct Progress {
    asker: BaseConsumer,
    partitions: TopicPartitionList,
}

impl Progress {
    /// The sum of its committed offsets: how many records it is done with, where logs begin at nought and hold nothing else.
    pub(crate) fn records(&self) -> anyhow::Result<u64> {
        let committed = self.asker.committed_offsets(self.partitions.clone(), PATIENCE)?;
        let offsets = committed.elements().into_iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some(offset.unsigned_abs()),
            _ => None,
        });
        Ok(offsets.sum())
    }

    /// Whether every partition has a committed offset.
    pub(crate) fn is_known(&self) -> anyhow::Result<bool> {
        let committed = self.asker.committed_offsets(self.partitions.clone(), PATIENCE)?;
        Ok(committed.elements().iter().all(|element| matches!(element.offset(), Offset::Offset(_))))
    }

    /// By partition, its committed offset; nought where there is none.
    pub(crate) fn offsets(&self) -> anyhow::Result<Vec<i64>> {
        let committed = self.asker.committed_offsets(self.partitions.clone(), PATIENCE)?;
        let mut offsets = vec![0; committed.count()];
        for element in committed.elements() {
            if let (Offset::Offset(offset), Some(place)) =
                (element.offset(), offsets.get_mut(element.partition() as usize))
            {
                *place = offset;
            }
        }
        Ok(offsets)
    }
}

/// Hands a record over, waiting for room where there is none.
pub(crate) fn send(producer: &CountingProducer, mut record: BaseRecord<'_, [u8], [u8]>) -> anyhow::Result<()> {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.poll(STEP);
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// Waits until the broker has answered for every record; all have to be stored. (`flush` looks ten times a second only.)
pub(crate) fn wait_for_deliveries(producer: &CountingProducer) -> anyhow::Result<()> {
    while producer.in_flight_count() > 0 {
        producer.poll(STEP);
    }
    let failures = producer.context().0.load(Ordering::Relaxed);
    ensure!(failures == 0, "no score: {failures} records were not stored");
    Ok(())
}
