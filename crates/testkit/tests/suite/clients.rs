use std::path::Path;

use serde_json::{Value, json};
use testkit::clients::{Sdk, read_topic, read_topic_raw};
use testkit::{KafkaBroker, Process, SchemaRegistry, free_port, python};

use crate::LIMIT;

/// More than any SDK sends in one batch.
const CALLS: usize = 250;

/// Starts a server that answers with `status`.
fn capture(status: u16, events: &Path) -> (Process, String) {
    let port = free_port().unwrap();
    let server = Process::spec("capture", python().unwrap())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/capture.py"))
        .args([port.to_string(), status.to_string()])
        .arg(events)
        .start()
        .unwrap();
    server.wait_for_log("capturing", LIMIT).unwrap();
    (server, format!("http://127.0.0.1:{port}"))
}

fn calls() -> Vec<Value> {
    let mut calls = vec![
        json!({"type": "identify", "userId": "u1", "anonymousId": "a1", "traits": {"locale": "es"}}),
        json!({"type": "page", "anonymousId": "a1", "category": "shop", "name": "Cart", "properties": {"url": "/"}}),
        json!({"type": "screen", "userId": "u1", "name": "Cart", "properties": {}}),
        json!({"type": "group", "userId": "u1", "groupId": "g1", "traits": {"plan": "vip"}}),
        json!({"type": "alias", "userId": "u1", "previousId": "a1"}),
    ];
    calls.extend((calls.len()..CALLS).map(|number| {
        json!({"type": "track", "userId": format!("u{number}"), "event": "Product Added",
            "properties": {"cart_id": format!("c{number}")}, "context": {"timezone": "Europe/Madrid"}})
    }));
    for (number, call) in calls.iter_mut().enumerate() {
        call["messageId"] = format!("message-{number}").into();
        call["timestamp"] = "2026-01-02T03:04:05.678Z".into();
    }
    calls
}

#[test]
fn every_sdk_delivers_every_call_once_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("calls.jsonl");
    let calls = calls();
    std::fs::write(&file, calls.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")).unwrap();
    for sdk in Sdk::ALL {
        let events = directory.path().join(format!("{sdk:?}.jsonl"));
        let (_server, host) = capture(200, &events);
        sdk.send(&host, "key-1", &file, LIMIT).unwrap_or_else(|error| panic!("{sdk:?}: {error}"));
        let text = std::fs::read_to_string(&events).unwrap();
        let received: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(received.len(), CALLS, "{sdk:?}");
        let mut by_message: Vec<&Value> = received.iter().collect();
        // A SDK may send several batches at once.
        by_message.sort_by_key(|line| line["event"]["messageId"].as_str().unwrap()[8..].parse::<usize>().unwrap());
        for (line, call) in by_message.iter().zip(&calls) {
            let event = &line["event"];
            assert_eq!(line["path"], "/v1/batch", "{sdk:?}");
            for name in ["type", "messageId", "event", "userId", "groupId", "previousId"] {
                assert_eq!(event.get(name).filter(|value| !value.is_null()), call.get(name), "{sdk:?} {name} {event}");
            }
            // An SDK may add to the properties.
            for (name, value) in call["properties"].as_object().into_iter().flatten() {
                assert_eq!(&event["properties"][name], value, "{sdk:?} {event}");
            }
            let timestamp = event["timestamp"].as_str().or(event["originalTimestamp"].as_str()).unwrap();
            assert!(timestamp.starts_with("2026-01-02T03:04:05.678"), "{sdk:?} {event}");
        }
    }
}

#[test]
fn an_sdk_whose_batch_is_refused_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("calls.jsonl");
    std::fs::write(&file, r#"{"type": "track", "userId": "u1", "event": "Product Added"}"#).unwrap();
    let (_server, host) = capture(400, &directory.path().join("events.jsonl"));
    for sdk in Sdk::ALL {
        let error = sdk.send(&host, "key-1", &file, LIMIT).map(|()| panic!("{sdk:?} saw nothing")).unwrap_err();
        assert!(error.to_string().contains("1 calls, 1 errors"), "{sdk:?}: {error}");
    }
}

#[test]
fn confluent_kafka_reads_what_was_committed() {
    let broker = KafkaBroker::start().unwrap();
    let registry = SchemaRegistry::start().unwrap();
    let (bootstrap, url) = (broker.bootstrap_servers(), registry.url());
    Process::spec("produce.py", python().unwrap())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/produce.py"))
        .args([&bootstrap, &url, "carts"])
        .start()
        .unwrap()
        .wait_for_success(LIMIT)
        .unwrap();

    let records = read_topic(&bootstrap, &url, "carts", LIMIT).unwrap();
    let values: Vec<&Value> = records.iter().map(|record| &record.value).collect();
    let left = |cart| json!({"cart": cart, "at": "2023-11-14T22:13:20.123000Z", "coupon": null});
    assert_eq!(values, [&left("first"), &left("second"), &Value::Null]);
    assert!(records.iter().all(|record| record.key.as_deref() == Some("customer-1")));
    assert_eq!(records[0].headers, [("traceparent".to_owned(), Some("00-1-2-01".to_owned()))]);
    assert!(records[0].timestamp > 1_700_000_000_000);
    assert_eq!((records[0].offset, records[1].offset), (0, 1));

    let raw = read_topic_raw(&bootstrap, "carts", LIMIT).unwrap();
    // A zero byte, then the schema's id.
    assert!(raw[0].value.as_str().unwrap().starts_with("AAAA"), "{:?}", raw[0]);
    let error = read_topic(&bootstrap, &url, "nothing", LIMIT).unwrap_err().to_string();
    assert!(error.contains("nothing"), "{error}");
}
