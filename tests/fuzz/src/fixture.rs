//! A door onto a log in memory, as the binary puts it together but for the network.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use domain::Timestamp;
use http_body_util::BodyExt as _;
use ingestion::shell::{
    Door, DoorOptions, DoorSecrets, EventLog, Host, LogError, LogRecord, WebhookOptions, Webhooks, WriteKeyOptions,
    WriteKeys, router,
};
use links::{KeyRing, Secret};
use schemas::Schemas;
use serde_json::json;
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// When the door receives everything.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_772_366_400);
pub(crate) const KEY: &str = "demo-write-key";
/// That of a browser: it may send less.
pub(crate) const BROWSER_KEY: &str = "browser-write-key";
/// What webhooks are signed with.
pub(crate) const SECRET: &str = "a secret of the platform";

/// A log that keeps what it is given, or has gone away.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryLog {
    pub(crate) records: Arc<Mutex<Vec<LogRecord>>>,
    pub(crate) is_away: bool,
}

impl MemoryLog {
    /// What was stored since the last call.
    pub(crate) fn take(&self) -> Vec<LogRecord> {
        std::mem::take(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl EventLog for MemoryLog {
    async fn append(&self, records: Vec<LogRecord>) -> Result<(), LogError> {
        if self.is_away {
            return Err(LogError::Unavailable);
        }
        self.records.lock().unwrap_or_else(PoisonError::into_inner).extend(records);
        Ok(())
    }
}

/// The clocks stand still; chance counts.
#[derive(Debug, Default)]
struct StillHost(AtomicU64);

impl Host for StillHost {
    fn now(&self) -> Timestamp {
        NOW
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs(7)
    }

    fn random(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)) + 1
    }
}

pub(crate) fn link_keys() -> KeyRing {
    KeyRing::parse("k1:a link secret of many bytes").expect("a key ring")
}

pub(crate) fn address_secret() -> Secret {
    Secret::new("an address secret of many bytes").expect("a secret")
}

/// A door, its log, and what runs it.
pub(crate) struct Fixture {
    router: Router,
    pub(crate) log: MemoryLog,
    pub(crate) schemas: Schemas,
    runtime: Runtime,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    pub(crate) records: Vec<LogRecord>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let keys = [write_key("server", KEY, "server"), write_key("web", BROWSER_KEY, "browser")];
        let webhooks =
            [webhook("shopify", "shopify"), webhook("woocommerce", "woocommerce"), webhook("till", "mapping")];
        let options = DoorOptions { webhooks: webhooks.to_vec(), ..DoorOptions::default() };
        let secrets = DoorSecrets {
            write_keys: WriteKeys::load(&keys, |name| Some(name.to_owned())).expect("keys"),
            webhooks: Webhooks::load(&options.webhooks, |name| Some(name.to_owned())).expect("webhooks"),
            addresses: address_secret(),
            links: link_keys(),
        };
        let (log, schemas) = (MemoryLog::default(), Schemas::offline());
        let host = Box::new(StillHost::default());
        let door = Arc::new(Door::new(&options, secrets, schemas.clone(), log.clone(), host));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        Self { router: router(door), log, schemas, runtime }
    }

    /// Sends a request, and waits for all that comes of it.
    pub(crate) fn send(&self, request: Request<Body>) -> Answer {
        self.runtime.block_on(async {
            let Ok(response) = self.router.clone().oneshot(request).await;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.expect("a whole answer").to_bytes();
            // Clicks and opens are stored behind the answer.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            Answer { status: parts.status, body, records: self.log.take() }
        })
    }
}

/// A key whose variable's name is the key itself.
fn write_key(id: &str, key: &str, scope: &str) -> WriteKeyOptions {
    let options = json!({ "id": id, "shop": "demo", "key_env": key, "scope": scope, "currency": "EUR" });
    serde_json::from_value(options).expect("a write key")
}

fn webhook(id: &str, kind: &str) -> WebhookOptions {
    let mut options = json!({ "id": id, "kind": kind, "shop": "demo", "currency": "EUR", "secret_env": SECRET });
    if kind == "mapping" {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/webhooks/point-of-sale.yaml");
        options["mapping_file"] = json!(example);
    }
    serde_json::from_value(options).expect("a webhook")
}
