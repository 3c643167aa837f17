//! The unsubscribe link (RFC 8058). GET shows a question and changes nothing, because scanners follow links; POST unsubscribes at
//! once, whether a mail program or the page's button sends it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use links::{TokenError, UnsubscribeToken};
use schemas::{CommandKind, MessagingCommand};

use super::answer::Refused;
use super::commands;
use super::door::Door;
use super::in_path::InPath;
use super::log::EventLog;
use super::page::{self, Page};

/// Asks whether to unsubscribe.
pub(crate) async fn ask<L: EventLog>(
    State(door): State<Arc<Door<L>>>,
    InPath(token): InPath,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let page = match UnsubscribeToken::verify(&door.secrets.links, &token) {
        Ok(_) => (StatusCode::OK, Page::Ask),
        Err(error) => bad_link(error),
    };
    answer(page, &headers, &uri)
}

/// Unsubscribes.
pub(crate) async fn obey<L: EventLog>(
    State(door): State<Arc<Door<L>>>,
    InPath(token): InPath,
    uri: Uri,
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
    answer(page, &headers, &uri)
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
    commands::store(door, &command, headers).await
}

/// In a form or in a part of a multipart body alike.
const ONE_CLICK: &[u8] = b"One-Click";

fn bad_link(error: TokenError) -> (StatusCode, Page) {
    tracing::info!(%error, "an unsubscribe link was not accepted");
    (StatusCode::NOT_FOUND, Page::BadLink)
}

fn answer((status, page): (StatusCode, Page), headers: &HeaderMap, uri: &Uri) -> Response {
    (status, page::HEADERS, page.html(page::language(headers, uri))).into_response()
}
