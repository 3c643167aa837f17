//! The links and the picture of a message. Both tell the log, and neither waits for it: who follows a link is sent on at once,
//! broker or no broker.
//!
//! Wanted properties:
//! - nobody is sent on to what messaging has not signed;
//! - what could not be stored is counted as lost, and is the only thing that is lost;
//! - so many are stored at once, and no more.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use links::{ClickToken, OpenToken, Target};
use tracing::Instrument;

use super::door::{Door, send_span};
use super::in_path::InPath;
use super::log::{EventLog, LogRecord};
use super::page::{self, Page};
use super::trace;
use crate::mapping::{Engagement, Machine, Visitor};
use crate::{RECEIVED, ids};

/// For so long an answer waits for the log: who stops the door then loses nothing that was answered, and nobody notices.
const PATIENCE: Duration = Duration::from_millis(250);
/// The headers that tell that nobody has asked for something yet.
const PURPOSES: [&str; 4] = ["sec-purpose", "purpose", "x-purpose", "x-moz"];

/// Sends on to where a link leads.
pub(crate) async fn click<L: EventLog>(
    State(door): State<Arc<Door<L>>>,
    InPath(token): InPath,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    match ClickToken::verify(&door.secrets.links, &token) {
        Ok(token) => {
            tell(&door, Engagement::clicked(&token), &method, &headers).await;
            sent_on(&token.target)
        }
        Err(error) => {
            tracing::info!(%error, "a link was not accepted");
            door.metrics.message_link("click", "bad_link");
            let page = Page::BadLink.html(page::language(&headers, &uri));
            (StatusCode::NOT_FOUND, page::HEADERS, page).into_response()
        }
    }
}

/// Answers with the picture, whoever asks.
pub(crate) async fn open<L: EventLog>(
    State(door): State<Arc<Door<L>>>,
    InPath(token): InPath,
    method: Method,
    headers: HeaderMap,
) -> Response {
    match OpenToken::verify(&door.secrets.links, &token) {
        Ok(token) => tell(&door, Engagement::opened(&token), &method, &headers).await,
        Err(_) => door.metrics.message_link("open", "bad_link"),
    }
    (PICTURE_HEADERS, PICTURE).into_response()
}

/// Tells the log, for a while.
async fn tell<L: EventLog>(door: &Arc<Door<L>>, what: Engagement<'_>, method: &Method, headers: &HeaderMap) {
    let word = what.word();
    if *method == Method::HEAD {
        return door.metrics.message_link(word, "not_counted");
    }
    let Ok(place) = Arc::clone(&door.message_links).try_acquire_owned() else {
        return door.metrics.message_link(word, "lost");
    };
    let span = send_span(RECEIVED, 1);
    let Some(record) = record(door, what, headers, &span) else {
        return door.metrics.message_link(word, "lost");
    };
    let door = Arc::clone(door);
    let storing = async move {
        let _place = place;
        let stored = door.append(RECEIVED, vec![record]).await.is_ok();
        door.metrics.message_link(word, if stored { "stored" } else { "lost" });
    };
    // It goes on when the answer does not wait any more.
    let storing = tokio::spawn(storing.instrument(span));
    let _ = tokio::time::timeout(PATIENCE, storing).await;
}

fn record<L: EventLog>(
    door: &Door<L>,
    what: Engagement<'_>,
    headers: &HeaderMap,
    span: &tracing::Span,
) -> Option<LogRecord> {
    let now = door.host.now();
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let visitor = Visitor {
        user_agent: text("user-agent"),
        purposes: PURPOSES.map(text),
        since_sent_ms: now.as_millis().saturating_sub(what.sent_at()),
    };
    let trace = trace::carried_on(span, headers, door.host.as_ref());
    let event = what.event(Machine::of(&visitor), now, &trace.traceparent);
    let mut value = Vec::new();
    if let Err(error) = door.schemas.encode(RECEIVED, &event, &mut value) {
        tracing::error!(%error, "a click or an open does not fit its schema");
        return None;
    }
    let key = ids::received_key(&event).map(str::to_owned);
    Some(LogRecord { dataset: RECEIVED, key, value: value.into(), headers: trace.headers() })
}

fn sent_on(target: &Target) -> Response {
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow")),
    ];
    // A target is plain ASCII, so that it always fits a header.
    match HeaderValue::from_str(target.as_str()) {
        Ok(location) => (StatusCode::FOUND, headers, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

const PICTURE_HEADERS: [(&str, &str); 4] = [
    ("content-type", "image/gif"),
    ("cache-control", "no-store, private"),
    ("x-content-type-options", "nosniff"),
    ("x-robots-tag", "noindex, nofollow"),
];

/// One transparent pixel, as `GIF89a`: header and screen, two colours, the first of which is transparent, and the pixel.
const PICTURE: [u8; 43] = [
    b'G', b'I', b'F', b'8', b'9', b'a', 1, 0, 1, 0, 0x80, 0, 0, //
    0, 0, 0, 0xff, 0xff, 0xff, //
    0x21, 0xf9, 4, 1, 0, 0, 0, 0, //
    0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, //
    2, 2, 0x44, 1, 0, 0x3b,
];
