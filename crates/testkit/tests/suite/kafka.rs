use std::time::Duration;

use testkit::clients::{ends, kcat, produce_raw};
use testkit::{KafkaBroker, KafkaOptions, Result, wait_until};

use crate::{LIMIT, runs, timed};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";

fn produce(bootstrap: &str, topic: &str, value: &str) {
    produce_raw(bootstrap, topic, "key", &[("own", "header")], value.as_bytes(), LIMIT).unwrap();
}

fn consume(bootstrap: &str, topic: &str) -> Result<String> {
    kcat(bootstrap, &["-C", "-t", topic, "-e", "-o", "beginning"], LIMIT)
}

#[test]
fn kafka_keeps_what_it_acknowledged_through_a_kill_a_stop_and_a_pause() {
    let broker = timed("kafka start", || KafkaBroker::start().unwrap());
    let bootstrap = broker.bootstrap_servers();
    let create = ["--create", "--topic", "carts", "--partitions", "3", "--replication-factor", "1"];
    let created = timed("kafka tool", || broker.tool(TOPICS, &create).unwrap());
    assert!(created.contains("Created topic carts"), "{created}");
    produce(&bootstrap, "carts", "left");
    assert!(broker.data_dir().join("carts-0").is_dir());

    let first = broker.process().pid().unwrap();
    broker.kill9().unwrap();
    assert!(!runs(first));
    timed("kafka restart after a kill", || broker.restart().unwrap());
    assert_eq!(broker.bootstrap_servers(), bootstrap);
    assert_eq!(consume(&bootstrap, "carts").unwrap(), "left\n");

    timed("kafka stop", || broker.stop().unwrap());
    timed("kafka restart after a stop", || broker.restart().unwrap());
    assert!(broker.log().contains("Kafka Server started"));

    broker.pause().unwrap();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| consume(&bootstrap, "carts"));
        let short = Duration::from_millis(300);
        wait_until(short, "an answer", || reading.is_finished().then_some(())).unwrap_err();
        broker.resume().unwrap();
        assert_eq!(reading.join().unwrap().unwrap(), "left\n");
    });

    let (last, data) = (broker.process().pid().unwrap(), broker.data_dir());
    drop(broker);
    assert!(!runs(last) && !data.exists());
}

#[test]
fn kafka_takes_further_settings_and_stands_behind_a_proxy_that_can_be_cut() {
    let options = KafkaOptions { proxied: true, ..KafkaOptions::default() }
        .property("auto.create.topics.enable", true)
        .property("num.partitions", 2);
    let broker = KafkaBroker::start_with(&options).unwrap();
    let proxied = broker.proxied_bootstrap_servers();
    produce(&proxied, "orders", "bought");
    assert_eq!(consume(&proxied, "orders").unwrap(), "bought\n");
    let listed = kcat(&proxied, &["-L", "-t", "orders"], LIMIT).unwrap();
    assert!(listed.contains(&format!("broker 1 at {proxied}")), "clients stay on the proxy: {listed}");
    assert!(listed.contains("with 2 partitions"), "{listed}");

    broker.proxy().cut();
    let cut = kcat(&proxied, &["-L", "-m", "1"], LIMIT).unwrap_err().to_string();
    assert!(cut.contains("ended with"), "{cut}");
    assert_eq!(consume(&broker.bootstrap_servers(), "orders").unwrap(), "bought\n", "the broker itself is up");
    broker.proxy().resume();
    assert_eq!(consume(&proxied, "orders").unwrap(), "bought\n");
    wait_until(LIMIT, "the connections' end", || (broker.proxy().connections() == 0).then_some(())).unwrap();
}

#[test]
fn a_broker_that_can_not_start_says_why() {
    let options = KafkaOptions::default().property("log.segment.bytes", "plenty");
    let error = KafkaBroker::start_with(&options).unwrap_err().to_string();
    assert!(error.starts_with("kafka: did not write") && error.contains("plenty"), "{error}");
}

#[test]
fn kafka_halts_without_room_on_its_disk_and_goes_on_with_what_it_acknowledged_when_there_is_room() {
    let broker = KafkaBroker::start().unwrap();
    let bootstrap = broker.bootstrap_servers();
    let create = ["--create", "--topic", "carts", "--partitions", "1", "--replication-factor", "1"];
    broker.tool(TOPICS, &create).unwrap();
    produce(&bootstrap, "carts", "left");
    broker.fill_disk(1).unwrap();
    assert!(!broker.process().is_running());
    broker.restart().unwrap();
    produce(&bootstrap, "carts", "bought");
    assert_eq!(consume(&bootstrap, "carts").unwrap(), "left\nbought\n");
    let ends = ends(&bootstrap, &["carts".to_owned()], 1, LIMIT).unwrap();
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), [(("carts".to_owned(), 0), 2)]);
}
