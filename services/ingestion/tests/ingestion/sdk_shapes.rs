//! The shapes in which the official client libraries send, as a capture server saw them. (The libraries themselves run in the
//! end-to-end tests.)

use axum::body::Body;
use axum::http::{Method, header};
use schemas::EventKind;
use serde_json::{Value, json};

use crate::support::{Fixture, KEY, basic, gzip, request};

async fn send(door: &Fixture, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) {
    let mut builder = request(Method::POST, path);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    door.send(builder.body(body.into()).unwrap()).await.is_accepted();
}

#[tokio::test]
async fn segment_analytics_python() {
    let door = Fixture::new();
    let body = json!({
        "batch": [{
            "integrations": {}, "anonymousId": null, "properties": { "product_id": "p1" }, "timestamp": "2026-03-01T11:59:30.000001+00:00",
            "context": { "library": { "name": "analytics-python", "version": "2.3.2" } }, "userId": "u1", "type": "track",
            "event": "Product Added", "messageId": "0d9a5a3e-9d52-4f2e-8a0e-111111111111",
        }],
        "sentAt": "2026-03-01T11:59:40.000001+00:00", "writeKey": KEY,
    });
    let key = basic(KEY);
    let headers = [
        ("content-type", "application/json"),
        ("authorization", key.as_str()),
        ("user-agent", "analytics-python/2.3.2"),
    ];
    send(&door, "/v1/batch", &headers, body.to_string()).await;
    let event = door.event();
    assert_eq!((event.user_id.as_deref(), event.anonymous_id), (Some("u1"), None));
    assert_eq!(event.library.as_deref(), Some("analytics-python/2.3.2"));
    assert_eq!(event.received_at - event.event_time, 10_000);
    assert_eq!(event.message_id, "0d9a5a3e-9d52-4f2e-8a0e-111111111111");
}

#[tokio::test]
async fn rudder_sdk_python_gzips_names_no_key_in_the_body_and_puts_traits_into_the_context() {
    let door = Fixture::new();
    let body = json!({
        "batch": [{
            "type": "identify", "userId": "u1", "anonymousId": null, "messageId": "m1", "integrations": {},
            "context": { "traits": { "email": "ana@example.com", "tier": "gold" },
                         "library": { "name": "rudder-analytics-python", "version": "2.1.4" } },
            "originalTimestamp": "2026-03-01T12:00:00+00:00", "channel": "server",
        }],
        "sentAt": "2026-03-01T12:00:00+00:00",
    });
    let key = basic(KEY);
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip"), ("authorization", key.as_str())];
    send(&door, "/v1/batch", &headers, gzip(body.to_string().as_bytes())).await;
    let event = door.event();
    assert_eq!(event.kind, EventKind::Identify);
    assert_eq!(event.contact.unwrap().email.as_deref(), Some("ana@example.com"));
    assert_eq!(event.traits_json.as_deref(), Some(r#"{"tier":"gold"}"#));
}

#[tokio::test]
async fn rudder_sdk_node_sends_gzipped_json_that_calls_itself_a_form() {
    let door = Fixture::new();
    let body = json!({
        "batch": [{ "type": "track", "event": "Order Completed", "userId": "u1", "anonymousId": "a1", "messageId": "m1",
                    "properties": { "order_id": "o1", "revenue": 25.5 }, "context": { "library": { "name": "@rudderstack/rudder-sdk-node" } },
                    "originalTimestamp": "2026-03-01T12:00:00.000Z", "_metadata": { "nodeVersion": "20.0.0" } }],
        "sentAt": "2026-03-01T12:00:00.000Z", "writeKey": KEY,
    });
    for encoding in [Some("gzip"), None] {
        let key = basic(KEY);
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded"), ("authorization", key.as_str())];
        headers.extend(encoding.map(|encoding| ("content-encoding", encoding)));
        send(&door, "/v1/batch", &headers, gzip(body.to_string().as_bytes())).await;
        let event = door.event();
        assert_eq!(event.order.unwrap().revenue_minor, Some(2550));
        assert_eq!(event.library.as_deref(), Some("@rudderstack/rudder-sdk-node"));
        assert_eq!(event.context_json, None);
    }
}

#[tokio::test]
async fn segment_analytics_node() {
    let door = Fixture::new();
    let event = json!({
        "userId": "u1", "event": "Product Added", "properties": { "cart_id": "c1", "product_id": "p1" }, "integrations": {},
        "type": "track", "timestamp": "2026-03-01T12:00:00.000Z", "messageId": "node-next-1-abc",
        "context": { "library": { "name": "@segment/analytics-node", "version": "2.3.0" } }, "_metadata": { "jsRuntime": "node" },
    });
    let body = json!({ "batch": [event], "writeKey": KEY, "sentAt": "2026-03-01T12:00:00.000Z" });
    let headers = [("content-type", "application/json"), ("user-agent", "analytics-node-next/latest")];
    send(&door, "/v1/batch", &headers, body.to_string()).await;
    let event = door.event();
    assert_eq!((event.cart_id.as_deref(), event.message_id.as_str()), (Some("c1"), "node-next-1-abc"));
    assert_eq!((event.properties_json, event.context_json), (None, None));
}

#[tokio::test]
async fn the_browser_library_sends_single_calls_and_beacons_of_plain_text() {
    let door = Fixture::new();
    let event: Value = json!({
        "timestamp": "2026-03-01T11:59:59.000Z", "integrations": {}, "anonymousId": "a1", "type": "page", "userId": null,
        "properties": { "path": "/cart", "title": "Cart" }, "name": "Cart", "messageId": "ajs-next-1", "writeKey": KEY,
        "context": { "page": { "path": "/cart" }, "userAgent": "Mozilla/5.0", "locale": "es-MX", "timezone": "America/Mexico_City" },
        "sentAt": "2026-03-01T12:00:00.000Z", "_metadata": { "bundled": ["Segment.io"] },
    });
    send(&door, "/v1/p", &[("content-type", "text/plain")], event.to_string()).await;
    let page = door.event();
    assert_eq!((page.kind, page.name.as_str()), (EventKind::Page, "Cart"));
    assert_eq!(page.contact.unwrap().time_zone.as_deref(), Some("America/Mexico_City"));
    let beacon = json!({ "writeKey": KEY, "batch": [event, event], "sentAt": "2026-03-01T12:00:00.000Z" });
    send(&door, "/v1/b", &[("content-type", "text/plain;charset=UTF-8")], beacon.to_string()).await;
    assert_eq!(door.events().len(), 2);
}

#[tokio::test]
async fn zlib_and_a_byte_order_mark_are_understood_as_well() {
    use std::io::Write;
    let door = Fixture::new();
    let body = json!({ "event": "X", "userId": "u1" }).to_string();
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body.as_bytes()).unwrap();
    door.post("/v1/track", encoder.finish().unwrap()).await.is_accepted();
    door.post("/v1/track", format!("\u{feff}{body}")).await.is_accepted();
    let plain = crate::support::post("/v1/track").header(header::CONTENT_ENCODING, "gzip");
    door.send(plain.body(Body::from(body)).unwrap()).await.is_accepted();
    assert_eq!(door.events().len(), 3);
}
