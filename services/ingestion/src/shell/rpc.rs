//! The door over gRPC: a batch becomes the call that it would be over HTTP.
//!
//! Wanted properties:
//! - what a batch becomes, is stored as and is refused for is the same as over HTTP, to the letter of its JSON;
//! - batches of a stream are stored in their order.

use std::sync::Arc;

use axum::http::HeaderMap;
use proto::ingestion::v1::{Event, EventKind, RecordRequest, RecordResponse, RejectedEvent};
use proto::{IngestionAnswers, Refusal, WireTime, to_timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use super::answer::Refused;
use super::door::{Door, Head, Taken};
use super::log::EventLog;
use super::{credentials, trace};
use crate::mapping::{CallKind, MAX_CALL_BYTES};

/// In a dead letter: where its event came in.
const ROUTE: &str = "/vuelve.ingestion.v1.IngestionService/Record";

/// Answers for a door, until it is told to stop.
#[derive(Debug)]
pub struct Recorder<L, S> {
    door: Arc<Door<L>>,
    draining: S,
}

impl<L, S> Recorder<L, S> {
    /// `draining` gives a future that is ready once the door is to stop.
    pub fn new(door: Arc<Door<L>>, draining: S) -> Self {
        Self { door, draining }
    }
}

impl<L, S, D> IngestionAnswers for Recorder<L, S>
where
    L: EventLog,
    S: Fn() -> D + Send + Sync + 'static,
    D: Future<Output = ()> + Send,
{
    async fn record(&self, request: RecordRequest, headers: &HeaderMap) -> Result<RecordResponse, Refusal> {
        let key = credentials::in_metadata(headers)
            .and_then(|key| self.door.secrets.write_keys.find(&key))
            .ok_or(Refusal::Unauthenticated("no write key that is in force here: send `authorization: Bearer …`"))?;
        if request.events.is_empty() {
            return Ok(RecordResponse::default());
        }
        let body = json_of(&request)?;
        let id = headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let refused = |refused: Refused| refused.over_grpc(id);
        let _place = self.door.admit().map_err(refused)?;
        let caller = trace::caller(headers);
        let trace = |span: &tracing::Span| trace::carried_on(span, caller.as_ref(), headers, self.door.host.as_ref());
        let head = Head { kind: CallKind::Batch, route: ROUTE, key: Some(key), redrives: 0 };
        let Taken { accepted, refused: bad } = self.door.take(head, body.into(), trace).await.map_err(refused)?;
        let rejected = bad.into_iter().map(|(index, refusal)| RejectedEvent {
            index: index as i32,
            reason: refusal.reason().to_owned(),
            problem: refusal.to_string(),
        });
        Ok(RecordResponse { accepted: accepted as i32, rejected: rejected.collect() })
    }

    async fn draining(&self) {
        (self.draining)().await;
    }
}

/// The batch as the body of a call.
fn json_of(request: &RecordRequest) -> Result<Vec<u8>, Refusal> {
    let mut batch = Vec::with_capacity(request.events.len());
    for (index, event) in request.events.iter().enumerate() {
        batch.push(Call::of(index, event)?);
    }
    let body = serde_json::to_vec(&Batch { batch }).map_err(|error| invalid("events", 0, &error.to_string()))?;
    if body.len() > MAX_CALL_BYTES {
        let problem =
            format!("they have {} bytes as JSON; at most {MAX_CALL_BYTES} are taken in one batch", body.len());
        return Err(Refusal::Invalid { field: "events", problem });
    }
    Ok(body)
}

#[derive(Serialize)]
struct Batch<'a> {
    batch: Vec<Call<'a>>,
}

/// An event in the words of the Segment specification.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Call<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "is_empty")]
    event: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    message_id: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    user_id: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    anonymous_id: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    previous_id: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    group_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traits: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a RawValue>,
}

impl<'a> Call<'a> {
    fn of(index: usize, event: &'a Event) -> Result<Self, Refusal> {
        let kind = match event.kind() {
            EventKind::Unspecified => None,
            EventKind::Identify => Some("identify"),
            EventKind::Track => Some("track"),
            EventKind::Page => Some("page"),
            EventKind::Screen => Some("screen"),
            EventKind::Group => Some("group"),
            EventKind::Alias => Some("alias"),
        };
        let is_track = event.kind() == EventKind::Track;
        Ok(Self {
            kind,
            event: if is_track { &event.name } else { "" },
            name: if is_track { "" } else { &event.name },
            message_id: &event.message_id,
            user_id: &event.user_id,
            anonymous_id: &event.anonymous_id,
            previous_id: &event.previous_id,
            group_id: &event.group_id,
            timestamp: time("events.timestamp", index, event.timestamp.as_ref())?,
            sent_at: time("events.sent_at", index, event.sent_at.as_ref())?,
            properties: object("events.properties_json", index, &event.properties_json)?,
            traits: object("events.traits_json", index, &event.traits_json)?,
            context: object("events.context_json", index, &event.context_json)?,
        })
    }
}

fn is_empty(text: &&str) -> bool {
    text.is_empty()
}

/// In RFC 3339.
fn time(field: &'static str, index: usize, time: Option<&WireTime>) -> Result<Option<String>, Refusal> {
    let text = |time| jiff::Timestamp::from_millisecond(to_timestamp(time)).map(|time| time.to_string());
    time.map(text).transpose().map_err(|error| invalid(field, index, &error.to_string()))
}

/// JSON of a request, to the letter.
fn object<'a>(field: &'static str, index: usize, json: &'a str) -> Result<Option<&'a RawValue>, Refusal> {
    if json.is_empty() {
        return Ok(None);
    }
    let value: &RawValue = serde_json::from_str(json).map_err(|error| invalid(field, index, &error.to_string()))?;
    if !value.get().starts_with('{') {
        return Err(invalid(field, index, "it is JSON, but not an object"));
    }
    Ok(Some(value))
}

fn invalid(field: &'static str, index: usize, problem: &str) -> Refusal {
    Refusal::Invalid { field, problem: format!("of event {index}: {problem}") }
}
