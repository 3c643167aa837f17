//! Storefront servers that write Avro straight to the topic, with confluent-kafka and without the door: what they write well
//! arrives whole, once and in order; what they write badly is mended or put aside, as `docs/avro.md` says.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use testkit::clients::{AvroWriter, TopicRecord};
use testkit::{Process, python, wait_until};
use tests::installation::{Installation, State, topic};
use tests::root;

const LIMIT: Duration = Duration::from_mins(2);
const RECEIVED: &str = "storefront.received";
const EVENTS: &str = "storefront.events";
/// What a producer has to set, and librdkafka's own choice in its place.
const MURMUR2: (&str, &str) = ("partitioner", "murmur2_random");
const CRC32: (&str, &str) = ("partitioner", "consistent_random");

fn started() -> (Installation, Vec<Process>) {
    let installation = Installation::start("live", State::Memory).unwrap();
    let services = installation.run_each(&["door", "resolver"], 0..1).unwrap();
    installation.wait_for_door(&services[0]).unwrap();
    (installation, services)
}

fn write(installation: &Installation, writer: AvroWriter<'_>, records: &[Value]) {
    let (kafka, registry) = (installation.kafka.bootstrap_servers(), installation.registry.url());
    writer.write(&kafka, &registry, &topic(RECEIVED), records, LIMIT).unwrap();
}

fn with<'a>(settings: &'a [(&'a str, &'a str)]) -> AvroWriter<'a> {
    AvroWriter { settings, ..AvroWriter::default() }
}

/// A minute and a half ago: long enough for a clamp to be seen.
fn recently() -> i64 {
    Timestamp::now().as_millisecond() - 90_000
}

/// What a customer looks at, as little as the schema asks for.
fn viewed(customer: &str, message_id: &str) -> Value {
    json!({ "message_id": message_id, "kind": "track", "name": "Product Viewed", "shop": "madrid", "source": "avro",
        "user_id": customer, "event_time": recently(), "received_at": recently() })
}

fn keyed(value: &Value) -> Value {
    json!({ "key": value["user_id"], "value": value })
}

/// Every field that there is.
fn whole(customer: &str, message_id: &str) -> Value {
    let product = json!({ "product_id": "p-1", "sku": "T-1", "category": "Cocina", "name": "Taza \"ñandú\" ☕", "brand": "Ñ",
        "variant": "azul", "coupon": "OTOÑO", "url": "https://shop.example.com/p-1", "image_url": "https://shop.example.com/p-1.webp",
        "price_minor": 1250, "currency": "EUR", "quantity": 2, "position": 3 });
    let mut value = viewed(customer, message_id);
    let fields = json!({ "name": "Order Completed", "library": "shop/4.2", "anonymous_id": format!("device-{customer}"),
        "group_id": "g-1", "sent_at": recently() + 1, "consent_marketing": true,
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "hops": 0, "historical": true,
        "contact": { "email": format!("{customer}@example.com"), "phone": "+34 600 000 000", "first_name": "Ana", "last_name": "Núñez",
            "locale": "es-AR", "time_zone": "America/Bogota" },
        "cart_id": "c-1", "product": product, "products": [product, product],
        "order": { "order_id": "o-1", "checkout_id": "k-1", "affiliation": "web", "coupon": "OTOÑO", "currency": "EUR",
            "total_minor": 3120, "revenue_minor": 2500, "subtotal_minor": 2450, "shipping_minor": 400, "tax_minor": 220,
            "discount_minor": -50 },
        "traits_json": "{\"plan\":\"oro\"}", "properties_json": "{\"gift\": true}", "context_json": "{\"ip\":\"203.0.113.7\"}" });
    value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    value
}

/// The records of a dataset, once there are so many.
fn wait_for(installation: &Installation, dataset: &str, count: usize) -> Vec<TopicRecord> {
    let what = format!("{count} records of {dataset}");
    let enough = || installation.records(dataset).ok().filter(|records| records.len() >= count);
    wait_until(LIMIT, &what, enough).unwrap()
}

/// The message ids of each customer, in the order in which they came; each customer lies on one partition.
fn by_customer(events: &[TopicRecord]) -> BTreeMap<String, (i32, Vec<String>)> {
    let mut customers: BTreeMap<String, (i32, Vec<String>)> = BTreeMap::new();
    for event in events {
        let key = event.key.clone().unwrap();
        assert_eq!(event.value["customer_id"], json!(key), "an event lies under its customer");
        let (partition, messages) = customers.entry(key).or_insert((event.partition, Vec::new()));
        assert_eq!(*partition, event.partition);
        messages.push(text(&event.value, "message_id"));
    }
    customers
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

fn millis(value: &Value) -> i64 {
    value.as_str().unwrap().parse::<Timestamp>().unwrap().as_millisecond()
}

/// A record as it was written is what the reader sees, but for whose it is; what was not named has its default.
#[track_caller]
fn is_what_was_written(written: &Value, found: &TopicRecord) {
    for (name, value) in found.value.as_object().unwrap() {
        let expected = written.get(name).unwrap_or(&Value::Null);
        match (name.as_str(), value) {
            ("customer_id", _) => assert_eq!(*value, written["user_id"]),
            ("event_time" | "received_at" | "sent_at", Value::String(_)) => {
                assert_eq!(Some(millis(value)), expected.as_i64(), "{name} of {written}");
            }
            ("historical", Value::Bool(false))
            | ("hops", Value::Number(_))
            | ("products" | "history", Value::Array(_))
                if expected.is_null() => {}
            _ => assert_eq!(value, expected, "{name} of {written}"),
        }
    }
}

#[test]
fn what_a_server_writes_well_arrives_field_by_field_once_and_in_order_whatever_its_version_codec_and_transactions() {
    let (installation, services) = started();
    let customers = ["ana", "bea", "carla", "diana", "elena"];
    let whole: Vec<Value> = (0..200).map(|n| whole(customers[n % customers.len()], &format!("whole-{n:03}"))).collect();
    let records: Vec<Value> =
        whole.iter().map(|value| json!({ "key": value["anonymous_id"], "value": value })).collect();
    write(&installation, with(&[MURMUR2]), &records);
    let mut expected: BTreeMap<String, Value> =
        whole.iter().map(|value| (text(value, "message_id"), value.clone())).collect();

    // Compressed in every way that there is.
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let value = viewed("ana", codec);
        write(&installation, with(&[MURMUR2, ("compression.type", codec)]), &[keyed(&value)]);
        expected.insert(codec.to_owned(), value);
    }

    // What is aborted never was, whatever stands around it.
    let [begin, commit, abort] = ["begin", "commit", "abort"].map(|what| json!({ "do": what }));
    let [kept, aborted, kept_too] = ["kept", "aborted", "kept-too"].map(|id| viewed("bea", id));
    let mut transactions = vec![begin.clone(), keyed(&kept), commit.clone(), begin.clone()];
    transactions.extend((0..50).map(|_| keyed(&aborted)));
    // The last one is left open, as by a program that dies: it holds the others up until its time is over, and no longer.
    transactions.extend([abort, begin.clone(), keyed(&kept_too), commit, begin, keyed(&aborted)]);
    let settings = [MURMUR2, ("transactional.id", "storefront-1"), ("transaction.timeout.ms", "3000")];
    write(&installation, with(&settings), &transactions);
    let behind = viewed("bea", "behind");
    write(&installation, with(&[MURMUR2]), &[keyed(&behind)]);
    expected.insert("behind".to_owned(), behind);
    expected.extend([("kept".to_owned(), kept), ("kept-too".to_owned(), kept_too)]);

    // Programs of yesterday and of tomorrow.
    let schema = std::fs::read_to_string(root().join("schemas/storefront/storefront_event.avsc")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let mut older = schema.clone();
    older["fields"]
        .as_array_mut()
        .unwrap()
        .retain(|field| field["name"] != "traits_json" && field["name"] != "group_id");
    let mut newer = schema;
    let field = json!({ "name": "of_tomorrow", "type": ["null", "string"], "default": null });
    newer["fields"].as_array_mut().unwrap().insert(3, field);
    for (name, schema) in [("older", older), ("newer", newer)] {
        let value = viewed("carla", name);
        let mut written = value.clone();
        if name == "newer" {
            written["of_tomorrow"] = json!("unknown today");
        }
        let schema = schema.to_string();
        let writer = AvroWriter { schema: Some(&schema), ..with(&[MURMUR2]) };
        write(&installation, writer, &[json!({ "key": "carla", "value": written })]);
        expected.insert(name.to_owned(), value);
    }

    // Beside them, once, that each customer's device is hers.
    let mut events = wait_for(&installation, EVENTS, expected.len() + customers.len());
    let identified = events.extract_if(.., |event| event.value["kind"] == "identified").count();
    assert_eq!((events.len(), identified), (expected.len(), customers.len()), "each once");
    for event in &events {
        is_what_was_written(&expected[&text(&event.value, "message_id")], event);
    }
    let sent: Vec<String> = expected.keys().filter(|id| id.starts_with("whole-")).cloned().collect();
    for (index, customer) in customers.iter().enumerate() {
        let mut came = by_customer(&events)[*customer].1.clone();
        came.retain(|id| id.starts_with("whole-"));
        let of_hers: Vec<&String> = sent.iter().skip(index).step_by(customers.len()).collect();
        assert_eq!(came.iter().collect::<Vec<_>>(), of_hers, "in the order of writing");
    }
    assert_eq!(installation.raw_records("platform.deadletters").unwrap().len(), 0);
    assert!(services.iter().all(Process::is_running));
}

#[test]
fn the_documented_example_runs_unmodified_and_twice_counts_once() {
    let (installation, services) = started();
    for _ in 0..2 {
        Process::spec("send_events.py", python().unwrap())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .args(["examples/avro/send_events.py", "--bootstrap-servers", &installation.kafka.bootstrap_servers()])
            .args(["--registry", &installation.registry.url(), "examples/avro/events.jsonl"])
            .dir(root())
            .start()
            .unwrap()
            .wait_for_success(LIMIT)
            .unwrap();
    }
    write(
        &installation,
        with(&[MURMUR2]),
        &[keyed(&viewed("customer-727", "last")), keyed(&viewed("device-31", "last"))],
    );
    let events = wait_for(&installation, EVENTS, 6);
    let customers: BTreeMap<String, Vec<String>> =
        by_customer(&events).into_iter().map(|(customer, (_, messages))| (customer, messages)).collect();
    assert_eq!(customers["device-31"], ["shop-727-viewed", "last"]);
    assert_eq!(customers["customer-727"], ["shop-727-who", "shop-727-added", "shop-727-bought", "last"]);
    let bought = events.iter().find(|event| event.value["message_id"] == "shop-727-bought").unwrap();
    assert_eq!(
        millis(&bought.value["event_time"]),
        "2026-03-01T10:09:00Z".parse::<Timestamp>().unwrap().as_millisecond()
    );
    assert_eq!(bought.value["order"]["total_minor"], 2900);
    assert_eq!((&bought.value["shop"], &bought.value["source"]), (&json!("main"), &json!("avro")));
    assert!(services.iter().all(Process::is_running));
}

#[test]
fn records_on_foreign_partitions_are_forwarded_in_order_and_a_message_counts_once_by_whatever_way_and_kills_it_comes() {
    let (installation, services) = started();
    let customers: Vec<String> = (0..40).map(|n| format!("customer-{n}")).collect();
    let round = |from: usize, to: usize| -> Vec<Value> {
        let numbers = (from..to).flat_map(|n| customers.iter().map(move |customer| (customer, n)));
        numbers.map(|(customer, n)| keyed(&viewed(customer, &format!("{customer}-{n}")))).collect()
    };
    // librdkafka's own partitioner puts three of four customers elsewhere.
    write(&installation, with(&[CRC32]), &round(0, 10));
    wait_for(&installation, EVENTS, 400);
    // The resolver dies, and meanwhile all of that is written again by another partitioner, with something new behind it.
    services[1].kill9().unwrap();
    write(&installation, with(&[MURMUR2]), &round(0, 12));
    // And by the door.
    let again = |customer: &String| json!({ "type": "track", "event": "Product Viewed", "userId": customer, "messageId": format!("{customer}-5") });
    let batch = json!({ "batch": customers.iter().map(again).collect::<Vec<_>>() });
    installation.post("/v1/batch", &[], &batch.to_string()).unwrap();
    services[1].restart().unwrap();
    // What was first told to the door is then written straight.
    let by_door = |customer: &String| json!({ "type": "track", "event": "Product Viewed", "userId": customer, "messageId": format!("{customer}-12") });
    let batch = json!({ "batch": customers.iter().map(by_door).collect::<Vec<_>>() });
    installation.post("/v1/batch", &[], &batch.to_string()).unwrap();
    wait_for(&installation, EVENTS, 13 * customers.len());
    // A second resolver takes some partitions over, then all of them.
    let second = installation.run(&["resolver"], 1).unwrap();
    second.wait_for_log("taken over", LIMIT).unwrap();
    services[1].kill9().unwrap();
    write(&installation, with(&[CRC32]), &round(11, 14));
    services[1].restart().unwrap();

    let events = wait_for(&installation, EVENTS, 14 * customers.len());
    assert_eq!(events.len(), 14 * customers.len(), "each once");
    let received = installation.records(RECEIVED).unwrap();
    let is_forwarded = |record: &&TopicRecord| record.value["hops"] == 1;
    let forwarded: BTreeSet<&str> =
        received.iter().filter(is_forwarded).filter_map(|record| record.key.as_deref()).collect();
    assert!((20..40).contains(&forwarded.len()), "{} of 40 customers", forwarded.len());
    // Java's partitioner, as librdkafka has it, says where a customer belongs.
    let homes: BTreeMap<&str, i32> = received
        .iter()
        .filter(|record| text(&record.value, "message_id").ends_with("-10"))
        .map(|record| (record.key.as_deref().unwrap(), record.partition))
        .collect();
    let astray = received.iter().filter(|record| homes[record.key.as_deref().unwrap()] != record.partition).count();
    assert_eq!(received.iter().filter(is_forwarded).count(), astray, "each that lay elsewhere, once");
    for (customer, (partition, messages)) in by_customer(&events) {
        assert_eq!(homes[customer.as_str()], partition);
        let in_order: Vec<String> = (0..14).map(|n| format!("{customer}-{n}")).collect();
        assert_eq!(messages, in_order, "in the order of writing");
    }
    assert_eq!(installation.raw_records("platform.deadletters").unwrap().len(), 0);
    // Nothing more comes of what is left: all is read.
    assert!(services.iter().all(Process::is_running));
}

#[test]
fn wild_dates_are_the_brokers_time_and_no_reader_meets_one() {
    let (installation, _services) = started();
    let now = Timestamp::now().as_millisecond();
    let (hour, day) = (3_600_000, 86_400_000);
    // What is claimed of when it happened and when it was received, and whether that is believed.
    let cases: [(&str, i64, i64, bool, bool); 9] = [
        ("a-minute-ago", now - 60_000, now - 60_000, true, true),
        ("years-ago", 1_433_221_332_117, now - hour / 2, true, true),
        ("backlog-that-claims-to-be-new", now - 3 * day, now - 3 * day, true, false),
        ("tomorrow", now + day, now + day, false, false),
        ("1970", 0, 0, false, false),
        ("before-1970", -1, -1, false, false),
        ("9999", 253_402_300_799_000, 253_402_300_799_000, false, false),
        ("the-greatest-number", i64::MAX, i64::MAX, false, false),
        ("the-least-number", i64::MIN, i64::MIN, false, false),
    ];
    let record = |(customer, happened, received, ..): &(&str, i64, i64, bool, bool)| {
        let mut value = viewed(customer, customer);
        value["event_time"] = json!(happened);
        value["received_at"] = json!(received);
        value["sent_at"] = json!(received);
        keyed(&value)
    };
    write(&installation, with(&[MURMUR2]), &cases.iter().map(record).collect::<Vec<_>>());
    // A reader that makes dates of them fails on those that no calendar has.
    let events = wait_for(&installation, EVENTS, cases.len());
    let received = installation.raw_records(RECEIVED).unwrap();
    let under = |records: &[TopicRecord], customer: &str| {
        records.iter().find(|record| record.key.as_deref() == Some(customer)).cloned().unwrap()
    };
    for (customer, happened, reached, happened_is_believed, reached_is_believed) in cases {
        let (event, stored_at) = (under(&events, customer).value, under(&received, customer).timestamp);
        let or_stored = |claimed: i64, is_believed: bool| if is_believed { claimed } else { stored_at };
        assert_eq!(millis(&event["event_time"]), or_stored(happened, happened_is_believed), "{customer}");
        assert_eq!(millis(&event["received_at"]), or_stored(reached, reached_is_believed), "{customer}");
        let has_date = !["9999", "the-greatest-number", "the-least-number"].contains(&customer);
        assert_eq!(
            event["sent_at"].as_str().map(|_| millis(&event["sent_at"])),
            has_date.then_some(reached),
            "{customer}"
        );
    }
}

#[test]
fn what_a_server_writes_badly_is_put_aside_with_the_reason_and_the_others_go_on() {
    let (installation, services) = started();
    let good: Vec<Value> = (0..20).map(|n| format!("good-{n}")).map(|id| keyed(&viewed(&id, &id))).collect();
    let set = |mut value: Value, name: &str, field: Value| {
        value[name] = field;
        value
    };
    let raw = |key: &str, bytes: &[u8]| json!({ "key": key, "bytes": STANDARD.encode(bytes), "headers": { "own": "header" } });
    let of_size = |key: &str, size: usize| set(viewed(key, key), "properties_json", json!("x".repeat(size)));
    let bad = [
        ("malformed", raw("no-avro", b"\xff\x00 no event\n\xfe")),
        ("malformed", raw("json", br#"{"message_id": "m"}"#)),
        ("malformed", raw("no-such-schema", b"\x00\x7f\xff\xff\xffrest")),
        ("malformed", raw("empty", b"")),
        ("no_value", json!({ "key": "erased" })),
        ("wrong_key", json!({ "value": viewed("no-key", "no-key") })),
        ("wrong_key", json!({ "key": "somebody-else", "value": viewed("other-key", "other-key") })),
        ("no_id", json!({ "key": "undefined", "value": viewed("undefined", "m") })),
        ("personal_id", keyed(&viewed("ana@example.com", "m"))),
        ("personal_id", keyed(&viewed("+34600000000", "m"))),
        ("personal_id", keyed(&set(viewed("member", "m"), "group_id", json!("ana@example.com")))),
        ("bad_message_id", keyed(&viewed("no-message-id", ""))),
        ("bad_message_id", keyed(&viewed("long-message-id", &"m".repeat(101)))),
        ("id_too_long", keyed(&viewed(&"u".repeat(256), "m"))),
        // It leaves no room for who the customer is.
        ("too_large", keyed(&set(of_size(&"g".repeat(250), 999_600), "message_id", json!("grows")))),
        ("malformed", keyed(&of_size("large", 1_000_001))),
    ];
    let mut records = good[..5].to_vec();
    records.extend(bad.iter().map(|(_, record)| record.clone()));
    records.extend_from_slice(&good[5..15]);
    write(&installation, with(&[MURMUR2, ("message.max.bytes", "1048576")]), &records);
    // Compressed, the broker takes more than anybody could put aside.
    let packed = [("compression.type", "zstd"), ("message.max.bytes", "8000000"), MURMUR2];
    write(&installation, with(&packed), &[keyed(&of_size("packed", 5_000_000))]);
    // Another contract's record, under a schema that the registry knows.
    let schema = r#"{"type": "record", "name": "Invoice", "fields": [{"name": "number", "type": "string"}]}"#;
    let invoices = AvroWriter { schema: Some(schema), subject: Some("invoices-value"), ..with(&[MURMUR2]) };
    write(&installation, invoices, &[json!({ "key": "invoice", "value": { "number": "7" } })]);
    write(&installation, with(&[MURMUR2]), &good[15..]);

    let events = wait_for(&installation, EVENTS, good.len());
    let arrived: BTreeSet<String> = by_customer(&events).into_keys().collect();
    assert_eq!(arrived, (0..20).map(|n| format!("good-{n}")).collect(), "and nobody else");
    let letters = wait_until(LIMIT, "the dead letters", || {
        installation.raw_records("platform.deadletters").ok().filter(|letters| letters.len() >= bad.len() + 2)
    })
    .unwrap();
    let mut reasons: Vec<&str> = letters.iter().map(|letter| error(letter, "exception.class.name")).collect();
    let mut expected: Vec<&str> = bad.iter().map(|(reason, _)| *reason).chain(["malformed"; 2]).collect();
    reasons.sort_unstable();
    expected.sort_unstable();
    assert_eq!(reasons, expected);
    let received = installation.raw_records(RECEIVED).unwrap();
    for letter in &letters {
        assert_eq!(error(letter, "topic"), topic(RECEIVED));
        let lay = |record: &&TopicRecord| {
            (record.partition.to_string(), record.offset.to_string())
                == (error(letter, "partition").to_owned(), error(letter, "offset").to_owned())
        };
        let record = received.iter().find(lay).unwrap();
        assert_eq!(letter.key, record.key);
        if record.key.as_deref() == Some("packed") {
            let left_out = letter.headers.iter().find(|(name, _)| name == "__connect.errors.left.out.bytes").unwrap();
            assert!(left_out.1.as_deref().unwrap().parse::<usize>().unwrap() > 5_000_000);
            assert_eq!(letter.value, Value::Null);
            continue;
        }
        assert_eq!(letter.value, record.value, "byte for byte");
        let own = letter.headers.iter().filter(|(name, _)| !name.starts_with(PREFIX));
        assert_eq!(own.collect::<Vec<_>>(), record.headers.iter().collect::<Vec<_>>());
    }
    assert!(services.iter().all(Process::is_running));
}

const PREFIX: &str = "__connect.errors.";

fn error<'a>(letter: &'a TopicRecord, name: &str) -> &'a str {
    let header = letter.headers.iter().find(|(found, _)| found.strip_prefix(PREFIX) == Some(name));
    header.and_then(|(_, value)| value.as_deref()).unwrap_or_default()
}
