//! Webhooks of shop platforms, and of anybody whose webhooks a mapping reads.
//!
//! Wanted properties:
//! - nothing of a webhook is looked at before its signature is known to be right;
//! - 200 is answered only after the log has stored all that the webhook became, its dead letter included;
//! - the platform has its answer well before it gives up (Shopify: 5 s), so that it does not send again what is stored;
//! - nothing is lost: what can't be taken, or not wholly, is a dead letter as it came.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use links::AddressHash;
use schemas::{EncodeError, PrivacyKind, PrivacyRequest};
use tracing::Instrument;

use super::answer::{self, Refused};
use super::body;
use super::dead_letter::{self, WebhookHead};
use super::door::{Door, send_span};
use super::in_path::InPath;
use super::log::{EventLog, LogRecord};
use super::signature::is_signed;
use super::trace::{self, Trace};
use super::webhook_sources::{SourceMeaning, WebhookSource};
use crate::ids::{self, MAX_ID_BYTES};
use crate::mapping::webhooks::{self, MAX_WEBHOOK_BYTES, Meaning, Platform, PrivacyWish, Sender, Webhook};
use crate::mapping::{self, Envelope, Refusal, Scope, Source, visits};
use crate::{PRIVACY, RECEIVED};

/// The broker has at most so long: the platform is to have its answer within 5 s.
const APPEND_DEADLINE: Duration = Duration::from_secs(3);

/// The headers that name what a platform's webhook is about, and the delivery.
const fn headers_of(platform: Platform) -> (&'static str, &'static str) {
    match platform {
        Platform::Shopify => ("x-shopify-topic", "x-shopify-webhook-id"),
        Platform::WooCommerce => ("x-wc-webhook-topic", "x-wc-webhook-delivery-id"),
    }
}

/// What became of a webhook that was answered 200: a label.
type Outcome = &'static str;

/// Takes a webhook.
pub(crate) async fn take<L: EventLog>(
    State(door): State<Arc<Door<L>>>,
    InPath(id): InPath,
    request: Request,
) -> Response {
    let Some(source) = door.secrets.webhooks.find(&id) else { return Refused::NoSuchPath.into_response() };
    let label = match &source.terms().meaning {
        SourceMeaning::Platform(platform) => {
            platform.topic_label(text(request.headers(), headers_of(*platform).0).unwrap_or_default())
        }
        SourceMeaning::Mapping(_) => "mapping",
    };
    let taken = try_take(&door, source, request).await;
    let (outcome, answer) = match taken {
        Ok(outcome) => (outcome, answer::accepted()),
        Err(refused) => (refused.code(), refused.into_response()),
    };
    door.metrics.webhook(&source.label, label, outcome);
    answer
}

async fn try_take<L: EventLog>(door: &Door<L>, source: &WebhookSource, request: Request) -> Result<Outcome, Refused> {
    let (parts, body) = request.into_parts();
    let declared = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let body = door.body(body, declared, MAX_WEBHOOK_BYTES).await?;
    // Only now: a body that comes slowly would keep others out.
    let _place = door.admit()?;
    let body = body.into_bytes();
    let terms = source.terms();
    let is_unsigned = !parts.headers.contains_key(&terms.signature.header);
    if is_unsigned && matches!(terms.meaning, SourceMeaning::Platform(Platform::WooCommerce)) && is_ping(&body) {
        return Ok("ping");
    }
    let now = door.host.now();
    if !is_signed(&terms.signature, &terms.secrets, &parts.headers, &body, now) {
        return Err(Refused::WrongSignature);
    }
    let payload = body::text(&body, MAX_WEBHOOK_BYTES)?;
    drop(body);
    let payload = mapping::mend_surrogates(&payload);
    // Platforms tell on which page an order began.
    let without_tokens = visits::without_tokens(&payload);
    let payload = without_tokens.as_deref().unwrap_or(&payload);
    let mut headers = BTreeMap::new();
    for (name, value) in &parts.headers {
        // As for whoever asks for a header by its name: the first counts.
        headers.entry(name.as_str()).or_insert_with(|| value.to_str().unwrap_or_default());
    }
    let (sender, topic, id) = match &terms.meaning {
        SourceMeaning::Platform(platform) => {
            let (topic, id) = headers_of(*platform);
            let (topic, id) = (text(&parts.headers, topic).unwrap_or_default(), text(&parts.headers, id));
            (Sender::Platform(*platform), topic, id)
        }
        SourceMeaning::Mapping(mapping) => {
            (Sender::Mapping { mapping, source: &source.id, headers: &headers, now }, &*mapping.name, None)
        }
    };
    let webhook = Webhook { sender, topic, id, shop: &source.shop, currency: source.currency };
    let trace = |span: &tracing::Span| trace::carried_on(span, &parts.headers, door.host.as_ref());
    let call = Call { door, source, webhook: &webhook, payload };
    call.store(trace).await
}

/// A webhook whose signature is right.
struct Call<'a, L> {
    door: &'a Door<L>,
    source: &'a WebhookSource,
    webhook: &'a Webhook<'a>,
    payload: &'a str,
}

impl<L: EventLog> Call<'_, L> {
    /// Stores what the webhook means.
    async fn store(&self, trace: impl FnOnce(&tracing::Span) -> Trace + Send) -> Result<Outcome, Refused> {
        let meaning = self.webhook.read(self.webhook.payload(self.payload)?);
        let dataset = if matches!(meaning, Ok(Meaning::Privacy(_))) { PRIVACY } else { RECEIVED };
        let span = send_span(dataset, 1);
        let trace = trace(&span);
        let (mut records, mut refusal) = (Vec::new(), None);
        match meaning {
            Ok(Meaning::Nothing) => return Ok("ignored"),
            Ok(Meaning::Privacy(wish)) => match self.privacy(wish, &trace)? {
                Ok(record) => records.push(record),
                Err(why) => refusal = Some(why),
            },
            Ok(Meaning::Events(events)) => refusal = self.events(&events, &trace, &mut records)?,
            Err(why) => refusal = Some(why),
        }
        let stored = records.len() as u64;
        if let Some(why) = &refusal {
            let head = WebhookHead { source: &self.source.id, topic: self.webhook.topic, id: self.webhook.id };
            records.push(dead_letter::of_webhook(self.payload, head, why));
        }
        let deadline = self.door.append_deadline().min(APPEND_DEADLINE);
        self.door.append_within(deadline, dataset, records).instrument(span).await?;
        let reason = refusal.as_ref().map(Refusal::reason);
        if dataset == RECEIVED {
            self.door.metrics.events(&self.source.label, stored, reason.as_slice());
        }
        let Some(reason) = reason else { return Ok("accepted") };
        tracing::warn!(source = %self.source.id, reason, "a webhook went to the dead letters");
        Ok("dead_lettered")
    }

    /// Makes records of events; returns why not of all, or not of all of them.
    fn events(
        &self,
        events: &[String],
        trace: &Trace,
        records: &mut Vec<LogRecord>,
    ) -> Result<Option<Refusal>, Refused> {
        let door = self.door;
        let source = self.source;
        let envelope = Envelope {
            received_at: door.host.now(),
            source: Source { id: &source.id, shop: &source.shop, currency: source.currency, scope: Scope::Server },
            traceparent: Some(&trace.traceparent),
            address_secret: &door.secrets.addresses,
            random: door.host.random(),
        };
        let call = webhooks::call(events);
        let mut refusal = None;
        for index in 0..events.len() {
            let mut event = match mapping::map(&call, index, &envelope) {
                Ok(event) => event,
                Err(why) => {
                    refusal = Some(why);
                    continue;
                }
            };
            if webhooks::cut_rest(&mut event) {
                refusal = Some(Refusal::RestTooLarge);
            }
            let mut value = Vec::new();
            match door.schemas.encode(RECEIVED, &event, &mut value) {
                Ok(()) => {
                    let key = ids::received_key(&event).map(str::to_owned);
                    records.push(LogRecord { dataset: RECEIVED, key, value: value.into(), headers: trace.headers() });
                }
                Err(EncodeError::TooLarge { .. }) => refusal = Some(Refusal::RestTooLarge),
                Err(error) => return Err(unstorable(&error)),
            }
        }
        Ok(refusal)
    }

    /// The record of a wish about somebody's data. Her address goes no further than to its hash.
    fn privacy(&self, wish: PrivacyWish, trace: &Trace) -> Result<Result<LogRecord, Refusal>, Refused> {
        let secret = &self.door.secrets.addresses;
        let of_address = wish.address.as_deref().map(|address| mapping::id_of_address(address, secret));
        let request = PrivacyRequest {
            request_id: wish.request_id,
            kind: wish.kind,
            customer_id: wish.customer_id.or(of_address),
            address_hash: wish.address.map(|address| AddressHash::of(secret, &address).to_string()),
            shop: self.source.shop.clone(),
            at: self.door.host.now().as_millis(),
            source: self.source.id.clone(),
            of_device: false,
        };
        if request.customer_id.as_ref().is_some_and(|id| id.len() > MAX_ID_BYTES) {
            return Ok(Err(Refusal::IdTooLong { field: "customer.id" }));
        }
        let mut value = Vec::new();
        self.door.schemas.encode(PRIVACY, &request, &mut value).map_err(|error| unstorable(&error))?;
        let key = if request.kind == PrivacyKind::EraseShop { Some(request.shop) } else { request.customer_id };
        Ok(Ok(LogRecord { dataset: PRIVACY, key, value: value.into(), headers: trace.headers() }))
    }
}

fn unstorable(error: &EncodeError) -> Refused {
    tracing::error!(%error, "what a webhook became does not fit its schema");
    Refused::Unstorable
}

/// What WooCommerce sends, unsigned, when a webhook is set up: it wants to know whether anybody is there.
fn is_ping(body: &[u8]) -> bool {
    let number = body.strip_prefix(b"webhook_id=");
    number.is_some_and(|number| (1..=20).contains(&number.len()) && number.iter().all(u8::is_ascii_digit))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
