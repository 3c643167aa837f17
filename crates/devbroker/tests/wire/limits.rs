//! Memory, frames, versions: what a client meets at the edges.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use devbroker::DevBrokerConfig;
use devbroker::core::CoreConfig;
use rdkafka::ClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use crate::support::{Broker, PATIENCE, deliver, send};

struct Outcomes(Sender<Option<RDKafkaErrorCode>>);

impl ClientContext for Outcomes {}

impl ProducerContext for Outcomes {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let error = result.as_ref().err().and_then(|(error, _)| error.rdkafka_error_code());
        self.0.send(error).unwrap();
    }
}

fn watched(broker: &Broker) -> (BaseProducer<Outcomes>, Receiver<Option<RDKafkaErrorCode>>) {
    let (sender, receiver) = channel();
    let mut config = broker.config();
    config.set("linger.ms", "0").set("request.timeout.ms", "1000");
    (config.create_with_context(Outcomes(sender)).unwrap(), receiver)
}

fn produce(
    producer: &BaseProducer<Outcomes>,
    outcomes: &Receiver<Option<RDKafkaErrorCode>>,
) -> Option<RDKafkaErrorCode> {
    producer.send(BaseRecord::<str, [u8]>::to("t").payload(&[0; 10_000])).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
    outcomes.try_recv().unwrap()
}

#[test]
fn a_full_broker_refuses_and_goes_on_once_there_is_room() {
    let broker = Broker::with(DevBrokerConfig { memory_limit_bytes: 100_000, ..DevBrokerConfig::default() });
    broker.create_topic("t", 1, &[]);
    let (producer, outcomes) = watched(&broker);
    let refusal = (0..20).find_map(|_| produce(&producer, &outcomes));
    assert_eq!(refusal, Some(RDKafkaErrorCode::PolicyViolation));
    let mut all = rdkafka::TopicPartitionList::new();
    all.add_partition_offset("t", 0, rdkafka::Offset::End).unwrap();
    broker.runtime.block_on(broker.admin().delete_records(&all, &rdkafka::admin::AdminOptions::new())).unwrap();
    assert_eq!(produce(&producer, &outcomes), None);
}

#[test]
fn a_producer_that_waits_for_room_is_served_when_records_expire() {
    let core = CoreConfig { housekeeping_interval_ms: 50, ..CoreConfig::default() };
    let broker = Broker::with(DevBrokerConfig { memory_limit_bytes: 50_000, core, ..DevBrokerConfig::default() });
    broker.create_topic("t", 1, &[("retention.ms", "100")]);
    let (producer, outcomes) = watched(&broker);
    for _ in 0..20 {
        assert_eq!(produce(&producer, &outcomes), None);
    }
}

#[test]
fn topics_appear_by_themselves_only_where_that_is_asked_for() {
    let core = CoreConfig { auto_create_topics: true, default_partitions: 3, ..CoreConfig::default() };
    let broker = Broker::with(DevBrokerConfig { core, ..DevBrokerConfig::default() });
    let producer = broker.producer(&[]);
    send(&producer, "new", 2, "k", "v");
    deliver(&producer);
    assert_eq!(broker.read_to_end("new", 3, "read_committed"), ["v"]);
}

/// Sends raw bytes and gives what comes back before the connection ends.
fn exchange(broker: &Broker, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(&broker.servers).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    // A connection that is reset has no answer either.
    drop(stream.read_to_end(&mut answer));
    answer
}

fn frame(api: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut request = [api.to_be_bytes(), version.to_be_bytes()].concat();
    request.extend(7_i32.to_be_bytes());
    request.extend(body);
    let mut framed = (request.len() as i32).to_be_bytes().to_vec();
    framed.extend(request);
    framed
}

#[test]
fn what_cant_be_read_ends_its_connection_and_nothing_else() {
    let broker = Broker::start();
    let huge = i32::MAX.to_be_bytes();
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        [&huge[..], &[0; 64]].concat(),
        (-1_i32).to_be_bytes().to_vec(),
        vec![0, 0, 0, 2, 0, 3],
        frame(3, 1, &[]),
        frame(3, 1, &[0x7f, 0xff, 0, 0]),
        frame(3, 99, &[0, 0]),
        frame(0, 2, &[0, 0]),
        frame(999, 0, &[0, 0]),
        frame(1, 12, &[0x80; 100]),
    ] {
        assert_eq!(exchange(&broker, &bytes), Vec::<u8>::new(), "{bytes:?}");
    }
    broker.create_topic("still-here", 1, &[]);
}

#[test]
fn a_client_of_the_future_is_told_which_versions_there_are() {
    let broker = Broker::start();
    let answer = exchange(&broker, &frame(18, 99, &[0xff, 0xff, 0]));
    assert_eq!(answer[4..8], 7_i32.to_be_bytes(), "the correlation id");
    assert_eq!(answer[8..10], 35_i16.to_be_bytes(), "UNSUPPORTED_VERSION");
    assert!(i32::from_be_bytes(answer[10..14].try_into().unwrap()) > 20, "the list of versions");
}
