//! What is told of sending: one span and two metrics, each declared once, without an address.

use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry::{KeyValue, global};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::action::{Attempt, Email};

/// The standard buckets of the semantic conventions for durations in seconds.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

#[derive(Debug)]
pub(super) struct Metrics {
    attempts: Counter<u64>,
    duration: Histogram<f64>,
    channel: &'static str,
}

impl Metrics {
    /// Of the meter provider that is in force now: the host sets it before it makes a channel.
    pub(super) fn new(channel: &'static str) -> Self {
        let meter = global::meter("vuelve.messaging");
        Self {
            attempts: meter
                .u64_counter("vuelve.messaging.attempts")
                .with_unit("{attempt}")
                .with_description("Attempts to send a message, by how they ended.")
                .build(),
            duration: meter
                .f64_histogram("vuelve.messaging.attempt.duration")
                .with_unit("s")
                .with_description("Duration of an attempt to send a message, from its claim.")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            channel,
        }
    }

    pub(super) fn ended(&self, attempt: &Attempt, took: Duration) {
        let labels =
            [KeyValue::new("vuelve.channel", self.channel), KeyValue::new("vuelve.attempt.result", result(attempt))];
        self.attempts.add(1, &labels);
        self.duration.record(took.as_secs_f64(), &labels);
    }
}

/// The span of an attempt, in the trace of the request.
pub(super) fn span(email: &Email, channel: &'static str) -> Span {
    let span = tracing::info_span!(
        "send email",
        otel.kind = "client",
        otel.status_code = Empty,
        error.r#type = Empty,
        vuelve.channel = channel,
        vuelve.message.id = email.message_id,
        vuelve.message.claim = %email.claim,
        vuelve.message.template = %email.template.definition.name,
        vuelve.journey.name = email.journey,
        vuelve.journey.run = email.run_id,
        vuelve.journey.step = email.step,
        vuelve.attempt.result = Empty,
    );
    if let Some(parent) = email.traceparent.as_deref().and_then(remote) {
        // An error means that nobody records spans here.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(parent));
    }
    span
}

/// Tells the span how the attempt ended.
pub(super) fn tell(span: &Span, attempt: &Attempt) {
    span.record("vuelve.attempt.result", result(attempt));
    let reason = match attempt {
        Attempt::Sent | Attempt::Dropped | Attempt::Expired => return,
        Attempt::Refused(refusal) => &refusal.reason,
        Attempt::NotConnected(reason) | Attempt::Uncertain(reason) | Attempt::RenderFailed(reason) => reason,
    };
    span.record("error.type", reason.as_str());
    span.record("otel.status_code", "ERROR");
}

fn result(attempt: &Attempt) -> &'static str {
    match attempt {
        Attempt::Sent => "sent",
        Attempt::Refused(_) => "refused",
        Attempt::NotConnected(_) => "not_connected",
        Attempt::Uncertain(_) => "uncertain",
        Attempt::Dropped => "dropped",
        Attempt::Expired => "expired",
        Attempt::RenderFailed(_) => "render_failed",
    }
}

/// The span that a W3C `traceparent` names.
fn remote(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.trim().split('-');
    let (_version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()? & 1);
    let trace = TraceId::from_hex(trace).ok()?;
    let span = SpanId::from_hex(span).ok()?;
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}
