//! Mappings of webhooks: what is read, what is refused, and what payloads become.

use std::collections::BTreeMap;

use definitions::{Delivered, Mapping, MappingError, parse_mapping};
use domain::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

const HEAD: &str = "mapping: till\nsignature: { header: X-Signature }\nevents:\n";

fn mapping(events: &str) -> Mapping {
    parse_mapping("till.yaml", &format!("{HEAD}{events}")).unwrap_or_else(|wrong| panic!("{wrong:#?}"))
}

/// What is wrong, each as `line:column: message; help`.
fn wrong(text: &str) -> Vec<String> {
    let wrong = parse_mapping("till.yaml", text).expect_err("something is wrong");
    wrong.iter().map(|wrong| wrong.to_string().replace("till.yaml:", "").replace("error: ", "")).collect()
}

fn events_of(mapping: &Mapping, payload: &Value) -> Result<Vec<Value>, MappingError> {
    let headers = BTreeMap::from([("x-delivery", "d7")]);
    let now = Timestamp::from_millis(1_700_000_000_000);
    mapping.events(Delivered { payload, headers: &headers, now, source: "s", hash: "0f", max_bytes: 10_000 })
}

#[test]
fn a_payload_becomes_the_events_that_want_it_in_their_order() {
    let mapping = mapping(
        "  - { when: payload.kind == 'sale', event: Order Completed, user_id: payload.who, properties: { total: payload.cents / 100 } }\n  \
           - { when: payload.kind == 'visit', event: Store Visited, user_id: payload.who }\n  \
           - { call: identify, user_id: payload.who, traits: { email: payload.mail } }\n",
    );
    let events = events_of(&mapping, &json!({ "kind": "sale", "who": 7, "cents": 1250, "mail": null })).unwrap();
    let context = json!({ "library": { "name": "till-webhook" } });
    assert_eq!(
        events,
        [
            json!({ "type": "track", "messageId": "s:h-0f:0", "event": "Order Completed", "userId": 7,
                    "properties": { "total": 12 }, "context": context }),
            json!({ "type": "identify", "messageId": "s:h-0f:2", "userId": 7, "traits": {}, "context": context }),
        ]
    );
    assert_eq!(events_of(&mapping, &json!({ "kind": "visit", "who": "a" })).unwrap().len(), 2);
}

#[test]
fn each_element_of_a_list_becomes_an_event_of_its_own() {
    let mapping = mapping(
        "  - { each: payload.people, when: '!has(item.test)', event_from: item.did, user_id: item.id, properties: { all: payload.people.size() } }\n",
    );
    let payload = json!({ "people": [
        { "id": "a", "did": "Tea Drunk" }, { "id": "b", "did": "Cake Eaten", "test": true }, { "id": "c" },
    ] });
    let events = events_of(&mapping, &payload).unwrap();
    assert_eq!(events.iter().map(|event| event["userId"].clone()).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!((&events[0]["event"], events[1].get("event")), (&json!("Tea Drunk"), None));
    assert_eq!(events[0]["properties"]["all"], 3);
    assert_eq!(events_of(&mapping, &json!({})).unwrap(), [] as [Value; 0]);
    let error = events_of(&mapping, &json!({ "people": { "id": "a" } })).unwrap_err();
    assert_eq!((error.place.as_str(), error.error.word()), ("events[0].each", "wrong_type"));
}

fn ids_of(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["messageId"].as_str().expect("a message id")).collect()
}

#[test]
fn elements_are_named_by_what_they_say_in_whichever_order_they_come() {
    let mapping = mapping("  - { each: payload.all, event: E, user_id: item.id }\n");
    let ids = |all: Value| {
        let events = events_of(&mapping, &json!({ "all": all })).unwrap();
        let mut ids: Vec<_> = ids_of(&events).into_iter().map(str::to_owned).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), events.len());
        ids
    };
    let (a, b) = (json!({ "id": "a" }), json!({ "id": "b" }));
    assert_eq!(ids(json!([a, b, a])), ids(json!([a, a, b])));
    assert_ne!(ids(json!([a, b])), ids(json!([a, a])));
}

#[test]
fn what_is_made_of_a_map_has_the_same_ids_each_time() {
    let mapping = mapping("  - { each: 'payload.m.map(k, payload.m[k])', event: E, user_id: item }\n");
    let payload =
        json!({ "m": (0..20).map(|number| (format!("k{number}"), json!(number))).collect::<serde_json::Map<_, _>>() });
    let ids = || {
        let mut ids: Vec<_> = ids_of(&events_of(&mapping, &payload).unwrap()).into_iter().map(str::to_owned).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(), ids());
}

#[test]
fn no_two_events_have_the_same_id() {
    // A delivery may be called as the end of another's ids.
    let id = |delivery: &str| {
        let text = format!(
            "delivery: payload.id\n{HEAD}  - {{ event: E, user_id: payload.id }}\n  - {{ each: payload.all, event: F, user_id: item }}\n"
        );
        let mapping = parse_mapping("till.yaml", &text).unwrap();
        let events = events_of(&mapping, &json!({ "id": delivery, "all": [1] })).unwrap();
        ids_of(&events).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut all: Vec<String> = ["7", "7:0", "7:1", "7:0:0", "7-0", ":", "0"].into_iter().flat_map(id).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
}

#[test]
fn what_an_element_of_a_list_lacks_is_told_and_does_not_drop_the_list() {
    let event = |rest: &str| mapping(&format!("  - {{ event: E, user_id: payload.who, {rest} }}\n"));
    let payload = json!({ "who": "a", "lines": [{ "sku": "x", "text": "X" }, { "sku": "y", "text": null }] });
    let lossy = event("properties: { all: \"payload.lines.map(line, line.text)\" }");
    let error = events_of(&lossy, &payload).unwrap_err();
    assert_eq!((error.place.as_str(), error.error.word()), ("events[0].properties.all", "missing_value"));
    let lossy = event("when: \"payload.lines.exists(line, line.text == 'Z')\"");
    assert_eq!(events_of(&lossy, &payload).unwrap_err().place, "events[0].when");
    let whole = event(
        "properties: { all: \"payload.lines.map(line, has(line.text) ? line.text : '')\", first: 'payload.none[0]', third: 'payload.lines[2].sku' }",
    );
    assert_eq!(events_of(&whole, &payload).unwrap()[0]["properties"], json!({ "all": ["X", ""] }));
}

#[test]
fn ids_beyond_the_signed_numbers_stay_apart() {
    let mapping = mapping("  - { event: E, user_id: payload.id }\n");
    for id in [10_000_000_000_000_000_001_u64, 10_000_000_000_000_000_002] {
        assert_eq!(events_of(&mapping, &json!({ "id": id })).unwrap()[0]["userId"], id);
    }
}

#[test]
fn what_is_made_is_bounded_by_the_events_and_not_by_what_is_looked_at() {
    let text = "x".repeat(3_000);
    let payload = json!({ "who": "a", "list": [text, text, text] });
    let event = "  - { each: payload.list, when: 'false', event: E, user_id: payload.who }\n";
    assert_eq!(events_of(&mapping(&event.repeat(5)), &payload).unwrap().len(), 0);
    let event = "  - { each: payload.list, event: E, user_id: payload.who, properties: { x: item } }\n";
    assert_eq!(events_of(&mapping(event), &payload).unwrap().len(), 3);
    let error = events_of(&mapping(&event.repeat(2)), &payload).unwrap_err();
    assert_eq!((error.place.as_str(), error.error.word()), ("events[1].call", "too_large"));
}

#[test]
fn a_delivery_is_named_by_what_its_sender_calls_it() {
    let of = |delivery: &str| {
        let text = format!("delivery: {delivery}\n{HEAD}  - {{ event: E, user_id: payload.who }}\n");
        let mapping = parse_mapping("till.yaml", &text).unwrap();
        events_of(&mapping, &json!({ "who": 1, "id": 12, "none": null, "empty": " " })).unwrap()[0]["messageId"].clone()
    };
    assert_eq!(of("headers['x-delivery']"), "s:d7:0");
    assert_eq!(of("payload.id"), "s:12:0");
    for nothing in ["payload.none", "payload.empty", "payload.missing", "headers['x-other']"] {
        assert_eq!(of(nothing), "s:h-0f:0", "{nothing}");
    }
}

#[test]
fn what_can_not_be_computed_is_told_by_its_place_and_without_a_value() {
    let place = |events: &str, payload: &Value| {
        let error = events_of(&mapping(events), payload).unwrap_err();
        let told = error.to_string();
        assert!(!told.contains("confidential"), "{told}");
        (error.place, error.error.word())
    };
    let payload = json!({ "who": "confidential", "list": [1, 2] });
    let event = |rest: &str| format!("  - {{ event: E, user_id: payload.who, {rest} }}\n");
    assert_eq!(
        place(&event("properties: { total: payload.who / 2 }"), &payload),
        ("events[0].properties.total".to_owned(), "wrong_type")
    );
    assert_eq!(place(&event("when: payload.who > 5"), &payload), ("events[0].when".to_owned(), "wrong_type"));
    assert_eq!(place(&event("when: payload.who"), &payload), ("events[0].when".to_owned(), "not_boolean"));
    assert_eq!(place(&event("timestamp: 1 / 0"), &payload), ("events[0].timestamp".to_owned(), "arithmetic"));
    assert_eq!(place(&event("timestamp: 1.0 / 0.0"), &payload), ("events[0].timestamp".to_owned(), "arithmetic"));
    // A list of 2 × 2 × … elements would be made of two.
    let much = json!({ "who": "a", "list": (0..200).collect::<Vec<_>>() });
    let squared = event("properties: { all: \"payload.list.map(a, payload.list.map(b, a * b))\" }");
    assert_eq!(place(&squared, &much), ("events[0].properties.all".to_owned(), "too_large"));
}

#[test]
fn whole_numbers_stay_whole_and_null_is_as_what_is_not_there() {
    let mapping = mapping(
        "  - { event: E, user_id: payload.who, properties: { whole: payload.n + 1, half: payload.f, is: has(payload.gone), deep: payload.deep } }\n",
    );
    let payload = json!({ "who": "a", "n": 9_007_199_254_740_993_i64, "f": 0.5, "gone": null, "deep": { "a": null, "b": [null] } });
    let events = events_of(&mapping, &payload).unwrap();
    assert_eq!(
        events[0]["properties"],
        json!({ "whole": 9_007_199_254_740_994_i64, "half": 0.5, "is": false, "deep": { "b": [null] } })
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_its_place() {
    let text = "mapping: Till\n\
                signature: { header: 'X Y', encoding: hexx, tolerance: 5m }\n\
                otherwise: igmore\n\
                events:\n\
                - { event: E, user_id: pyload.who }\n\
                - { call: trak, user_id: payload.who }\n\
                - { user_id: payload.who }\n\
                - { event: E }\n\
                - { event: E, event_from: payload.e, user_id: payload.a }\n\
                - { call: page, event: E, user_id: payload.a }\n\
                - { event: E, user_id: item.who, propertys: {} }\n\
                - { event: E, user_id: payload.who, properties: { a: 'payload.', b: nope(payload.a) } }\n\
                - { when: payload.who == null, event: E, user_id: payload.who }\n\
                - { each: payload.a, event: E, user_id: \"item.map(a, item.map(b, a))\" }\n";
    assert_eq!(
        wrong(text),
        [
            "1:10: `Till` is no name for a mapping; lower-case letters, digits and hyphens, at most 64",
            "2:22: `X Y` is no name of a header",
            "2:39: `encoding` can't be `hexx`; did you mean `hex`?",
            "2:56: `tolerance` needs `timestamp`: the header that says when it was signed",
            "3:12: `otherwise` can't be `igmore`; did you mean `ignore`?",
            "5:24: `pyload` is unknown; did you mean `payload`?",
            "6:11: `call` can't be `trak`; did you mean `track`?",
            "7:3: a track call needs `event`: the name of what happened, such as `Order Completed`",
            "8:3: an event needs `user_id` or `anonymous_id`: whose it is",
            "9:27: `event` is the name itself, `event_from` computes it: one of them is enough",
            "10:3: `event` is of track calls; a page call has none",
            "11:24: `item` is unknown; known here: payload, headers, now",
            "11:34: an event of a mapping has no key `propertys`; did you mean `properties`?",
            "12:63: this is not a valid expression: no viable alternative at input '.'",
            "12:73: there is no function `nope`",
            "13:23: what is null is as what is not there, and equal to nothing; ask `has(payload.x)` whether it is there, and so that it is not null",
            "14:62: loops are nested more than 2 deep, `each` counted",
        ]
    );
}

#[test]
fn a_time_that_is_not_signed_is_refused() {
    let text =
        "mapping: till\nsignature: { header: X-S, timestamp: X-T }\nevents: [{ event: E, user_id: payload.who }]\n";
    let told = wrong(text);
    assert!(told.len() == 1 && told[0].contains("`before_body: [x-t]`"), "{told:?}");
}

#[test]
fn a_file_is_one_mapping() {
    let whole = format!("{HEAD}  - {{ event: E, user_id: payload.a }}\n");
    assert!(parse_mapping("till.yaml", &whole).is_ok());
    for (text, says) in [
        (String::new(), "one mapping is expected, not 0 documents"),
        (format!("{whole}---\n{whole}"), "one mapping is expected, not 2 documents"),
        ("- a\n".to_owned(), "a mapping is a map"),
        ("a".to_owned(), "a mapping is a map"),
        ("mapping: a\n".to_owned(), "a mapping needs `signature`"),
        ("journey: a\n".to_owned(), "a mapping needs `mapping`"),
        (whole.replace("{ header: X-Signature }", "{ header: X-Signature, prefix: 'HMAC ' }"), "spaces stand between"),
    ] {
        let told = wrong(&text);
        assert!(told.iter().any(|told| told.contains(says)), "{text:?}: {told:?}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c ]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_payload_makes_it_panic_and_the_same_becomes_the_same(payload in any_json()) {
        let mapping = mapping(
            "  - { when: 'payload.a.b == payload.c[0]', event: E, user_id: payload.a, properties: { x: payload.b + payload.c, y: payload } }\n  \
               - { each: payload.a, when: 'item > 1 || item.b', call: identify, user_id: string(item), traits: { all: 'payload.c.map(c, c.a)' } }\n  \
               - { each: payload, event_from: item, anonymous_id: item.a.b.c, timestamp: item }\n",
        );
        let events = events_of(&mapping, &payload);
        let ids: Option<Vec<_>> = events.as_ref().ok().map(|events| ids_of(events));
        let mut each_once = ids.clone().unwrap_or_default();
        each_once.sort_unstable();
        each_once.dedup();
        prop_assert_eq!(each_once.len(), ids.unwrap_or_default().len());
        prop_assert_eq!(&events, &events_of(&mapping, &payload));
    }
}
