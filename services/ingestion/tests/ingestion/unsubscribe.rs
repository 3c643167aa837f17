//! The unsubscribe link, as scanners, mail programs and people use it.

use axum::body::Body;
use axum::http::Method;
use ingestion::shell::{DoorOptions, LogError};
use links::{AddressHash, UnsubscribeToken};
use schemas::{CommandKind, MessagingCommand};

use crate::support::{Answer, Fixture, Mood, NOW, address_secret, link_keys, request};

fn token() -> UnsubscribeToken {
    UnsubscribeToken {
        customer_id: "ana-7".to_owned(),
        message_id: "message-1".to_owned(),
        address_hash: AddressHash::of(&address_secret(), "ana@example.com"),
        category: "cart".to_owned(),
        shop: "demo".to_owned(),
    }
}

fn link() -> String {
    format!("/u/{}", token().sign(&link_keys()).unwrap())
}

async fn open(door: &Fixture, method: Method, path: &str, language: &str, body: &'static str) -> Answer {
    let builder = request(method, path).header("accept-language", language);
    door.send(builder.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn opening_the_link_asks_and_changes_nothing() {
    let door = Fixture::new();
    for method in [Method::GET, Method::HEAD] {
        let answer = open(&door, method, &link(), "en", "").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert!(answer.header("content-type").starts_with("text/html"));
    }
    assert_eq!(door.records(), []);
}

#[tokio::test]
async fn the_page_speaks_spanish_or_english_and_holds_a_button_that_posts() {
    let door = Fixture::new();
    for (language, says, tag) in [
        ("es-MX,es;q=0.9,en;q=0.8", "Darme de baja", "lang=\"es\""),
        ("fr, es;q=0.5", "Darme de baja", "lang=\"es\""),
        ("en-US", "Unsubscribe", "lang=\"en\""),
        ("", "Unsubscribe", "lang=\"en\""),
    ] {
        let answer = open(&door, Method::GET, &link(), language, "").await;
        assert!(answer.text.contains(says) && answer.text.contains(tag), "{language}: {}", answer.text);
        assert!(answer.text.contains("<form method=\"post\">"));
        assert!(!answer.text.contains("ana"), "the page says nothing about anybody");
    }
}

#[tokio::test]
async fn a_mail_programs_one_click_unsubscribes_at_once() {
    let door = Fixture::new();
    let answer = open(&door, Method::POST, &link(), "", "List-Unsubscribe=One-Click").await;
    assert_eq!(answer.status, 200);
    let records = door.records();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].dataset, records[0].key.as_deref()), ("messaging.commands", Some("ana-7")));
    assert!(records[0].headers.iter().any(|(name, _)| *name == "traceparent"));
    let command: MessagingCommand = door.schemas.decode(&records[0].value).unwrap();
    let expected = MessagingCommand {
        request_id: "unsubscribe-message-1".to_owned(),
        kind: CommandKind::Unsubscribe,
        customer_id: "ana-7".to_owned(),
        address_hash: Some(token().address_hash.to_string()),
        message_id: Some("message-1".to_owned()),
        category: None,
        shop: "demo".to_owned(),
        at: NOW.as_millis(),
        source: "one_click".to_owned(),
    };
    assert_eq!(command, expected);
}

#[tokio::test]
async fn the_pages_button_unsubscribes_too_and_a_second_click_is_the_same_command() {
    let door = Fixture::new();
    let mut commands = Vec::new();
    for _ in 0..2 {
        let answer = open(&door, Method::POST, &link(), "es", "").await;
        assert!(answer.text.contains("Te diste de baja"));
        commands.push(door.schemas.decode::<MessagingCommand>(&door.records()[0].value).unwrap());
    }
    assert_eq!(commands[0].source, "page");
    assert_eq!(commands[0], commands[1]);
}

#[tokio::test]
async fn a_link_that_was_changed_or_cut_off_does_nothing_and_says_so() {
    let door = Fixture::new();
    let mut changed = link();
    let last = changed.pop().unwrap();
    changed.push(if last == 'A' { 'Q' } else { 'A' });
    for path in [changed, link()[..60].to_owned(), "/u/x".to_owned(), format!("/u/{}", "A".repeat(5_000))] {
        for method in [Method::GET, Method::POST] {
            let answer = open(&door, method, &path, "en", "List-Unsubscribe=One-Click").await;
            assert_eq!(answer.status, 404);
            assert!(answer.text.contains("does not work"));
        }
    }
    assert_eq!(door.records(), []);
}

#[tokio::test(start_paused = true)]
async fn people_get_off_the_list_while_storefronts_have_every_place() {
    let options = DoorOptions { max_calls: 1, max_bodies: 1, max_unsubscribes: 1, ..DoorOptions::default() };
    let door = Fixture::with(&options);
    let (_silent, body) = http_body_util::Channel::<bytes::Bytes, std::convert::Infallible>::new(1);
    let link = link();
    let (slow, unsubscribed) = tokio::join!(
        door.post("/v1/track", Body::new(body)),
        open(&door, Method::POST, &link, "", "List-Unsubscribe=One-Click"),
    );
    slow.is_refused(408, "timeout", "");
    assert_eq!(unsubscribed.status, 200);
    assert_eq!(door.records()[0].dataset, "messaging.commands");

    // And a body that does not end is no reason to keep her on it.
    let (mut silent, body) = http_body_util::Channel::<bytes::Bytes, std::convert::Infallible>::new(1);
    silent.send_data("List-Unsubscribe=One-Click".into()).await.unwrap();
    let answer = door.send(request(Method::POST, &link).body(Body::new(body)).unwrap()).await;
    assert_eq!(answer.status, 200);
    let command: MessagingCommand = door.schemas.decode(&door.records()[0].value).unwrap();
    assert_eq!(command.source, "one_click");
}

#[tokio::test]
async fn what_could_not_be_stored_is_not_said_to_be_done() {
    let door = Fixture::new();
    door.log_is(Mood::Fails(LogError::Unavailable));
    let answer = open(&door, Method::POST, &link(), "en", "").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text.contains("Not done yet") && answer.text.contains("Try again"));
}
