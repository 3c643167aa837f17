//! Past data: what rows of orders, customers and events become, and for what they are refused.

use std::collections::BTreeSet;

use definitions::{parse_row_mapping, time_zone};
use domain::{Currency, Timestamp};
use ingestion::mapping::past::{Kind, Terms, Unfit};
use ingestion::mapping::{Envelope, Scope, Source};
use links::Secret;
use proptest::prelude::*;
use schemas::{EventKind, StorefrontEvent};
use serde_json::{Value, json};

/// 2026-03-01T12:00:00Z
const NOW: Timestamp = Timestamp::from_seconds(1_772_366_400);

fn terms(kind: Kind) -> Terms<'static> {
    Terms { kind, calls: false, mapping: None, time_zone: None, decimal_comma: false, historical: true }
}

fn event_of(terms: &Terms<'_>, rows: &[Value]) -> Result<StorefrontEvent, Unfit> {
    event_in("main", terms, rows)
}

fn event_in(shop: &str, terms: &Terms<'_>, rows: &[Value]) -> Result<StorefrontEvent, Unfit> {
    let secret = Secret::new(*b"a secret of thirty-two bytes, ok").unwrap();
    let source = Source { id: "import", shop, currency: Currency::parse("EUR").unwrap(), scope: Scope::Server };
    let envelope = Envelope { received_at: NOW, source, traceparent: None, address_secret: &secret, random: 7 };
    let mut columns = Vec::new();
    for row in rows {
        columns.extend(terms.columns(&row.to_string())?.map(std::borrow::Cow::into_owned));
    }
    terms.event(&columns, &envelope)
}

fn order(rows: &[Value]) -> Result<StorefrontEvent, Unfit> {
    event_of(&terms(Kind::Orders), rows)
}

fn reason(result: Result<StorefrontEvent, Unfit>) -> (&'static str, String) {
    let unfit = result.expect_err("it is refused");
    (unfit.reason(), unfit.to_string())
}

const AT: &str = "2024-05-01T10:00:00Z";

#[test]
fn an_order_of_one_row_is_an_order_completed_at_its_own_time_and_marked_as_history() {
    let row = json!({ "order_id": "1001", "customer_id": "c1", "email": "Ana@example.com", "time": AT, "currency": "USD",
                      "total": "1234.5", "coupon": "SPRING", "store": "Sol", "consent": "yes", "first_name": "Ana" });
    let event = order(&[row]).unwrap();
    assert_eq!((event.kind, event.name.as_str(), event.historical), (EventKind::Track, "Order Completed", true));
    assert_eq!((event.user_id.as_deref(), event.event_time), (Some("c1"), 1_714_557_600_000));
    assert_eq!(event.received_at, NOW.as_millis());
    assert_eq!((event.shop.as_str(), event.source.as_str()), ("main", "import"));
    assert_eq!((event.library.as_deref(), event.consent_marketing), (Some("vuelve-import"), Some(true)));
    let contact = event.contact.unwrap();
    assert_eq!((contact.email.as_deref(), contact.first_name.as_deref()), (Some("Ana@example.com"), Some("Ana")));
    let order = event.order.unwrap();
    assert_eq!((order.total_minor, order.currency.as_deref()), (Some(123_450), Some("USD")));
    assert_eq!((order.order_id.as_deref(), order.coupon.as_deref()), (Some("1001"), Some("SPRING")));
    let rest: Value = serde_json::from_str(&event.properties_json.unwrap()).unwrap();
    assert_eq!(rest, json!({ "store": "Sol" }), "what has no field is a property");
}

#[test]
fn the_rows_of_an_order_are_its_lines_and_need_not_repeat_what_another_has_said() {
    let rows = [
        json!({ "order_id": "1", "customer_id": "c", "time": AT, "total": "30.00", "product_id": "p1", "quantity": "2",
                "price": "10.00", "item.gift": "yes" }),
        json!({ "order_id": "1", "product_id": "p2", "product_name": "Lamp", "quantity": 1, "price": 10 }),
        json!({ "order_id": "1", "customer_id": "c", "sku": "s3" }),
    ];
    let event = order(&rows).unwrap();
    let products: Vec<_> =
        event.products.iter().map(|p| (p.product_id.as_deref(), p.quantity, p.price_minor)).collect();
    assert_eq!(products, [(Some("p1"), Some(2), Some(1_000)), (Some("p2"), Some(1), Some(1_000)), (None, None, None)]);
    assert_eq!((event.products[1].name.as_deref(), event.products[2].sku.as_deref()), (Some("Lamp"), Some("s3")));
    assert!(event.properties_json.unwrap().contains(r#""gift":"yes""#), "nothing of a line is lost");

    let mut other = rows.clone();
    other[1]["total"] = json!("31.00");
    let (word, told) = reason(order(&other));
    assert_eq!(word, "rows_differ");
    assert!(told.contains("`total`"), "{told}");
}

#[test]
fn a_list_of_items_is_the_lines_too() {
    let items = json!([{ "product_id": "p1", "price": 19.9, "quantity": 2 }, { "sku": "s", "price": "5" }]);
    let event = order(&[json!({ "order_id": 7, "customer_id": 42, "time": AT, "items": items })]).unwrap();
    assert_eq!(event.user_id.as_deref(), Some("42"));
    assert_eq!(event.products.iter().map(|p| p.price_minor).collect::<Vec<_>>(), [Some(1_990), Some(500)]);
    let (word, _) = reason(order(&[json!({ "order_id": 7, "customer_id": 42, "time": AT, "items": "p1, p2" })]));
    assert_eq!(word, "bad_products");
}

#[test]
fn who_is_known_by_an_address_alone_goes_by_its_hash_as_at_the_door() {
    let event = order(&[json!({ "order_id": "1", "email": "ana@example.com", "time": AT })]).unwrap();
    let id = event.user_id.unwrap();
    assert!(id.starts_with("address-"), "{id}");
    let kept = format!("{:?}{:?}{:?}", event.properties_json, event.traits_json, event.context_json);
    assert!(!kept.contains("ana@"), "{kept}");
    assert_eq!(event.contact.unwrap().email.as_deref(), Some("ana@example.com"));
    for nobody in [
        json!({ "order_id": "1", "time": AT }),
        json!({ "order_id": "1", "time": AT, "email": "none" }),
        json!({ "order_id": "1", "time": AT, "customer_id": "NULL" }),
    ] {
        assert_eq!(reason(order(&[nobody])).0, "no_id");
    }
}

#[test]
fn what_can_not_be_read_refuses_the_row_with_its_column_and_value() {
    let base = json!({ "order_id": "1", "customer_id": "c", "time": AT });
    for (column, value, word) in [
        ("total", json!("12,50"), "bad_amount"),
        ("total", json!("€ 12"), "bad_amount"),
        ("price", json!("free"), "bad_amount"),
        ("tax", json!([1]), "bad_amount"),
        ("quantity", json!("a few"), "bad_number"),
        ("quantity", json!(1.5), "bad_number"),
        ("currency", json!("euros"), "bad_currency"),
        ("consent", json!("maybe"), "bad_consent"),
        ("time", json!("yesterday"), "bad_time"),
        ("time", json!("31/12/2024"), "bad_time"),
        ("time", json!("2024-05-01 10:00"), "no_time_zone"),
        ("time", json!("2024-05-01"), "no_time_zone"),
        ("time", json!("1970-01-01T00:00:00Z"), "not_past"),
        ("time", json!("2999-01-01T00:00:00Z"), "not_past"),
        ("time", json!(20_240_501), "not_past"),
        ("time", json!(null), "no_time"),
        ("order_id", json!(null), "no_order_id"),
        ("customer_id", json!("x".repeat(256)), "id_too_long"),
    ] {
        let mut row = base.clone();
        row[column] = value.clone();
        let (found, told) = reason(order(&[row]));
        assert_eq!(found, word, "{column} {value}: {told}");
        assert!(told.contains(&format!("`{column}`")) || word == "id_too_long", "{told}");
    }
}

#[test]
fn times_of_no_zone_are_of_the_zone_that_is_said() {
    let zone = time_zone("Europe/Madrid").unwrap();
    let terms = Terms { time_zone: Some(&zone), ..terms(Kind::Orders) };
    let time = |written: Value| {
        let row = json!({ "order_id": "1", "customer_id": "c", "time": written });
        event_of(&terms, &[row]).unwrap_or_else(|unfit| panic!("{unfit}")).event_time
    };
    let noon = 1_714_557_600_000;
    for written in [
        json!("2024-05-01T12:00:00"),
        json!("2024-05-01 12:00:00"),
        json!("2024-05-01 12:00"),
        json!("2024-05-01 12:00:00 +0200"),
        json!("2024-05-01 10:00:00 UTC"),
        json!("2024-05-01T05:00:00-05:00"),
        json!(1_714_557_600),
        json!("1714557600000"),
    ] {
        assert_eq!(time(written.clone()), noon, "{written}");
    }
    assert_eq!(time(json!("2024-05-01")), noon - 12 * 3_600_000, "a date is its midnight");
    // Clocks went from 2:00 to 3:00, and in October from 3:00 back to 2:00.
    assert_eq!(time(json!("2024-03-31 02:30")), time(json!("2024-03-31T01:30:00Z")));
    assert_eq!(time(json!("2024-10-27 02:30")), time(json!("2024-10-27T00:30:00Z")));
}

#[test]
fn amounts_with_a_decimal_comma_are_read_where_it_is_said_and_numbers_as_they_are() {
    let terms = Terms { decimal_comma: true, ..terms(Kind::Orders) };
    let total = |written: Value| {
        let row = json!({ "order_id": "1", "customer_id": "c", "time": AT, "total": written });
        event_of(&terms, &[row]).unwrap().order.unwrap().total_minor
    };
    assert_eq!(total(json!("1.234,50")), Some(123_450));
    assert_eq!(total(json!("-3,5")), Some(-350));
    assert_eq!(total(json!("1.234")), Some(123_400));
    assert_eq!(total(json!(12.5)), Some(1_250));
}

#[test]
fn amounts_that_may_mean_thousands_are_refused_instead_of_being_read_as_fractions() {
    let total = |decimal_comma, currency: &str, written: Value| {
        let row = json!({ "order_id": "1", "customer_id": "c", "time": AT, "total": written, "currency": currency });
        event_of(&Terms { decimal_comma, ..terms(Kind::Orders) }, &[row]).map(|event| event.order.unwrap().total_minor)
    };
    for (decimal_comma, currency, written, word) in [
        (false, "CLP", "12.990", "ambiguous_amount"),
        (false, "CLP", "1.000", "ambiguous_amount"),
        (false, "JPY", "1.250", "ambiguous_amount"),
        (false, "EUR", "1.250", "ambiguous_amount"),
        (false, "EUR", "1234.505", "ambiguous_amount"),
        (true, "EUR", "1,250", "ambiguous_amount"),
        (true, "EUR", "4.90", "bad_amount"),
        (true, "EUR", "1.23,50", "bad_amount"),
        (true, "EUR", "1,234.50", "bad_amount"),
        (true, "EUR", "1234.567,00", "bad_amount"),
    ] {
        let unfit = total(decimal_comma, currency, json!(written)).expect_err(written);
        assert_eq!(unfit.reason(), word, "{written}");
        assert!(unfit.to_string().contains("--decimal-comma"), "{unfit}");
    }
    for (decimal_comma, currency, written, minor) in [
        (false, "EUR", json!("12.9000"), 1_290),
        (false, "EUR", json!("0.500"), 50),
        (false, "KWD", json!("1.250"), 1_250),
        (false, "EUR", json!(1.25), 125),
        (true, "CLP", json!("12.990"), 12_990),
        (true, "EUR", json!("1.234.567,5"), 123_456_750),
        (true, "EUR", json!("-1.250"), -125_000),
    ] {
        assert_eq!(total(decimal_comma, currency, written.clone()), Ok(Some(minor)), "{written}");
    }
}

#[test]
fn the_same_row_has_the_same_message_id_and_no_two_orders_have() {
    let row = |id: &str, total: &str| json!({ "order_id": id, "customer_id": "c", "time": AT, "total": total });
    let id = |row: Value| order(&[row]).unwrap().message_id;
    assert_eq!(id(row("1", "10")), id(row("1", "10")));
    assert_eq!(id(row("1", "10")), id(row("1", "11")), "an order counts once, also where its export changed");
    let mut refunded = row("1", "10");
    refunded["event"] = json!("Order Refunded");
    let ids = BTreeSet::from([id(row("1", "10")), id(row("2", "10")), id(refunded)]);
    assert_eq!(ids.len(), 3);
    let mut old_name = row("1", "10");
    old_name["event"] = json!("completed order");
    assert_eq!(id(old_name), id(row("1", "10")), "an event is the same by its old name");
    let other_shop = event_in("other", &terms(Kind::Orders), &[row("1", "10")]).unwrap().message_id;
    assert_ne!(other_shop, id(row("1", "10")), "two shops may count their orders alike");
    assert!(ids.iter().all(|id| id.len() <= 100 && id.starts_with("i-")));

    // Whether it opens journeys does not change what it is.
    let opening = Terms { historical: false, ..terms(Kind::Orders) };
    let event = event_of(&opening, &[row("1", "10")]).unwrap();
    assert_eq!((event.message_id, event.historical), (id(row("1", "10")), false));

    let customer = |plan: &str| event_of(&terms(Kind::Customers), &[json!({ "customer_id": "c", "plan": plan })]);
    let id = |plan: &str| customer(plan).unwrap().message_id;
    assert_eq!(id("gold"), id("gold"));
    assert_ne!(id("gold"), id("silver"), "a customer who has changed is news");
}

#[test]
fn a_customer_becomes_an_identify_with_her_traits() {
    let row = json!({ "customer_id": "c1", "email": "ana@example.com", "phone": "+34600000001", "last_name": "Ruiz",
                      "time_zone": "Europe/Madrid", "consent": 0, "birthday": "1990-05-01", "traits.plan": "gold", "note": null });
    let event = event_of(&terms(Kind::Customers), &[row]).unwrap();
    assert_eq!((event.kind, event.user_id.as_deref()), (EventKind::Identify, Some("c1")));
    assert_eq!((event.event_time, event.consent_marketing), (NOW.as_millis(), Some(false)));
    let contact = event.contact.unwrap();
    assert_eq!((contact.last_name.as_deref(), contact.time_zone.as_deref()), (Some("Ruiz"), Some("Europe/Madrid")));
    let traits: Value = serde_json::from_str(&event.traits_json.unwrap()).unwrap();
    assert_eq!(traits["birthday"], "1990-05-01");
    assert_eq!(traits["plan"], "gold");
}

#[test]
fn a_call_keeps_its_own_date_and_its_own_message_id_whenever_it_was_sent() {
    let terms = Terms { calls: true, ..terms(Kind::Events) };
    let call = |more: Value| {
        let mut call = json!({ "type": "track", "event": "Product Viewed", "userId": "u", "timestamp": AT,
                               "properties": { "product_id": "p", "price": 19.99 } });
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event_of(&terms, &[call])
    };
    let event =
        call(json!({ "messageId": "m-1", "sentAt": "2024-05-01T11:00:00Z", "receivedAt": "2024-05-01T11:00:01Z",
                             "originalTimestamp": "2024-05-01T10:30:00Z", "channel": "server" }))
        .unwrap();
    assert_eq!((event.message_id.as_str(), event.event_time, event.sent_at), ("m-1", 1_714_557_600_000, None));
    assert_eq!(event.product.unwrap().price_minor, Some(1_999));
    assert_eq!(event.context_json.as_deref(), Some(r#"{"extra":{"channel":"server"}}"#));

    let id = |more: Value| call(more).unwrap().message_id;
    assert_eq!(id(json!({})), id(json!({})));
    assert_eq!(id(json!({ "sentAt": AT })), id(json!({})), "when it was sent does not say what it is");
    assert_ne!(id(json!({ "event": "Other" })), id(json!({})));
    assert_eq!(reason(call(json!({ "timestamp": null }))).0, "no_time");
    assert_eq!(reason(call(json!({ "type": "tarck" }))).0, "no_type");
    assert_eq!(reason(call(json!({ "properties": { "x": "y".repeat(40_000) } }))).0, "too_large");
    assert_eq!(reason(event_of(&terms, &[json!([1])])).0, "not_an_object");
}

#[test]
fn an_event_by_its_columns_is_what_its_call_would_be() {
    let row = json!({ "time": AT, "event": "Product Viewed", "customer_id": "u", "anonymous_id": "a", "message_id": "m",
                      "product_id": "p", "properties.colour": "red", "context.locale": "es", "properties": { "size": 4 } });
    let event = event_of(&terms(Kind::Events), &[row]).unwrap();
    assert_eq!((event.name.as_str(), event.message_id.as_str()), ("Product Viewed", "m"));
    assert_eq!((event.user_id.as_deref(), event.anonymous_id.as_deref()), (Some("u"), Some("a")));
    assert_eq!(event.product.unwrap().product_id.as_deref(), Some("p"));
    let rest: Value = serde_json::from_str(&event.properties_json.unwrap()).unwrap();
    assert_eq!(rest, json!({ "colour": "red", "size": 4 }));
    assert_eq!(event.contact.unwrap().locale.as_deref(), Some("es"));
    let identify = json!({ "type": "identify", "time": AT, "customer_id": "u", "plan": "gold" });
    let event = event_of(&terms(Kind::Events), &[identify]).unwrap();
    assert_eq!((event.kind, event.traits_json.as_deref()), (EventKind::Identify, Some(r#"{"plan":"gold"}"#)));
}

#[test]
fn parts_of_an_event_that_are_json_texts_are_read_and_what_is_none_is_refused_by_its_column() {
    let event = |more: Value| {
        let mut row = json!({ "time": AT, "event": "Fitted", "customer_id": "u" });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event_of(&terms(Kind::Events), &[row])
    };
    let read =
        event(json!({ "properties": r#" {"size":4,"colour":"blue"} "#, "properties.colour": "red", "colour": "green",
                             "context": r#"{"locale":"es"}"#, "traits": "", "consent": "no" }))
        .unwrap();
    let rest: Value = serde_json::from_str(&read.properties_json.unwrap()).unwrap();
    let expected = json!({ "colour": "red", "size": 4, "payload_colour": "blue", "payload_payload_colour": "green" });
    assert_eq!(rest, expected, "what has a name that is taken is kept");
    assert_eq!((read.contact.unwrap().locale.as_deref(), read.consent_marketing), (Some("es"), Some(false)));
    for column in ["properties", "traits", "context"] {
        for value in [json!("size: 4"), json!("[1]"), json!([1]), json!(7), json!("{")] {
            let (word, told) = reason(event(json!({ column: value })));
            assert_eq!(word, "bad_object");
            assert!(told.contains(&format!("`{column}`")), "{told}");
        }
    }
    let deep = format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100));
    assert_eq!(reason(event(json!({ "properties": deep }))).0, "too_deep");

    let row = json!({ "order_id": "1", "customer_id": "c", "time": AT, "total": "10", "properties.total": "ten" });
    let event = order(&[row]).unwrap();
    assert_eq!(event.properties_json.as_deref(), Some(r#"{"payload_total":"ten"}"#));
}

#[test]
fn amounts_of_events_by_their_columns_are_as_strict_as_those_of_orders() {
    let event = |decimal_comma, more: Value| {
        let mut row = json!({ "time": AT, "event": "Order Completed", "customer_id": "u", "order_id": "1" });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event_of(&Terms { decimal_comma, ..terms(Kind::Events) }, &[row])
    };
    let total = |more: Value| event(true, more).unwrap().order.unwrap().total_minor;
    assert_eq!(total(json!({ "total": "1.234,50" })), Some(123_450));
    assert_eq!(total(json!({ "properties.total": "12.990", "properties.currency": "CLP" })), Some(12_990));
    assert_eq!(total(json!({ "properties": r#"{"total":"4,90"}"# })), Some(490));
    let products = event(true, json!({ "products": [{ "product_id": "p", "price": "4,90" }] })).unwrap().products;
    assert_eq!(products[0].price_minor, Some(490));
    for (more, word) in [
        (json!({ "total": "1.234,50" }), "bad_amount"),
        (json!({ "properties.price": "free" }), "bad_amount"),
        (json!({ "properties": { "tax": "1.250" } }), "ambiguous_amount"),
        (json!({ "currency": "euros" }), "bad_currency"),
        (json!({ "properties.quantity": "a few" }), "bad_number"),
        (json!({ "products": [{ "price": "free" }] }), "bad_amount"),
        (json!({ "products": ["p"] }), "bad_products"),
    ] {
        assert_eq!(reason(event(false, more)).0, word);
    }
}

#[test]
fn rows_are_of_one_order_by_its_id_and_by_what_happened_to_it() {
    let by = |row: Value| terms(Kind::Orders).together_by(&row.to_string()).unwrap();
    let completed = by(json!({ "order_id": 1, "event": "Completed Order" }));
    assert!(completed.is_with(&by(json!({ "order_id": "1", "event": "order completed" }))));
    assert!(completed.is_with(&by(json!({ "order_id": "1" }))), "a row may leave it out");
    assert!(!completed.is_with(&by(json!({ "order_id": "1", "event": "Order Refunded" }))));
    assert!(!completed.is_with(&by(json!({ "order_id": "2", "event": "Order Completed" }))));
    assert_eq!(completed.key(), by(json!({ "order_id": "1" })).key());
    let row = |event: &str| json!({ "order_id": "1", "customer_id": "c", "time": AT, "event": event });
    assert!(order(&[row("Order Completed"), row("completed order")]).is_ok());
}

#[test]
fn a_mapping_says_which_columns_rows_of_any_form_have() {
    let text = "mapping: shop-export\nwhen: row.Status != 'void'\ncolumns:\n  order_id: row.Name\n  customer_id: row[\"Customer ID\"]\n  \
                time: row.Day + 'T12:00:00Z'\n  total: double(row.Cents) / 100.0\n  product_id: row.Item\n  item.note: row.Note\n";
    let mapping = parse_row_mapping("columns.yaml", text, Kind::Orders.names()).unwrap();
    let terms = Terms { mapping: Some(&mapping), ..terms(Kind::Orders) };
    let row =
        json!({ "Name": "#1", "Customer ID": 7, "Day": "2024-05-01", "Cents": "1999", "Item": "p", "Status": "paid" });
    let event = event_of(&terms, &[row]).unwrap();
    assert_eq!((event.user_id.as_deref(), event.library.as_deref()), (Some("7"), Some("shop-export-import")));
    assert_eq!(event.order.unwrap().total_minor, Some(1_999));
    assert_eq!(terms.columns(r#"{"Status":"void"}"#), Ok(None));
    let refused = terms.columns(r#"{"Status":"paid","Cents":"many"}"#);
    assert!(matches!(refused, Err(Unfit::NotComputed { .. })), "{refused:?}");
    let together = terms.together_by(r##"{"order_id":"#1"}"##).unwrap();
    assert_eq!(together.order_id, "#1");
    let of_half_a_row = terms.perhaps_together_by(r##"{"Name":"#1","Cents":"many"}"##).unwrap();
    assert!(of_half_a_row.is_with(&together));
    assert_eq!(terms.perhaps_together_by(r#"{"Cents":"1"}"#), None);

    let (word, told) = reason(event_of(&terms, &[json!({ "Name": "#1" })]));
    assert_eq!(word, "not_computed");
    assert!(told.contains("`when`") && told.contains("has(row.…)"), "{told}");
}

#[test]
fn an_order_of_more_rows_than_an_order_may_have_is_refused() {
    let row = json!({ "order_id": "1", "customer_id": "c", "time": AT, "sku": "s" });
    assert!(order(&vec![row.clone(); 2_000]).is_ok());
    assert_eq!(reason(order(&vec![row.clone(); 2_501])).0, "too_large");
    let mut large = row;
    large["note"] = json!("x".repeat(600_000));
    assert_eq!(reason(order(&[large])).0, "too_large");
}

proptest! {
    #[test]
    fn whatever_a_row_holds_it_becomes_an_event_by_its_own_key_or_is_refused_with_a_reason(
        kind in prop_oneof![Just(Kind::Orders), Just(Kind::Customers), Just(Kind::Events)],
        calls: bool,
        decimal_comma: bool,
        row in proptest::collection::btree_map(
            prop_oneof![
                prop_oneof![Just("order_id"), Just("customer_id"), Just("email"), Just("time"), Just("timestamp"), Just("total"),
                            Just("price"), Just("items"), Just("userId"), Just("type"), Just("event"), Just("consent"),
                            Just("properties"), Just("item."), Just("traits.a"), Just("context")].prop_map(str::to_owned),
                ".{0,12}",
            ],
            prop_oneof![
                Just(json!(AT)), Just(json!("track")), Just(json!("12.5")), Just(json!({ "a": 1 })), Just(json!([{ "price": 1 }])),
                Just(json!(null)), Just(json!(true)), any::<f64>().prop_map(|number| json!(number)), ".{0,20}".prop_map(|text| json!(text)),
            ],
            0..12,
        ),
    ) {
        let terms = Terms { calls, decimal_comma, ..terms(kind) };
        let row = Value::Object(row.into_iter().collect());
        match event_of(&terms, std::slice::from_ref(&row)) {
            Ok(event) => {
                prop_assert!(ingestion::ids::received_key(&event).is_some());
                prop_assert!(event.historical && event.event_time <= NOW.as_millis());
                prop_assert!((1..=100).contains(&event.message_id.len()));
                prop_assert_eq!(event_of(&terms, &[row]).map(|again| again.message_id), Ok(event.message_id));
            }
            Err(unfit) => prop_assert!(!unfit.reason().is_empty() && !unfit.to_string().is_empty()),
        }
    }
}
