//! The registry's HTTP interface.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::book::{Book, Refused, Registered, Submitted};

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
const MAX_BODY_BYTES: usize = 1 << 20;

type Shared = State<Arc<Mutex<Book>>>;
type Asked = Query<HashMap<String, String>>;
type Answer = Result<Reply, Refused>;

/// A JSON answer under Confluent's content type.
struct Reply(Value);

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, CONTENT_TYPE)], self.0.to_string()).into_response()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        // The first three digits of Confluent's numbers are the HTTP status.
        let status = if self.code >= 1_000 { self.code / 100 } else { self.code };
        let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let body = json!({ "error_code": self.code, "message": self.message });
        (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Reply(body)).into_response()
    }
}

/// Answers until `stop` says so.
pub(crate) async fn serve(listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let served = axum::serve(listener, routes()).with_graceful_shutdown(stopped).await;
    if let Err(error) = served {
        tracing::error!(%error, "the schema registry stopped");
    }
}

fn routes() -> Router {
    Router::new()
        .route("/", get(|| async { Json(json!({})) }))
        .route("/mode", get(|| async { Reply(json!({ "mode": "READWRITE" })) }))
        .route("/schemas/types", get(|| async { Reply(json!(["AVRO"])) }))
        .route("/schemas/ids/{id}", get(schema_by_id))
        .route("/schemas/ids/{id}/schema", get(schema_text_by_id))
        .route("/schemas/ids/{id}/subjects", get(subjects_of_id))
        .route("/schemas/ids/{id}/versions", get(versions_of_id))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(look_up).delete(delete_subject))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version).delete(delete_version))
        .route("/subjects/{subject}/versions/{version}/schema", get(version_text))
        .route("/config", get(global_config).put(set_global_config))
        .route("/config/{subject}", get(config).put(set_config).delete(unset_config))
        .route("/compatibility/subjects/{subject}/versions", post(check_all))
        .route("/compatibility/subjects/{subject}/versions/{version}", post(check_one))
        .fallback(|| async { Refused { code: 404, message: "HTTP 404 Not Found".into() } })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Arc::new(Mutex::new(Book::default())))
}

fn submitted(body: &Bytes) -> Result<Submitted, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused::invalid_schema(format!("The request can't be read: {error}")))
}

fn id(text: &str) -> Result<u32, Refused> {
    text.parse().map_err(|_| Refused::no_schema())
}

fn described(registered: &Registered) -> Value {
    let mut value = json!({ "schema": registered.text });
    if !registered.references.is_empty() {
        value["references"] = json!(registered.references);
    }
    value
}

fn versioned(subject: &str, version: u32, registered: &Registered) -> Reply {
    let mut value = described(registered);
    value["subject"] = json!(subject);
    value["version"] = json!(version);
    value["id"] = json!(registered.id);
    Reply(value)
}

async fn schema_by_id(State(book): Shared, Path(asked): Path<String>) -> Answer {
    Ok(Reply(described(book.lock().by_id(id(&asked)?)?)))
}

async fn schema_text_by_id(State(book): Shared, Path(asked): Path<String>) -> Result<String, Refused> {
    Ok(book.lock().by_id(id(&asked)?)?.text.clone())
}

async fn subjects_of_id(State(book): Shared, Path(asked): Path<String>) -> Answer {
    let uses = book.lock().uses_of(id(&asked)?)?;
    Ok(Reply(uses.into_iter().map(|(subject, _)| subject).collect()))
}

async fn versions_of_id(State(book): Shared, Path(asked): Path<String>) -> Answer {
    let uses = book.lock().uses_of(id(&asked)?)?;
    let uses = uses.into_iter().map(|(subject, version)| json!({ "subject": subject, "version": version }));
    Ok(Reply(uses.collect()))
}

async fn subjects(State(book): Shared, Query(asked): Asked) -> Reply {
    let prefix = asked.get("subjectPrefix").map(String::as_str).unwrap_or_default();
    Reply(book.lock().subjects().filter(|subject| subject.starts_with(prefix)).cloned().collect())
}

async fn versions(State(book): Shared, Path(subject): Path<String>) -> Answer {
    Ok(Reply(json!(book.lock().versions(&subject)?)))
}

async fn version(State(book): Shared, Path((subject, version)): Path<(String, String)>) -> Answer {
    let book = book.lock();
    let (number, registered) = book.version(&subject, &version)?;
    Ok(versioned(&subject, number, registered))
}

async fn version_text(
    State(book): Shared,
    Path((subject, version)): Path<(String, String)>,
) -> Result<String, Refused> {
    Ok(book.lock().version(&subject, &version)?.1.text.clone())
}

async fn register(State(book): Shared, Path(subject): Path<String>, body: Bytes) -> Answer {
    let id = book.lock().register(&subject, &submitted(&body)?)?;
    Ok(Reply(json!({ "id": id })))
}

async fn look_up(State(book): Shared, Path(subject): Path<String>, body: Bytes) -> Answer {
    let book = book.lock();
    let (version, registered) = book.look_up(&subject, &submitted(&body)?)?;
    Ok(versioned(&subject, version, registered))
}

async fn delete_subject(State(book): Shared, Path(subject): Path<String>) -> Answer {
    Ok(Reply(json!(book.lock().delete_subject(&subject)?)))
}

async fn delete_version(State(book): Shared, Path((subject, version)): Path<(String, String)>) -> Answer {
    Ok(Reply(json!(book.lock().delete_version(&subject, &version)?)))
}

async fn check_one(
    State(book): Shared,
    Path((subject, version)): Path<(String, String)>,
    Query(asked): Asked,
    body: Bytes,
) -> Answer {
    let breaches = book.lock().check(&subject, Some(&version), &submitted(&body)?)?;
    Ok(verdict(&breaches, &asked))
}

async fn check_all(State(book): Shared, Path(subject): Path<String>, Query(asked): Asked, body: Bytes) -> Answer {
    let breaches = book.lock().check(&subject, None, &submitted(&body)?)?;
    Ok(verdict(&breaches, &asked))
}

fn verdict(breaches: &[String], asked: &HashMap<String, String>) -> Reply {
    let mut verdict = json!({ "is_compatible": breaches.is_empty() });
    if asked.get("verbose").is_some_and(|verbose| verbose == "true") {
        verdict["messages"] = json!(breaches);
    }
    Reply(verdict)
}

#[derive(Deserialize)]
struct NewLevel {
    compatibility: String,
}

fn new_level(body: &Bytes) -> Result<String, Refused> {
    let wrong = |error| Refused { code: 42203, message: format!("The request can't be read: {error}") };
    serde_json::from_slice::<NewLevel>(body).map(|level| level.compatibility).map_err(wrong)
}

async fn global_config(State(book): Shared) -> Reply {
    Reply(json!({ "compatibilityLevel": book.lock().global_level().as_str() }))
}

async fn set_global_config(State(book): Shared, body: Bytes) -> Answer {
    let level = book.lock().set_level(None, &new_level(&body)?)?;
    Ok(Reply(json!({ "compatibility": level.as_str() })))
}

async fn config(State(book): Shared, Path(subject): Path<String>, Query(asked): Asked) -> Answer {
    let book = book.lock();
    let or_global = asked.get("defaultToGlobal").is_some_and(|asked| asked == "true");
    let level = if or_global { book.level_of(&subject) } else { book.own_level(&subject)? };
    Ok(Reply(json!({ "compatibilityLevel": level.as_str() })))
}

async fn set_config(State(book): Shared, Path(subject): Path<String>, body: Bytes) -> Answer {
    let level = book.lock().set_level(Some(&subject), &new_level(&body)?)?;
    Ok(Reply(json!({ "compatibility": level.as_str() })))
}

async fn unset_config(State(book): Shared, Path(subject): Path<String>) -> Answer {
    let level = book.lock().unset_level(&subject)?;
    Ok(Reply(json!({ "compatibilityLevel": level.as_str() })))
}
