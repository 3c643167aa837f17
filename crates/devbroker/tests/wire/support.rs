//! A broker on its own runtime, and clients with the settings that the services use.

use std::time::{Duration, Instant};

use devbroker::{DevBroker, DevBrokerConfig};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Broker {
    pub(crate) runtime: tokio::runtime::Runtime,
    running: Option<DevBroker>,
    pub(crate) servers: String,
}

impl Broker {
    pub(crate) fn start() -> Self {
        Self::with(DevBrokerConfig::default())
    }

    pub(crate) fn with(config: DevBrokerConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let broker = runtime.block_on(DevBroker::start(config)).unwrap();
        let servers = broker.bootstrap_servers();
        Self { runtime, running: Some(broker), servers }
    }

    pub(crate) fn registry_url(&self) -> String {
        self.running.as_ref().and_then(DevBroker::registry_url).unwrap()
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers);
        config
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    pub(crate) fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let admin = self.admin();
        let results = self.runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
        assert_eq!(results, vec![Ok(name.to_owned())]);
    }

    pub(crate) fn producer(&self, settings: &[(&str, &str)]) -> BaseProducer {
        let mut config = self.config();
        config.set("linger.ms", "1");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        config.create().unwrap()
    }

    pub(crate) fn transactional(&self, id: &str) -> BaseProducer {
        let producer = self.producer(&[("transactional.id", id), ("transaction.timeout.ms", "10000")]);
        producer.init_transactions(PATIENCE).unwrap();
        producer
    }

    pub(crate) fn group_config(&self, group: &str, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.config();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "200");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        config
    }

    /// A consumer of all partitions of a topic, from the start.
    pub(crate) fn reader(&self, topic: &str, partitions: i32, isolation: &str) -> BaseConsumer {
        let settings = [("isolation.level", isolation), ("enable.partition.eof", "true")];
        let consumer: BaseConsumer = self.group_config("reader", &settings).create().unwrap();
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&assignment).unwrap();
        consumer
    }

    /// All values that a reader sees until it has reached the end of each partition.
    pub(crate) fn read_to_end(&self, topic: &str, partitions: i32, isolation: &str) -> Vec<String> {
        let consumer = self.reader(topic, partitions, isolation);
        let (mut values, mut ends) = (Vec::new(), 0);
        let deadline = Instant::now() + PATIENCE;
        while ends < partitions {
            assert!(Instant::now() < deadline, "the end of {topic} was not reached");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => values.push(value(&message)),
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ends += 1,
                Some(Err(error)) => panic!("{error}"),
                None => {}
            }
        }
        values
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(broker) = self.running.take() {
            self.runtime.block_on(broker.shutdown());
        }
    }
}

pub(crate) fn value(message: &BorrowedMessage<'_>) -> String {
    String::from_utf8(message.payload().unwrap_or_default().to_vec()).unwrap()
}

pub(crate) fn send(producer: &BaseProducer, topic: &str, partition: i32, key: &str, value: &str) {
    producer
        .send(BaseRecord::to(topic).partition(partition).key(key).payload(value))
        .map_err(|(error, _)| error)
        .unwrap();
}

/// Waits until all that was sent is acknowledged.
pub(crate) fn deliver(producer: &BaseProducer) {
    let deadline = Instant::now() + PATIENCE;
    while producer.in_flight_count() > 0 {
        assert!(Instant::now() < deadline, "records are not acknowledged");
        producer.poll(Duration::from_millis(1));
    }
}

/// Polls until the condition holds.
pub(crate) fn poll_until<C: ConsumerContext>(
    consumers: &[&BaseConsumer<C>],
    what: &str,
    mut condition: impl FnMut(usize, Option<&BorrowedMessage<'_>>) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        for (index, consumer) in consumers.iter().enumerate() {
            let polled = consumer.poll(Duration::from_millis(10));
            let message = polled.transpose().unwrap_or_else(|error| panic!("{what}: {error}"));
            if condition(index, message.as_ref()) {
                return;
            }
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
    }
}
