//! What an event becomes, case by case.

use domain::{Currency, Timestamp};
use ingestion::mapping::{self, CallKind, Envelope, Refusal, Scope, Source};
use schemas::{Contact, EventKind, Order, Product, StorefrontEvent};
use serde_json::{Value, json};

use crate::support::{NOW, address_secret};

pub(crate) fn map_text(kind: CallKind, json: &str) -> Result<StorefrontEvent, Refusal> {
    let secret = address_secret();
    let envelope = Envelope {
        received_at: NOW,
        source: Source { id: "web", shop: "demo", currency: Currency::parse("EUR").unwrap(), scope: Scope::Server },
        traceparent: None,
        address_secret: &secret,
        random: 0xabc,
    };
    mapping::map(&mapping::read_call(kind, json).unwrap(), 0, &envelope)
}

fn track(event: &str, properties: &Value) -> StorefrontEvent {
    let body = json!({ "event": event, "userId": "u1", "messageId": "m1", "properties": properties });
    map_text(CallKind::Single(EventKind::Track), &body.to_string()).unwrap()
}

fn single(kind: EventKind, body: &Value) -> StorefrontEvent {
    map_text(CallKind::Single(kind), &body.to_string()).unwrap()
}

fn batched(body: &Value) -> StorefrontEvent {
    map_text(CallKind::Batch, &body.to_string()).unwrap()
}

fn parsed(json: Option<&String>) -> Value {
    json.map_or(Value::Null, |json| serde_json::from_str(json).unwrap())
}

#[allow(clippy::unnecessary_wraps, reason = "it says what an optional field holds")]
fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_product_added_has_its_cart_and_its_product() {
    let event = track(
        "Product Added",
        &json!({ "cart_id": "c-1", "product_id": 461_686, "sku": "S1", "name": "Mug", "brand": "B", "variant": "red",
                 "category": "Kitchen", "price": 19.99, "currency": "USD", "quantity": 2, "position": "3",
                 "url": "https://shop.example.com/mug", "image_url": "https://shop.example.com/mug.png", "coupon": "TEN" }),
    );
    assert_eq!((event.name.as_str(), event.cart_id.as_deref()), ("Product Added", Some("c-1")));
    let product = Product {
        product_id: text("461686"),
        sku: text("S1"),
        category: text("Kitchen"),
        name: text("Mug"),
        brand: text("B"),
        variant: text("red"),
        coupon: text("TEN"),
        url: text("https://shop.example.com/mug"),
        image_url: text("https://shop.example.com/mug.png"),
        price_minor: Some(1999),
        currency: text("USD"),
        quantity: Some(2),
        position: Some(3),
    };
    assert_eq!(event.product, Some(product));
    assert_eq!((event.order, event.properties_json), (None, None));
}

#[test]
fn an_order_completed_has_its_amounts_and_its_products() {
    let event = track(
        "Order Completed",
        &json!({ "order_id": "o-1", "checkout_id": "k-1", "affiliation": "web", "coupon": "TEN", "currency": "USD",
                 "total": "27.50", "revenue": 25.00, "subtotal": 22.5, "shipping": 3, "tax": 2, "discount": 2.5,
                 "products": [{ "product_id": "p1", "price": 10, "quantity": 1 }, { "sku": "s2", "price": "0.1" }] }),
    );
    let order = Order {
        order_id: text("o-1"),
        checkout_id: text("k-1"),
        affiliation: text("web"),
        coupon: text("TEN"),
        currency: text("USD"),
        total_minor: Some(2750),
        revenue_minor: Some(2500),
        subtotal_minor: Some(2250),
        shipping_minor: Some(300),
        tax_minor: Some(200),
        discount_minor: Some(250),
    };
    assert_eq!(event.order, Some(order));
    let prices: Vec<_> = event.products.iter().map(|p| (p.price_minor, p.currency.as_deref(), p.quantity)).collect();
    assert_eq!(prices, [(Some(1000), Some("USD"), Some(1)), (Some(10), Some("USD"), None)]);
    assert_eq!((event.product, event.properties_json), (None, None));
}

#[test]
fn amounts_are_exact_and_what_is_not_said_by_them_stays() {
    // (price, currency, minor units, is the price kept in the rest?)
    for (price, currency, minor, kept) in [
        ("0.1", "USD", Some(10), false),
        ("4503599627370497.01", "USD", Some(450_359_962_737_049_701), false),
        ("\"19.9\"", "USD", Some(1990), false),
        ("1.990e1", "USD", Some(1990), false),
        ("-5", "USD", Some(-500), false),
        ("500", "JPY", Some(500), false),
        ("1.234", "KWD", Some(1234), false),
        ("19.995", "USD", Some(2000), true),
        ("499.5", "JPY", Some(500), true),
        ("\"19,99\"", "USD", None, true),
        ("\"free\"", "USD", None, true),
        ("1e300", "USD", None, true),
        ("19.99", "EURO", None, true),
        ("true", "USD", None, true),
    ] {
        let body = format!(
            r#"{{"event":"Product Viewed","userId":"u","properties":{{"product_id":"p","price":{price},"currency":"{currency}"}}}}"#
        );
        let event = map_text(CallKind::Single(EventKind::Track), &body).unwrap();
        assert_eq!(event.product.unwrap().price_minor, minor, "{price} {currency}");
        let rest = event.properties_json.unwrap_or_default();
        assert_eq!(rest.contains(&format!("\"price\":{price}")), kept, "{price} {currency}: {rest}");
    }
}

#[test]
fn an_amount_without_a_currency_is_in_the_shops_and_no_amount_needs_none() {
    let product = |properties: &Value| track("Product Viewed", properties).product.unwrap();
    let priced = product(&json!({ "product_id": "p", "price": 5 }));
    assert_eq!((priced.price_minor, priced.currency.as_deref()), (Some(500), Some("EUR")));
    assert_eq!(product(&json!({ "product_id": "p" })).currency, None);
    let lower = track("Product Viewed", &json!({ "product_id": "p", "price": 5, "currency": "usd" }));
    assert_eq!(lower.product.unwrap().currency.as_deref(), Some("USD"));
    assert_eq!(parsed(lower.properties_json.as_ref()), json!({ "currency": "usd" }));
}

#[test]
fn properties_that_we_have_no_field_for_are_kept_to_the_letter() {
    let body = r#"{"event":"Product Reviewed","userId":"u","properties":{"product_id":"p1",
        "review_id":"r1", "rating" : "4", "score": 1.10, "big": 12345678901234567890123, "deep": { "a": [1,  2] }, "x":null}}"#;
    let event = map_text(CallKind::Single(EventKind::Track), body).unwrap();
    assert_eq!(event.product.unwrap().product_id.as_deref(), Some("p1"));
    assert_eq!(
        event.properties_json.as_deref(),
        Some(
            r#"{"review_id":"r1","rating":"4","score":1.10,"big":12345678901234567890123,"deep":{ "a": [1,  2] },"x":null}"#
        )
    );
}

#[test]
fn products_with_properties_of_their_own_are_kept_whole_beside_the_typed_ones() {
    let products = json!([{ "product_id": "p1", "engraving": "Ana" }, 7]);
    let event = track("Cart Viewed", &json!({ "cart_id": "c1", "products": products }));
    assert_eq!(event.products.len(), 1);
    assert_eq!(parsed(event.properties_json.as_ref()), json!({ "products": products }));
}

#[test]
fn names_of_version_1_become_those_of_version_2_and_own_names_stay() {
    for (sent, canonical) in [
        ("Viewed Product Category", "Product List Viewed"),
        ("Viewed Product", "Product Viewed"),
        ("Clicked Product", "Product Clicked"),
        ("Added Product", "Product Added"),
        ("Removed Product", "Product Removed"),
        ("Completed Order", "Order Completed"),
        ("Updated Order", "Order Updated"),
        ("Viewed Promotion", "Promotion Viewed"),
        ("Clicked Promotion", "Promotion Clicked"),
        ("product added", "Product Added"),
        ("  Order Completed ", "Order Completed"),
        ("Loyalty Card Scanned", "Loyalty Card Scanned"),
        ("product_added", "product_added"),
    ] {
        assert_eq!(track(sent, &json!({})).name, canonical);
    }
    let old = track("Added Product", &json!({ "id": "p1", "name": "Mug" }));
    assert_eq!(old.product.unwrap().product_id.as_deref(), Some("p1"), "version 1 calls it id");
}

#[test]
fn a_promotion_is_no_product() {
    let event = track("Promotion Viewed", &json!({ "promotion_id": "x", "name": "Summer", "position": "top" }));
    assert_eq!(event.product, None);
    assert_eq!(parsed(event.properties_json.as_ref())["name"], "Summer");
}

#[test]
fn the_clients_clock_is_believed_for_distances_and_not_for_dates() {
    let now = jiff::Timestamp::from_millisecond(NOW.as_millis()).unwrap();
    let at = |seconds: i64| (now + jiff::SignedDuration::from_secs(seconds)).to_string();
    let time = |fields: Value| {
        let mut body = json!({ "event": "X", "userId": "u" });
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Timestamp::from_millis(single(EventKind::Track, &body).event_time).millis_since(NOW) / 1000
    };
    // A clock that is a year ahead, five minutes between event and sending.
    assert_eq!(time(json!({ "timestamp": at(31_536_000), "sentAt": at(31_536_300) })), -300);
    // A clock that begins in 1970.
    assert_eq!(time(json!({ "timestamp": "1970-01-01T00:00:10Z", "sentAt": "1970-01-01T00:00:40Z" })), -30);
    assert_eq!(time(json!({ "originalTimestamp": at(-60), "timestamp": at(-9), "sentAt": at(0) })), -9);
    assert_eq!(time(json!({ "timestamp": at(-60) })), -60, "no time of sending: as it is");
    assert_eq!(time(json!({})), 0, "no time: that of receipt");
    assert_eq!(time(json!({ "timestamp": "yesterday" })), 0);
    assert_eq!(time(json!({ "timestamp": "2099-01-01T00:00:00Z" })), 0, "the future is clamped");
    assert_eq!(time(json!({ "timestamp": at(60), "sentAt": at(0) })), 0, "sent before it happened");
    assert_eq!(time(json!({ "timestamp": "1970-01-01T00:00:00Z" })), 0, "1970 is a clock that was never set");
    assert_eq!(time(json!({ "timestamp": 0 })), 0);
    assert_eq!(time(json!({ "timestamp": "1989-12-31T23:59:59Z" })), 0);
    assert_eq!(time(json!({ "timestamp": "1990-01-01T00:00:00Z" })), 631_152_000 - NOW.as_millis() / 1000);
}

#[test]
fn times_are_read_in_every_form_that_sdks_use() {
    let expected = 1_748_779_200_000;
    for (written, millis) in [
        (json!("2025-06-01T12:00:00.123Z"), 123),
        (json!("2025-06-01T12:00:00.123456+00:00"), 123),
        (json!("2025-06-01T09:00:00-03:00"), 0),
        (json!("2025-06-01T12:00:00"), 0),
        (json!("2025-06-01 12:00:00"), 0),
        (json!(1_748_779_200), 0),
        (json!(1_748_779_200_123_u64), 123),
        (json!(1_748_779_200_123_000_u64), 123),
        (json!("1748779200123"), 123),
    ] {
        let event = single(EventKind::Track, &json!({ "event": "X", "userId": "u", "timestamp": written }));
        assert_eq!(event.event_time, expected + millis, "{written}");
    }
}

#[test]
fn a_batch_shares_its_context_and_its_time_of_sending_and_the_event_goes_first() {
    let event = batched(&json!({
        "batch": [{ "type": "track", "event": "X", "userId": "u", "context": { "locale": "es-AR", "ip": "203.0.113.7" },
                    "integrations": { "A": true } }],
        "context": { "locale": "en", "timezone": "America/Bogota", "active": true },
        "integrations": { "A": false, "B": false },
        "sentAt": "2026-03-01T11:59:00Z",
    }));
    let contact = Contact { locale: text("es-AR"), time_zone: text("America/Bogota"), ..Contact::default() };
    assert_eq!(event.contact, Some(contact));
    assert_eq!(
        parsed(event.context_json.as_ref()),
        json!({ "ip": "203.0.113.7", "active": true, "integrations": { "A": true, "B": false } })
    );
    assert_eq!(event.sent_at, Some(NOW.as_millis() - 60_000));
}

#[test]
fn traits_become_the_contact_and_the_rest_stays() {
    let event = single(
        EventKind::Identify,
        &json!({
            "userId": "u1",
            "traits": { "email": "ana@example.com", "phone": "+34600000001", "firstName": "Ana", "last_name": "Ruiz",
                        "locale": "es", "timezone": "Europe/Madrid", "birthday": "1990-05-01", "vip": true },
            "context": { "traits": { "email": "old@example.com", "plan": "gold" }, "locale": "en", "timezone": "UTC" },
        }),
    );
    let contact = Contact {
        email: text("ana@example.com"),
        phone: text("+34600000001"),
        first_name: text("Ana"),
        last_name: text("Ruiz"),
        locale: text("es"),
        time_zone: text("Europe/Madrid"),
    };
    assert_eq!(event.contact, Some(contact));
    assert_eq!(parsed(event.traits_json.as_ref()), json!({ "birthday": "1990-05-01", "vip": true, "plan": "gold" }));
    assert_eq!(parsed(event.context_json.as_ref()), json!({ "locale": "en", "timezone": "UTC" }));
}

#[test]
fn what_is_no_address_is_no_contact() {
    for email in ["", "none", "a@b", "a b@example.com", "@example.com", "x@example.com\nBcc: y@example.com"] {
        let event = single(EventKind::Identify, &json!({ "userId": "u", "traits": { "email": email } }));
        assert_eq!(event.contact, None, "{email:?}");
        assert_eq!(parsed(event.traits_json.as_ref()), json!({ "email": email }), "it stays a trait");
    }
}

#[test]
fn a_groups_traits_are_not_hers() {
    let body = json!({ "userId": "u", "groupId": "g", "traits": { "email": "office@example.com", "plan": "x" } });
    let event = single(EventKind::Group, &body);
    assert_eq!((event.group_id.as_deref(), event.contact, event.traits_json), (Some("g"), None, None));
    assert_eq!(parsed(event.properties_json.as_ref()), json!({ "email": "office@example.com", "plan": "x" }));
}

#[test]
fn an_order_of_a_guest_says_how_to_reach_her() {
    let event = track("Order Completed", &json!({ "order_id": "o1", "email": "eva@example.com" }));
    assert_eq!(event.contact.unwrap().email.as_deref(), Some("eva@example.com"));
    assert_eq!(event.properties_json, None);
}

#[test]
fn an_order_without_a_user_id_names_the_customer_of_its_address() {
    let order = |event: &str, more: &Value| {
        let mut body = json!({ "event": event, "properties": { "order_id": "o1", "email": "Eva@example.com" } });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        map_text(CallKind::Single(EventKind::Track), &body.to_string())
    };
    let hash = single(EventKind::Track, &json!({ "event": "X", "userId": "eva@example.com" })).user_id;
    // On a device whose it is the resolver says; by itself it is hers.
    let on_a_device = order("Completed Order", &json!({ "anonymousId": "a1" })).unwrap();
    assert_eq!((&on_a_device.user_id, &on_a_device.address_id), (&None, &hash));
    let alone = order("Order Refunded", &json!({ "anonymousId": "undefined" })).unwrap();
    assert_eq!((&alone.user_id, &alone.anonymous_id, &alone.address_id), (&hash, &None, &None));
    let of_a_user = order("Order Completed", &json!({ "userId": "u1", "anonymousId": "a1" })).unwrap();
    assert_eq!((of_a_user.user_id.as_deref(), &of_a_user.address_id), (Some("u1"), &None));
    // What is typed into a checkout, or asked for by a newsletter's form, is no order.
    let checkout = order("Checkout Started", &json!({ "anonymousId": "a1" })).unwrap();
    assert_eq!((checkout.address_id, checkout.contact.is_some()), (None, true));
    assert_eq!(order("Checkout Started", &json!({})), Err(Refusal::NoId));
    assert_eq!(order("Order Completed", &json!({ "properties": { "order_id": "o1" } })), Err(Refusal::NoId));
}

#[test]
fn nobody_outside_says_that_somebody_was_recognised() {
    for kind in ["identified", "moved", "Identified"] {
        let body = json!({ "batch": [{ "type": kind, "userId": "u1", "anonymousId": "a1" }] });
        assert_eq!(map_text(CallKind::Batch, &body.to_string()), Err(Refusal::NoKind));
    }
}

#[test]
fn an_id_that_is_an_address_is_replaced_by_its_hash() {
    let event = |id: &str| single(EventKind::Track, &json!({ "event": "X", "userId": id }));
    let (typed, other) = (event("Ana@Example.com"), event("ana@example.com"));
    let id = typed.user_id.unwrap();
    assert!(id.starts_with("address-") && id.len() == 40, "{id}");
    assert_eq!(other.user_id.as_ref(), Some(&id), "however it is typed");
    assert_eq!(typed.contact.unwrap().email.as_deref(), Some("Ana@Example.com"), "so that she can still be reached");
    assert_eq!(event("+34 600 000 001").contact.unwrap().phone.as_deref(), Some("+34 600 000 001"));
    assert_eq!(event("34600000001").user_id.as_deref(), Some("34600000001"), "digits alone are a customer number");
    let rest = format!("{:?}{:?}", other.properties_json, other.context_json);
    assert!(!rest.contains("ana@"), "{rest}");
}

#[test]
fn a_groups_id_that_is_an_address_is_replaced_too_and_is_no_way_to_reach_her() {
    let group =
        |id: &str| single(EventKind::Group, &json!({ "userId": "u", "groupId": id, "traits": { "plan": "x" } }));
    let hers = single(EventKind::Identify, &json!({ "userId": "ana@example.com" }));
    let (office, phone) = (group(" Ana@Example.com"), group("+34 600 000 001"));
    assert_eq!(office.group_id, hers.user_id, "the same address, the same hash");
    assert!(phone.group_id.is_some_and(|id| id.starts_with("address-")));
    assert_eq!((office.contact, phone.contact), (None, None));
    let kept = json!({ "extra": { "groupId": " Ana@Example.com" } });
    assert_eq!(parsed(office.context_json.as_ref()), kept, "it is not lost, and lies where personal data may");
    let (own, digits) = (group("acme"), group("34600000001"));
    assert_eq!((own.group_id.as_deref(), own.context_json), (Some("acme"), None));
    assert_eq!(digits.group_id.as_deref(), Some("34600000001"));
}

#[test]
fn ids_of_nobody_count_as_none() {
    for nobody in
        [json!(null), json!(""), json!(" "), json!("undefined"), json!("NULL"), json!("[object Object]"), json!({})]
    {
        let event = single(EventKind::Track, &json!({ "event": "X", "userId": nobody, "anonymousId": "a1" }));
        assert_eq!((event.user_id, event.anonymous_id.as_deref()), (None, Some("a1")), "{nobody}");
    }
    let number = single(EventKind::Track, &json!({ "event": "X", "userId": 42 }));
    assert_eq!(number.user_id.as_deref(), Some("42"));
}

#[test]
fn consent_is_read_where_the_event_says_it() {
    let consent =
        |context: Value| single(EventKind::Track, &json!({ "event": "X", "userId": "u", "context": context }));
    assert_eq!(consent(json!({})).consent_marketing, None);
    assert_eq!(consent(json!({ "consent": true })).consent_marketing, Some(true));
    assert_eq!(consent(json!({ "consent": { "marketing": false } })).consent_marketing, Some(false));
    let segments = consent(json!({ "consent": { "categoryPreferences": { "Analytics": true, "Marketing": false } } }));
    assert_eq!(segments.consent_marketing, Some(false));
    assert!(segments.context_json.unwrap().contains("Analytics"), "the evidence is kept");
    assert_eq!(consent(json!({ "consent": "maybe" })).consent_marketing, None);
}

#[test]
fn a_page_has_its_name_and_its_category() {
    let body = json!({ "anonymousId": "a", "name": "Home", "category": "Docs", "properties": { "path": "/" } });
    let event = single(EventKind::Page, &body);
    assert_eq!((event.kind, event.name.as_str()), (EventKind::Page, "Home"));
    assert_eq!(parsed(event.properties_json.as_ref()), json!({ "path": "/", "category": "Docs" }));
    assert_eq!(single(EventKind::Screen, &json!({ "anonymousId": "a" })).name, "");
}

#[test]
fn an_import_says_so() {
    let body = |context: Value| json!({ "event": "X", "userId": "u", "context": context });
    assert!(single(EventKind::Track, &body(json!({ "historical": true }))).historical);
    assert!(!single(EventKind::Track, &body(json!({ "historical": "yes" }))).historical);
}

#[test]
fn what_stands_beside_the_known_names_is_kept_too() {
    let body = json!({ "event": "X", "userId": "u", "channel": "server", "properties": [1], "type": "track", "_metadata": {},
                       "context": { "library": { "name": "lib", "version": "1.2", "build": 3 } } });
    let event = single(EventKind::Track, &body);
    assert_eq!(event.library.as_deref(), Some("lib/1.2"));
    assert_eq!(
        parsed(event.context_json.as_ref()),
        json!({ "library": { "name": "lib", "version": "1.2", "build": 3 }, "extra": { "channel": "server", "properties": [1] } })
    );
}

#[test]
fn a_repeat_has_the_same_message_id_even_if_it_has_none_of_its_own() {
    let id = |body: Value| single(EventKind::Track, &body).message_id;
    assert_eq!(id(json!({ "event": "X", "userId": "u", "messageId": "m-7" })), "m-7");
    let long = || id(json!({ "event": "X", "userId": "u", "messageId": "m".repeat(101) }));
    assert_eq!((long().len(), long()), (34, long()));
    let timed = |name: &str| id(json!({ "event": name, "userId": "u", "timestamp": "2026-01-01T00:00:00Z" }));
    assert_eq!(timed("X"), timed("X"));
    assert_ne!(timed("X"), timed("Y"));
    let batch =
        json!({ "batch": [{ "type": "track", "event": "X", "userId": "u" }], "timestamp": "2026-01-01T00:00:00Z" });
    assert!(batched(&batch).message_id.starts_with("r-"), "a time that all share tells no two apart");
    assert!(id(json!({ "event": "X", "userId": "u" })).starts_with("r-"), "without a time two may be two");
}

#[test]
fn half_an_emoji_becomes_the_replacement_character_and_whole_ones_stay() {
    let mended = |json: &str| mapping::mend_surrogates(json).into_owned();
    assert_eq!(mended(r#""\ud83d\ude00 é \\ud83d \n \u00e9""#), r#""\ud83d\ude00 é \\ud83d \n \u00e9""#);
    assert_eq!(mended(r#""cut \ud83d""#), r#""cut \ufffd""#);
    assert_eq!(mended(r#""\ude00\uD83D\ud83d\ude00""#), r#""\ufffd\ufffd\ud83d\ude00""#);
    assert_eq!(mended(r#""\é\u12"#), r#""\é\u12"#);
    assert_eq!(mended(r"\"), r"\");
}
