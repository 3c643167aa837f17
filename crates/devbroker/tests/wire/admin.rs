//! Topics and their settings.

use rdkafka::admin::{AdminOptions, AlterConfig, ConfigSource, NewPartitions, ResourceSpecifier};
use rdkafka::consumer::Consumer;
use rdkafka::types::RDKafkaErrorCode;

use crate::support::{Broker, PATIENCE, deliver, send};

#[test]
fn topics_are_created_grown_described_and_deleted() {
    let broker = Broker::start();
    broker.create_topic("t", 3, &[("cleanup.policy", "compact"), ("segment.bytes", "1048576")]);
    let admin = broker.admin();
    let options = AdminOptions::new();
    let run = &broker.runtime;
    let grown = run.block_on(admin.create_partitions([&NewPartitions::new("t", 5)], &options)).unwrap();
    assert_eq!(grown, vec![Ok("t".to_owned())]);
    let described = run.block_on(admin.describe_configs([&ResourceSpecifier::Topic("t")], &options)).unwrap();
    let described = described.into_iter().next().unwrap().unwrap();
    let entry = described.get("cleanup.policy").unwrap();
    assert_eq!((entry.value.as_deref(), &entry.source), (Some("compact"), &ConfigSource::DynamicTopic));
    let entry = described.get("retention.ms").unwrap();
    assert_eq!((entry.value.as_deref(), entry.is_default), (Some("604800000"), true));
    let change = AlterConfig::new(ResourceSpecifier::Topic("t")).set("retention.ms", "1000");
    run.block_on(admin.alter_configs([&change], &options)).unwrap()[0].as_ref().unwrap();
    let metadata = admin.inner().fetch_metadata(Some("t"), PATIENCE).unwrap();
    assert_eq!(metadata.topics()[0].partitions().len(), 5);
    let again = run.block_on(admin.delete_topics(&["t", "missing"], &options)).unwrap();
    assert_eq!(again[0], Ok("t".to_owned()));
    assert_eq!(again[1], Err(("missing".to_owned(), RDKafkaErrorCode::UnknownTopicOrPartition)));
}

#[test]
fn a_topic_that_does_not_exist_is_not_made_up() {
    let broker = Broker::start();
    let consumer = broker.reader("missing", 1, "read_committed");
    let metadata = consumer.fetch_metadata(Some("missing"), PATIENCE).unwrap();
    assert!(metadata.topics()[0].error().is_some());
    assert!(metadata.topics()[0].partitions().is_empty());
}

#[test]
fn deleted_records_are_gone_and_the_log_starts_later() {
    let broker = Broker::start();
    broker.create_topic("t", 1, &[]);
    let producer = broker.producer(&[]);
    for number in 0..10 {
        send(&producer, "t", 0, "k", &number.to_string());
        deliver(&producer);
    }
    let mut before = rdkafka::TopicPartitionList::new();
    before.add_partition_offset("t", 0, rdkafka::Offset::Offset(7)).unwrap();
    broker.runtime.block_on(broker.admin().delete_records(&before, &AdminOptions::new())).unwrap();
    let reader = broker.reader("t", 1, "read_committed");
    assert_eq!(reader.fetch_watermarks("t", 0, PATIENCE).unwrap(), (7, 10));
    assert_eq!(broker.read_to_end("t", 1, "read_committed"), ["7", "8", "9"]);
}
