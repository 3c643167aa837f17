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

/// A `traceparent` of version 00; later versions begin alike.
const TRACEPARENT_BYTES: usize = 55;

/// The span that a W3C `traceparent` names. What is not one to the letter names none: it came with a record.
fn remote(traceparent: &str) -> Option<SpanContext> {
    let (known, more) = traceparent.split_at_checked(TRACEPARENT_BYTES)?;
    let mut parts = known.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex =
        |part: &str, length| part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let fits = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    let ends = more.is_empty() || version != "00" && more.starts_with('-');
    if !fits || !ends || version == "ff" {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_only_where_it_is_one_to_the_letter() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (text, sampled) in [
            (format!("00-{trace}-00f067aa0ba902b7-01"), true),
            (format!("00-{trace}-00f067aa0ba902b7-02"), false),
            (format!("01-{trace}-00f067aa0ba902b7-03-and-more"), true),
        ] {
            let context = remote(&text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((context.trace_id().to_string().as_str(), context.is_sampled()), (trace, sampled), "{text}");
        }
        for refused in [
            String::new(),
            "-".repeat(55),
            format!("00-{trace}-00f067aa0ba902b7-01-more"),
            format!("01-{trace}-00f067aa0ba902b7-01more"),
            format!("ff-{trace}-00f067aa0ba902b7-01"),
            format!("0-{trace}-00f067aa0ba902b7-001"),
            format!("zz-{trace}-00f067aa0ba902b7-01"),
            format!(" 00-{trace}-00f067aa0ba902b7-01"),
            format!("00-{trace}-00f067aa0ba902b7-+1"),
            format!("00-+{}-00f067aa0ba902b7-01", &trace[1..]),
            format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}é-00f067aa0ba902b7-01", &trace[2..]),
            format!("00-{trace}-00f067aa0ba902b7-0é"),
        ] {
            assert!(remote(&refused).is_none(), "{refused}");
        }
    }
}
