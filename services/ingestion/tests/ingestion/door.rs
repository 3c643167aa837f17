//! What the door answers, call by call.

use std::num::NonZeroU32;

use axum::body::Body;
use axum::http::{Method, header};
use domain::HumanDuration;
use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use ingestion::mapping::Scope;
use ingestion::shell::{DoorOptions, LogError, WriteKeyOptions};
use serde_json::json;

use crate::support::{Answer, Fixture, KEY, Mood, basic, gzip, header_of, post, request, write_key};

fn track(id: u32) -> String {
    json!({ "type": "track", "event": "Cart Viewed", "anonymousId": "a1", "messageId": format!("m{id}") }).to_string()
}

fn batch(events: &[String]) -> String {
    format!(r#"{{"batch":[{}]}}"#, events.join(","))
}

#[tokio::test]
async fn every_call_and_its_short_form_is_answered_200_once_it_is_stored() {
    let door = Fixture::new();
    let calls = [
        ("identify", "i", "Identify"),
        ("track", "t", "Track"),
        ("page", "p", "Page"),
        ("screen", "s", "Screen"),
        ("group", "g", "Group"),
        ("alias", "a", "Alias"),
    ];
    let body = json!({ "event": "X", "userId": "u1", "anonymousId": "a1", "previousId": "p1" }).to_string();
    for (long, short, kind) in calls {
        for path in [long, short] {
            door.post(&format!("/v1/{path}"), body.clone()).await.is_accepted();
            assert_eq!(format!("{:?}", door.event().kind), kind);
        }
    }
    for path in ["batch", "b"] {
        door.post(&format!("/v1/{path}"), batch(&[track(1), track(2)])).await.is_accepted();
        assert_eq!(door.events().len(), 2);
    }
}

#[tokio::test]
async fn records_lie_under_the_anonymous_id_else_the_user_id_and_an_alias_under_its_previous_id() {
    let door = Fixture::new();
    let events = [
        json!({ "type": "track", "event": "X", "anonymousId": "a1", "userId": "u1" }).to_string(),
        json!({ "type": "track", "event": "X", "anonymousId": null, "userId": "u1" }).to_string(),
        json!({ "type": "alias", "previousId": "p1", "anonymousId": "a1", "userId": "u1" }).to_string(),
    ];
    door.post("/v1/batch", batch(&events)).await.is_accepted();
    let keys: Vec<_> = door.records().into_iter().map(|record| record.key.unwrap()).collect();
    assert_eq!(keys, ["a1", "u1", "p1"]);
}

#[tokio::test]
async fn an_empty_batch_is_accepted() {
    let door = Fixture::new();
    door.post("/v1/batch", r#"{"batch":[]}"#).await.is_accepted();
    assert_eq!(door.records(), []);
}

#[tokio::test]
async fn what_cannot_be_read_is_400() {
    let door = Fixture::new();
    for (body, says) in [
        ("", "empty"),
        ("  \n", "empty"),
        ("{\"batch\": [", "line 1, column 11"),
        ("{\"event\": \"X\",\n \"userId\" \"u\"}", "line 2"),
        ("not json", "not JSON"),
        ("[]", "not an object"),
        ("42", "not an object"),
        ("{}", "`batch`"),
        (r#"{"batch": {}}"#, "`batch`"),
        (r#"{"batch": null}"#, "`batch`"),
    ] {
        door.post("/v1/batch", body).await.is_refused(400, "unreadable", says);
    }
    door.post("/v1/track", "").await.is_refused(400, "unreadable", "empty");
    door.post("/v1/track", "[]").await.is_refused(400, "unreadable", "not an object");
    door.post("/v1/track", vec![b'{', 0xff, b'}']).await.is_refused(400, "unreadable", "UTF-8");
    door.post("/v1/track", gzip(b"{}")[..12].to_vec()).await.is_refused(400, "unreadable", "damaged");
    door.post("/v1/track", vec![0x1f, 0x8b, 1, 2, 3]).await.is_refused(400, "unreadable", "damaged");
    assert_eq!(door.records(), []);
}

#[tokio::test]
async fn a_missing_or_wrong_write_key_is_401_wherever_it_stands() {
    let door = Fixture::new();
    let send = async |path: &str, authorization: Option<String>, body: String| {
        let builder = request(Method::POST, path);
        let builder = match authorization {
            Some(value) => builder.header(header::AUTHORIZATION, value),
            None => builder,
        };
        door.send(builder.body(Body::from(body)).unwrap()).await
    };
    let with_key = |key: &str| json!({ "event": "X", "userId": "u", "writeKey": key }).to_string();
    send("/v1/track", None, track(1)).await.is_refused(401, "wrong_write_key", "missing or unknown");
    send("/v1/track", None, with_key("wrong")).await.is_refused(401, "wrong_write_key", "");
    send("/v1/track?writeKey=wrong", None, with_key(KEY)).await.is_refused(401, "wrong_write_key", "");
    send("/v1/track", Some(basic("wrong")), with_key(KEY)).await.is_refused(401, "wrong_write_key", "");
    send("/v1/track", Some("Bearer x".to_owned()), track(1)).await.is_refused(401, "wrong_write_key", "");
    send("/v1/track", Some("Basic ???".to_owned()), track(1)).await.is_refused(401, "wrong_write_key", "");
    assert_eq!(door.records(), []);

    send("/v1/track", Some(basic(KEY)), track(1)).await.is_accepted();
    send(&format!("/v1/track?x=1&writeKey={KEY}"), None, track(1)).await.is_accepted();
    send("/v1/track", None, with_key(KEY)).await.is_accepted();
    send("/v1/track", Some(basic("")), with_key(KEY)).await.is_accepted();
    send("/v1/batch", None, json!({ "batch": [], "writeKey": KEY }).to_string()).await.is_accepted();
    send("/v1/batch", None, batch(&[with_key(KEY).replace('{', r#"{"type":"track","#)])).await.is_accepted();
    assert_eq!(door.events().len(), 5);
}

#[tokio::test]
async fn the_write_key_says_which_shop_and_source_it_is() {
    let door = Fixture::new();
    door.post("/v1/track", track(1)).await.is_accepted();
    let event = door.event();
    assert_eq!((event.shop.as_str(), event.source.as_str()), ("demo", "web"));
    let till = request(Method::POST, "/v1/track").header(header::AUTHORIZATION, basic("another-key"));
    door.send(till.body(Body::from(track(1))).unwrap()).await.is_accepted();
    assert_eq!(door.event().source, "till");
}

#[tokio::test]
async fn a_body_of_1_mb_is_413_and_so_is_one_of_10_mb_that_is_not_even_read() {
    let door = Fixture::new();
    door.post("/v1/track", "x".repeat(1 << 20)).await.is_refused(413, "too_large", "512000");
    let huge = post("/v1/track").header(header::CONTENT_LENGTH, "10485760").body(Body::from("x")).unwrap();
    door.send(huge).await.is_refused(413, "too_large", "");
    door.post("/v1/track", "x".repeat(5 << 20)).await.is_refused(413, "too_large", "");
    assert_eq!(door.records(), []);
}

#[tokio::test]
async fn a_gzip_bomb_is_413_and_costs_no_memory() {
    let door = Fixture::new();
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100_000);
    door.post("/v1/batch", bomb).await.is_refused(413, "too_large", "uncompressed");
    // Also one that hides behind a good first part.
    let mut parts = gzip(b"{\"batch\":[]");
    parts.extend(gzip(&vec![b' '; 1 << 20]));
    door.post("/v1/batch", parts).await.is_refused(413, "too_large", "");
}

#[tokio::test]
async fn more_than_2500_events_are_413_and_2500_are_taken() {
    let door = Fixture::new();
    let events: Vec<_> = (0..2501).map(track).collect();
    door.post("/v1/batch", batch(&events)).await.is_refused(413, "too_many_events", "2501 events; at most 2500");
    door.post("/v1/batch", batch(&events[..2500])).await.is_accepted();
    assert_eq!(door.events().len(), 2500);
}

#[tokio::test]
async fn a_batch_whose_shared_context_is_large_is_413() {
    let door = Fixture::new();
    let body = json!({ "batch": [], "context": { "x": "y".repeat(9000) } }).to_string();
    door.post("/v1/batch", body).await.is_refused(413, "too_large", "`context` and `integrations`");
    let body = format!(r#"{{"batch":[{}],"context":{{"x":"{}"}}}}"#, vec![track(1); 1000].join(","), "y".repeat(5000));
    door.post("/v1/batch", body).await.is_refused(413, "too_large", "each of its 1000 events");
}

#[tokio::test]
async fn bad_events_of_a_batch_go_to_the_dead_letters_as_they_came_and_the_rest_is_kept() {
    let door = Fixture::new();
    let nested = format!("{{\"type\":\"track\",\"x\":{}{}}}", "[".repeat(70), "]".repeat(70));
    let large = json!({ "type": "track", "event": "X", "userId": "u", "properties": { "x": "y".repeat(33_000) } });
    let bad = [
        (r#"{"type": "track",  "event": "X"}"#.to_owned(), "no_id"),
        (json!({ "type": "track", "event": "X", "userId": "undefined", "anonymousId": "" }).to_string(), "no_id"),
        (json!({ "type": "track", "userId": "u" }).to_string(), "no_event_name"),
        (json!({ "event": "X", "userId": "u" }).to_string(), "no_type"),
        (json!({ "type": "merge", "userId": "u" }).to_string(), "no_type"),
        ("17".to_owned(), "not_an_object"),
        (json!({ "type": "alias", "previousId": "p" }).to_string(), "alias_of_nobody"),
        (json!({ "type": "track", "event": "X", "userId": "u".repeat(256) }).to_string(), "id_too_long"),
        (json!({ "type": "track", "event": "X".repeat(256), "userId": "u" }).to_string(), "name_too_long"),
        (nested, "too_deep"),
        (
            r#"{"type":"track","event":"X","userId":"u","properties":{"x":[1,-2.5e400]}}"#.to_owned(),
            "number_out_of_range",
        ),
        (large.to_string(), "too_large"),
    ];
    for (index, (event, reason)) in bad.iter().enumerate() {
        let mut events = vec![track(1); index];
        events.push(event.clone());
        events.push(track(2));
        door.post("/v1/batch", batch(&events)).await.is_accepted();
        let records = door.records();
        let (letters, kept): (Vec<_>, Vec<_>) =
            records.iter().partition(|record| record.dataset == "platform.deadletters");
        assert_eq!((letters.len(), kept.len()), (1, index + 1), "{event}");
        assert_eq!(letters[0].value, event.as_bytes(), "byte for byte");
        let header = |name: &str| header_of(letters[0], &format!("__connect.errors.{name}"));
        assert_eq!(header("exception.class.name"), *reason, "{event}");
        assert_eq!(header("offset"), index.to_string());
        assert_eq!(header("topic"), "/v1/batch");
        assert!(!header("exception.message").is_empty());
        for name in ["partition", "stage", "class.name"] {
            assert!(!header(name).is_empty());
        }
        assert_eq!(header_of(letters[0], "vuelve.source"), "web");
    }
}

#[tokio::test]
async fn a_single_event_without_any_id_is_put_aside_too_and_not_sent_again_for_ever() {
    let door = Fixture::new();
    door.post("/v1/track", r#"{"event":"X"}"#).await.is_accepted();
    let records = door.records();
    assert_eq!(header_of(&records[0], "__connect.errors.exception.class.name"), "no_id");
    assert_eq!(header_of(&records[0], "__connect.errors.topic"), "/v1/track");
}

#[tokio::test]
async fn without_the_broker_the_answer_is_503_and_nothing_is_acknowledged() {
    let door = Fixture::new();
    door.log_is(Mood::Fails(LogError::Unavailable));
    let answer = door.post("/v1/track", track(1)).await;
    answer.is_refused(503, "unavailable", "not stored");
    assert_eq!(answer.header("retry-after"), "2");
    door.log_is(Mood::Fails(LogError::Overloaded));
    let answer = door.post("/v1/track", track(1)).await;
    answer.is_refused(429, "slow_down", "");
    assert_eq!(answer.header("retry-after"), "1");
    door.log_is(Mood::Fails(LogError::Refused("message too large".to_owned())));
    door.post("/v1/track", track(1)).await.is_refused(500, "unstorable", "");
    // A call of bad events alone has to be stored as well.
    door.log_is(Mood::Fails(LogError::Unavailable));
    door.post("/v1/track", "{}").await.is_refused(503, "unavailable", "");
    door.log_is(Mood::Stores);
    door.post("/v1/track", track(1)).await.is_accepted();
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_never_answers_costs_a_call_its_deadline_and_no_more() {
    let options = DoorOptions { append_deadline: HumanDuration::from_millis(1_500), ..DoorOptions::default() };
    let door = Fixture::with(&options);
    door.log_is(Mood::NeverAnswers);
    let began = tokio::time::Instant::now();
    door.post("/v1/track", track(1)).await.is_refused(503, "unavailable", "");
    assert_eq!(began.elapsed().as_millis(), 1_500);
}

#[tokio::test(start_paused = true)]
async fn more_calls_than_may_be_worked_on_at_once_are_shed_with_503() {
    let door = Fixture::with(&DoorOptions { max_calls: 1, ..DoorOptions::default() });
    door.log_is(Mood::NeverAnswers);
    let (first, second) = tokio::join!(door.post("/v1/track", track(1)), door.post("/v1/track", track(2)));
    first.is_refused(503, "unavailable", "");
    second.is_refused(503, "overloaded", "");
    assert_eq!(second.header("retry-after"), "1");
    door.log_is(Mood::Stores);
    door.post("/v1/track", track(3)).await.is_accepted();
}

#[tokio::test(start_paused = true)]
async fn the_more_is_under_way_the_more_urgent_a_call_has_to_be() {
    let door = Fixture::with(&DoorOptions { max_calls: 8, ..DoorOptions::default() });
    door.log_is(Mood::NeverAnswers);
    let view = |number: usize| {
        if number.is_multiple_of(2) {
            door.post("/v1/page", r#"{"userId":"u"}"#)
        } else {
            door.post("/v1/track", r#"{"userId":"u","event":"Product Viewed"}"#)
        }
    };
    let cart = || door.post("/v1/track", r#"{"userId":"u","event":"Product Added"}"#);
    let order = || {
        door.post(
            "/v1/b",
            r#"{"batch":[{"type":"page","userId":"u"},{"type":"track","userId":"u","event":"Order Completed"}]}"#,
        )
    };
    // They come in this order, and none of those that are taken ends before its deadline.
    let mut calls: Vec<BoxFuture<'_, Answer>> = Vec::new();
    calls.extend((0..5).map(|number| view(number).boxed()));
    calls.extend((0..3).map(|_| cart().boxed()));
    calls.extend((0..3).map(|_| order().boxed()));
    let answers = join_all(calls).await;
    let codes: Vec<String> = answers.iter().map(|answer| answer.json()["code"].as_str().unwrap().to_owned()).collect();
    let (taken, shed) = ("unavailable", "overloaded");
    assert_eq!(codes, [taken, taken, taken, taken, shed, taken, taken, shed, taken, taken, shed]);
    door.log_is(Mood::Stores);
    view(0).await.is_accepted();
}

#[tokio::test(start_paused = true)]
async fn bodies_that_come_slowly_take_no_place_from_calls_that_are_there() {
    let door = Fixture::with(&DoorOptions { max_calls: 1, max_bodies: 3, ..DoorOptions::default() });
    let (_silent, bodies): (Vec<_>, Vec<_>) =
        (0..2).map(|_| http_body_util::Channel::<bytes::Bytes, std::convert::Infallible>::new(1)).unzip();
    let mut bodies = bodies.into_iter().map(|body| door.post("/v1/track", Body::new(body)));
    let slow = async { tokio::join!(bodies.next().unwrap(), bodies.next().unwrap()) };
    let quick = async {
        tokio::task::yield_now().await;
        assert_eq!((door.bodies_being_read(), door.calls_under_way()), (2, 0));
        door.post("/v1/track", track(1)).await.is_accepted();
    };
    let ((first, second), ()) = tokio::join!(slow, quick);
    first.is_refused(408, "timeout", "");
    second.is_refused(408, "timeout", "");
    assert_eq!((door.bodies_being_read(), door.calls_under_way()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_being_read_are_bounded_by_their_number_and_by_their_bytes() {
    let open = || http_body_util::Channel::<bytes::Bytes, std::convert::Infallible>::new(1);
    let one = Fixture::with(&DoorOptions { max_bodies: 1, ..DoorOptions::default() });
    let (_silent, body) = open();
    let (slow, second) = tokio::join!(one.post("/v1/track", Body::new(body)), one.post("/v1/track", track(1)));
    slow.is_refused(408, "timeout", "");
    second.is_refused(503, "overloaded", "");
    one.post("/v1/track", track(1)).await.is_accepted();

    // Room for one body of the largest size, and that is taken.
    let one = Fixture::with(&DoorOptions { max_body_bytes: 0, ..DoorOptions::default() });
    let (mut slow, body) = open();
    slow.send_data(bytes::Bytes::from(vec![b' '; 511_990])).await.unwrap();
    let (slow, second) = tokio::join!(one.post("/v1/track", Body::new(body)), one.post("/v1/track", track(1)));
    slow.is_refused(408, "timeout", "");
    second.is_refused(503, "overloaded", "");
    one.post("/v1/track", track(1)).await.is_accepted();
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_408() {
    let door = Fixture::new();
    let (_silent, body) = http_body_util::Channel::<bytes::Bytes, std::convert::Infallible>::new(1);
    door.post("/v1/track", Body::new(body)).await.is_refused(408, "timeout", "");
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_told_so_in_json() {
    let door = Fixture::new();
    door.post("/v1/nothing", "{}").await.is_refused(404, "no_such_path", "POST /v1/track");
    door.post("/", "{}").await.is_refused(404, "no_such_path", "");
    let get = request(Method::GET, "/v1/track").body(Body::empty()).unwrap();
    door.send(get).await.is_refused(405, "wrong_method", "POST");
}

#[tokio::test]
async fn a_browser_may_ask_first_and_may_read_the_answer() {
    let door = Fixture::new();
    let preflight = request(Method::OPTIONS, "/v1/t")
        .header("origin", "https://shop.example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type")
        .body(Body::empty())
        .unwrap();
    let answer = door.send(preflight).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("access-control-allow-headers"), "authorization,content-type");
    assert!(answer.header("access-control-allow-methods").contains("POST"));
    let call = post("/v1/t").header("origin", "https://shop.example.com").body(Body::from(track(1))).unwrap();
    assert_eq!(door.send(call).await.header("access-control-allow-origin"), "*");
}

#[tokio::test]
async fn the_browser_library_is_told_to_send_everything_here() {
    let door = Fixture::new();
    let ask = |key: &str| {
        request(Method::GET, &format!("/v1/projects/{key}/settings"))
            .header(header::HOST, "events.example.com")
            .body(Body::empty())
            .unwrap()
    };
    let settings = door.send(ask(KEY)).await;
    assert_eq!(settings.status, 200);
    let segment = &settings.json()["integrations"]["Segment.io"];
    assert_eq!(segment["apiKey"], KEY);
    assert_eq!(segment["apiHost"], "events.example.com/v1");
    door.send(ask("wrong")).await.is_refused(401, "wrong_write_key", "");
    door.post("/v1/m", r#"{"series":[]}"#).await.is_accepted();
    assert_eq!(door.records(), []);
}

#[tokio::test]
async fn the_trace_of_the_caller_goes_on_in_the_record_and_a_call_without_one_begins_its_own() {
    let door = Fixture::new();
    let caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let call = post("/v1/track").header("traceparent", caller).header("tracestate", "a=b");
    door.send(call.body(Body::from(track(1))).unwrap()).await.is_accepted();
    let record = door.records().remove(0);
    let carried = header_of(&record, "traceparent");
    assert!(carried.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && carried.ends_with("-01"), "{carried}");
    assert_ne!(carried, caller, "the record belongs to a span of its own");
    assert_eq!(header_of(&record, "tracestate"), "a=b");
    let event: schemas::StorefrontEvent = door.schemas.decode(&record.value).unwrap();
    assert_eq!(event.traceparent.as_deref(), Some(carried));

    for broken in ["", "00-0-0-0", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "nonsense"] {
        let call = post("/v1/track").header("traceparent", broken).body(Body::from(track(1))).unwrap();
        door.send(call).await.is_accepted();
        let record = door.records().remove(0);
        let own = header_of(&record, "traceparent");
        assert_eq!((own.len(), own.matches('-').count()), (55, 3), "{own}");
        assert!(!own.contains("4bf92f35"), "{own}");
    }
}

#[tokio::test]
async fn a_browsers_key_says_what_somebody_does_and_not_who_she_is_or_what_happened_long_ago() {
    let browsers = WriteKeyOptions { scope: Scope::Browser, ..write_key("web", KEY) };
    let door = Fixture::with_keys(&DoorOptions::default(), &[browsers]);
    let of = |kind: &str| json!({ "type": kind, "event": "X", "userId": "u1", "previousId": "p1" });
    for kind in ["track", "page", "screen"] {
        door.post("/v1/batch", batch(&[of(kind).to_string()])).await.is_accepted();
        assert_eq!(door.events().len(), 1, "{kind}");
    }
    let mut long_ago = of("track");
    long_ago["context"] = json!({ "historical": true });
    // An order's name decides whose its refunds are.
    let named = |id: &str| json!({ "type": "track", "event": "X", id: "shopify-order-1" });
    for event in [of("identify"), of("group"), of("alias"), long_ago, named("userId"), named("anonymousId")] {
        // It costs only itself.
        door.post("/v1/batch", batch(&[event.to_string(), track(1)])).await.is_accepted();
        let records = door.records();
        assert_eq!(
            records.iter().map(|record| record.dataset).collect::<Vec<_>>(),
            ["platform.deadletters", "storefront.received"]
        );
        assert_eq!(header_of(&records[0], "__connect.errors.exception.class.name"), "out_of_scope");
        assert_eq!(records[0].value, event.to_string().as_bytes());
    }
}

#[tokio::test]
async fn more_events_than_a_key_may_send_are_told_to_come_again_and_when() {
    let limited = WriteKeyOptions {
        events_per_second: NonZeroU32::new(500),
        events_per_day: NonZeroU32::new(6_000),
        ..write_key("web", KEY)
    };
    let door = Fixture::with_keys(&DoorOptions::default(), &[limited, write_key("till", "another-key")]);
    let events = |count: u32| batch(&(0..count).map(track).collect::<Vec<_>>());
    door.post("/v1/batch", events(2_500)).await.is_accepted();
    door.records();
    let answer = door.post("/v1/batch", events(1_000)).await;
    answer.is_refused(429, "rate_limited", "500 events a second; send this call again in 2 s");
    assert_eq!(answer.header("retry-after"), "2");
    assert_eq!(door.records(), [], "nothing of it is stored");
    // Nobody else pays for it, nor does a call without events.
    let tills = request(Method::POST, "/v1/batch").header(header::AUTHORIZATION, basic("another-key"));
    door.send(tills.body(events(1_000).into()).unwrap()).await.is_accepted();
    door.post("/v1/batch", events(0)).await.is_accepted();

    door.let_pass(1_999);
    door.post("/v1/batch", events(1_000)).await.is_refused(429, "rate_limited", "again in 1 s");
    door.let_pass(1);
    door.post("/v1/batch", events(1_000)).await.is_accepted();
    door.let_pass(60_000);
    door.post("/v1/batch", events(2_500)).await.is_accepted();
    // All of the day's but what has come back since: 6,000 in a day is one each 14.4 s.
    door.let_pass(60_000);
    let answer = door.post("/v1/batch", events(100)).await;
    answer.is_refused(429, "rate_limited", "6000 events a day");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1_200..1_440).contains(&wait), "{wait}");
    door.let_pass(wait * 1_000);
    door.post("/v1/batch", events(100)).await.is_accepted();
}

#[tokio::test]
async fn a_path_that_is_no_text_is_refused_as_every_other_is() {
    let door = Fixture::new();
    let settings = request(Method::GET, "/v1/projects/%ff/settings").body(Body::empty()).unwrap();
    door.send(settings).await.is_refused(401, "wrong_write_key", "");
    door.post("/webhooks/%ff", "{}").await.is_refused(404, "no_such_path", "");
}
