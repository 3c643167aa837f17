//! Webhooks of any sender, by a mapping: how they are signed, what they become, and what is refused.

use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use definitions::parse_mapping;
use hmac::{Hmac, KeyInit, Mac};
use ingestion::shell::{DoorOptions, WebhookKind, WebhookOptions, Webhooks, is_signed_as};
use schemas::EventKind;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{Answer, Fixture, NOW, header_of, request, variable};
use crate::webhooks::{SECRET, options, resolved};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/webhooks");

fn mapped(mapping: &Path, secret: &str) -> WebhookOptions {
    WebhookOptions { mapping_file: Some(mapping.to_owned()), ..options("till", WebhookKind::Mapping, secret) }
}

/// A door for `/webhooks/till` with the mapping of the examples.
fn door() -> Fixture {
    let example = PathBuf::from(EXAMPLES).join("point-of-sale.yaml");
    Fixture::with(&DoorOptions { webhooks: vec![mapped(&example, SECRET)], ..DoorOptions::default() })
}

fn mac(key: &[u8], parts: &[&str]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(parts.concat().as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

fn sale() -> Value {
    serde_json::from_str(&std::fs::read_to_string(format!("{EXAMPLES}/point-of-sale.json")).unwrap()).unwrap()
}

async fn send(door: &Fixture, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut builder = request(Method::POST, "/webhooks/till");
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    door.send(builder.body(Body::from(body.to_owned())).unwrap()).await
}

fn seconds() -> i64 {
    NOW.as_millis() / 1_000
}

fn signature(secret: &str, delivery: &str, time: &str, body: &str) -> String {
    format!("sha256={}", hex(&mac(secret.as_bytes(), &[delivery, ".", time, ".", body])))
}

/// Sends what a till signs at a time.
async fn send_at(door: &Fixture, seconds: i64, delivery: &str, payload: &Value) -> Answer {
    let (body, time) = (payload.to_string(), seconds.to_string());
    let signature = signature(SECRET, delivery, &time, &body);
    send(door, &[("x-pos-time", &time), ("x-pos-signature", &signature), ("x-pos-delivery", delivery)], &body).await
}

#[tokio::test]
async fn a_sale_of_the_example_becomes_an_order() {
    let door = door();
    send_at(&door, seconds(), "d1", &sale()).await.is_accepted();
    let event = door.event();
    assert_eq!((event.kind, event.name.as_str()), (EventKind::Track, "Order Completed"));
    assert_eq!((event.message_id.as_str(), event.library.as_deref()), ("till:d1:0", Some("point-of-sale-webhook")));
    assert_eq!((event.user_id.as_deref(), event.anonymous_id.as_deref()), (Some("40117"), None));
    let order = event.order.unwrap();
    assert_eq!((order.order_id.as_deref(), order.currency.as_deref()), (Some("M-2026-000731"), Some("EUR")));
    assert_eq!(order.total_minor, Some(4_890));
    let products: Vec<_> = event
        .products
        .iter()
        .map(|product| (product.sku.clone(), product.product_id.clone(), product.price_minor))
        .collect();
    assert_eq!(
        products,
        [(None, Some("mug-blue".to_owned()), Some(1_250)), (None, Some("tea-1kg".to_owned()), Some(2_390))]
    );
    assert_eq!(event.contact.unwrap().email.as_deref(), Some("ana@example.com"));
    assert!(event.properties_json.unwrap().contains("Madrid Centro"));
}

#[tokio::test]
async fn each_member_of_a_list_becomes_somebody() {
    let door = door();
    let member = |number: i64, test: bool| json!({ "number": number, "email": format!("m{number}@example.com"), "test": test, "agreed": true });
    let payload = json!({ "type": "members", "members": [member(1, false), member(2, true), member(3, false)] });
    send_at(&door, seconds(), "d2", &payload).await.is_accepted();
    let events = door.events();
    let who: Vec<_> =
        events.iter().map(|event| (event.kind, event.user_id.as_deref(), event.consent_marketing)).collect();
    assert_eq!(who, [(EventKind::Identify, Some("1"), Some(true)), (EventKind::Identify, Some("3"), Some(true))]);
    assert!(events.iter().all(|event| event.message_id.starts_with("till:d2:1.")));
    assert_ne!(events[0].message_id, events[1].message_id);
}

#[tokio::test]
async fn what_nobody_wants_is_passed_over_where_the_mapping_says_so() {
    let door = door();
    send_at(&door, seconds(), "d3", &json!({ "type": "drawer opened" })).await.is_accepted();
    assert_eq!(door.records(), []);
}

#[tokio::test]
async fn whoever_shows_no_card_is_the_receipts() {
    let door = door();
    let mut sale = sale();
    sale["member"] = Value::Null;
    send_at(&door, seconds(), "d1", &sale).await.is_accepted();
    let event = door.event();
    assert_eq!((event.user_id, event.anonymous_id.as_deref()), (None, Some("receipt-M-2026-000731")));
}

#[tokio::test]
async fn what_is_not_signed_as_the_mapping_says_is_refused() {
    let door = door();
    let body = sale().to_string();
    let (time, later) = (seconds().to_string(), (seconds() + 1).to_string());
    let right = signature(SECRET, "d1", &time, &body);
    let digits = right.strip_prefix("sha256=").unwrap();
    let of_body = format!("sha256={}", hex(&mac(SECRET.as_bytes(), &[&body])));
    let of_other = signature("another secret of a till", "d1", &time, &body);
    for (signature, delivery, time) in [
        (&of_body, "d1", &time),
        (&of_other, "d1", &time),
        (&right, "d1", &later),
        (&right, "d2", &time),
        (&digits.to_owned(), "d1", &time),
        (&right[..right.len() - 2].to_owned(), "d1", &time),
        (&format!("{right}0"), "d1", &time),
        (&"sha256=".to_owned(), "d1", &time),
        (&String::new(), "d1", &time),
    ] {
        let headers = [("x-pos-time", time.as_str()), ("x-pos-signature", signature), ("x-pos-delivery", delivery)];
        send(&door, &headers, &body).await.is_refused(401, "wrong_signature", "");
    }
    let all = [("x-pos-time", time.as_str()), ("x-pos-signature", &right), ("x-pos-delivery", "d1")];
    for missing in 0..all.len() {
        let some: Vec<_> = all.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, header)| *header).collect();
        send(&door, &some, &body).await.is_refused(401, "wrong_signature", "");
        // A second one could be read where the first is signed.
        let header = all[missing];
        let twice: Vec<_> = all.into_iter().chain([(header.0, "d2")]).collect();
        send(&door, &twice, &body).await.is_refused(401, "wrong_signature", "");
    }
    assert_eq!(door.records(), []);
    let both = format!("sha256=00 sha256={}", digits.to_uppercase());
    send(&door, &[all[0], ("x-pos-signature", &both), all[2]], &body).await.is_accepted();
}

#[tokio::test]
async fn digits_are_digits_and_nothing_that_numbers_may_begin_with() {
    let door = door();
    let time = seconds().to_string();
    // A signature with a byte below 16: `+f` is read as a number, too.
    let found = (0..).map(|number| format!("{{\"type\":\"drawer opened\",\"n\":{number}}}")).find_map(|body| {
        let right = signature(SECRET, "d1", &time, &body);
        let digits = right.strip_prefix("sha256=")?;
        let place = (0..digits.len()).step_by(2).find(|place| digits[*place..].starts_with('0'))?;
        Some((body, format!("sha256={}+{}", &digits[..place], &digits[place + 1..])))
    });
    let (body, wrong) = found.unwrap();
    let headers = [("x-pos-time", time.as_str()), ("x-pos-signature", &wrong), ("x-pos-delivery", "d1")];
    send(&door, &headers, &body).await.is_refused(401, "wrong_signature", "");
}

#[tokio::test]
async fn a_webhook_that_is_sent_again_goes_through_once_and_two_tills_of_one_mapping_are_two() {
    let example = PathBuf::from(EXAMPLES).join("point-of-sale.yaml");
    let other = WebhookOptions { id: "other".to_owned(), ..mapped(&example, SECRET) };
    let webhooks = vec![mapped(&example, SECRET), other];
    let door = Fixture::with(&DoorOptions { webhooks, ..DoorOptions::default() });
    let (time, body) = (seconds().to_string(), sale().to_string());
    let signature = signature(SECRET, "d1", &time, &body);
    for path in ["/webhooks/till", "/webhooks/till", "/webhooks/other"] {
        let request = request(Method::POST, path)
            .header("x-pos-time", &time)
            .header("x-pos-signature", &signature)
            .header("x-pos-delivery", "d1");
        door.send(request.body(Body::from(body.clone())).unwrap()).await.is_accepted();
    }
    assert_eq!(resolved(&door).len(), 2);
}

#[tokio::test]
async fn what_was_signed_longer_ago_than_the_tolerance_is_refused() {
    let door = door();
    for (off, is_taken) in [(0, true), (-300, true), (300, true), (-301, false), (301, false), (i64::MAX / 2, false)] {
        let answer = send_at(&door, seconds().saturating_add(off), "d4", &sale()).await;
        assert_eq!(answer.status.as_u16(), if is_taken { 200 } else { 401 }, "{off} s");
    }
}

#[tokio::test]
async fn a_webhook_that_can_not_be_computed_goes_to_the_dead_letters_as_it_came() {
    let door = door();
    let mut payload = sale();
    payload["total_cents"] = "much".into();
    send_at(&door, seconds(), "d5", &payload).await.is_accepted();
    let [letter] = &door.records()[..] else { panic!("one letter") };
    assert_eq!((letter.dataset, &letter.value[..]), ("platform.deadletters", payload.to_string().as_bytes()));
    assert_eq!(header_of(letter, "__connect.errors.exception.class.name"), "not_computed");
    let message = header_of(letter, "__connect.errors.exception.message");
    assert!(message.contains("`events[0].properties.total`") && !message.contains("much"), "{message}");
    assert_eq!(header_of(letter, "vuelve.webhook.topic"), "point-of-sale");
}

#[tokio::test]
async fn lists_without_end_are_not_gone_through() {
    let door = door();
    let payload = json!({ "type": "members", "members": vec![json!([]); 2_501] });
    send_at(&door, seconds(), "d6", &payload).await.is_accepted();
    assert_eq!(header_of(&door.records()[0], "__connect.errors.exception.class.name"), "too_large");
    let wide: serde_json::Map<_, _> = (0..2_501).map(|number| (format!("m{number}"), Value::Null)).collect();
    send_at(&door, seconds(), "d7", &json!({ "type": "members", "wide": wide })).await.is_accepted();
    assert_eq!(header_of(&door.records()[0], "__connect.errors.exception.class.name"), "too_large");
}

#[tokio::test]
async fn webhooks_of_the_standard_are_known_by_their_three_headers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("standard.yaml");
    std::fs::write(
        &file,
        "mapping: standard\nsignature: standard-webhooks\nevents:\n  - { event_from: payload.type, user_id: payload.data.customer }\n",
    )
    .unwrap();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let key = STANDARD.decode(&secret[6..]).unwrap();
    let door = Fixture::with(&DoorOptions { webhooks: vec![mapped(&file, secret)], ..DoorOptions::default() });
    let (time, body) = (seconds().to_string(), r#"{"type":"invoice.paid","data":{"customer":"c-1"}}"#);
    let signed = |id: &str| format!("v1,{}", STANDARD.encode(mac(&key, &[id, ".", &time, ".", body])));
    let both = format!("v1,bm90IHRoaXMgb25l {} v1a,c29tZXRoaW5n", signed("msg_1"));
    let headers =
        |signature| [("webhook-id", "msg_1"), ("webhook-timestamp", &*time), ("webhook-signature", signature)];
    send(&door, &headers(&both), body).await.is_accepted();
    let event = door.event();
    assert_eq!((event.name.as_str(), event.message_id.as_str()), ("invoice.paid", "till:msg_1:0"));
    send(&door, &headers(&signed("msg_2")), body).await.is_refused(401, "wrong_signature", "");
}

#[test]
fn what_others_publish_as_signed_is_signed() {
    // The example of docs.svix.com, "How to verify webhooks".
    let signature_of = |scheme: &str| {
        let text = format!("mapping: standard\nsignature: {scheme}\nevents: [{{ event: E, user_id: payload.test }}]\n");
        parse_mapping("standard.yaml", &text).unwrap().signature
    };
    let signature = signature_of("standard-webhooks");
    let written_out = "{ header: Webhook-Signature, encoding: base64, prefix: 'v1,', secret: whsec, \
                       before_body: [Webhook-Id, Webhook-Timestamp], timestamp: Webhook-Timestamp }";
    assert_eq!(signature_of(written_out), signature);
    let header = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let headers = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    let headers = headers.map(header).into_iter().collect();
    let signed = |body: &[u8]| is_signed_as(&signature, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &headers, body);
    assert_eq!(signed(br#"{"test": 2432232314}"#), Ok(true));
    assert_eq!(signed(br#"{"test": 2432232315}"#), Ok(false));
    assert!(is_signed_as(&signature, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &headers, b"").is_err());
}

#[tokio::test]
async fn what_no_event_wants_or_is_no_object_is_a_dead_letter_and_a_list_may_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("strict.yaml");
    std::fs::write(&file, "mapping: strict\nsignature: { header: X-S, encoding: base64 }\nevents:\n  - { when: has(payload.a), event: E, user_id: payload.a }\n  - { each: 'type(payload) == list ? payload : []', event: F, user_id: item }\n").unwrap();
    let Err(problems) = Webhooks::load(&[mapped(&file, SECRET)], variable) else {
        panic!("`type` is no function here")
    };
    assert!(problems[0].problem.contains("`type`"), "{problems:?}");
    std::fs::write(&file, "mapping: strict\nsignature: { header: X-S, encoding: base64 }\nevents:\n  - { each: payload, event: F, user_id: item }\n").unwrap();
    let door = Fixture::with(&DoorOptions { webhooks: vec![mapped(&file, SECRET)], ..DoorOptions::default() });
    let sent = async |body: &str| {
        let signature = STANDARD.encode(mac(SECRET.as_bytes(), &[body]));
        send(&door, &[("x-s", &signature)], body).await
    };
    sent(r#"["a","b"]"#).await.is_accepted();
    assert_eq!(door.events().len(), 2);
    for (body, reason) in [("[]", "not_wanted"), ("{}", "not_computed"), ("7", "not_computed")] {
        sent(body).await.is_accepted();
        let [letter] = &door.records()[..] else { panic!("one letter") };
        assert_eq!(
            (&letter.value[..], header_of(letter, "__connect.errors.exception.class.name")),
            (body.as_bytes(), reason)
        );
    }
    sent("{").await.is_refused(400, "unreadable", "");
}

#[tokio::test]
async fn a_mapping_is_replaced_without_a_restart_and_a_wrong_one_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("till.yaml");
    let write = |event: &str| {
        let text = format!(
            "mapping: till\nsignature: {{ header: X-S }}\nevents: [{{ event: {event}, user_id: payload.who }}]\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    write("First");
    let door = Fixture::with(&DoorOptions { webhooks: vec![mapped(&file, SECRET)], ..DoorOptions::default() });
    let body = r#"{"who":"a"}"#;
    let signature = hex(&mac(SECRET.as_bytes(), &[body]));
    let name = async || {
        send(&door, &[("x-s", &signature)], body).await.is_accepted();
        door.event().name
    };
    assert_eq!(name().await, "First");
    assert_eq!(door.webhooks().reload(variable), Ok(false));
    write("Second");
    assert_eq!(door.webhooks().reload(variable), Ok(true));
    assert_eq!(name().await, "Second");
    write("[Third");
    let problems = door.webhooks().reload(variable).unwrap_err();
    assert!(problems[0].to_string().contains("till.yaml:3:"), "{problems:?}");
    assert_eq!(name().await, "Second");
}

#[test]
fn a_mapping_needs_its_file_and_nobody_else_has_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.yaml");
    std::fs::write(&file, "mapping: till\nsignature: standard-webhook\n").unwrap();
    let standard = folder.path().join("standard.yaml");
    std::fs::write(&standard, "mapping: s\nsignature: standard-webhooks\nevents: [{ event: E, user_id: payload.a }]\n")
        .unwrap();
    for (options, says) in [
        (WebhookOptions { mapping_file: None, ..mapped(&file, SECRET) }, "needs a `mapping_file`"),
        (WebhookOptions { kind: WebhookKind::Shopify, ..mapped(&file, SECRET) }, "alone"),
        (mapped(&folder.path().join("none.yaml"), SECRET), "can't be read"),
        (mapped(&file, SECRET), "wrong.yaml:2:12: error: there is no signature `standard-webhook`"),
        (mapped(&standard, "whsec_!!! not of base64 !!!"), "in base64"),
    ] {
        let problems = Webhooks::load(&[options], variable).unwrap_err();
        assert!(problems.iter().any(|problem| problem.problem.contains(says)), "{says}: {problems:?}");
    }
}
