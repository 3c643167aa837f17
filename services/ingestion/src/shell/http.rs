//! The door's paths.

use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use schemas::EventKind;
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use tracing::Instrument;

use super::answer::{self, Refused};
use super::dead_letter::REDRIVES_HEADER;
use super::door::{Door, Head};
use super::in_path::InPath;
use super::log::EventLog;
use super::metrics::METHODS;
use super::{credentials, message_links, preferences, trace, unsubscribe, webhook};
use crate::mapping::{CallKind, MAX_CALL_BYTES};

/// What is said of all these paths, for people and for programs.
const DESCRIPTION: &str = include_str!("../../openapi.yaml");

/// The calls of the Segment specification: their names, the short forms of the browser library, and what they are.
const CALLS: [(&str, &str, CallKind); 7] = [
    ("/identify", "/i", CallKind::Single(EventKind::Identify)),
    ("/track", "/t", CallKind::Single(EventKind::Track)),
    ("/page", "/p", CallKind::Single(EventKind::Page)),
    ("/screen", "/s", CallKind::Single(EventKind::Screen)),
    ("/group", "/g", CallKind::Single(EventKind::Group)),
    ("/alias", "/a", CallKind::Single(EventKind::Alias)),
    ("/batch", "/b", CallKind::Batch),
];

/// Everything that the door answers.
pub fn router<L: EventLog>(door: Arc<Door<L>>) -> Router {
    let mut calls = Router::new();
    for (name, short, kind) in CALLS {
        for path in [name, short] {
            let call = move |State(door): State<Arc<Door<L>>>, path: MatchedPath, request: Request| async move {
                take(&door, kind, path.as_str(), request).await
            };
            calls = calls.route(path, post(call));
        }
    }
    // The browser library's own figures: nobody here wants them, but a refusal would show in every console.
    calls = calls.route("/m", post(async || answer::accepted())).route("/projects/{write_key}/settings", get(settings));
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(std::time::Duration::from_hours(24));
    Router::new()
        // Set before the layer: what asks first (OPTIONS) gets to the fallback of its path.
        .nest("/v1", calls.method_not_allowed_fallback(async || Refused::WrongMethod).layer(cors))
        .route("/webhooks/{id}", post(webhook::take))
        .route("/u/{token}", get(unsubscribe::ask).post(unsubscribe::obey))
        .route("/p/{token}", get(preferences::show).post(preferences::save))
        .route("/c/{token}", get(message_links::click))
        .route("/o/{token}", get(message_links::open))
        .route("/openapi.yaml", get(description))
        .method_not_allowed_fallback(async || Refused::WrongMethod)
        .fallback(async || Refused::NoSuchPath)
        .layer(CatchPanicLayer::custom(|_| Refused::Broken.into_response()))
        .layer(middleware::from_fn_with_state(door.clone(), observe))
        .with_state(door)
}

async fn take<L: EventLog>(door: &Door<L>, kind: CallKind, route: &str, request: Request) -> Response {
    match try_take(door, kind, route, request).await {
        Ok(()) => answer::accepted(),
        Err(refused) => refused.into_response(),
    }
}

async fn try_take<L: EventLog>(door: &Door<L>, kind: CallKind, route: &str, request: Request) -> Result<(), Refused> {
    let (parts, body) = request.into_parts();
    let key = match credentials::in_head(&parts.headers, &parts.uri) {
        Some(key) => Some(door.secrets.write_keys.find(&key).ok_or(Refused::WrongKey)?),
        None => None,
    };
    let declared = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let body = door.body(body, declared, MAX_CALL_BYTES).await?;
    // Only now: a body that comes slowly would keep others out.
    let _place = door.admit()?;
    let body = body.into_bytes();
    let trace = |span: &tracing::Span| trace::carried_on(span, &parts.headers, door.host.as_ref());
    let redrives = parts.headers.get(REDRIVES_HEADER).and_then(|count| count.to_str().ok()?.parse().ok()).unwrap_or(0);
    door.take(Head { kind, route, key, redrives }, body, trace).await.map(drop)
}

async fn description() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/yaml"))], DESCRIPTION)
}

/// What the browser library asks for first: that everything goes to Segment's own integration, which is this door.
async fn settings<L: EventLog>(
    State(door): State<Arc<Door<L>>>,
    InPath(write_key): InPath,
    headers: HeaderMap,
) -> Response {
    if door.secrets.write_keys.find(&write_key).is_none() {
        return Refused::WrongKey.into_response();
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let segment = json!({
        "apiKey": write_key,
        "apiHost": format!("{host}/v1"),
        "unbundledIntegrations": [],
        "addBundledMetadata": true,
        "versionSettings": { "version": "4.4.7", "componentTypes": ["browser"] },
    });
    let allowed = json!({ "__default": { "enabled": true, "integrations": {} } });
    let settings = json!({
        "integrations": { "Segment.io": segment },
        "plan": { "track": allowed, "identify": allowed, "group": allowed },
        "edgeFunction": {},
        "analyticsNextEnabled": true,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": { "sampleRate": 0 },
        "legacyVideoPluginsEnabled": false,
        "remotePlugins": [],
    });
    ([(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=300"))], axum::Json(settings)).into_response()
}

/// The SERVER span and the metrics of a request. The path itself is in neither: it may hold a key or a token.
async fn observe<L: EventLog>(State(door): State<Arc<Door<L>>>, request: Request, next: Next) -> Response {
    let method = method_label(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("", MatchedPath::as_str);
    let space = if route.is_empty() { "" } else { " " };
    let span = tracing::info_span!(
        "http",
        otel.name = format_args!("{method}{space}{route}"),
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
    );
    trace::adopt(&span, request.headers());
    let began = door.host.elapsed();
    door.metrics.request_begins(method);
    let _ends = EndsRequest { door: &door, method };
    let mut answering = pin!(next.run(request).instrument(span));
    let response = answering.as_mut().await;
    let (span, status) = (answering.span(), response.status());
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    door.metrics.request(method, route, status.as_u16(), door.host.elapsed().saturating_sub(began));
    response
}

/// Counts a request out, also when its client has gone away.
struct EndsRequest<'a, L> {
    door: &'a Door<L>,
    method: &'static str,
}

impl<L> Drop for EndsRequest<'_, L> {
    fn drop(&mut self) {
        self.door.metrics.request_ended(self.method);
    }
}

fn method_label(method: &Method) -> &'static str {
    METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}
