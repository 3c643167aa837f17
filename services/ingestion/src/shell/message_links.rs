//! The links and the picture of a message. Both tell the log, and neither waits for it: who follows a link is sent on at once,
//! broker or no broker.
//!
//! Wanted properties:
//! - nobody is sent on to what messaging has not signed, but for one parameter more on the shop's own hosts, and that only
//!   where a person seems to come;
//! - what could not be stored is counted as lost, and is the only thing that is lost;
//! - so many are stored at once, and no more.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use domain::{HumanDuration, Timestamp};
use links::{ClickToken, OpenToken, Target, VisitToken};
use tracing::Instrument;

use super::door::{Door, send_span};
use super::in_path::InPath;
use super::log::{EventLog, LogRecord};
use super::page::{self, Page};
use super::trace;
use crate::mapping::{Engagement, Machine, Visitor, visits};
use crate::{RECEIVED, ids};

/// For so long an answer waits for the log: who stops the door then loses nothing that was answered, and nobody notices.
const PATIENCE: Duration = Duration::from_millis(250);
/// For so long she is recognised by the address that a link led her to.
const VISIT: HumanDuration = HumanDuration::from_millis(30 * 60 * 1_000);
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
            let (click, now) = (Engagement::clicked(&token), door.host.now());
            let machine = machine(click, now, &headers);
            tell(&door, click, (machine, now), &method, &headers).await;
            let by_a_person = method == Method::GET && machine.is_none();
            let target = if by_a_person { told_who_comes(&door, &token, now) } else { None };
            sent_on(target.as_ref().unwrap_or(&token.target))
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
        Ok(token) => {
            let (open, now) = (Engagement::opened(&token), door.host.now());
            tell(&door, open, (machine(open, now, &headers), now), &method, &headers).await;
        }
        Err(_) => door.metrics.message_link("open", "bad_link"),
    }
    (PICTURE_HEADERS, PICTURE).into_response()
}

/// Where the link leads, with who comes in the address: on the shop's own hosts, where there is room for it.
fn told_who_comes<L>(door: &Door<L>, token: &ClickToken, now: Timestamp) -> Option<Target> {
    if !door.identify_on_hosts.iter().any(|host| host.is_of(&token.target)) {
        return None;
    }
    let (customer_id, shop) = (token.message.customer_id.clone(), token.message.shop.clone());
    let visit = VisitToken { customer_id, shop, until: (now + VISIT).as_millis() };
    token.target.with_parameter(visits::PARAMETER, &visit.sign(&door.secrets.links).ok()?)
}

/// Which program asks, if it is one.
fn machine(what: Engagement<'_>, now: Timestamp, headers: &HeaderMap) -> Option<Machine> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    Machine::of(&Visitor {
        user_agent: text("user-agent"),
        purposes: PURPOSES.map(text),
        since_sent_ms: now.as_millis().saturating_sub(what.sent_at()),
    })
}

/// Tells the log, for a while: by whom, and when.
async fn tell<L: EventLog>(
    door: &Arc<Door<L>>,
    what: Engagement<'_>,
    by: (Option<Machine>, Timestamp),
    method: &Method,
    headers: &HeaderMap,
) {
    let word = what.word();
    if *method == Method::HEAD {
        return door.metrics.message_link(word, "not_counted");
    }
    let Ok(place) = Arc::clone(&door.message_links).try_acquire_owned() else {
        return door.metrics.message_link(word, "lost");
    };
    let span = send_span(RECEIVED, 1);
    let Some(record) = record(door, what, by, headers, &span) else {
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
    (machine, now): (Option<Machine>, Timestamp),
    headers: &HeaderMap,
    span: &tracing::Span,
) -> Option<LogRecord> {
    let trace = trace::carried_on(span, headers, door.host.as_ref());
    let event = what.event(machine, now, &trace.traceparent);
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
