//! Bytes: what is written is read back, by us and by the reference implementation; what is wrong is refused.

use crate::shared::{CURRENT, CounterState, DATASET, PAST, between, cases, framed, reference};
use proptest::prelude::*;
use schemas::conformance::{Example, datum};
use schemas::{
    ChangelogHeader, ChangelogRecord, Contract, DecodeError, EncodeError, EventKind, LearnError, MAX_SCHEMA_BYTES,
    MAX_VALUE_BYTES, MessageOutcome, MessageRequest, Schemas, StorefrontEvent,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back_equal_by_us_and_by_the_reference_implementation(seed: u64) {
        for case in cases() {
            let text = case.schema.text();
            let written = datum(text, Example::Seeded(seed)).unwrap();
            let ours = (case.rewrite)(&between(text, text), &framed(CURRENT, &written), DATASET).unwrap();
            prop_assert_eq!(reference(text, text, &ours[5..]), reference(text, text, &written));
            prop_assert_eq!(&ours[..5], &[0, 0, 0, 0, 2]);
        }
    }

    #[test]
    fn any_storefront_event_is_read_back_equal(event in storefront_event()) {
        let schemas = Schemas::offline();
        let mut value = Vec::new();
        schemas.encode("storefront.events", &event, &mut value).unwrap();
        prop_assert_eq!(schemas.decode::<StorefrontEvent>(&value).unwrap(), event);
    }

    #[test]
    fn a_view_has_what_it_asks_for_of_any_event_borrowed(event in storefront_event()) {
        let schemas = Schemas::offline();
        let mut value = Vec::new();
        schemas.encode("storefront.events", &event, &mut value).unwrap();
        let view: View<'_> = schemas.decode_view::<StorefrontEvent, _>(&value).unwrap();
        let StorefrontEvent { message_id, event_time, user_id, .. } = &event;
        prop_assert_eq!(view, View { message_id, event_time: *event_time, user_id: user_id.as_deref() });
        prop_assert!(schemas.decode_view::<MessageOutcome, View<'_>>(&value).is_err());
        value.push(0);
        prop_assert!(schemas.decode_view::<StorefrontEvent, View<'_>>(&value).is_err());
    }

    #[test]
    fn random_bytes_give_an_error_or_a_value_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for case in cases() {
            let text = case.schema.text();
            let _ = (case.rewrite)(&between(text, text), &framed(CURRENT, &bytes), DATASET);
            let _ = (case.rewrite)(&between(text, text), &bytes, DATASET);
        }
    }

    #[test]
    fn a_byte_changed_gives_an_error_or_a_value_and_never_a_panic(seed: u64, at: prop::sample::Index, to: u8) {
        for case in cases() {
            let text = case.schema.text();
            let mut bytes = datum(text, Example::Seeded(seed)).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = (case.rewrite)(&between(text, text), &framed(CURRENT, &bytes), DATASET);
        }
    }
}

#[test]
fn a_truncated_value_is_an_error_wherever_it_is_cut() {
    for case in cases() {
        let text = case.schema.text();
        let schemas = between(text, text);
        let whole = framed(CURRENT, &datum(text, Example::Filled).unwrap());
        for length in 0..whole.len() {
            let error = (case.rewrite)(&schemas, &whole[..length], DATASET).unwrap_err();
            match (length, error) {
                (0..5, DecodeError::NotFramed) | (5.., DecodeError::Malformed { .. }) => {}
                (_, error) => panic!("{} cut at {length}: {error}", case.schema.name()),
            }
        }
    }
}

#[test]
fn bytes_after_the_value_are_an_error() {
    for case in cases() {
        let text = case.schema.text();
        let mut longer = framed(CURRENT, &datum(text, Example::Filled).unwrap());
        longer.extend([0; 3]);
        let error = (case.rewrite)(&between(text, text), &longer, DATASET).unwrap_err();
        assert!(matches!(error, DecodeError::LeftOver { left_bytes: 3, .. }), "{error}");
    }
}

#[test]
fn a_value_above_the_limit_is_neither_written_nor_read() {
    let schemas = Schemas::offline();
    let mut out = vec![7];
    let event = StorefrontEvent { properties_json: Some("x".repeat(MAX_VALUE_BYTES)), ..StorefrontEvent::default() };
    let error = schemas.encode("storefront.events", &event, &mut out).unwrap_err();
    assert!(matches!(error, EncodeError::TooLarge { limit_bytes: MAX_VALUE_BYTES, .. }), "{error}");
    assert_eq!(out, [7], "what could not be written leaves nothing behind");

    let mut value = Vec::new();
    schemas.encode("storefront.events", &StorefrontEvent::default(), &mut value).unwrap();
    value.resize(MAX_VALUE_BYTES + 1, 0);
    let error = schemas.decode::<StorefrontEvent>(&value).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge { limit_bytes: MAX_VALUE_BYTES, .. }), "{error}");
}

#[test]
fn a_value_is_appended_after_what_is_there() {
    let schemas = Schemas::offline();
    let mut out = vec![7, 7];
    schemas.encode("messaging.outcomes", &MessageOutcome::default(), &mut out).unwrap();
    assert_eq!(out[..3], [7, 7, 0]);
    assert_eq!(schemas.decode::<MessageOutcome>(&out[2..]).unwrap(), MessageOutcome::default());
}

#[test]
fn a_changelog_record_is_written_from_a_borrowed_state() {
    let schemas =
        between(<ChangelogRecord<CounterState>>::schema().text(), <ChangelogRecord<CounterState>>::schema().text());
    let state = CounterState { count: 3, labels: vec!["a".to_owned()], note: None };
    let mut out = Vec::new();
    schemas.encode_changelog(DATASET, None, Some(9), Some(&state), &mut out).unwrap();
    let read: ChangelogRecord<CounterState> = schemas.decode(&out).unwrap();
    assert_eq!(read, ChangelogRecord { header: None, time: Some(9), state: Some(state) });

    let header = ChangelogHeader { sequence: 4, transactional_id: "t".to_owned(), ..ChangelogHeader::default() };
    out.clear();
    schemas.encode_changelog::<CounterState>(DATASET, Some(&header), None, None, &mut out).unwrap();
    let read: ChangelogRecord<CounterState> = schemas.decode(&out).unwrap();
    assert_eq!(read.header, Some(header));
}

#[test]
fn a_schema_that_is_not_known_yet_is_asked_for() {
    let (writer, reader) = (Schemas::new(), Schemas::new());
    writer.bind("storefront.events", 77);
    let mut value = Vec::new();
    writer.encode("storefront.events", &StorefrontEvent::default(), &mut value).unwrap();

    assert_eq!(reader.missing(&value), Some(77));
    assert_eq!(reader.decode::<StorefrontEvent>(&value), Err(DecodeError::UnknownSchema { id: 77 }));
    let shared = reader.clone();
    shared.learn(77, StorefrontEvent::schema().text()).unwrap();
    assert_eq!(reader.missing(&value), None);
    assert_eq!(reader.decode::<StorefrontEvent>(&value), Ok(StorefrontEvent::default()));
    assert_eq!(reader.missing(b""), None, "a tombstone misses nothing");
    assert_eq!(reader.missing(b"{\"json\": 1}"), None, "what is not framed misses nothing");
}

#[test]
fn a_dataset_takes_only_its_own_contract_and_only_once_it_is_bound() {
    let schemas = Schemas::new();
    let mut out = Vec::new();
    let unbound = schemas.encode("messaging.outcomes", &MessageOutcome::default(), &mut out).unwrap_err();
    assert_eq!(unbound, EncodeError::UnboundDataset { dataset: "messaging.outcomes".to_owned() });

    let schemas = Schemas::offline();
    let other = schemas.encode("messaging.outcomes", &StorefrontEvent::default(), &mut out).unwrap_err();
    assert!(matches!(other, EncodeError::OtherContract { expected: "MessageOutcome", found: "StorefrontEvent", .. }));
    assert!(out.is_empty());

    schemas.encode("messaging.outcomes", &MessageOutcome::default(), &mut out).unwrap();
    let other = schemas.decode::<MessageRequest>(&out).unwrap_err();
    assert!(matches!(other, DecodeError::OtherContract { expected: "MessageRequest", .. }), "{other}");
}

#[test]
fn a_schema_that_can_not_be_used_is_refused_with_its_id() {
    let schemas = Schemas::new();
    for text in [
        "",
        "{",
        "\"string\"",
        "{\"type\": \"record\"}",
        "[\"null\", \"string\"]",
        "{\"type\": \"enum\", \"name\": \"E\", \"symbols\": []}",
    ] {
        let error = schemas.learn(5, text).unwrap_err();
        assert!(matches!(error, LearnError::NotAvro { id: 5, .. }), "{text}: {error}");
    }
    let large = format!("{{\"doc\": \"{}\"}}", "x".repeat(MAX_SCHEMA_BYTES));
    assert!(matches!(schemas.learn(5, &large), Err(LearnError::TooLarge { id: 5, .. })));
    assert!(schemas.learn(5, &format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000))).is_err());
}

#[test]
fn no_message_repeats_what_a_record_holds() {
    let text = StorefrontEvent::schema().text();
    let mistyped = text.replace(
        r#"{"name": "event_time", "type": {"type": "long", "logicalType": "timestamp-millis"}"#,
        r#"{"name": "event_time", "type": "string""#,
    );
    assert_ne!(text, mistyped);
    let schemas = between(&mistyped, text);
    let value = framed(PAST, &datum(&mistyped, Example::Filled).unwrap());
    let error = schemas.decode::<StorefrontEvent>(&value).unwrap_err().to_string();
    assert!(error.contains("expected i64") && !error.contains("event_time-"), "{error}");

    let event: StorefrontEvent =
        between(text, text).decode(&framed(CURRENT, &datum(text, Example::Filled).unwrap())).unwrap();
    let contact = format!("{:?}", event.contact.unwrap());
    assert!(contact.contains("email") && !contact.contains("email-"), "{contact}");
}

#[derive(Debug, PartialEq, serde::Deserialize)]
struct View<'v> {
    message_id: &'v str,
    event_time: i64,
    user_id: Option<&'v str>,
}

fn storefront_event() -> impl Strategy<Value = StorefrontEvent> {
    let kind = prop::sample::select(vec![EventKind::Track, EventKind::Identify, EventKind::Alias, EventKind::Other]);
    let text = || prop::option::of(".{0,40}");
    (".{0,99}", kind, any::<i64>(), any::<i64>(), any::<bool>(), text(), text(), text()).prop_map(
        |(message_id, kind, event_time, received_at, historical, user_id, cart_id, properties_json)| StorefrontEvent {
            message_id,
            kind,
            event_time,
            received_at,
            historical,
            user_id,
            cart_id,
            properties_json,
            ..StorefrontEvent::default()
        },
    )
}
