//! The preference page: what a customer wants to get at the address that the link's message went to.
//!
//! Wanted properties:
//! - GET changes nothing, because scanners follow links; what POST stores is what was chosen, and nothing if nothing was;
//! - no other site can choose for her: a form is sent to the page's own address, whose signed token nobody else has;
//! - it works without a script, and tells nothing about anybody: the door does not know what was chosen before.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use links::{PreferencesToken, TokenError};
use schemas::{CommandKind, MessagingCommand};

use super::answer::Refused;
use super::commands;
use super::door::Door;
use super::in_path::InPath;
use super::log::EventLog;
use super::page::{self, Page};
use super::preferences_page::{PreferencesPage, Said};

/// Shows the page.
pub(crate) async fn show<L: EventLog>(
    State(door): State<Arc<Door<L>>>,
    InPath(token): InPath,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    match PreferencesToken::verify(&door.secrets.links, &token) {
        Ok(_) => answer(StatusCode::OK, Said::Nothing, &headers, &uri),
        Err(error) => bad_link(error, &headers, &uri),
    }
}

/// Stores what was chosen.
pub(crate) async fn save<L: EventLog>(
    State(door): State<Arc<Door<L>>>,
    InPath(token): InPath,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let token = match PreferencesToken::verify(&door.secrets.links, &token) {
        Ok(token) => token,
        Err(error) => return bad_link(error, &headers, &uri),
    };
    let Some(wanted) = chosen(&door.beginning(body).await) else {
        return answer(StatusCode::BAD_REQUEST, Said::NothingChosen, &headers, &uri);
    };
    match store(&door, token, wanted, &headers).await {
        Ok(()) if wanted => answer(StatusCode::OK, Said::Subscribed, &headers, &uri),
        Ok(()) => answer(StatusCode::OK, Said::Unsubscribed, &headers, &uri),
        Err(refused) => answer(refused.status(), Said::NotNow, &headers, &uri),
    }
}

/// What the form says: whether she wants to be written to.
fn chosen(body: &[u8]) -> Option<bool> {
    body.split(|byte| *byte == b'&').find_map(|field| match field {
        b"marketing=on" => Some(true),
        b"marketing=off" => Some(false),
        _ => None,
    })
}

async fn store<L: EventLog>(
    door: &Door<L>,
    PreferencesToken(token): PreferencesToken,
    wanted: bool,
    headers: &HeaderMap,
) -> Result<(), Refused> {
    let _place = door.admit_unsubscribe()?;
    let at = door.host.now().as_millis();
    let (kind, word) =
        if wanted { (CommandKind::Subscribe, "subscribe") } else { (CommandKind::Unsubscribe, "unsubscribe") };
    let command = MessagingCommand {
        // She may change her mind, and back: each time is a command of its own.
        request_id: format!("preferences-{word}-{}-{at}", token.message_id),
        kind,
        customer_id: token.customer_id,
        address_hash: Some(token.address_hash.to_string()),
        message_id: Some(token.message_id),
        category: None,
        shop: token.shop,
        at,
        source: "preferences".to_owned(),
    };
    commands::store(door, &command, headers).await
}

fn bad_link(error: TokenError, headers: &HeaderMap, uri: &Uri) -> Response {
    tracing::info!(%error, "a link to the preferences was not accepted");
    let page = Page::BadLink.html(page::language(headers, uri));
    (StatusCode::NOT_FOUND, page::HEADERS, page).into_response()
}

fn answer(status: StatusCode, said: Said, headers: &HeaderMap, uri: &Uri) -> Response {
    let page = PreferencesPage(said).html(page::language(headers, uri));
    (status, page::HEADERS, page).into_response()
}
