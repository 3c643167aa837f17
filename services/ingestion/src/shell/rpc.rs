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
use crate::mapping::{CallKind, MAX_BATCH_EVENTS, MAX_CALL_BYTES};

/// In a dead letter: where its event goes back in.
const ROUTE: &str = "/v1/batch";

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
        if request.events.len() > MAX_BATCH_EVENTS {
            let problem =
                format!("there are {}; at most {MAX_BATCH_EVENTS} are taken in one batch", request.events.len());
            return Err(Refusal::Invalid { field: "events", problem });
        }
        let id = headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let refused = |refused: Refused| {
            tracing::warn!(request_id = id, %refused, "a batch was not taken");
            refused.over_grpc(id)
        };
        let _place = self.door.admit().map_err(refused)?;
        let body = json_of(&request)?;
        let trace = |span: &tracing::Span| trace::carried_on(span, headers, self.door.host.as_ref());
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
    let invalid = |problem| Refusal::Invalid { field: "events", problem };
    let batch =
        Batch { batch: request.events.iter().map(Words::of).collect(), sent_at: request.sent_at.as_ref().map(time) };
    let body = serde_json::to_vec(&batch).map_err(|error| invalid(error.to_string()))?;
    if body.len() > MAX_CALL_BYTES {
        let bytes = body.len();
        return Err(invalid(format!(
            "they have {bytes} bytes as JSON; at most {MAX_CALL_BYTES} are taken in one batch"
        )));
    }
    Ok(body)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Batch<'a> {
    batch: Vec<Words<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
}

/// An event in the words of the Segment specification. Their order counts: an event without a message id is recognised by its
/// JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Words<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    event: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    anonymous_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    previous_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    group_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traits: Option<Json<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Json<'a>>,
}

/// JSON of a request, to the letter; what is none is text, for the mapping to say what becomes of it.
#[derive(Serialize)]
#[serde(untagged)]
enum Json<'a> {
    Raw(&'a RawValue),
    Text(&'a str),
}

impl<'a> Json<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let read = || serde_json::from_str(text).map_or(Self::Text(text), Self::Raw);
        (!text.is_empty()).then(read)
    }
}

impl<'a> Words<'a> {
    fn of(event: &'a Event) -> Self {
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
        Self {
            kind,
            event: if is_track { &event.name } else { "" },
            name: if is_track { "" } else { &event.name },
            message_id: &event.message_id,
            user_id: &event.user_id,
            anonymous_id: &event.anonymous_id,
            previous_id: &event.previous_id,
            group_id: &event.group_id,
            timestamp: event.timestamp.as_ref().map(time),
            properties: Json::of(&event.properties_json),
            traits: Json::of(&event.traits_json),
            context: Json::of(&event.context_json),
        }
    }
}

/// In RFC 3339; a time that is none is text all the same.
fn time(time: &WireTime) -> String {
    let known = jiff::Timestamp::from_millisecond(to_timestamp(time));
    known.map_or_else(|_| format!("{}.{:09}", time.seconds, time.nanos), |known| known.to_string())
}
