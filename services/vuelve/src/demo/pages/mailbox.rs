//! What was sent, and why.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use messaging::shell::KeptMessage;
use serde::Serialize;

use super::html::Html;
use super::words::Words;
use super::{PAGE_POLICY, Pages, answer, missing, words_for};
use crate::demo::story::Sent;
use crate::written;

/// The frame may show what is written in the message; no script, no form, no request to anybody. It stays so where
/// somebody opens the address by itself.
const BODY_POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'self'";
/// The list shows so many.
const SHOWN: usize = 100;

/// A message in `/mailbox.json`.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    number: u64,
    message_id: &'a str,
    customer: &'a str,
    to: &'a str,
    locale: &'a str,
    subject: &'a str,
    template: &'a str,
    journey: &'a str,
    journey_version: i32,
    run_id: &'a str,
    step: &'a str,
    due_at: String,
    sent_at: String,
    unsubscribe_url: &'a str,
    preferences_url: &'a str,
    trigger: Option<Sent>,
}

/// All that is kept, newest first.
pub(super) async fn json(State(pages): State<Pages>) -> Response {
    let messages = pages.mailbox.messages();
    super::json(&messages.iter().map(|message| entry(&pages, message)).collect::<Vec<_>>())
}

fn entry<'a>(pages: &Pages, message: &'a KeptMessage) -> Entry<'a> {
    Entry {
        number: message.number,
        message_id: &message.message_id,
        customer: &message.customer_id,
        to: &message.to,
        locale: message.locale.tag(),
        subject: &message.subject,
        template: &message.template,
        journey: &message.journey,
        journey_version: message.journey_version,
        run_id: &message.run_id,
        step: &message.step,
        due_at: written::time(message.due_at),
        sent_at: written::time(message.sent_at),
        unsubscribe_url: &message.unsubscribe_url,
        preferences_url: &message.preferences_url,
        trigger: pages.story.trigger(&message.run_id),
    }
}

/// The list.
pub(super) async fn list(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    let words = words_for(&headers);
    let mut content = Html::new();
    let messages = pages.mailbox.messages();
    if messages.is_empty() {
        content.markup("<p>").text(words.nothing_yet).markup("</p>");
    } else {
        content.head(&[words.sent, words.to, words.subject, words.template, words.why]);
    }
    for message in messages.iter().take(SHOWN) {
        content.markup("<tr><td>").time(message.sent_at).markup("</td>").cells(&[&message.to]);
        content.markup("<td><a href=\"/mailbox/").number(message.number).markup("\">").text(&message.subject);
        content.markup("</a></td>").cells(&[&message.template]).markup("<td>");
        why(&mut content, words, message, pages.story.trigger(&message.run_id).as_ref());
        content.markup("</td></tr>");
    }
    if !messages.is_empty() {
        content.markup("</table>");
    }
    answer(StatusCode::OK, PAGE_POLICY, super::page(words, words.mailbox, true, &content))
}

/// The number in a path; also what is no text is only something that is not there.
type Number = Result<Path<String>, PathRejection>;

fn find(pages: &Pages, number: Number) -> Option<Arc<KeptMessage>> {
    pages.mailbox.message(number.ok()?.parse().ok()?)
}

/// One message.
pub(super) async fn message(State(pages): State<Pages>, number: Number, headers: HeaderMap) -> Response {
    let words = words_for(&headers);
    let Some(message) = find(&pages, number) else {
        return missing(words);
    };
    let mut content = Html::new();
    content.markup("<p class=\"why\"><strong>").text(words.why).markup(":</strong> ");
    why(&mut content, words, &message, pages.story.trigger(&message.run_id).as_ref());
    content.markup("</p><table>");
    let version = format!("{}, {} {}", message.journey, words.version, message.journey_version);
    for (name, value) in [
        (words.from, message.from_name.as_deref().unwrap_or(&message.shop)),
        (words.to, &message.to),
        (words.template, &message.template),
        (words.journey, &version),
        (words.step, &message.step),
    ] {
        content.markup("<tr><th>").text(name).markup("</th>").cells(&[value]).markup("</tr>");
    }
    for (name, time) in [(words.due, message.due_at), (words.sent, message.sent_at)] {
        content.markup("<tr><th>").text(name).markup("</th><td>").time(time).markup("</td></tr>");
    }
    content.markup("</table><p><a rel=\"noopener noreferrer\" target=\"_blank\" href=\"");
    content.text(&message.unsubscribe_url).markup("\">").text(words.unsubscribe).markup("</a></p>");
    content.markup("<iframe sandbox referrerpolicy=\"no-referrer\" title=\"").text(&message.subject);
    content.markup("\" src=\"/mailbox/").number(message.number).markup("/body\"></iframe><p class=\"small\">");
    content.text(words.links_do_nothing).markup("</p><h2>").text(words.as_text).markup("</h2><pre>");
    content.text(&message.text).markup("</pre>");
    answer(StatusCode::OK, PAGE_POLICY, super::page(words, &message.subject, false, &content))
}

/// The message as a mail program would show it, for the frame.
pub(super) async fn body(State(pages): State<Pages>, number: Number, headers: HeaderMap) -> Response {
    match find(&pages, number) {
        Some(message) => answer(StatusCode::OK, BODY_POLICY, Html::of_message(&message)),
        None => missing(words_for(&headers)),
    }
}

/// “customer-3 put into the cart: Desk lamp, on …, and did not buy. cart-recovery, step first.”
fn why(content: &mut Html, words: &Words, message: &KeptMessage, trigger: Option<&Sent>) {
    if let Some(trigger) = trigger {
        let did = match trigger.event {
            "Product Added" => words.added,
            "Product Viewed" => words.looked,
            _ => words.did,
        };
        content.text(&message.customer_id).markup(" ").text(did).markup(" ");
        content.text(trigger.product.unwrap_or(trigger.event)).markup(", ").text(words.at).markup(" ").time(trigger.at);
        content.markup(" ").text(words.and_did_not_buy).markup(" ");
    }
    content.markup("<span class=\"small\">").text(&message.journey).markup(", ").text(words.step).markup(" ");
    content.text(&message.step).markup("</span>");
}
