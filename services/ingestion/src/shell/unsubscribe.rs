//! The unsubscribe link (RFC 8058). GET shows a question and changes nothing, because scanners follow links; POST unsubscribes at
//! once, whether a mail program or the page's button sends it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::Locale;
use links::{TokenError, UnsubscribeToken};
use schemas::{CommandKind, MessagingCommand};
use tracing::Instrument;

use super::answer::Refused;
use super::door::{Door, send_span};
use super::log::{EventLog, LogRecord};
use super::page::{self, Page};
use super::trace;
use crate::COMMANDS;

/// Asks whether to unsubscribe.
pub(crate) async fn ask<L: EventLog>(
    State(door): State<Arc<Door<L>>>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response {
    let page = match UnsubscribeToken::verify(&door.secrets.links, &token) {
        Ok(_) => (StatusCode::OK, Page::Ask),
        Err(error) => bad_link(error),
    };
    answer(page, &headers)
}

/// Unsubscribes.
pub(crate) async fn obey<L: EventLog>(
    State(door): State<Arc<Door<L>>>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let page = match UnsubscribeToken::verify(&door.secrets.links, &token) {
        Ok(token) => match store(&door, &token, &headers, body).await {
            Ok(()) => (StatusCode::OK, Page::Done),
            Err(refused) => (refused.status(), Page::NotNow),
        },
        Err(error) => bad_link(error),
    };
    answer(page, &headers)
}

async fn store<L: EventLog>(
    door: &Door<L>,
    token: &UnsubscribeToken,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Refused> {
    // What the body says only tells the mail program's button from the page's; whatever it is, the link is proof enough.
    let body = door.beginning(body).await;
    let _place = door.admit_unsubscribe()?;
    let one_click = body.windows(ONE_CLICK.len()).any(|window| window == ONE_CLICK);
    let command = MessagingCommand {
        // A second click on the same link is the same command.
        request_id: format!("unsubscribe-{}", token.message_id),
        kind: CommandKind::Unsubscribe,
        customer_id: token.customer_id.clone(),
        address_hash: Some(token.address_hash.to_string()),
        message_id: Some(token.message_id.clone()),
        // All of it: who says stop means stop.
        category: None,
        shop: token.shop.clone(),
        at: door.host.now().as_millis(),
        source: if one_click { "one_click" } else { "page" }.to_owned(),
    };
    let mut value = Vec::new();
    door.schemas.encode(COMMANDS, &command, &mut value).map_err(|error| {
        tracing::error!(%error, "a command does not fit its schema");
        Refused::Unstorable
    })?;
    let span = send_span(COMMANDS, 1);
    let trace = trace::carried_on(&span, trace::caller(headers).as_ref(), headers, door.host.as_ref());
    let record = LogRecord {
        dataset: COMMANDS,
        key: Some(token.customer_id.clone()),
        value: value.into(),
        headers: trace.headers(),
    };
    door.append(COMMANDS, vec![record]).instrument(span).await
}

/// In a form or in a part of a multipart body alike.
const ONE_CLICK: &[u8] = b"One-Click";

fn bad_link(error: TokenError) -> (StatusCode, Page) {
    tracing::info!(%error, "an unsubscribe link was not accepted");
    (StatusCode::NOT_FOUND, Page::BadLink)
}

fn answer((status, page): (StatusCode, Page), headers: &HeaderMap) -> Response {
    let languages = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    (status, page::HEADERS, page.html(preferred(languages))).into_response()
}

/// The first language that we have pages in. Browsers list what they prefer first, so the weights are not looked at.
fn preferred(accept_language: &str) -> Locale {
    let tags = accept_language.split(',').filter_map(|entry| entry.split(';').next());
    tags.map(str::trim).find_map(Locale::from_tag).unwrap_or_default()
}
