//! The door over gRPC, without the server under it.

use axum::http::{HeaderMap, HeaderValue};
use ingestion::shell::{DoorOptions, LogError, Recorder, WriteKeyOptions};
use proto::ingestion::v1::{Event, EventKind, RecordRequest, RecordResponse};
use proto::{IngestionAnswers as _, Refusal, timestamp};
use serde_json::{Value, json};

use crate::support::{Fixture, KEY, Mood, basic, header_of, write_key};

/// Makes an event another.
type Change = fn(&mut Event);

fn metadata(authorization: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_str(authorization).unwrap());
    headers
}

async fn record_as(fixture: &Fixture, authorization: &str, events: Vec<Event>) -> Result<RecordResponse, Refusal> {
    let recorder = Recorder::new(fixture.door(), std::future::pending::<()>);
    recorder
        .record(RecordRequest { events, sent_at: Some(timestamp(1_700_000_001_000)) }, &metadata(authorization))
        .await
}

async fn record(fixture: &Fixture, events: Vec<Event>) -> Result<RecordResponse, Refusal> {
    record_as(fixture, &format!("Bearer {KEY}"), events).await
}

fn track(message_id: &str) -> Event {
    Event {
        kind: EventKind::Track.into(),
        name: "Order Completed".to_owned(),
        message_id: message_id.to_owned(),
        user_id: "ana".to_owned(),
        timestamp: Some(timestamp(1_700_000_000_123)),
        properties_json: r#"{"currency":"EUR","note":"ñ \"x\"","order_id":"o-1","total":19.99}"#.to_owned(),
        context_json: r#"{"locale":"es-ES"}"#.to_owned(),
        ..Event::default()
    }
}

/// The same over HTTP, by hand.
fn track_json(message_id: &str) -> Value {
    json!({
        "type": "track", "event": "Order Completed", "messageId": message_id, "userId": "ana",
        "timestamp": "2023-11-14T22:13:20.123Z",
        "properties": { "currency": "EUR", "note": "ñ \"x\"", "order_id": "o-1", "total": 19.99 },
        "context": { "locale": "es-ES" },
    })
}

#[tokio::test]
async fn an_event_is_the_same_whether_it_comes_over_grpc_or_over_http() {
    let fixture = Fixture::new();
    let of_kind = |kind: EventKind, change: fn(&mut Event)| {
        let mut event = Event { kind: kind.into(), ..track(kind.as_str_name()) };
        change(&mut event);
        event
    };
    let id = |kind: EventKind| kind.as_str_name();
    let changed = |kind: EventKind, changes: Value| {
        let mut event = track_json(id(kind));
        let fields = event.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                fields.remove(name);
            } else {
                fields.insert(name.clone(), value.clone());
            }
        }
        event
    };
    let pairs = [
        (of_kind(EventKind::Track, |_| {}), track_json(id(EventKind::Track))),
        (
            of_kind(EventKind::Page, |event| event.name = "Home".to_owned()),
            changed(EventKind::Page, json!({ "type": "page", "event": null, "name": "Home" })),
        ),
        (
            of_kind(EventKind::Screen, |event| event.anonymous_id = "a-1".to_owned()),
            changed(
                EventKind::Screen,
                json!({ "type": "screen", "event": null, "name": "Order Completed", "anonymousId": "a-1" }),
            ),
        ),
        (
            of_kind(EventKind::Identify, |event| {
                event.name.clear();
                event.traits_json = r#"{"email":"ana@example.com","age":33}"#.to_owned();
            }),
            changed(
                EventKind::Identify,
                json!({ "type": "identify", "event": null, "traits": { "email": "ana@example.com", "age": 33 } }),
            ),
        ),
        (
            of_kind(EventKind::Group, |event| {
                event.name.clear();
                event.group_id = "g-1".to_owned();
            }),
            changed(EventKind::Group, json!({ "type": "group", "event": null, "groupId": "g-1" })),
        ),
        (
            of_kind(EventKind::Alias, |event| {
                event.name.clear();
                event.previous_id = "a-1".to_owned();
            }),
            changed(EventKind::Alias, json!({ "type": "alias", "event": null, "previousId": "a-1" })),
        ),
    ];
    let (events, calls): (Vec<Event>, Vec<Value>) = pairs.into_iter().unzip();
    let answer = record(&fixture, events).await.unwrap();
    assert_eq!((answer.accepted, answer.rejected.len()), (6, 0));
    let mut over_grpc = fixture.events();
    fixture
        .post("/v1/batch", json!({ "batch": calls, "sentAt": "2023-11-14T22:13:21Z" }).to_string())
        .await
        .is_accepted();
    let mut over_http = fixture.events();
    // Each call is a trace of its own.
    over_grpc.iter_mut().chain(&mut over_http).for_each(|event| event.traceparent = None);
    assert_eq!(over_grpc, over_http);
    assert_eq!(over_grpc.len(), 6);
}

#[tokio::test]
async fn a_bad_event_is_told_by_its_place_and_lies_among_the_dead_letters() {
    let fixture = Fixture::new();
    let nobody = Event { user_id: String::new(), ..track("m-2") };
    let no_kind = Event { kind: 77, ..track("m-3") };
    let answer = record(&fixture, vec![track("m-1"), nobody, no_kind]).await.unwrap();
    assert_eq!(answer.accepted, 1);
    let told: Vec<(i32, &str)> =
        answer.rejected.iter().map(|rejected| (rejected.index, rejected.reason.as_str())).collect();
    assert_eq!(told, [(1, "no_id"), (2, "no_type")]);
    assert!(answer.rejected[0].problem.contains("userId"));
    let records = fixture.records();
    assert_eq!(
        records.iter().map(|record| record.dataset).collect::<Vec<_>>(),
        ["storefront.received", "platform.deadletters", "platform.deadletters"]
    );
    let letter: Value = serde_json::from_slice(&records[1].value).unwrap();
    assert_eq!(letter["messageId"], "m-2");
    assert_eq!(header_of(&records[1], "__connect.errors.topic"), "/v1/batch");
    assert_eq!(header_of(&records[1], "vuelve.source"), "web");
}

#[tokio::test]
async fn who_says_no_write_key_that_is_in_force_is_refused_and_nothing_is_stored() {
    let fixture = Fixture::new();
    for authorization in ["Bearer wrong", "Bearer ", "Token x", &basic("wrong")] {
        let refused = record_as(&fixture, authorization, vec![track("m")]).await.unwrap_err();
        assert!(matches!(refused, Refusal::Unauthenticated(_)), "{authorization}: {refused}");
    }
    let recorder = Recorder::new(fixture.door(), std::future::pending::<()>);
    let refused = recorder
        .record(RecordRequest { events: vec![track("m")], sent_at: None }, &HeaderMap::new())
        .await
        .unwrap_err();
    assert!(matches!(refused, Refusal::Unauthenticated(_)));
    assert!(fixture.records().is_empty());
    record_as(&fixture, &basic(KEY), vec![track("m")]).await.unwrap();
    assert_eq!(fixture.event().source, "web");
}

#[tokio::test]
async fn a_part_that_is_no_json_or_no_time_costs_no_event_and_is_kept_as_text() {
    let fixture = Fixture::new();
    let changes: [(Change, &str); 4] = [
        (|event| event.properties_json = "{\"a\":".to_owned(), r#"{\"a\":"#),
        (|event| event.traits_json = "[7]".to_owned(), "[7]"),
        (|event| event.context_json = "{} {}".to_owned(), "{} {}"),
        (
            |event| event.timestamp = Some(proto::WireTime { seconds: i64::MAX, nanos: 5 }),
            "9223372036854775807.000000005",
        ),
    ];
    for (change, kept) in changes {
        let mut event = track("m-1");
        change(&mut event);
        let answer = record(&fixture, vec![event]).await.unwrap();
        assert_eq!(answer.accepted, 1, "{kept}");
        let event = fixture.event();
        let texts = [&event.properties_json, &event.traits_json, &event.context_json]
            .map(|text| text.clone().unwrap_or_default());
        assert!(texts.iter().any(|text| text.contains(kept)), "{kept}: {texts:?}");
    }
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_refused_and_nothing_of_it_is_stored() {
    let fixture = Fixture::new();
    let large = Event { properties_json: format!("{{\"a\":\"{}\"}}", "x".repeat(30_000)), ..track("m") };
    for (events, says) in [(vec![large; 20], "bytes as JSON"), (vec![Event::default(); 2_501], "at most 2500")] {
        match record(&fixture, events).await.unwrap_err() {
            Refusal::Invalid { field: "events", problem } => assert!(problem.contains(says), "{problem}"),
            other => panic!("{other}"),
        }
    }
    assert!(fixture.records().is_empty());
    assert_eq!(record(&fixture, Vec::new()).await.unwrap(), RecordResponse::default());
}

#[tokio::test]
async fn limits_and_a_log_that_is_away_say_when_to_come_again() {
    let limited = WriteKeyOptions { events_per_day: 2_500.try_into().ok(), ..write_key("web", KEY) };
    let fixture = Fixture::with_keys(&DoorOptions::default(), &[limited]);
    for (mood, reason) in [
        (Mood::Fails(LogError::Unavailable), "LOG_AWAY"),
        (Mood::Fails(LogError::Overloaded), "the producer's buffer"),
        (Mood::Fails(LogError::Refused("too large".to_owned())), "r-1"),
    ] {
        fixture.log_is(mood);
        let recorder = Recorder::new(fixture.door(), std::future::pending::<()>);
        let mut headers = metadata(&format!("Bearer {KEY}"));
        headers.insert("x-request-id", HeaderValue::from_static("r-1"));
        let refused =
            recorder.record(RecordRequest { events: vec![track("m")], sent_at: None }, &headers).await.unwrap_err();
        let told = match &refused {
            Refusal::Unavailable { reason, .. } => reason,
            Refusal::Exhausted { limit, .. } => limit,
            Refusal::Internal { request_id } => request_id.as_str(),
            other => panic!("{other}"),
        };
        assert_eq!(told, reason);
    }
    fixture.log_is(Mood::Stores);
    let small = Event { user_id: "u".to_owned(), ..Event::default() };
    record(&fixture, vec![small.clone(); 2_497]).await.unwrap();
    match record(&fixture, vec![small]).await.unwrap_err() {
        Refusal::Exhausted { limit: "events_per_day", retry_after } => assert!(retry_after.as_secs() > 1),
        other => panic!("{other}"),
    }
}
