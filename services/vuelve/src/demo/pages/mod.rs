//! The demo's pages: how it goes, and what lies in the mailbox.
//!
//! Wanted properties:
//! - no page runs a script or loads anything from elsewhere; a message is shown in a frame that may do nothing at all;
//! - what was sent stands beside why it was sent;
//! - each page has its figures as JSON, too.

mod html;
mod mailbox;
mod status;
mod words;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ingestion::shell::{ServerOptions, serve as serve_http};
use messaging::shell::Mailbox;
use runtime::host::StopToken;
use tokio::net::TcpListener;

use self::html::Html;
use self::words::{Words, preferred};
use super::clock::ShopTime;
use super::story::Story;

/// What the pages show.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) story: Arc<Story>,
    pub(super) time: ShopTime,
    pub(super) speed: u32,
    pub(super) customers: u32,
    /// When the process started.
    pub(super) began: Instant,
}

/// Serves them until the process ends.
pub(super) async fn serve(listener: TcpListener, pages: Pages, stop: StopToken) -> anyhow::Result<()> {
    let options = ServerOptions { max_connections: 256, ..ServerOptions::default() };
    serve_http(listener, router(pages), None, &options, async move { stop.stopped().await }).await;
    Ok(())
}

fn router(pages: Pages) -> Router {
    Router::new()
        .route("/", get(status::page))
        .route("/status.json", get(status::json))
        .route("/shop.json", get(status::shop_json))
        .route("/mailbox", get(mailbox::list))
        .route("/mailbox.json", get(mailbox::json))
        .route("/mailbox/{number}", get(mailbox::message))
        .route("/mailbox/{number}/body", get(mailbox::body))
        .route("/style.css", get(style))
        .fallback(not_found)
        .method_not_allowed_fallback(only_read)
        .with_state(pages)
}

/// A page loads its style and the frame, and nothing else.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// A page of the demo; one that shows what changes asks to be loaded again.
fn page(words: &Words, title: &str, refresh: bool, content: &Html) -> Html {
    let mut page = Html::new();
    page.markup("<!doctype html><html lang=\"").text(words.locale.tag()).markup("\"><head><meta charset=\"utf-8\">");
    page.markup("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    if refresh {
        page.markup("<meta http-equiv=\"refresh\" content=\"2\">");
    }
    page.markup("<title>")
        .text(title)
        .markup(" · Vuelve</title><link rel=\"stylesheet\" href=\"/style.css\"></head><body>");
    page.markup("<header><strong>").text(words.demo).markup("</strong><nav><a href=\"/\">").text(words.status);
    page.markup("</a> <a href=\"/mailbox\">").text(words.mailbox).markup("</a></nav></header><main><h1>");
    page.text(title).markup("</h1>").part(content).markup("</main></body></html>");
    page
}

fn answer(status: StatusCode, policy: &'static str, html: Html) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    (status, headers, html.into_string()).into_response()
}

fn json(value: &impl serde::Serialize) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, axum::Json(value)).into_response()
}

fn words_for(headers: &HeaderMap) -> &'static Words {
    preferred(headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default())
}

async fn not_found(headers: HeaderMap) -> Response {
    missing(words_for(&headers))
}

async fn only_read(headers: HeaderMap) -> Response {
    let words = words_for(&headers);
    refused(StatusCode::METHOD_NOT_ALLOWED, words, words.only_read)
}

fn missing(words: &Words) -> Response {
    refused(StatusCode::NOT_FOUND, words, words.not_here)
}

fn refused(status: StatusCode, words: &Words, why: &str) -> Response {
    let mut content = Html::new();
    content.markup("<p>").text(why).markup("</p>");
    answer(status, PAGE_POLICY, page(words, status.as_str(), false, &content))
}

async fn style() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, include_str!("style.css")).into_response()
}
