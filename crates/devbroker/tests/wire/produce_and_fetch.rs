//! Producing and fetching.

use std::time::Duration;

use rdkafka::Timestamp;
use rdkafka::consumer::Consumer;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::support::{Broker, PATIENCE, deliver, poll_until, send, value};

#[test]
fn what_is_produced_is_fetched_in_order_with_keys_headers_and_timestamps() {
    let broker = Broker::start();
    broker.create_topic("events", 1, &[]);
    let producer = broker.producer(&[("enable.idempotence", "true")]);
    let headers = OwnedHeaders::new().insert(Header { key: "trace", value: Some("abc") });
    let record = BaseRecord::to("events").key("k").payload("first").timestamp(1_234).headers(headers);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    for number in 0..1_000 {
        send(&producer, "events", 0, "k", &number.to_string());
    }
    deliver(&producer);
    let consumer = broker.reader("events", 1, "read_committed");
    let mut seen = Vec::new();
    poll_until(&[&consumer], "1,001 records", |_, message| {
        let Some(message) = message else { return false };
        if seen.is_empty() {
            assert_eq!(message.timestamp(), Timestamp::CreateTime(1_234));
            assert_eq!(message.key(), Some(&b"k"[..]));
            let header = message.headers().unwrap().get(0);
            assert_eq!((header.key, header.value), ("trace", Some(&b"abc"[..])));
        }
        assert_eq!(message.offset(), seen.len() as i64);
        seen.push(value(message));
        seen.len() == 1_001
    });
    let expected: Vec<String> =
        std::iter::once("first".to_owned()).chain((0..1_000).map(|number| number.to_string())).collect();
    assert_eq!(seen, expected);
}

#[test]
fn every_codec_goes_through_compressed() {
    let broker = Broker::start();
    for codec in ["none", "gzip", "snappy", "lz4"] {
        broker.create_topic(codec, 1, &[]);
        let producer = broker.producer(&[("compression.type", codec), ("linger.ms", "50")]);
        for _ in 0..100 {
            send(&producer, codec, 0, "k", &"again and again ".repeat(20));
        }
        deliver(&producer);
        assert_eq!(broker.read_to_end(codec, 1, "read_committed").len(), 100, "{codec}");
    }
}

#[test]
fn log_append_time_is_what_a_consumer_sees() {
    let broker = Broker::start();
    broker.create_topic("stamped", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let producer = broker.producer(&[]);
    producer.send(BaseRecord::<str, str>::to("stamped").payload("x").timestamp(1)).map_err(|(e, _)| e).unwrap();
    deliver(&producer);
    let consumer = broker.reader("stamped", 1, "read_uncommitted");
    poll_until(&[&consumer], "the record", |_, message| {
        let Some(message) = message else { return false };
        let Timestamp::LogAppendTime(time) = message.timestamp() else { panic!("{:?}", message.timestamp()) };
        assert!(time > 1_600_000_000_000);
        true
    });
}

#[test]
fn offsets_are_found_by_time_and_watermarks_are_told() {
    let broker = Broker::start();
    broker.create_topic("timed", 1, &[]);
    let producer = broker.producer(&[]);
    for time in [1_000, 2_000, 3_000] {
        producer.send(BaseRecord::<str, str>::to("timed").payload("x").timestamp(time)).map_err(|(e, _)| e).unwrap();
        deliver(&producer);
    }
    let consumer = broker.reader("timed", 1, "read_committed");
    assert_eq!(consumer.fetch_watermarks("timed", 0, PATIENCE).unwrap(), (0, 3));
    let mut query = TopicPartitionList::new();
    query.add_partition_offset("timed", 0, Offset::Offset(1_500)).unwrap();
    let found = consumer.offsets_for_times(query, PATIENCE).unwrap();
    assert_eq!(found.elements()[0].offset(), Offset::Offset(1));
}

#[test]
fn a_waiting_fetch_wakes_when_a_record_arrives() {
    let broker = Broker::start();
    broker.create_topic("quiet", 1, &[]);
    let settings = [("fetch.wait.max.ms", "30000"), ("socket.timeout.ms", "60000")];
    let consumer: rdkafka::consumer::BaseConsumer = broker.group_config("waiting", &settings).create().unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset("quiet", 0, Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    assert!(consumer.poll(Duration::from_millis(300)).is_none());
    let producer = broker.producer(&[]);
    send(&producer, "quiet", 0, "k", "hello");
    deliver(&producer);
    let message = consumer.poll(Duration::from_secs(5)).expect("the fetch waits for 30 s unless it is woken").unwrap();
    assert_eq!(value(&message), "hello");
}
