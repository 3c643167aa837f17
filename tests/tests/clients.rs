//! What others wrote, unmodified: official SDKs bring carts back on separate processes and a real Kafka, confluent-kafka
//! reads every topic, and kcat those of the embedded broker.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::time::Duration;

use serde_json::{Value, json};
use testkit::clients::{AvroWriter, Sdk, kcat, read_topic, read_topic_raw};
use testkit::{Message, Process, SmtpSink, wait_until};
use tests::installation::{Installation, WRITE_KEY, topic};
use tests::{root, vuelve};

const LIMIT: Duration = Duration::from_mins(2);

/// One customer leaves her cart, one buys it.
fn calls(sdk: Sdk) -> Vec<Value> {
    let customer = |name: &str| format!("{name}-{sdk:?}").to_lowercase();
    let (leaves, buys) = (customer("leaves"), customer("buys"));
    let mut calls = Vec::new();
    for user in [&leaves, &buys] {
        let traits = json!({ "email": format!("{user}@example.com"), "locale": "es" });
        calls.push(json!({ "type": "identify", "userId": user, "traits": traits }));
        let properties =
            json!({ "cart_id": format!("cart of {user}"), "product_id": "p-1", "name": "Taza", "price": 12.5 });
        calls.push(json!({ "type": "track", "userId": user, "event": "Product Added", "properties": properties }));
    }
    let properties = json!({ "cart_id": format!("cart of {buys}"), "order_id": format!("order of {buys}") });
    calls.push(json!({ "type": "track", "userId": buys, "event": "Order Completed", "properties": properties }));
    calls
}

#[test]
fn official_sdks_bring_a_left_cart_back_and_confluent_kafka_reads_every_topic() {
    let mail = SmtpSink::start().unwrap();
    let (installation, services) = Installation::start_shop(&mail, &["1s", "2s", "2s"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let segments = folder.path().join("segments");
    std::fs::create_dir(&segments).unwrap();
    let open = "segment: open\nversion: 1\nenter: customer.cart.open\n---\n\
                journey: opened\nversion: 1\ntrigger: { segment: open, existing: 1/h }\nsteps: [ end ]\n";
    std::fs::write(segments.join("open.yaml"), open).unwrap();
    installation.command(&["apply", &segments.display().to_string(), "--wait"]).unwrap();

    let sdks = [Sdk::SegmentPython, Sdk::SegmentNode];
    for sdk in sdks {
        let file = folder.path().join(format!("{sdk:?}.jsonl"));
        let lines: Vec<String> = calls(sdk).iter().map(Value::to_string).collect();
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        sdk.send(&installation.door(), WRITE_KEY, &file, LIMIT).unwrap();
    }
    let mut received: Vec<_> = mail.wait_for_messages(3 * sdks.len(), LIMIT).unwrap();
    received.sort_by(|a, b| (&a.to, &a.received_at).cmp(&(&b.to, &b.received_at)));
    let found: Vec<_> = received.iter().map(|message| (message.to[0].as_str(), message.subject.as_str())).collect();
    let expected: Vec<_> = ["leaves-segmentnode@example.com", "leaves-segmentpython@example.com"]
        .into_iter()
        .flat_map(|address| ["Primero", "Segundo", "Tercero"].map(|subject| (address, subject)))
        .collect();
    assert_eq!(found, expected);

    put_a_dead_letter(&installation);
    unsubscribe(&installation, &received[0]);
    learn_quintiles(&installation);
    score(&installation);
    let let_in = || installation.records("customer.admissions").ok().filter(|records| !records.is_empty());
    wait_until(LIMIT, "who is there to be counted", let_in).unwrap();
    let held = || installation.records("customer.reachability").ok().filter(|records| !records.is_empty());
    wait_until(LIMIT, "what is held against an address", held).unwrap();
    // What time adds to their logs would never end.
    for service in &services {
        assert!(service.term(LIMIT).unwrap().success());
    }
    every_topic_is_read(&installation);
}

/// By the link in its header, at the door.
fn unsubscribe(installation: &Installation, message: &Message) {
    let link = message.header("List-Unsubscribe").unwrap().trim_matches(['<', '>']);
    let (_, token) = link.split_once("/u/").unwrap();
    let link = format!("{}/u/{token}", installation.door());
    let clicked = ureq::post(link).send_form([("List-Unsubscribe", "One-Click")]).unwrap();
    assert_eq!(clicked.status().as_u16(), 200);
}

/// A call that says of nobody what happened.
fn put_a_dead_letter(installation: &Installation) {
    let nobody = r#"{"batch":[{"type":"track","event":"Product Added"}]}"#;
    installation.post("/v1/batch", &[], nobody).unwrap();
}

/// As a shop's own model does, of somebody.
fn score(installation: &Installation) {
    let value = json!({ "customer_id": "c-1", "name": "churn", "value": 80, "scored_at": 1_772_409_600_000_i64 });
    let (kafka, registry) = (installation.kafka.bootstrap_servers(), installation.registry.url());
    let writer = AvroWriter { settings: &[("partitioner", "murmur2_random")], ..AvroWriter::default() };
    writer
        .write(&kafka, &registry, &topic("customer.scores"), &[json!({ "key": "c-1", "value": value })], LIMIT)
        .unwrap();
}

/// From five customers, as many as it takes.
fn learn_quintiles(installation: &Installation) {
    for number in 1..=5 {
        let properties = json!({ "order_id": format!("o-{number}"), "total": number, "currency": "EUR" });
        let order = json!({ "type": "track", "event": "Order Completed", "userId": format!("c-{number}"), "properties": properties });
        installation.post("/v1/track", &[], &order.to_string()).unwrap();
    }
    wait_until(LIMIT, "quintiles", || installation.command(&["customers", "learn-quintiles"]).ok()).unwrap();
}

/// Every topic of the installation: with the Avro deserializer and the registry, dead letters as they are.
fn every_topic_is_read(installation: &Installation) {
    let listed = installation.command(&["topics", "list"]).unwrap();
    let topics: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(topics.len() >= 12, "{listed}");
    let (servers, registry) = (installation.kafka.bootstrap_servers(), installation.registry.url());
    for topic in topics {
        let records = if topic.contains(".deadletters.") {
            read_topic_raw(&servers, topic, LIMIT)
        } else {
            read_topic(&servers, &registry, topic, LIMIT)
        };
        let records = records.unwrap_or_else(|error| panic!("{topic}: {error}"));
        println!("{topic}: {} records", records.len());
        let is_empty_here = ["privacy"].iter().any(|name| topic.contains(name));
        assert!(is_empty_here || !records.is_empty(), "{topic} has no records");
    }
}

/// The demo says where its broker is, so that somebody can look into its topics.
#[test]
fn kcat_lists_and_consumes_the_topics_of_the_demo() {
    let demo = Process::spec("vuelve-demo", vuelve()).args(["demo", "--listen", "127.0.0.1:0", "--speed", "20000"]);
    let demo = demo.dir(root()).start().unwrap();
    demo.wait_for_log("  kafka    ", LIMIT).unwrap();
    let log = demo.log();
    let servers = log.split_once("  kafka    ").unwrap().1.split_whitespace().next().unwrap();

    let listed: Value = serde_json::from_str(&kcat(servers, &["-L", "-J"], LIMIT).unwrap()).unwrap();
    let topics = listed["topics"].as_array().unwrap();
    let partitions_of = |name: &str| {
        let found = topics.iter().find(|found| found["topic"] == name).unwrap_or_else(|| panic!("{name}: {listed}"));
        found["partitions"].as_array().unwrap().len()
    };
    assert_eq!([topic("storefront.events"), topic("platform.definitions")].map(|name| partitions_of(&name)), [4, 1]);

    let decisions = topic("journeys.decisions");
    let consume = ["-C", "-t", &decisions, "-e", "-o", "beginning", "-f", "%k %S\n"];
    let lines = wait_until(LIMIT, "decisions", || {
        let lines = kcat(servers, &consume, LIMIT).unwrap();
        (lines.lines().count() >= 10).then_some(lines)
    })
    .unwrap();
    for line in lines.lines() {
        let (customer, bytes) = line.split_once(' ').unwrap();
        assert!(customer.starts_with("customer-") && bytes.parse::<u32>().unwrap() > 10, "{line}");
    }
    // As a member of a group it is handed all partitions, and goes on behind what it has read.
    let as_member = ["-G", "somebody", "-o", "beginning", "-c", "5", "-X", "auto.offset.reset=earliest", &decisions];
    assert!(!kcat(servers, &as_member, LIMIT).unwrap().is_empty());
    assert!(demo.term(Duration::from_secs(30)).unwrap().success(), "{}", demo.log());
}
