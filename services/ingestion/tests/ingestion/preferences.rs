//! The preference page, as scanners, browsers and people use it.

use axum::body::Body;
use axum::http::Method;
use ingestion::shell::LogError;
use links::{AddressHash, PreferencesToken, UnsubscribeToken};
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
    format!("/p/{}", PreferencesToken(token()).sign(&link_keys()).unwrap())
}

async fn ask(door: &Fixture, method: Method, path: &str, language: &str, body: &'static str) -> Answer {
    let builder = request(method, path).header("accept-language", language);
    door.send(builder.body(Body::from(body)).unwrap()).await
}

async fn choose(door: &Fixture, body: &'static str) -> Answer {
    ask(door, Method::POST, &link(), "en", body).await
}

#[tokio::test]
async fn opening_the_page_changes_nothing_and_tells_nothing_of_anybody() {
    let door = Fixture::new();
    for method in [Method::GET, Method::HEAD] {
        let answer = ask(&door, method, &link(), "en", "").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("form-action 'self'"), "{policy}");
        assert!(!answer.text.contains("ana") && !answer.text.contains("checked"), "{}", answer.text);
    }
    assert_eq!(door.records(), []);
}

#[tokio::test]
async fn it_is_a_plain_form_in_the_language_that_the_address_or_else_the_browser_asks_for() {
    let door = Fixture::new();
    for (query, language, tag, says) in [
        ("", "es-MX,es;q=0.9", "es", "Recordatorios y ofertas por correo"),
        ("", "en", "en", "Reminders and offers by e-mail"),
        ("", "fr", "en", "Reminders and offers by e-mail"),
        ("?lang=es", "en", "es", "Recordatorios y ofertas por correo"),
        ("?lang=en", "es", "en", "Reminders and offers by e-mail"),
        ("?x=1&lang=zz", "es", "es", "Recordatorios y ofertas por correo"),
    ] {
        let answer = ask(&door, Method::GET, &format!("{}{query}", link()), language, "").await;
        assert!(answer.text.contains(says), "{query} {language}: {}", answer.text);
        assert!(answer.text.contains(&format!("<html lang=\"{tag}\">")));
        assert!(answer.text.contains("<form method=\"post\"><fieldset><legend>"));
        assert_eq!(answer.text.matches("<label><input type=\"radio\" name=\"marketing\"").count(), 2);
        assert!(!answer.text.contains("<script") && !answer.text.contains("http://"));
        let other = if tag == "es" { "en" } else { "es" };
        assert!(answer.text.contains(&format!("<a href=\"?lang={other}\" hreflang=\"{other}\" lang=\"{other}\">")));
    }
}

#[tokio::test]
async fn what_is_chosen_becomes_a_command_and_each_change_of_mind_another() {
    let door = Fixture::new();
    for (body, kind, word, says) in [
        ("marketing=off", CommandKind::Unsubscribe, "unsubscribe", "no more reminders"),
        ("lang=en&marketing=on", CommandKind::Subscribe, "subscribe", "may come to this address again"),
    ] {
        let answer = choose(&door, body).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text.contains(says) && answer.text.contains("role=\"status\""), "{}", answer.text);
        let records = door.records();
        assert_eq!(records.len(), 1);
        assert_eq!((records[0].dataset, records[0].key.as_deref()), ("messaging.commands", Some("ana-7")));
        let command: MessagingCommand = door.schemas.decode(&records[0].value).unwrap();
        let expected = MessagingCommand {
            request_id: format!("preferences-{word}-message-1-{}", NOW.as_millis()),
            kind,
            customer_id: "ana-7".to_owned(),
            address_hash: Some(token().address_hash.to_string()),
            message_id: Some("message-1".to_owned()),
            category: None,
            shop: "demo".to_owned(),
            at: NOW.as_millis(),
            source: "preferences".to_owned(),
        };
        assert_eq!(command, expected);
    }
    let answer = ask(&door, Method::POST, &link(), "es", "marketing=off").await;
    assert!(answer.text.contains("No volverás a recibir"), "{}", answer.text);
}

#[tokio::test]
async fn a_form_without_a_choice_is_asked_again_and_stores_nothing() {
    let door = Fixture::new();
    for body in
        ["", "marketing=", "marketing=maybe", "List-Unsubscribe=One-Click", "xmarketing=on", "{\"marketing\":\"on\"}"]
    {
        let answer = choose(&door, body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text.contains("please choose one") && answer.text.contains("<form"), "{body}");
    }
    assert_eq!(door.records(), []);
}

#[tokio::test]
async fn a_link_that_is_not_to_the_preferences_does_nothing_and_says_so() {
    let door = Fixture::new();
    let unsubscribe = token().sign(&link_keys()).unwrap();
    let preferences = link().split_off(3);
    for path in [format!("/p/{unsubscribe}"), link()[..60].to_owned(), format!("/p/{}", "A".repeat(10_000))] {
        for method in [Method::GET, Method::POST] {
            let answer = ask(&door, method, &format!("{path}?lang=es"), "en", "marketing=on").await;
            assert_eq!(answer.status, 404, "{path}");
            assert!(answer.text.contains("Este enlace no funciona"));
        }
    }
    // Nor does it unsubscribe at once: who reads it is asked.
    assert_eq!(ask(&door, Method::POST, &format!("/u/{preferences}"), "en", "").await.status, 404);
    assert_eq!(door.records(), []);
}

#[tokio::test]
async fn what_could_not_be_stored_is_not_said_to_be_saved() {
    let door = Fixture::new();
    door.log_is(Mood::Fails(LogError::Unavailable));
    let answer = choose(&door, "marketing=off").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text.contains("Not saved yet") && answer.text.contains("<form"), "{}", answer.text);
}
