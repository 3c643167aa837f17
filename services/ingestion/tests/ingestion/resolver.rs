//! The resolver on the engine.

use std::collections::HashSet;

use domain::{HumanDuration, Timestamp};
use ingestion::{EVENTS, RECEIVED, Resolved, Resolver, ResolverPolicy};
use proptest::prelude::*;
use schemas::{EventKind, MAX_VALUE_BYTES, Product, ROOM_BYTES, Schemas, StorefrontEvent};
use stream::TestDriver;
use stream::test_driver::encode;

const T0: Timestamp = Timestamp::from_seconds(1_772_366_400);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(T0.as_millis() + seconds * 1000)
}

fn event(message_id: &str, user_id: Option<&str>, anonymous_id: Option<&str>) -> StorefrontEvent {
    StorefrontEvent {
        message_id: message_id.to_owned(),
        kind: EventKind::Track,
        name: "Product Added".to_owned(),
        shop: "demo".to_owned(),
        source: "web".to_owned(),
        user_id: user_id.map(str::to_owned),
        anonymous_id: anonymous_id.map(str::to_owned),
        event_time: T0.as_millis() - 5_000,
        received_at: T0.as_millis() - 1_000,
        ..StorefrontEvent::default()
    }
}

struct Bench(TestDriver<Resolver>);

impl Bench {
    fn new() -> Self {
        Self(TestDriver::new(ResolverPolicy::default()))
    }

    fn put(&mut self, key: &str, event: &StorefrontEvent, stored_at: Timestamp) {
        self.0.input(RECEIVED, key, &encode(RECEIVED, event), stored_at);
    }

    fn events(&mut self) -> Vec<StorefrontEvent> {
        let event = |output| match output {
            Resolved::Event(event) => *event,
            Resolved::Forward { .. } => panic!("nothing is forwarded here"),
        };
        self.0.outputs().into_iter().map(event).collect()
    }

    /// How many records ended in an outcome with a reason.
    fn count(&self, reason: &str) -> u64 {
        let ended = self.0.counts().iter().filter(|(what, _)| format!("{what:?}").contains(&format!("\"{reason}\"")));
        ended.map(|(_, count)| *count).sum()
    }

    #[track_caller]
    fn is_dead(&mut self, key: &str, event: &StorefrontEvent, reason: &str) {
        let before = self.0.dead_letters().len();
        self.put(key, event, T0);
        let letters = self.0.dead_letters();
        assert_eq!(letters.len(), before + 1, "{event:?}");
        assert_eq!(letters[before].poison.reason, reason);
        assert_eq!(letters[before].value.as_deref(), Some(&*encode(RECEIVED, event)), "byte for byte");
        assert_eq!(self.events(), []);
    }
}

#[test]
fn an_event_is_emitted_under_the_user_id_else_the_anonymous_id() {
    let mut bench = Bench::new();
    bench.put("a1", &event("m1", None, Some("a1")), T0);
    bench.put("a1", &event("m2", Some("u1"), Some("a1")), T0);
    bench.put("u1", &event("m3", Some("u1"), None), T0);
    let events = bench.events().into_iter().filter(|event| event.kind == EventKind::Track);
    let customers: Vec<_> = events.map(|event| event.customer_id.unwrap()).collect();
    assert_eq!(customers, ["a1", "u1", "u1"]);
}

#[test]
fn a_repeat_is_dropped_and_counted_and_another_key_has_ids_of_its_own() {
    let mut bench = Bench::new();
    for seconds in [0, 1, 3600, 86_000] {
        bench.put("a1", &event("m1", None, Some("a1")), at(seconds));
    }
    bench.put("a2", &event("m1", None, Some("a2")), at(86_001));
    assert_eq!(bench.events().len(), 2);
    assert_eq!((bench.count("duplicate"), bench.0.dead_letters().len()), (3, 0));
}

#[test]
fn of_a_key_the_last_4096_messages_are_known_and_those_before_them_are_taken_for_new() {
    let mut bench = Bench::new();
    for n in 0..=4_096 {
        bench.put("a1", &event(&format!("m{n}"), None, Some("a1")), T0);
    }
    assert_eq!(bench.events().len(), 4_097);
    bench.put("a1", &event("m1", None, Some("a1")), T0);
    bench.put("a1", &event("m4096", None, Some("a1")), T0);
    assert_eq!((bench.events().len(), bench.count("duplicate")), (0, 2));
    bench.put("a1", &event("m0", None, Some("a1")), T0);
    assert_eq!(bench.events().len(), 1);
}

#[test]
fn a_repeat_is_dropped_after_a_restart_and_after_an_aborted_commit() {
    let mut bench = Bench::new();
    let message = event("m1", None, Some("a1"));
    bench.0.abort_next_commit();
    bench.put("a1", &message, T0);
    assert_eq!(bench.events().len(), 1);
    bench.0.restart(ResolverPolicy::default());
    bench.put("a1", &message, at(10));
    assert_eq!(bench.events(), []);
}

#[test]
fn what_is_known_of_a_silent_user_is_dropped_by_a_timer() {
    let mut bench = Bench::new();
    bench.put("u1", &event("m1", Some("u1"), None), T0);
    bench.0.advance_to(at(24 * 3600));
    assert_eq!(bench.0.states(), 1);
    bench.0.advance_to(at(25 * 3600));
    assert_eq!(bench.0.states(), 0);
    bench.put("u1", &event("m1", Some("u1"), None), at(26 * 3600));
    assert_eq!(bench.events().len(), 2, "after the window it is taken for new");
}

#[test]
fn times_are_clamped_to_what_the_broker_knows() {
    let mut bench = Bench::new();
    let future = StorefrontEvent {
        event_time: at(999).as_millis(),
        received_at: at(999).as_millis(),
        ..event("m1", Some("u"), None)
    };
    let unset = StorefrontEvent { event_time: 0, received_at: 0, ..event("m2", Some("u"), None) };
    let old = StorefrontEvent { event_time: 1_433_221_332_117, ..event("m3", Some("u"), None) };
    for event in [&future, &unset, &old] {
        bench.put("u", event, at(1));
    }
    let times: Vec<_> = bench.events().iter().map(|event| (event.event_time, event.received_at)).collect();
    let stored_at = at(1).as_millis();
    assert_eq!(times, [(stored_at, stored_at), (stored_at, stored_at), (1_433_221_332_117, T0.as_millis() - 1_000)]);
}

#[test]
fn an_event_reached_us_an_hour_before_the_broker_stored_it_at_most() {
    let mut bench = Bench::new();
    // Six hours of backlog that claim to be new, a door's spool of half an hour, and dates at the ends of what a number holds.
    let claims = [(-21_600, -21_600), (-1_800, -1_800), (i64::MIN / 1_000, i64::MAX / 1_000)];
    for (index, (happened, reached)) in claims.into_iter().enumerate() {
        let times = StorefrontEvent {
            event_time: T0.as_millis().saturating_add(happened.saturating_mul(1_000)),
            received_at: T0.as_millis().saturating_add(reached.saturating_mul(1_000)),
            ..event(&format!("m{index}"), Some("u"), None)
        };
        bench.put("u", &times, T0);
    }
    let seconds = |millis: i64| (millis - T0.as_millis()) / 1_000;
    let times: Vec<_> =
        bench.events().iter().map(|event| (seconds(event.event_time), seconds(event.received_at))).collect();
    assert_eq!(times, [(-21_600, 0), (-1_800, -1_800), (0, 0)]);
}

#[test]
fn a_time_of_sending_that_no_calendar_has_is_left_out() {
    let mut bench = Bench::new();
    let (first, last) = (-62_135_510_400_000, 253_370_764_799_999);
    for (index, sent_at) in [i64::MIN, first - 1, first, 0, last, last + 1, i64::MAX].into_iter().enumerate() {
        let sent = StorefrontEvent { sent_at: Some(sent_at), ..event(&format!("m{index}"), Some("u"), None) };
        bench.put("u", &sent, T0);
    }
    let times: Vec<_> = bench.events().iter().map(|event| event.sent_at).collect();
    assert_eq!(times, [None, None, Some(first), Some(0), Some(last), None, None]);
}

#[test]
fn an_id_that_is_an_address_is_a_dead_letter_and_what_a_producer_says_of_the_customer_is_not_believed() {
    let mut bench = Bench::new();
    for id in ["ana@example.com", " Ana@Example.com ", "+34 600 000 000", "+34600000000"] {
        bench.is_dead(id, &event("m", Some(id), None), "personal_id");
        bench.is_dead(id, &event("m", Some("u1"), Some(id)), "personal_id");
        bench.is_dead("a1", &event("m", Some(id), Some("a1")), "personal_id");
        let alias =
            StorefrontEvent { kind: EventKind::Alias, previous_id: Some(id.to_owned()), ..event("m", Some("u"), None) };
        bench.is_dead(id, &alias, "personal_id");
        let group = StorefrontEvent { group_id: Some(id.to_owned()), ..event("m", Some("u1"), None) };
        bench.is_dead("u1", &group, "personal_id");
        let order = StorefrontEvent { address_id: Some(id.to_owned()), ..event("m", None, Some("a1")) };
        bench.is_dead("a1", &order, "personal_id");
    }
    let claimed = StorefrontEvent { customer_id: Some("somebody-else".to_owned()), ..event("m", Some("u1"), None) };
    bench.put("u1", &claimed, T0);
    assert_eq!(bench.events()[0].customer_id.as_deref(), Some("u1"));
}

#[test]
fn what_names_nobody_or_lies_under_a_foreign_key_is_a_dead_letter() {
    let mut bench = Bench::new();
    bench.is_dead("", &event("m", None, None), "no_id");
    bench.is_dead("null", &event("m", Some("null"), Some("undefined")), "no_id");
    bench.is_dead("u1", &event("m", Some("u1"), Some("a1")), "wrong_key");
    bench.is_dead("", &event("m", Some("u1"), None), "wrong_key");
    bench.is_dead("u1", &event("", Some("u1"), None), "bad_message_id");
    bench.is_dead("u1", &event(&"m".repeat(101), Some("u1"), None), "bad_message_id");
    let long = "u".repeat(256);
    bench.is_dead(&long, &event("m", Some(&long), None), "id_too_long");
    let alias = StorefrontEvent { kind: EventKind::Alias, previous_id: Some("p".to_owned()), ..event("m", None, None) };
    bench.is_dead("p", &alias, "no_id");
    let alias = StorefrontEvent { anonymous_id: Some("a1".to_owned()), ..alias };
    bench.is_dead("p", &alias, "no_id");
}

#[test]
fn an_alias_lies_under_its_previous_id_and_where_that_names_nobody_under_its_other_ids() {
    let alias = |previous: Option<&str>| StorefrontEvent {
        kind: EventKind::Alias,
        previous_id: previous.map(str::to_owned),
        ..event("m", Some("u1"), Some("a1"))
    };
    for (previous, key) in [(Some("p1"), "p1"), (Some("undefined"), "a1"), (None, "a1")] {
        let mut bench = Bench::new();
        for other in ["p1", "a1", "u1"].into_iter().filter(|other| *other != key) {
            bench.is_dead(other, &alias(previous), "wrong_key");
        }
        bench.put(key, &event("seen", None, Some(key)), T0);
        bench.events();
        bench.put(key, &StorefrontEvent { message_id: format!("{previous:?}"), ..alias(previous) }, T0);
        let told = bench.events();
        let customers: Vec<_> = told.iter().map(|event| event.customer_id.as_deref().unwrap()).collect();
        assert_eq!(customers, [key, "u1", "u1"], "moved, identified, and the alias itself");
    }
    // A previous id that is no alias's names nobody.
    let mut bench = Bench::new();
    let track = StorefrontEvent { kind: EventKind::Track, ..alias(Some("p1")) };
    bench.is_dead("p1", &track, "wrong_key");
}

#[test]
fn bytes_that_are_no_event_and_a_missing_value_are_dead_letters() {
    let mut bench = Bench::new();
    bench.0.input(RECEIVED, "a1", b"\0\0\0\0\x01\xff\xff\xff", T0);
    bench.0.input(RECEIVED, "a1", b"not framed", T0);
    bench.0.input_traced(RECEIVED, "a1", None, T0, None);
    let reasons: Vec<_> = bench.0.dead_letters().iter().map(|letter| letter.poison.reason).collect();
    assert_eq!(reasons, ["malformed", "malformed", "no_value"]);
}

#[test]
fn alias_and_group_pass_through_under_their_customer() {
    let mut bench = Bench::new();
    let alias = StorefrontEvent {
        kind: EventKind::Alias,
        name: String::new(),
        previous_id: Some("p1".to_owned()),
        ..event("m1", Some("u1"), Some("a1"))
    };
    let group =
        StorefrontEvent { kind: EventKind::Group, group_id: Some("g1".to_owned()), ..event("m2", Some("u1"), None) };
    bench.put("p1", &event("m0", Some("u1"), Some("p1")), T0);
    bench.events();
    bench.put("p1", &alias, T0);
    bench.put("u1", &group, T0);
    let events = bench.events();
    assert!(events.iter().all(|event| event.customer_id.as_deref() == Some("u1")));
    assert_eq!(events[0].previous_id.as_deref(), Some("p1"));
    assert_eq!(events[1].group_id.as_deref(), Some("g1"));
}

#[test]
fn a_chain_of_more_than_16_derived_records_is_cut() {
    let mut bench = Bench::new();
    for (hops, emitted) in [(0, 1), (16, 1), (17, 0), (-1, 0)] {
        bench.put("u1", &StorefrontEvent { hops, ..event(&format!("m{hops}"), Some("u1"), None) }, T0);
        assert_eq!(bench.events().len(), emitted, "{hops} hops");
    }
    assert_eq!((bench.count("too_many_hops"), bench.0.dead_letters().len()), (2, 0));
}

#[test]
fn a_record_on_a_foreign_partition_is_forwarded_to_its_own_and_leaves_no_trace_in_the_state() {
    // The driver's partition is 0; of 32, "a1" belongs elsewhere, and "k" is looked for that belongs there.
    let mut driver = TestDriver::<Resolver>::new(ResolverPolicy { partitions: 32, ..ResolverPolicy::default() });
    let mut at_home = 0;
    for n in 0..200 {
        let id = format!("customer-{n}");
        let message = event("m", Some(&id), None);
        driver.input(RECEIVED, &id, &encode(RECEIVED, &message), T0);
        match &driver.outputs()[..] {
            [Resolved::Event(event)] => {
                assert_eq!(event.hops, 0);
                at_home += 1;
            }
            [Resolved::Forward { key, event }] => {
                assert_eq!((key, event.hops, &event.customer_id), (&id, 1, &None));
                assert_eq!(driver.state(&id), None);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((1..=20).contains(&at_home), "about one in 32 is at home: {at_home}");
}

#[test]
fn the_trace_of_the_record_goes_on_with_the_event() {
    let mut bench = Bench::new();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let value = encode(RECEIVED, &event("m1", Some("u1"), None));
    bench.0.input_traced(RECEIVED, "u1", Some(&value), T0, Some(trace));
    let traces: Vec<_> = bench.0.traced_outputs().into_iter().map(|emitted| emitted.trace).collect();
    assert_eq!(traces, [Some(trace.into())]);
}

#[test]
fn outputs_go_to_the_datasets_of_the_topology() {
    use stream::{Output, Service};
    let topology = Resolver::topology();
    let event = Box::new(event("m", Some("u"), None));
    for output in [Resolved::Event(event.clone()), Resolved::Forward { key: "u".to_owned(), event }] {
        assert!(topology.outputs.contains(&output.dataset()));
    }
    assert_eq!((topology.primary().dataset, topology.outputs[0]), (RECEIVED, EVENTS));
}

#[derive(Clone, Debug)]
enum Happening {
    /// A message of a device, this many seconds after the one before.
    Message {
        device: u8,
        message: u8,
        after: i64,
    },
    Restart,
    Abort,
    TimePasses,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        12 => (0_u8..4, 0_u8..12, 0_i64..1_400).prop_map(|(device, message, after)| Happening::Message { device, message, after }),
        1 => Just(Happening::Restart),
        1 => Just(Happening::Abort),
        1 => Just(Happening::TimePasses),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_message_is_emitted_once_whatever_is_repeated_and_whoever_restarts(
        happenings in proptest::collection::vec(happening(), 1..60)
    ) {
        let mut bench = Bench::new();
        let (mut seconds, mut expected, mut sent) = (0, Vec::new(), HashSet::new());
        for happening in happenings {
            match happening {
                Happening::Message { device, message, after } => {
                    seconds += after;
                    let (device, message) = (format!("d{device}"), format!("m{message}"));
                    bench.put(&device, &event(&message, None, Some(&device)), at(seconds));
                    if sent.insert((device.clone(), message.clone())) {
                        expected.push((device, message));
                    }
                }
                Happening::Restart => bench.0.restart(ResolverPolicy::default()),
                Happening::Abort => bench.0.abort_next_commit(),
                Happening::TimePasses => bench.0.advance_to(at(seconds)),
            }
        }
        // Sixty steps of less than 1,400 s stay within the window.
        prop_assert!(seconds < HumanDuration::from_hours(24).as_millis() / 1000);
        let emitted: Vec<_> = bench.events().into_iter().map(|e| (e.customer_id.unwrap(), e.message_id)).collect();
        prop_assert_eq!(emitted, expected);
    }

    #[test]
    fn what_is_read_can_be_written_on_with_its_customer(
        text in prop_oneof![0_usize..2_000, 860_000_usize..1_000_100], id in 1_usize..=255, products in 0_usize..300,
        times in any::<(i64, i64)>(), hops in 0..=16_i32,
    ) {
        let id = "u".repeat(id);
        let large = StorefrontEvent {
            event_time: times.0,
            received_at: times.1,
            hops,
            properties_json: Some("x".repeat(text)),
            products: vec![Product::default(); products],
            ..event("m", Some(&id), None)
        };
        let mut value = Vec::new();
        if Schemas::offline().encode(RECEIVED, &large, &mut value).is_ok() {
            for partitions in [0, 32] {
                let mut driver = TestDriver::<Resolver>::new(ResolverPolicy { partitions, ..ResolverPolicy::default() });
                driver.input(RECEIVED, &id, &value, T0);
                let outputs = driver.outputs();
                let letters = driver.dead_letters();
                prop_assert_eq!(outputs.len() + letters.len(), 1);
                for output in outputs {
                    prop_assert!(stream::Output::encode(&output, &Schemas::offline(), &mut Vec::new()).is_ok());
                }
                for letter in letters {
                    prop_assert_eq!(letter.poison.reason, "too_large");
                    prop_assert!(value.len() > MAX_VALUE_BYTES - ROOM_BYTES - 1_000);
                }
            }
        }
    }
}

/// What the resolver makes of a record of the user `u`.
fn decoded(schemas: &Schemas, value: &[u8]) -> Result<Box<StorefrontEvent>, stream::Poison> {
    let record = stream::RecordRef {
        input: 0,
        partition: 0,
        offset: 0,
        timestamp: T0,
        key: Some(b"u"),
        value: Some(value),
        traceparent: None,
        headers: None,
    };
    match <Resolver as stream::Service>::decode(schemas, &record)?.input {
        ingestion::Input::Received(received) => Ok(received.event),
        ingestion::Input::Privacy(request) => panic!("{request:?}"),
    }
}

#[test]
fn a_record_that_grows_because_its_writer_says_a_text_as_a_symbol_is_a_dead_letter() {
    for (symbol_bytes, is_dead) in [(1_000, false), (600_000, true)] {
        let text = "a".repeat(symbol_bytes);
        let symbol = format!(
            r#"{{"type": "record", "name": "StorefrontEvent", "fields": [
            {{"name": "message_id", "type": "string"}}, {{"name": "user_id", "type": ["null", "string"]}},
            {{"name": "kind", "type": {{"type": "enum", "name": "EventKind", "symbols": ["track"]}}}},
            {{"name": "shop", "type": {{"type": "enum", "name": "Text", "symbols": ["{text}"]}}}},
            {{"name": "source", "type": "Text"}},
            {{"name": "event_time", "type": "long"}}, {{"name": "received_at", "type": "long"}}]}}"#
        );
        let (schemas, id) = (Schemas::offline(), 778_u32);
        schemas.learn(id, &symbol).unwrap();
        let value = [&[0], &id.to_be_bytes()[..], b"\x02m", b"\x02\x02u", &[0; 5]].concat();
        let decoded = decoded(&schemas, &value);
        assert_eq!(decoded.as_ref().err().map(|poison| poison.reason), is_dead.then_some("too_large"));
        assert!(decoded.is_err() || decoded.unwrap().shop == text);
    }
}

#[test]
fn a_record_that_grows_because_its_writers_schema_says_less_is_a_dead_letter() {
    let less = r#"{"type": "record", "name": "StorefrontEvent", "fields": [
        {"name": "message_id", "type": "string"}, {"name": "user_id", "type": ["null", "string"]},
        {"name": "kind", "type": {"type": "enum", "name": "EventKind", "symbols": ["track"]}},
        {"name": "shop", "type": "string"}, {"name": "source", "type": "string"},
        {"name": "event_time", "type": "long"}, {"name": "received_at", "type": "long"},
        {"name": "products", "type": {"type": "array", "items": {"type": "record", "name": "Product", "fields": [
            {"name": "sku", "type": ["null", "string"]}]}}}]}"#;
    let (schemas, id) = (Schemas::offline(), 777_u32);
    schemas.learn(id, less).unwrap();
    for (products, is_dead) in [(2_000, false), (32_000, false), (90_000, true)] {
        // A count is zigzag and in groups of seven bits; a null is a zero byte, and an empty block ends the array.
        let mut count = products * 2;
        let mut value = [&[0], &id.to_be_bytes()[..], b"\x02m", b"\x02\x02u", &[0; 5]].concat();
        while count >= 0x80 {
            value.push((count & 0x7f) as u8 | 0x80);
            count >>= 7;
        }
        value.push(count as u8);
        value.resize(value.len() + products + 1, 0);
        let decoded = decoded(&schemas, &value);
        assert_eq!(decoded.as_ref().err().map(|poison| poison.reason), is_dead.then_some("too_large"), "{products}");
        assert!(decoded.is_err() || decoded.unwrap().products.len() == products);
    }
}
