//! A door onto a log in memory.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use domain::Timestamp;
use http_body_util::BodyExt;
use ingestion::shell::{
    Door, DoorOptions, DoorSecrets, EventLog, Host, LogError, LogRecord, Webhooks, WriteKeyOptions, WriteKeys, router,
};
use links::{KeyRing, Secret};
use schemas::{Schemas, StorefrontEvent};
use serde_json::Value;
use tower::ServiceExt;

use crate::description;

/// 2026-03-01T12:00:00Z: when the door of the tests receives everything.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_772_366_400);
pub(crate) const KEY: &str = "demo-write-key";

/// A log that keeps what it is given, or does not.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordingLog {
    records: Arc<Mutex<Vec<LogRecord>>>,
    mood: Arc<Mutex<Mood>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) enum Mood {
    #[default]
    Stores,
    /// What it takes is stored all the same where nobody waits for the answer.
    AnswersAfter(Duration),
    Fails(LogError),
    NeverAnswers,
    /// It has a fault of which nobody has thought.
    Panics,
}

impl RecordingLog {
    pub(crate) fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// What was stored since the last call.
    pub(crate) fn records(&self) -> Vec<LogRecord> {
        std::mem::take(&mut self.records.lock().unwrap())
    }

    /// As if these had been stored already.
    pub(crate) fn holds(&self, records: Vec<LogRecord>) {
        *self.records.lock().unwrap() = records;
    }
}

impl EventLog for RecordingLog {
    async fn append(&self, records: Vec<LogRecord>) -> Result<(), LogError> {
        let mood = self.mood.lock().unwrap().clone();
        match mood {
            Mood::Stores | Mood::AnswersAfter(_) => self.records.lock().unwrap().extend(records),
            Mood::Fails(error) => return Err(error),
            Mood::NeverAnswers => std::future::pending().await,
            Mood::Panics => panic!("the test wants it so"),
        }
        if let Mood::AnswersAfter(pause) = mood {
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }
}

/// The wall clock stands still, the other goes on when it is told to; chance counts.
#[derive(Clone, Debug, Default)]
struct StillHost {
    drawn: Arc<AtomicU64>,
    elapsed_ms: Arc<AtomicU64>,
}

impl Host for StillHost {
    fn now(&self) -> Timestamp {
        NOW
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(7_000 + self.elapsed_ms.load(Ordering::Relaxed))
    }

    fn random(&self) -> u128 {
        u128::from(self.drawn.fetch_add(1, Ordering::Relaxed)) + 1
    }
}

/// A door, its log, and requests to it.
pub(crate) struct Fixture {
    pub(crate) router: Router,
    pub(crate) log: RecordingLog,
    pub(crate) schemas: Schemas,
    door: Arc<Door<RecordingLog>>,
    host: StillHost,
}

pub(crate) fn link_keys() -> KeyRing {
    KeyRing::parse("k1:a link secret of many bytes").unwrap()
}

pub(crate) fn address_secret() -> Secret {
    Secret::new("an address secret of many bytes").unwrap()
}

/// A key under an id; [`variable`] holds it.
pub(crate) fn write_key(id: &str, key: &str) -> WriteKeyOptions {
    let options: WriteKeyOptions = serde_json::from_str(r#"{"id": "", "shop": "demo"}"#).unwrap();
    WriteKeyOptions { id: id.to_owned(), key_env: Some(format!("KEY_{key}")), ..options }
}

/// An environment in which every `KEY_x` is x.
pub(crate) fn variable(name: &str) -> Option<String> {
    name.strip_prefix("KEY_").map(str::to_owned)
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(&DoorOptions::default())
    }

    pub(crate) fn with(options: &DoorOptions) -> Self {
        Self::with_keys(options, &[write_key("web", KEY), write_key("till", "another-key")])
    }

    pub(crate) fn with_keys(options: &DoorOptions, keys: &[WriteKeyOptions]) -> Self {
        let secrets = DoorSecrets {
            write_keys: WriteKeys::load(keys, variable).unwrap(),
            webhooks: Webhooks::load(&options.webhooks, variable).unwrap(),
            addresses: address_secret(),
            links: link_keys(),
        };
        let (log, schemas) = (RecordingLog::default(), Schemas::offline());
        let host = StillHost::default();
        let door = Arc::new(Door::new(options, secrets, schemas.clone(), log.clone(), Box::new(host.clone())));
        Self { router: router(door.clone()), log, schemas, door, host }
    }

    pub(crate) fn door(&self) -> Arc<Door<RecordingLog>> {
        Arc::clone(&self.door)
    }

    pub(crate) fn calls_under_way(&self) -> usize {
        self.door.calls_under_way()
    }

    pub(crate) fn bodies_being_read(&self) -> usize {
        self.door.bodies_being_read()
    }

    pub(crate) fn webhooks(&self) -> &Webhooks {
        self.door.webhooks()
    }

    pub(crate) fn let_pass(&self, milliseconds: u64) {
        self.host.elapsed_ms.fetch_add(milliseconds, Ordering::Relaxed);
    }

    pub(crate) fn log_is(&self, mood: Mood) {
        self.log.is(mood);
    }

    /// The answer, which is one that the description has.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let answer = Answer::read(response).await;
        description::holds(&method, &path, &answer);
        answer
    }

    /// Posts a body under the test's write key.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(post(path).body(body.into()).unwrap()).await
    }

    /// What was stored since the last call.
    pub(crate) fn records(&self) -> Vec<LogRecord> {
        self.log.records()
    }

    /// The events stored since the last call; there must be nothing else.
    pub(crate) fn events(&self) -> Vec<StorefrontEvent> {
        let records = self.records();
        assert!(records.iter().all(|record| record.dataset == "storefront.received"), "dead letters: {records:?}");
        records.iter().map(|record| self.schemas.decode(&record.value).unwrap()).collect()
    }

    /// The one event stored since the last call.
    pub(crate) fn event(&self) -> StorefrontEvent {
        let mut events = self.events();
        assert_eq!(events.len(), 1);
        events.remove(0)
    }
}

pub(crate) fn request(method: Method, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path)
}

pub(crate) fn basic(key: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{key}:")))
}

pub(crate) fn post(path: &str) -> axum::http::request::Builder {
    request(Method::POST, path).header(header::AUTHORIZATION, basic(KEY))
}

pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn header_of<'a>(record: &'a LogRecord, name: &str) -> &'a str {
    let (_, value) =
        record.headers.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no header {name}"));
    std::str::from_utf8(value).unwrap()
}

/// A response, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) bytes: bytes::Bytes,
    pub(crate) text: String,
}

impl Answer {
    async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        Self { status: parts.status, headers: parts.headers, bytes: body, text }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn is_accepted(&self) {
        assert_eq!((self.status.as_u16(), self.text.as_str()), (200, r#"{"success":true}"#));
    }

    /// Is Segment's error of this status and code, with a message that holds `says`.
    #[track_caller]
    pub(crate) fn is_refused(&self, status: u16, code: &str, says: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        let json = self.json();
        assert_eq!(json.as_object().unwrap().len(), 2, "code and message, nothing else: {json}");
        assert_eq!(json["code"], code, "{json}");
        assert!(json["message"].as_str().unwrap().contains(says), "{json}");
    }
}
