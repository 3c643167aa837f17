//! Produces and consumes a million records of 500 bytes through librdkafka, and prints how fast that was.

use std::time::{Duration, Instant};

use devbroker::{DevBroker, DevBrokerConfig};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const RECORDS: usize = 1_000_000;
const PARTITIONS: i32 = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let broker = runtime.block_on(DevBroker::start(DevBrokerConfig::default()))?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap_servers());
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let topic = NewTopic::new("t", PARTITIONS, TopicReplication::Fixed(1));
    runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()))?;

    let producer: BaseProducer = config.clone().set("enable.idempotence", "true").set("linger.ms", "5").create()?;
    let payload = vec![b'x'; 500];
    let started = Instant::now();
    for number in 0..RECORDS {
        let key = number.to_le_bytes();
        let mut record = BaseRecord::to("t").key(&key).payload(&payload);
        while let Err((_, back)) = producer.send(record) {
            record = back;
            producer.poll(Duration::from_millis(1));
        }
    }
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(1));
    }
    report("produced", started);

    let consumer: BaseConsumer = config.set("group.id", "g").set("isolation.level", "read_committed").create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment.add_partition_offset("t", partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let started = Instant::now();
    for _ in 0..RECORDS {
        consumer.poll(Duration::from_secs(10)).ok_or("a record is missing")??;
    }
    report("consumed", started);
    // librdkafka waits for its broker when a consumer is closed: so before the broker goes.
    drop(consumer);
    runtime.block_on(broker.shutdown());
    Ok(())
}

fn report(what: &str, since: Instant) {
    println!("{what} {:.0} records/s", RECORDS as f64 / since.elapsed().as_secs_f64());
}
