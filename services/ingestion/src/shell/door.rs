//! The door: what a call becomes.
//!
//! Wanted properties:
//! - 200 is answered only after the log has stored every record of the call, those of its bad events included;
//! - a bad event costs only itself;
//! - without an answer of the log within the deadline, the caller is told to come again;
//! - it keeps no state between calls;
//! - who sends slowly takes no place from who has sent, and storefronts take none from people who unsubscribe.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::Timestamp;
use links::{KeyRing, Secret, VisitToken};
use schemas::{LINKS, Schemas, StorefrontEvent};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::Instrument;

use super::answer::Refused;
use super::host::Host;
use super::log::{EventLog, LogError, LogRecord, RecordHeaders};
use super::metrics::Metrics;
use super::options::{DoorOptions, ShopHost};
use super::trace::Trace;
use super::webhook_sources::Webhooks;
use super::write_keys::{WriteKey, WriteKeys};
use super::{body, credentials, dead_letter};
use crate::mapping::webhooks::MAX_WEBHOOK_BYTES;
use crate::mapping::{self, Call, CallKind, Envelope, MAX_CALL_BYTES, Refusal, Source, Urgency, visits};
use crate::{RECEIVED, ids};

/// What the door must keep to itself.
#[derive(Debug)]
pub struct DoorSecrets {
    /// The storefronts' write keys.
    pub write_keys: WriteKeys,
    /// Who sends webhooks, and what they sign with.
    pub webhooks: Webhooks,
    /// The secret of address hashes; messaging has the same.
    pub addresses: Secret,
    /// The keys that sign links in messages; messaging has the same.
    pub links: KeyRing,
}

/// The door. It is shared by all calls.
pub struct Door<L> {
    pub(crate) log: L,
    pub(crate) host: Box<dyn Host>,
    pub(crate) schemas: Schemas,
    pub(crate) secrets: DoorSecrets,
    pub(crate) metrics: Metrics,
    append_deadline: Duration,
    body_timeout: Duration,
    room: body::Room,
    calls: Semaphore,
    max_calls: usize,
    unsubscribes: Semaphore,
    /// Places of clicks and opens that are being stored.
    pub(crate) message_links: Arc<Semaphore>,
    /// Where who follows a link of a message is recognised.
    pub(crate) identify_on_hosts: Vec<ShopHost>,
}

/// After mapping so much JSON a call lets others have their turn.
const YIELD_BYTES: usize = 64 << 10;

/// The head of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) kind: CallKind,
    pub(crate) route: &'a str,
    /// The write key in the head of the request.
    pub(crate) key: Option<&'a WriteKey>,
    /// How often its events were sent again from the dead letters.
    pub(crate) redrives: u32,
}

/// What a call came to: all of it is stored.
#[derive(Debug)]
pub(crate) struct Taken {
    /// How many events were taken.
    pub(crate) accepted: usize,
    /// Those that are among the dead letters, by their places in the call.
    pub(crate) refused: Vec<(usize, Refusal)>,
}

impl<L: EventLog> Door<L> {
    /// A door onto a log. `schemas` knows the ids of `storefront.received` and `messaging.commands`.
    pub fn new(options: &DoorOptions, secrets: DoorSecrets, schemas: Schemas, log: L, host: Box<dyn Host>) -> Self {
        let largest_bytes = if secrets.webhooks.is_empty() { MAX_CALL_BYTES } else { MAX_WEBHOOK_BYTES };
        let max_calls = options.max_calls.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            log,
            host,
            schemas,
            secrets,
            metrics: Metrics::new(),
            append_deadline: options.append_deadline.as_std(),
            body_timeout: options.body_timeout.as_std(),
            room: body::Room::new(options.max_bodies, options.max_body_bytes, largest_bytes),
            calls: Semaphore::new(max_calls),
            max_calls,
            unsubscribes: Semaphore::new(options.max_unsubscribes.clamp(1, Semaphore::MAX_PERMITS)),
            message_links: Arc::new(Semaphore::new(options.max_message_links.min(Semaphore::MAX_PERMITS))),
            identify_on_hosts: options.identify_on_hosts.clone(),
        }
    }

    /// The keys in force.
    pub fn write_keys(&self) -> &WriteKeys {
        &self.secrets.write_keys
    }

    /// Whether these are the metadata of a gRPC call with a write key that is in force.
    pub fn admits(&self, metadata: &axum::http::HeaderMap) -> bool {
        credentials::in_metadata(metadata).is_some_and(|key| self.secrets.write_keys.find(&key).is_some())
    }

    /// The webhooks, with the secrets in force.
    pub fn webhooks(&self) -> &Webhooks {
        &self.secrets.webhooks
    }

    /// How long the log may take.
    pub(crate) fn append_deadline(&self) -> Duration {
        self.append_deadline
    }

    /// How many bodies of calls are being read.
    pub fn bodies_being_read(&self) -> usize {
        self.room.being_read()
    }

    /// How many calls are being worked on.
    pub fn calls_under_way(&self) -> usize {
        self.max_calls - self.calls.available_permits()
    }

    /// A place among the calls that are worked on at once.
    pub(crate) fn admit(&self) -> Result<SemaphorePermit<'_>, Refused> {
        self.calls.try_acquire().map_err(|_| Refused::Shed)
    }

    /// Of a call that has its place: sends it away again where the last places are for what is more urgent.
    fn make_way(&self, call: &Call<'_>) -> Result<(), Refused> {
        let under_way = self.calls_under_way();
        // There is room for anything: no need to look what it is.
        if under_way <= Urgency::View.share_of(self.max_calls) {
            return Ok(());
        }
        let share = mapping::urgency_of(call).share_of(self.max_calls);
        if under_way > share { Err(Refused::Shed) } else { Ok(()) }
    }

    /// The same for people who unsubscribe.
    pub(crate) fn admit_unsubscribe(&self) -> Result<SemaphorePermit<'_>, Refused> {
        self.unsubscribes.try_acquire().map_err(|_| Refused::Shed)
    }

    /// Reads a call's body, at most so large.
    pub(crate) async fn body(
        &self,
        body: axum::body::Body,
        declared_bytes: Option<u64>,
        most_bytes: usize,
    ) -> Result<body::Whole<'_>, Refused> {
        body::read(body, declared_bytes, most_bytes, self.body_timeout, &self.room).await
    }

    /// Reads as much of a body as tells which button was pressed.
    pub(crate) async fn beginning(&self, body: axum::body::Body) -> Bytes {
        body::beginning(body, self.body_timeout).await
    }

    /// Takes a call: everything in it is stored, or it is refused. `trace` makes the trace context of its records.
    pub(crate) async fn take(
        &self,
        head: Head<'_>,
        body: Bytes,
        trace: impl FnOnce(&tracing::Span) -> Trace + Send,
    ) -> Result<Taken, Refused> {
        let received_at = self.host.now();
        let text = body::text(&body, MAX_CALL_BYTES)?;
        drop(body);
        let json = mapping::mend_surrogates(&text);
        let call = mapping::read_call(head.kind, &json)?;
        let without_tokens = visits::without_tokens(&json);
        let (call, tokens) = match &without_tokens {
            None => (call, Vec::new()),
            Some(json) => (mapping::read_call(head.kind, json)?, visits::tokens(&call)),
        };
        let in_body = || call.write_key.as_deref().and_then(|key| self.secrets.write_keys.find(key));
        let key = head.key.or_else(in_body).ok_or(Refused::WrongKey)?;
        self.make_way(&call)?;
        key.limits.admit(call.events.len(), self.host.elapsed()).inspect_err(|reached| {
            self.metrics.limited(&key.label, call.events.len(), reached.limit.1);
        })?;
        let span = send_span(RECEIVED, call.events.len());
        let trace = trace(&span);
        let envelope = Envelope {
            received_at,
            source: Source { id: &key.id, shop: &key.shop, currency: key.currency, scope: key.scope },
            traceparent: Some(&trace.traceparent),
            address_secret: &self.secrets.addresses,
            random: self.host.random(),
        };
        let headers = trace.headers();
        let mut records = Vec::with_capacity(call.events.len());
        let mut refused = Vec::new();
        let mut mapped_bytes = 0;
        for (index, json) in call.events.iter().enumerate() {
            mapped_bytes += json.len() + call.shared_bytes;
            if mapped_bytes > YIELD_BYTES {
                mapped_bytes = 0;
                tokio::task::yield_now().await;
            }
            match mapping::map(&call, index, &envelope) {
                Ok(mut event) => {
                    if let Some(Some(token)) = tokens.get(index) {
                        self.say_who_comes(token, &mut event, received_at);
                    }
                    let mut value = Vec::new();
                    self.schemas.encode(RECEIVED, &event, &mut value).map_err(|error| {
                        tracing::error!(%error, "an event does not fit its schema");
                        Refused::Unstorable
                    })?;
                    let key = ids::received_key(&event).map(str::to_owned);
                    records.push(LogRecord {
                        dataset: RECEIVED,
                        key,
                        value: value.into(),
                        headers: Arc::clone(&headers),
                    });
                }
                Err(refusal) => {
                    records.push(dead_letter::record(json, head, index, &refusal, key));
                    refused.push((index, refusal));
                }
            }
        }
        let accepted = records.len() - refused.len();
        self.append(RECEIVED, records).instrument(span).await?;
        let reasons: Vec<&str> = refused.iter().map(|(_, refusal)| refusal.reason()).collect();
        self.metrics.events(&key.label, accepted as u64, &reasons);
        if let Some(reason) = reasons.first() {
            tracing::warn!(source = %key.id, count = reasons.len(), reason, "events went to the dead letters");
        }
        Ok(Taken { accepted, refused })
    }

    /// Somebody came by a link of a message: the customer that it went to, where nothing else says who she is.
    fn say_who_comes(&self, token: &str, event: &mut StorefrontEvent, now: Timestamp) {
        let outcome = match VisitToken::verify(&self.secrets.links, token) {
            // An order with an address says who ordered: she may have passed the page's address on.
            _ if event.user_id.is_some() || event.address_id.is_some() || event.anonymous_id.is_none() => "not_needed",
            Err(_) => "bad_token",
            Ok(visit) if visit.shop != event.shop => "another_shop",
            Ok(visit) if visit.until <= now.as_millis() => "ended",
            Ok(visit) => {
                // As with the click itself: it says whom the message went to, and not that the shop knows her.
                (event.user_id, event.source) = (Some(visit.customer_id), LINKS.to_owned());
                "identified"
            }
        };
        self.metrics.visit(outcome);
    }

    /// Appends records, all or an error, within the deadline.
    pub(crate) async fn append(&self, dataset: &'static str, records: Vec<LogRecord>) -> Result<(), Refused> {
        self.append_within(self.append_deadline, dataset, records).await
    }

    /// The same within another deadline.
    pub(crate) async fn append_within(
        &self,
        deadline: Duration,
        dataset: &'static str,
        records: Vec<LogRecord>,
    ) -> Result<(), Refused> {
        if records.is_empty() {
            return Ok(());
        }
        let began = self.host.elapsed();
        let result = tokio::time::timeout(deadline, self.log.append(records)).await;
        let result = result.unwrap_or(Err(LogError::Unavailable));
        let error = result.as_ref().err().map(|error| match error {
            LogError::Unavailable => "unavailable",
            LogError::Overloaded => "overloaded",
            LogError::Refused(_) => "refused",
        });
        self.metrics.appended(dataset, error, self.host.elapsed().saturating_sub(began));
        result.map_err(|error| {
            tracing::warn!(dataset, %error, "records were not stored");
            error.into()
        })
    }
}

/// The PRODUCER span of an append.
pub(crate) fn send_span(dataset: &'static str, count: usize) -> tracing::Span {
    tracing::info_span!(
        "send",
        otel.name = format_args!("send {dataset}"),
        otel.kind = "producer",
        messaging.system = "kafka",
        messaging.operation.name = "send",
        messaging.operation.r#type = "send",
        messaging.destination.name = dataset,
        messaging.batch.message_count = count,
    )
}

impl Trace {
    /// The headers of a record in this trace.
    pub(crate) fn headers(&self) -> RecordHeaders {
        let traceparent = ("traceparent".into(), Bytes::copy_from_slice(self.traceparent.as_bytes()));
        let tracestate =
            self.tracestate.as_ref().map(|state| ("tracestate".into(), Bytes::copy_from_slice(state.as_bytes())));
        std::iter::once(traceparent).chain(tracestate).collect()
    }
}

impl<L> fmt::Debug for Door<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("write_keys", &self.secrets.write_keys).finish_non_exhaustive()
    }
}
