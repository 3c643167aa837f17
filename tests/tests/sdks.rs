//! Four official SDKs, unmodified, send every type of call; what arrives on the topic equals what was sent, field by field.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use testkit::clients::{Sdk, TopicRecord};
use testkit::wait_until;
use tests::installation::{Installation, State, WRITE_KEY};

const LIMIT: Duration = Duration::from_mins(2);
/// What each call says of where it comes from.
const CONTEXT: &str = r#"{
    "ip": "203.0.113.7", "userAgent": "Mozilla/5.0 (test)", "locale": "es-AR", "timezone": "America/Bogota",
    "campaign": { "name": "otoño", "source": "boletín" }, "consent": { "categoryPreferences": { "Marketing": true } },
    "page": { "path": "/tazas", "url": "https://shop.example.com/tazas?c=1&d=%C3%B1" }, "screen": { "density": 2.625 }
}"#;

/// A call, and the fields of the record that it becomes: those that are not named have no value.
struct Sent {
    call: Value,
    record: Value,
}

/// Every type of call; `sdk` makes the ids its own.
#[allow(clippy::too_many_lines, reason = "it is a table")]
fn calls(sdk: &str, at: &str) -> Vec<Sent> {
    let user = format!("user-{sdk}");
    let device = format!("device-{sdk}");
    let contact = json!({ "locale": "es-AR", "time_zone": "America/Bogota" });
    let call = |kind: &str, number: u32, fields: Value| {
        let mut call = json!({
            "type": kind, "messageId": format!("{sdk}-{number}"), "timestamp": at,
            "context": serde_json::from_str::<Value>(CONTEXT).unwrap(),
            "integrations": { "All": true, "Salesforce": false },
        });
        merge(&mut call, fields);
        call
    };
    let record = |kind: &str, fields: Value| {
        let mut record = json!({ "kind": kind, "contact": contact, "consent_marketing": true });
        merge(&mut record, fields);
        record
    };
    let taza = json!({ "product_id": "p-1", "sku": "T-1", "name": "Taza \"ñandú\" ☕", "category": "Cocina", "brand": "Ñ", "variant": "azul",
        "price_minor": 1250, "currency": "EUR", "quantity": 2, "position": 3, "coupon": "OTOÑO",
        "url": "https://shop.example.com/p-1", "image_url": "https://shop.example.com/p-1.webp" });
    vec![
        Sent {
            call: call(
                "identify",
                0,
                json!({ "userId": user, "traits": {
                "email": format!("{user}@example.com"), "phone": "+34 600 000 000", "firstName": "Ana", "lastName": "Núñez",
                "plan": "oro", "age": 31, "vip": true, "address": { "city": "Bogotá", "lines": ["a", null] }, "score": 0.1,
            } }),
            ),
            record: record(
                "identify",
                json!({ "user_id": user, "customer_id": user,
                "contact": { "email": format!("{user}@example.com"), "phone": "+34 600 000 000", "first_name": "Ana",
                    "last_name": "Núñez", "locale": "es-AR", "time_zone": "America/Bogota" },
                "traits_json": { "plan": "oro", "age": 31, "vip": true, "address": { "city": "Bogotá", "lines": ["a", null] },
                    "score": 0.1 } }),
            ),
        },
        Sent {
            call: call(
                "track",
                1,
                json!({ "userId": user, "anonymousId": device, "event": "Product Added", "properties": {
                "cart_id": "c-1", "product_id": "p-1", "sku": "T-1", "name": "Taza \"ñandú\" ☕", "category": "Cocina", "brand": "Ñ",
                "variant": "azul", "price": 12.5, "currency": "EUR", "quantity": 2, "position": 3, "coupon": "OTOÑO",
                "url": "https://shop.example.com/p-1", "image_url": "https://shop.example.com/p-1.webp",
                "gift": true, "notes": { "deep": [1, 2.5, "tres", null, { "x": "\n\t\u{1F381}" }] }, "big": 9_007_199_254_740_991_i64,
            } }),
            ),
            record: record(
                "track",
                json!({ "name": "Product Added", "user_id": user, "anonymous_id": device, "customer_id": user,
                "cart_id": "c-1", "product": taza,
                "properties_json": { "gift": true, "notes": { "deep": [1, 2.5, "tres", null, { "x": "\n\t\u{1F381}" }] },
                    "big": 9_007_199_254_740_991_i64 } }),
            ),
        },
        Sent {
            call: call(
                "track",
                2,
                json!({ "userId": user, "event": "Order Completed", "properties": {
                "order_id": "o-1", "checkout_id": "k-1", "affiliation": "web", "coupon": "OTOÑO", "currency": "EUR", "total": "31.20",
                "revenue": 25, "subtotal": 24.5, "shipping": 4, "tax": 2.2, "discount": 0.5,
                "products": [{ "product_id": "p-1", "price": 12.5, "quantity": 2 }, { "product_id": "p-2", "price": "0.10" }],
            } }),
            ),
            record: record(
                "track",
                json!({ "name": "Order Completed", "user_id": user, "customer_id": user,
                "order": { "order_id": "o-1", "checkout_id": "k-1", "affiliation": "web", "coupon": "OTOÑO", "currency": "EUR",
                    "total_minor": 3120, "revenue_minor": 2500, "subtotal_minor": 2450, "shipping_minor": 400, "tax_minor": 220,
                    "discount_minor": 50 },
                "products": [{ "product_id": "p-1", "price_minor": 1250, "currency": "EUR", "quantity": 2 },
                    { "product_id": "p-2", "price_minor": 10, "currency": "EUR" }] }),
            ),
        },
        Sent {
            call: call(
                "track",
                3,
                json!({ "anonymousId": device, "event": "Viewed Product",
                "properties": { "id": "p-9", "rating": "4.5", "empty": {}, "none": null } }),
            ),
            record: record(
                "track",
                json!({ "name": "Product Viewed", "anonymous_id": device, "customer_id": user,
                "product": { "product_id": "p-9" }, "properties_json": { "rating": "4.5", "empty": {}, "none": null } }),
            ),
        },
        Sent {
            call: call(
                "page",
                4,
                json!({ "userId": user, "category": "Catálogo", "name": "Tazas",
                "properties": { "path": "/tazas", "title": "Tazas", "referrer": "" } }),
            ),
            record: record(
                "page",
                json!({ "name": "Tazas", "user_id": user, "customer_id": user,
                "properties_json": { "category": "Catálogo", "path": "/tazas", "title": "Tazas", "referrer": "", "name": "Tazas" } }),
            ),
        },
        Sent {
            call: call("screen", 5, json!({ "anonymousId": device, "name": "Inicio", "properties": { "tab": 1 } })),
            record: record(
                "screen",
                json!({ "name": "Inicio", "anonymous_id": device, "customer_id": user,
                "properties_json": { "tab": 1, "name": "Inicio" } }),
            ),
        },
        Sent {
            call: call(
                "group",
                6,
                json!({ "userId": user, "groupId": "g-1", "traits": { "name": "Cafetería", "employees": 7 } }),
            ),
            record: record(
                "group",
                json!({ "user_id": user, "customer_id": user, "group_id": "g-1",
                "properties_json": { "name": "Cafetería", "employees": 7 } }),
            ),
        },
        Sent {
            call: call("alias", 7, json!({ "userId": user, "previousId": device })),
            record: record("alias", json!({ "user_id": user, "customer_id": user, "previous_id": device })),
        },
    ]
}

fn merge(into: &mut Value, fields: Value) {
    let (Some(into), Value::Object(fields)) = (into.as_object_mut(), fields) else { return };
    into.extend(fields);
}

#[test]
fn every_call_of_four_sdks_arrives_field_by_field() {
    let installation = Installation::start("live", State::Memory).unwrap();
    let services = installation.run_each(&["door", "resolver"], 0..1).unwrap();
    installation.wait_for_door(&services[0]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // The clock of this machine is the client's, too.
    let at = Timestamp::from_millisecond(Timestamp::now().as_millisecond() - 90_000).unwrap();
    let sent: Vec<Sent> =
        Sdk::ALL.iter().flat_map(|sdk| calls(&format!("{sdk:?}").to_lowercase(), &at.to_string())).collect();
    for (sdk, sent) in Sdk::ALL.iter().zip(sent.chunks(sent.len() / Sdk::ALL.len())) {
        let file = folder.path().join(format!("{sdk:?}.jsonl"));
        let lines: String = sent.iter().map(|sent| sent.call.to_string() + "\n").collect();
        std::fs::write(&file, lines).unwrap();
        sdk.send(&installation.door(), WRITE_KEY, &file, LIMIT).unwrap();
    }
    // Beside them, once, that each customer's device is hers: what it tells from then on is hers, too.
    let all = sent.len() + Sdk::ALL.len();
    let mut records = wait_until(LIMIT, "all events to be resolved", || {
        installation.records("storefront.events").ok().filter(|records| records.len() >= all)
    })
    .unwrap();
    let identified = records.extract_if(.., |record| record.value["kind"] == "identified").count();
    assert_eq!((records.len(), identified), (sent.len(), Sdk::ALL.len()));
    let by_message: BTreeMap<&str, &TopicRecord> =
        records.iter().map(|record| (record.value["message_id"].as_str().unwrap(), record)).collect();
    for Sent { call, record } in &sent {
        let id = call["messageId"].as_str().unwrap();
        let found = by_message.get(id).unwrap_or_else(|| panic!("{id} did not arrive"));
        assert_eq!(found.key.as_deref(), record["customer_id"].as_str(), "{id}");
        is_what_was_sent(call, record, &found.value);
    }
}

fn is_what_was_sent(call: &Value, expected: &Value, found: &Value) {
    let id = &call["messageId"];
    let mut found = found.as_object().unwrap().clone();
    let mut take = |name: &str| found.remove(name).unwrap_or_else(|| panic!("{id} has no {name}"));

    let [event_time, received_at, sent_at] = ["event_time", "received_at", "sent_at"].map(&mut take);
    let time = |value: &Value| value.as_str().map(|text| text.parse::<Timestamp>().unwrap().as_millisecond());
    let said = time(&call["timestamp"]).unwrap();
    let skew = time(&sent_at).map_or(0, |sent_at| time(&received_at).unwrap() - sent_at);
    assert_eq!(time(&event_time), Some(said + skew), "{id} said {said}");
    assert_eq!((take("shop"), take("source")), (json!("test"), json!("test")));
    assert!(take("library").as_str().is_some_and(|library| library.contains('/')), "{id} has no library");
    take("traceparent");

    // What the SDK says of itself stands beside what was said.
    let mut context = parsed(&take("context_json"));
    let context = context.as_object_mut().unwrap();
    let said: Map<String, Value> = serde_json::from_value(call["context"].clone()).unwrap();
    for (name, value) in said.iter().filter(|(name, _)| !["locale", "timezone"].contains(&name.as_str())) {
        assert_eq!(context.get(name), Some(value), "{id}: context.{name} of {context:?}");
    }
    for (name, value) in call["integrations"].as_object().unwrap() {
        assert_eq!(context["integrations"].get(name), Some(value), "{id}: integrations of {context:?}");
    }
    for name in ["properties_json", "traits_json"] {
        let (mut found, mut expected) = (parsed(&take(name)), expected.get(name).cloned().unwrap_or_default());
        // Some SDKs put a page's name into its properties as well.
        for properties in [&mut found, &mut expected].into_iter().filter_map(Value::as_object_mut) {
            if call["type"] == "page" || call["type"] == "screen" {
                properties.remove("name");
            }
        }
        assert_eq!(found, expected, "{id}: {name}");
    }
    assert_eq!(take("message_id"), *id);
    for (name, found) in found {
        let expected = expected.get(&name).unwrap_or(&Value::Null);
        assert_eq!(stripped(&found), stripped(expected), "{id}: {name}");
    }
}

fn parsed(text: &Value) -> Value {
    text.as_str().map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default()
}

/// Without fields that have no value or their default.
fn stripped(value: &Value) -> Value {
    let is_nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Bool(true) | Value::Object(_) => false,
    };
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), stripped(value)));
            Value::Object(fields.filter(|(_, value)| !value.is_null()).collect())
        }
        Value::Array(elements) if !elements.is_empty() => elements.iter().map(stripped).collect(),
        value if is_nothing(value) => Value::Null,
        value => value.clone(),
    }
}
