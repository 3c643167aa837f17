//! Every error that the door answers: its status, its headers and its body, to the letter.

use std::num::NonZeroU32;

use axum::body::Body;
use axum::http::{Method, Request, header};
use ingestion::shell::{DoorOptions, LogError, WebhookKind, WriteKeyOptions};
use serde_json::json;

use crate::description::described;
use crate::support::{Answer, Fixture, KEY, Mood, gzip, post, request, write_key};
use crate::webhooks;

const EVENT: &str = r#"{"event":"X","userId":"u"}"#;
const NOT_JSON: &str = "the body is not JSON: it breaks off or goes wrong at line 1, column 1";
const EMPTY: &str = "the body is empty; a JSON object is expected";
const TOO_LARGE: &str = "the body is larger than 512000 bytes (uncompressed); send less in one call";
const WRONG_KEY: &str =
    "the write key is missing or unknown; give it as HTTP Basic user name, as ?writeKey=, or as writeKey in the body";
const AWAY: &str = "the event log does not answer, so the events are not stored; send them again";
const WAITS: &str = "too much waits to be stored; send this call again in a moment, and fewer of them";
const CROWDED: &str = "too many calls at once; send this one again in a moment";
const SLOW: &str = "the body did not come in time";
const UNSTORABLE: &str = "the events can't be stored";
const BROKEN: &str = "something went wrong here; send the call again";

/// Answered so, to the letter.
#[track_caller]
fn is(answer: &Answer, status: u16, retry_after: &str, code: &str, message: &str) {
    let wanted = (status, retry_after, "application/json", json!({ "code": code, "message": message }).to_string());
    let kind = answer.header("content-type");
    assert_eq!((answer.status.as_u16(), answer.header("retry-after"), kind, answer.text.clone()), wanted);
}

/// The paths of calls, each with a body that is taken.
fn calls() -> Vec<(&'static str, String)> {
    let is_call = |path: &&str| path.starts_with("/v1/") && !path.contains('{') && *path != "/v1/m";
    let paths = described().into_keys().filter(is_call);
    let is_batch = |path: &str| path == "/v1/b" || path == "/v1/batch";
    let body = |path| if is_batch(path) { format!(r#"{{"batch":[{EVENT}]}}"#) } else { EVENT.to_owned() };
    paths.map(|path| (path, body(path))).collect()
}

#[tokio::test]
async fn what_cannot_be_read_or_is_too_large_or_has_no_key() {
    let door = Fixture::new();
    assert_eq!(calls().len(), 14);
    for (path, body) in calls() {
        is(&door.post(path, "").await, 400, "", "unreadable", EMPTY);
        is(&door.post(path, "x").await, 400, "", "unreadable", NOT_JSON);
        let not_an_object = "the body is JSON but not an object; an object such as {\"type\": \"track\", …} or \
                             {\"batch\": […]} is expected";
        is(&door.post(path, "[]").await, 400, "", "unreadable", not_an_object);
        let not_text = "the body is neither JSON in UTF-8 nor such JSON compressed with gzip or zlib";
        is(&door.post(path, vec![0xff]).await, 400, "", "unreadable", not_text);
        let damaged = "the compressed body breaks off or is damaged";
        is(&door.post(path, gzip(b"{}")[..12].to_vec()).await, 400, "", "unreadable", damaged);
        let broken = futures_util::stream::iter([Err::<bytes::Bytes, _>(std::io::Error::other("gone"))]);
        let broke_off = "the body broke off before it was whole";
        is(&door.post(path, Body::from_stream(broken)).await, 400, "", "interrupted", broke_off);
        is(&door.post(path, " ".repeat(512_001)).await, 413, "", "too_large", TOO_LARGE);
        let keyless = request(Method::POST, path).body(Body::from(body)).unwrap();
        is(&door.send(keyless).await, 401, "", "wrong_write_key", WRONG_KEY);
    }
    for path in ["/v1/batch", "/v1/b"] {
        let no_batch = "the body has no array `batch` with the events";
        is(&door.post(path, "{}").await, 400, "", "unreadable", no_batch);
        let events = format!(r#"{{"batch":[{}0]}}"#, "0,".repeat(2_500));
        let many = "the batch has 2501 events; at most 2500 are taken in one call (send several)";
        is(&door.post(path, events).await, 413, "", "too_many_events", many);
    }
    assert_eq!(door.records(), []);
}

#[tokio::test(start_paused = true)]
async fn what_is_to_come_again_and_what_cannot_be_stored() {
    let door = Fixture::with(&DoorOptions { max_calls: 1, ..DoorOptions::default() });
    for (path, body) in calls() {
        door.log_is(Mood::Fails(LogError::Unavailable));
        is(&door.post(path, body.clone()).await, 503, "2", "unavailable", AWAY);
        door.log_is(Mood::Fails(LogError::Overloaded));
        is(&door.post(path, body.clone()).await, 429, "1", "slow_down", WAITS);
        door.log_is(Mood::Fails(LogError::Refused("too large".to_owned())));
        is(&door.post(path, body.clone()).await, 500, "", "unstorable", UNSTORABLE);
        door.log_is(Mood::NeverAnswers);
        let (first, second) = tokio::join!(door.post(path, body.clone()), door.post(path, body));
        is(&first, 503, "2", "unavailable", AWAY);
        is(&second, 503, "1", "overloaded", CROWDED);
        is(&door.post(path, never()).await, 408, "", "timeout", SLOW);
    }
}

/// A body that does not come.
fn never() -> Body {
    Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>())
}

#[tokio::test]
async fn a_fault_of_ours_costs_its_own_call_and_no_place_among_the_calls() {
    let webhooks = vec![webhooks::options("madrid", WebhookKind::Shopify, webhooks::SECRET)];
    let door = Fixture::with(&DoorOptions { max_calls: 1, webhooks, ..DoorOptions::default() });
    door.log_is(Mood::Panics);
    for (path, body) in calls() {
        is(&door.post(path, body).await, 500, "", "internal", BROKEN);
    }
    is(&door.send(signed("{}")).await, 500, "", "internal", BROKEN);
    door.log_is(Mood::Stores);
    door.post("/v1/track", EVENT).await.is_accepted();
    door.send(signed("{}")).await.is_accepted();
}

#[tokio::test]
async fn more_than_a_key_may_send() {
    let one = NonZeroU32::new(1);
    let key = WriteKeyOptions { events_per_second: one, burst_events: NonZeroU32::new(2_500), ..write_key("web", KEY) };
    let door = Fixture::with_keys(&DoorOptions::default(), &[key]);
    let events = format!(r#"{{"batch":[{}0]}}"#, "0,".repeat(2_499));
    door.post("/v1/batch", events).await.is_accepted();
    let limited = "this write key may send 1 events a second; send this call again in 1 s";
    for (path, body) in calls() {
        is(&door.post(path, body).await, 429, "1", "rate_limited", limited);
    }
}

#[tokio::test]
async fn nothing_there_and_the_wrong_method() {
    let door = Fixture::new();
    let nothing =
        "there is nothing at this path; calls go to POST /v1/track, identify, page, screen, group, alias or batch";
    for path in ["/", "/v1", "/v1/", "/v1/tracks", "/v1/track/", "/u/", "/u/a/b", "/webhooks/nobody"] {
        is(&door.post(path, EVENT).await, 404, "", "no_such_path", nothing);
    }
    let settings = request(Method::GET, "/v1/projects/x/settings").body(Body::empty()).unwrap();
    is(&door.send(settings).await, 401, "", "wrong_write_key", WRONG_KEY);
    let get = request(Method::GET, "/v1/track").body(Body::empty()).unwrap();
    let answer = door.send(get).await;
    is(&answer, 405, "", "wrong_method", "this path is not for this method; calls are POST");
    assert_eq!(answer.header("allow"), "POST");
}

/// A webhook of Shopify's with its signature.
fn signed(body: &'static str) -> Request<Body> {
    let signature = webhooks::signature(webhooks::SECRET, body.as_bytes());
    let builder = post("/webhooks/madrid").header("x-shopify-hmac-sha256", signature);
    let builder = builder.header("x-shopify-topic", "carts/update").header(header::CONTENT_TYPE, "application/json");
    builder.body(body.into()).unwrap()
}

#[tokio::test]
async fn webhooks_that_are_refused() {
    let door = webhooks::door();
    let unsigned = door.post("/webhooks/madrid", "{}").await;
    let message = "the webhook's signature is missing, or is not that of this body under a secret in force";
    is(&unsigned, 401, "", "wrong_signature", message);
    let large = door.post("/webhooks/madrid", " ".repeat((1 << 20) + 1)).await;
    is(&large, 413, "", "too_large", "the body is larger than 1048576 bytes (uncompressed); send less in one call");
    is(&door.send(signed("x")).await, 400, "", "unreadable", NOT_JSON);
    door.log_is(Mood::Fails(LogError::Unavailable));
    is(&door.send(signed("{}")).await, 503, "2", "unavailable", AWAY);
    door.log_is(Mood::Fails(LogError::Overloaded));
    is(&door.send(signed("{}")).await, 429, "1", "slow_down", WAITS);
    door.log_is(Mood::Fails(LogError::Refused("too large".to_owned())));
    is(&door.send(signed("{}")).await, 500, "", "unstorable", UNSTORABLE);
}

#[tokio::test(start_paused = true)]
async fn webhooks_that_are_slow_or_too_many_or_find_no_broker() {
    let webhooks = vec![webhooks::options("madrid", WebhookKind::Shopify, webhooks::SECRET)];
    let options = DoorOptions { max_calls: 1, webhooks, ..DoorOptions::default() };
    let door = Fixture::with(&options);
    is(&door.post("/webhooks/madrid", never()).await, 408, "", "timeout", SLOW);
    door.log_is(Mood::NeverAnswers);
    let (first, second) = tokio::join!(door.send(signed("{}")), door.send(signed("{}")));
    is(&first, 503, "2", "unavailable", AWAY);
    is(&second, 503, "1", "overloaded", CROWDED);
    let door = Fixture::with(&DoorOptions { max_bodies: 1, ..options });
    let (first, second) = tokio::join!(door.post("/webhooks/madrid", never()), door.send(signed("{}")));
    is(&first, 408, "", "timeout", SLOW);
    is(&second, 503, "1", "overloaded", CROWDED);
}
