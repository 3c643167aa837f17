//! How the demo goes.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use messaging::shell::Clock as _;
use serde::Serialize;

use super::html::Html;
use super::{PAGE_POLICY, Pages, answer, words_for};
use crate::demo::story::{Decided, Sent, Sums};
use crate::written::{self, word};

/// So many decisions and events are shown.
const SHOWN: usize = 20;

/// `/status.json`
#[derive(Debug, Serialize)]
struct Status {
    shop_time: String,
    speed: u32,
    customers: u32,
    seconds_since_start: f64,
    messages: u64,
    #[serde(flatten)]
    sums: Sums,
    decisions: Vec<Decided>,
}

pub(super) async fn json(State(pages): State<Pages>) -> Response {
    super::json(&Status {
        shop_time: written::time(pages.time.now()),
        speed: pages.speed,
        customers: pages.customers,
        seconds_since_start: pages.began.elapsed().as_secs_f64(),
        messages: pages.mailbox.total(),
        sums: pages.story.sums(),
        decisions: pages.story.decisions(SHOWN),
    })
}

/// `/shop.json`: what the shop sent, newest first.
pub(super) async fn shop_json(State(pages): State<Pages>) -> Response {
    super::json(&pages.story.calls(usize::MAX))
}

pub(super) async fn page(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    let words = words_for(&headers);
    let sums = pages.story.sums();
    let mut content = Html::new();
    content.markup("<table><tr><th>").text(words.shop_time).markup("</th><td>").time(pages.time.now());
    content.markup("</td></tr><tr><th>").text(words.speed).markup("</th><td>").number(pages.speed.into());
    content.markup(" ").text(words.speed_unit).markup("</td></tr>");
    for (name, number) in [
        (words.customers, pages.customers.into()),
        (words.calls, sums.calls),
        (words.runs_entered, sums.runs_entered),
        (words.messages, pages.mailbox.total()),
        (words.exits_by_purchase, sums.exits_by_purchase),
        (words.runs_completed, sums.runs_completed),
    ] {
        content.markup("<tr><th>").text(name).markup("</th><td>").number(number).markup("</td></tr>");
    }
    content.markup("</table>");
    counts(&mut content, words.messages_asked_for, &sums.messages);
    counts(&mut content, words.outcomes, &sums.outcomes);
    decisions(&mut content, words, &pages.story.decisions(SHOWN));
    events(&mut content, words, &pages.story.calls(SHOWN));
    answer(StatusCode::OK, PAGE_POLICY, super::page(words, words.status, true, &content))
}

fn counts(content: &mut Html, title: &str, counts: &BTreeMap<String, u64>) {
    content.markup("<h2>").text(title).markup("</h2><table>");
    for (name, number) in counts {
        content.markup("<tr><td>").text(name).markup("</td><td class=\"number\">").number(*number).markup("</td></tr>");
    }
    content.markup("</table>");
}

fn decisions(content: &mut Html, words: &super::Words, decisions: &[Decided]) {
    let columns = [words.time, words.customer, words.journey, words.step, words.decision, words.reason];
    content.markup("<h2>").text(words.decisions).markup("</h2>").head(&columns);
    for decided in decisions {
        content.markup("<tr><td>").time(decided.at).markup("</td>");
        let step = decided.step.as_deref().unwrap_or_default();
        let reason = decided.reason.as_deref().unwrap_or_default();
        content.cells(&[&decided.customer, &decided.journey, step, &word(&decided.decision), reason]).markup("</tr>");
    }
    content.markup("</table>");
}

fn events(content: &mut Html, words: &super::Words, calls: &[Sent]) {
    let columns = [words.time, words.customer, words.event, words.product, words.cart];
    content.markup("<h2>").text(words.events).markup("</h2>").head(&columns);
    for call in calls {
        content.markup("<tr><td>").time(call.at).markup("</td>");
        let (product, cart) = (call.product.unwrap_or_default(), call.cart.as_deref().unwrap_or_default());
        content.cells(&[&call.customer, call.event, product, cart]).markup("</tr>");
    }
    content.markup("</table>");
}
