//! Links and pictures of messages, as people, programs and forgers use them.

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use ingestion::shell::{DoorOptions, LogError};
use links::{ClickToken, KeyRing, OpenToken, SentMessage};
use proptest::prelude::*;
use schemas::{EventKind, StorefrontEvent};
use serde_json::{Value, json};

use crate::support::{Answer, Fixture, Mood, NOW, header_of, link_keys, request};

const SHOP: &str = "https://shop.example.com/cart?a=1&b=2#top";
pub(crate) const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";

/// A message that was sent an hour ago.
pub(crate) fn message() -> SentMessage {
    SentMessage {
        customer_id: "ana-7".to_owned(),
        message_id: "message-1".to_owned(),
        category: "cart".to_owned(),
        shop: "demo".to_owned(),
        sent_at: NOW.as_millis() - 3_600_000,
    }
}

pub(crate) fn click_on(message: SentMessage, link: u16, target: &str) -> String {
    let token = ClickToken { message, link, target: target.parse().unwrap() };
    format!("/c/{}", token.sign(&link_keys()).unwrap())
}

fn click() -> String {
    click_on(message(), 2, SHOP)
}

fn picture() -> String {
    format!("/o/{}", OpenToken(message()).sign(&link_keys()).unwrap())
}

pub(crate) async fn as_browser(door: &Fixture, method: Method, path: &str) -> Answer {
    door.send(request(method, path).header("user-agent", BROWSER).body(Body::empty()).unwrap()).await
}

pub(crate) fn leads_to(answer: &Answer, target: &str) {
    assert_eq!((answer.status.as_u16(), answer.header("location")), (302, target));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    assert!(answer.header("x-robots-tag").contains("noindex"));
    assert_eq!(answer.text, "");
}

fn is_the_picture(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "image/gif"));
    assert_eq!(answer.header("cache-control"), "no-store, private");
    assert_eq!((answer.bytes.len(), &answer.bytes[..6], answer.bytes[42]), (43, &b"GIF89a"[..], b';'));
}

fn properties(event: &StorefrontEvent) -> Value {
    serde_json::from_str(event.properties_json.as_deref().unwrap()).unwrap()
}

#[tokio::test]
async fn who_follows_a_link_is_sent_on_and_her_click_is_an_event_of_hers() {
    let door = Fixture::new();
    leads_to(&as_browser(&door, Method::GET, &click()).await, SHOP);
    let records = door.records();
    assert_eq!(
        (records.len(), records[0].dataset, records[0].key.as_deref()),
        (1, "storefront.received", Some("ana-7"))
    );
    let event: StorefrontEvent = door.schemas.decode(&records[0].value).unwrap();
    assert_eq!(header_of(&records[0], "traceparent"), event.traceparent.as_deref().unwrap());
    assert_eq!((event.kind, event.name.as_str()), (EventKind::Track, "Email Link Clicked"));
    assert_eq!(
        (event.shop.as_str(), event.source.as_str(), event.user_id.as_deref()),
        ("demo", "links", Some("ana-7"))
    );
    assert_eq!((event.event_time, event.received_at), (NOW.as_millis(), NOW.as_millis()));
    let expected = json!({
        "message_id": "message-1", "category": "cart", "link_id": "2", "link_url": SHOP, "machine": false
    });
    assert_eq!(properties(&event), expected);
}

#[tokio::test]
async fn a_message_that_is_opened_is_an_event_and_the_answer_a_picture() {
    let door = Fixture::new();
    is_the_picture(&as_browser(&door, Method::GET, &picture()).await);
    let event = door.event();
    assert_eq!((event.name.as_str(), event.user_id.as_deref()), ("Email Opened", Some("ana-7")));
    assert_eq!(properties(&event), json!({ "message_id": "message-1", "category": "cart", "machine": false }));
}

#[tokio::test]
async fn the_same_link_in_the_same_minute_is_the_same_event_and_another_link_another() {
    let door = Fixture::new();
    let mut ids = Vec::new();
    for path in [click(), click(), click_on(message(), 3, SHOP), picture(), picture()] {
        as_browser(&door, Method::GET, &path).await;
        let id = door.event().message_id;
        assert!(id.len() <= 100);
        ids.push(id);
    }
    assert_eq!((&ids[0], &ids[3]), (&ids[1], &ids[4]));
    assert_ne!(ids[0], ids[2]);
    assert_ne!(ids[0], ids[3]);
    // A program that came first does not stand in her place.
    door.send(request(Method::GET, &click()).header("user-agent", "curl/8").body(Body::empty()).unwrap()).await;
    assert_ne!(door.event().message_id, ids[0]);
}

#[tokio::test]
async fn programs_are_sent_on_too_and_flagged() {
    let door = Fixture::new();
    let proxy = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
    for (agent, (header, value), reason) in [
        ("Mozilla/5.0", ("x", "y"), "apple_mail_privacy"),
        (proxy, ("x", "y"), "image_proxy"),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", ("x", "y"), "scanner"),
        ("", ("x", "y"), "no_user_agent"),
        (BROWSER, ("sec-purpose", "prefetch;prerender"), "prefetch"),
        (BROWSER, ("x-moz", "prefetch"), "prefetch"),
    ] {
        let ask = |path: &str| request(Method::GET, path).header("user-agent", agent).header(header, value);
        leads_to(&door.send(ask(&click()).body(Body::empty()).unwrap()).await, SHOP);
        is_the_picture(&door.send(ask(&picture()).body(Body::empty()).unwrap()).await);
        for event in door.events() {
            let properties = properties(&event);
            assert_eq!(
                (&properties["machine"], &properties["machine_reason"]),
                (&json!(true), &json!(reason)),
                "{agent}"
            );
        }
    }
    let at_once = SentMessage { sent_at: NOW.as_millis() - 1_000, ..message() };
    as_browser(&door, Method::GET, &click_on(at_once, 1, SHOP)).await;
    assert_eq!(properties(&door.event())["machine_reason"], "at_once");
}

#[tokio::test]
async fn head_is_answered_and_counts_nothing() {
    let door = Fixture::new();
    leads_to(&as_browser(&door, Method::HEAD, &click()).await, SHOP);
    let answer = as_browser(&door, Method::HEAD, &picture()).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "image/gif"));
    assert_eq!(door.records(), []);
    assert_eq!(as_browser(&door, Method::POST, &click()).await.status, 405);
}

#[tokio::test]
async fn a_link_that_messaging_did_not_sign_leads_nowhere_and_shows_a_page() {
    let door = Fixture::new();
    let stranger = KeyRing::parse("k1:somebody else's secret, long enough").unwrap();
    let retired = KeyRing::parse("k0:a link secret of many bytes").unwrap();
    let token = ClickToken { message: message(), link: 1, target: SHOP.parse().unwrap() };
    let unsigned = "aHR0cHM6Ly9ldmlsLmV4YW1wbGUuY29tLw";
    for path in [
        format!("/c/{}", token.sign(&stranger).unwrap()),
        format!("/c/{}", token.sign(&retired).unwrap()),
        picture().replace("/o/", "/c/"),
        click()[..80].to_owned(),
        format!("/c/{unsigned}"),
        "/c/https%3A%2F%2Fevil.example.com".to_owned(),
        "/c/javascript%3Aalert(1)".to_owned(),
        "/c/%0D%0ALocation%3A%20https%3A%2F%2Fevil.example.com".to_owned(),
        "/c/%ff".to_owned(),
        format!("/c/{}", "A".repeat(10_000)),
        format!("/c/{unsigned}?url=https://evil.example.com&lang=es"),
    ] {
        let answer = as_browser(&door, Method::GET, &path).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (404, ""), "{path}");
        let says = if path.ends_with("es") { "Este enlace no funciona" } else { "This link does not work" };
        assert!(answer.text.contains(says) && !answer.text.contains("evil"), "{path}: {}", answer.text);
        assert_eq!(answer.header("cache-control"), "no-store");
        is_the_picture(&as_browser(&door, Method::GET, &path.replacen("/c/", "/o/", 1)).await);
    }
    // The one that was a picture's under another path is one again.
    assert_eq!(door.events().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn she_is_sent_on_while_the_broker_is_away_and_nobody_waits_for_it() {
    let door = Fixture::new();
    door.log_is(Mood::Fails(LogError::Unavailable));
    leads_to(&as_browser(&door, Method::GET, &click()).await, SHOP);
    door.log_is(Mood::NeverAnswers);
    let began = tokio::time::Instant::now();
    leads_to(&as_browser(&door, Method::GET, &click()).await, SHOP);
    is_the_picture(&as_browser(&door, Method::GET, &picture()).await);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn so_many_are_stored_at_once_and_of_more_it_is_lost_and_people_are_sent_on() {
    let door = Fixture::with(&DoorOptions { max_message_links: 1, ..DoorOptions::default() });
    door.log_is(Mood::NeverAnswers);
    leads_to(&as_browser(&door, Method::GET, &click()).await, SHOP);
    door.log_is(Mood::Stores);
    leads_to(&as_browser(&door, Method::GET, &click()).await, SHOP);
    assert_eq!(door.records(), [], "the place is taken");
    // The one that the log did not answer gives its place back in the end.
    tokio::time::sleep(Duration::from_secs(6)).await;
    leads_to(&as_browser(&door, Method::GET, &click()).await, SHOP);
    assert_eq!(door.events().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_signed_leads_to_exactly_that_and_changed_by_any_byte_to_nothing(
        path in "[!-\\[\\]-~]{0,200}", at in any::<usize>(), byte in "[!-~]"
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let target = format!("https://shop.example.com/{path}");
        let link = click_on(message(), 1, &target);
        let door = Fixture::new();
        let answer = runtime.block_on(as_browser(&door, Method::GET, &link));
        prop_assert_eq!((answer.status.as_u16(), answer.header("location")), (302, &*target));
        let at = 3 + at % (link.len() - 3);
        let changed = format!("{}{byte}{}", &link[..at], &link[at + 1..]);
        if changed != link && changed.parse::<axum::http::Uri>().is_ok() {
            let answer = runtime.block_on(as_browser(&door, Method::GET, &changed));
            prop_assert_eq!((answer.status.as_u16(), answer.header("location")), (404, ""), "{}", changed);
        }
    }
}
