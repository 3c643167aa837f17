//! What holds for any JSON whatever.

use std::collections::BTreeMap;

use ingestion::ids;
use ingestion::mapping::{self, CallKind};
use proptest::prelude::*;
use schemas::{EventKind, Product, Schemas, StorefrontEvent};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::mapping::map_text;
use crate::support::NOW;

/// Any JSON, with numbers as people write them.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "-?[0-9]{1,4}(\\.[0-9]{0,4})?".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Names that mean something to the mapping, and others.
fn name() -> impl Strategy<Value = String> {
    let known = proptest::sample::select(
        &[
            "product_id",
            "productId",
            "sku",
            "category",
            "name",
            "brand",
            "variant",
            "price",
            "currency",
            "quantity",
            "coupon",
            "position",
            "url",
            "image_url",
            "cart_id",
            "order_id",
            "total",
            "revenue",
            "tax",
            "products",
            "email",
            "value",
        ][..],
    );
    prop_oneof![3 => known.prop_map(str::to_owned), 1 => "\\PC{0,6}"]
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    proptest::collection::btree_map(name(), json_value(), 0..10).prop_map(|map| map.into_iter().collect())
}

fn event_name() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(
        &["Product Added", "Order Completed", "Cart Viewed", "Added Product", "Something Else"][..],
    )
}

/// The members of a JSON object, each to the letter.
fn letters(json: Option<&String>) -> BTreeMap<String, String> {
    let read = |json: &String| serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(json).unwrap();
    json.map(read).unwrap_or_default().into_iter().map(|(name, raw)| (name, raw.get().to_owned())).collect()
}

/// Whether a typed field says what a property said.
fn said(event: &StorefrontEvent, name: &str, value: &Value) -> bool {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let (product, order) = (event.product.clone().unwrap_or_default(), event.order.clone().unwrap_or_default());
    let email = event.contact.as_ref().and_then(|contact| contact.email.clone());
    let texts = |product: &Product| {
        let Product { product_id, sku, category, name, brand, variant, coupon, url, image_url, currency, .. } =
            product.clone();
        [product_id, sku, category, name, brand, variant, coupon, url, image_url, currency]
    };
    let text_fields =
        texts(&product).into_iter().chain([order.order_id, order.coupon, order.currency, event.cart_id.clone(), email]);
    let counts = [product.quantity, product.position];
    let amounts = [product.price_minor, order.total_minor, order.revenue_minor, order.tax_minor];
    let number: Option<f64> = text.parse().ok();
    match name {
        "products" => value.as_array().is_some_and(|items| items.len() == event.products.len()),
        "quantity" | "position" => counts.iter().flatten().any(|count| Some(*count as f64) == number),
        // Two digits, or none or three, by the currency: the value is one of these, as closely as a float can tell.
        "price" | "total" | "revenue" | "tax" => amounts.iter().flatten().map(|minor| *minor as f64).any(|minor| {
            let close = (minor.abs() * 1e-12).max(1e-3);
            [1.0, 100.0, 1000.0].iter().any(|unit| number.is_some_and(|n| (n * unit - minor).abs() < close))
        }),
        _ => text_fields.flatten().any(|field| field == text),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_property_is_lost(properties in object(), event in event_name()) {
        let body = json!({ "event": event, "userId": "u", "properties": properties }).to_string();
        let mapped = map_text(CallKind::Single(EventKind::Track), &body).unwrap();
        let rest = letters(mapped.properties_json.as_ref());
        for (name, value) in &properties {
            prop_assert!(rest.get(name) == Some(&value.to_string()) || said(&mapped, name, value), "{name}: {value} in {mapped:?}");
        }
        prop_assert!(rest.keys().all(|name| properties.contains_key(name)), "nothing is made up");
    }

    #[test]
    fn no_trait_and_no_context_is_lost(traits in object(), context in object()) {
        let body = json!({ "userId": "u", "traits": traits, "context": context }).to_string();
        let mapped = map_text(CallKind::Single(EventKind::Identify), &body).unwrap();
        let kept = letters(mapped.traits_json.as_ref());
        for (name, value) in &traits {
            prop_assert!(kept.get(name) == Some(&value.to_string()) || said(&mapped, name, value), "{name}: {value}");
        }
        let context: BTreeMap<_, _> = context.into_iter().map(|(name, value)| (name, value.to_string())).collect();
        prop_assert_eq!(letters(mapped.context_json.as_ref()), context);
    }

    #[test]
    fn no_id_that_the_door_gives_is_an_address_so_the_resolver_takes_them_all(
        id in "[ \t]{0,2}(\\+[0-9 .()-]{5,20}|[a-zA-Z0-9+._-]{1,9}@[a-z]{1,9}\\.[a-z]{2,3}|\\PC{1,12}@\\PC{1,12}|\\PC{1,12})[ \t\u{a0}]{0,2}"
    ) {
        for name in ["userId", "anonymousId"] {
            let body = json!({ "event": "e", name: id }).to_string();
            let Ok(event) = map_text(CallKind::Single(EventKind::Track), &body) else { continue };
            prop_assert!(!ids::is_personal(ids::received_key(&event).unwrap()), "{id:?}");
        }
        let body = json!({ "userId": "u", "previousId": id }).to_string();
        if let Ok(event) = map_text(CallKind::Single(EventKind::Alias), &body) {
            prop_assert!(!ids::is_personal(ids::received_key(&event).unwrap()), "{id:?}");
        }
        let body = json!({ "userId": "u", "groupId": id }).to_string();
        if let Ok(event) = map_text(CallKind::Single(EventKind::Group), &body) {
            prop_assert!(!event.group_id.is_some_and(|group| ids::is_personal(&group)), "{id:?}");
        }
    }

    #[test]
    fn whatever_comes_is_mapped_and_encoded_or_refused(
        item in json_value(), ids in proptest::collection::vec(json_value(), 4), times in proptest::collection::vec(json_value(), 2),
        parts in proptest::collection::vec(json_value(), 3), kind in json_value()
    ) {
        let hostile = json!({
            "type": kind, "event": parts[0], "userId": ids[0], "anonymousId": ids[1], "previousId": ids[2], "messageId": ids[3],
            "timestamp": times[0], "sentAt": times[1], "properties": parts[0], "context": parts[1], "traits": parts[2],
        });
        for kind in [EventKind::Track, EventKind::Identify, EventKind::Alias, EventKind::Group, EventKind::Page] {
            for body in [&item, &hostile] {
                if let Value::Object(_) = body && let Ok(event) = map_text(CallKind::Single(kind), &body.to_string()) {
                    prop_assert!(event.event_time <= NOW.as_millis());
                    prop_assert!(ids::received_key(&event).is_some());
                    prop_assert!((1..=ids::MAX_MESSAGE_ID_BYTES).contains(&event.message_id.len()));
                    let (schemas, mut bytes) = (Schemas::offline(), Vec::new());
                    schemas.encode("storefront.received", &event, &mut bytes).unwrap();
                    prop_assert_eq!(schemas.decode::<StorefrontEvent>(&bytes).unwrap(), event);
                }
            }
        }
        let batch = json!({ "batch": [item, hostile], "context": parts[1], "sentAt": times[0] }).to_string();
        let _ = map_text(CallKind::Batch, &batch);
    }

    #[test]
    fn no_text_makes_reading_a_call_panic(text in "\\PC{0,80}", json in "[\\[\\]{}:,\"\\\\u0-9a-fdD ]{0,60}") {
        for text in [text, json] {
            let mended = mapping::mend_surrogates(&text);
            prop_assert_eq!(mended.len(), text.len());
            for kind in [CallKind::Batch, CallKind::Single(EventKind::Track)] {
                if let Ok(call) = mapping::read_call(kind, &mended) {
                    prop_assert!(call.events.len() <= mapping::MAX_BATCH_EVENTS);
                }
            }
        }
    }

    #[test]
    fn the_rest_of_what_is_taken_is_read_by_every_reader(
        number in "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?", wrap in 0_usize..70
    ) {
        let value = format!("{}{number}{}", "[".repeat(wrap), "]".repeat(wrap));
        let body = format!(r#"{{"event":"\"[","userId":"u","properties":{{"x\\":{value}}}}}"#);
        match map_text(CallKind::Single(EventKind::Track), &body) {
            Ok(event) => {
                let rest: Value = serde_json::from_str(&event.properties_json.unwrap()).unwrap();
                prop_assert!(rest.is_object());
            }
            Err(refusal) => {
                let unfit = wrap > mapping::MAX_DEPTH - 2 || serde_json::from_str::<Value>(&value).is_err();
                prop_assert!(unfit, "{refusal}: {value}");
            }
        }
    }

    #[test]
    fn what_has_been_mended_is_read_by_every_reader(units in proptest::collection::vec(any::<u16>(), 0..12)) {
        let escaped: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat();
        let json = format!("\"{escaped}\"");
        let mended = mapping::mend_surrogates(&json);
        let text: String = serde_json::from_str(&mended).unwrap();
        prop_assert_eq!(text, String::from_utf16_lossy(&units));
    }
}
