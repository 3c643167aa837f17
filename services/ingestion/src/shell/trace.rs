//! W3C trace context: from the request's headers, through the spans of this process, to the headers of records.

use axum::http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::host::Host;

/// A longer `tracestate` is not carried on (the specification asks for at least this).
const MAX_TRACESTATE_BYTES: usize = 512;
/// A version, a trace, a span and flags in hexadecimal, with hyphens between them.
const TRACEPARENT_BYTES: usize = 55;

/// The trace that a record or a request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) traceparent: String,
    pub(crate) tracestate: Option<String>,
}

/// The caller's span, if it names one.
fn caller(headers: &HeaderMap) -> Option<SpanContext> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let mut parts = text.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths_fit = version.len() == 2 && trace.len() == 32 && span.len() == 16 && flags.len() == 2;
    if !lengths_fit || version.eq_ignore_ascii_case("ff") || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let trace = TraceId::from_hex(trace).ok()?;
    let span = SpanId::from_hex(span).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()? & 1);
    let context = SpanContext::new(trace, span, flags, true, TraceState::default());
    context.is_valid().then_some(context)
}

/// Makes a span the child of the caller's.
pub(crate) fn adopt(span: &Span, headers: &HeaderMap) {
    if let Some(caller) = caller(headers) {
        // An error means that nobody records spans here; the context is then carried on by `carried_on`.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(caller));
    }
}

/// The trace context that records get: that of `span` where spans are recorded, else a new span in the caller's trace, else a
/// trace of its own. The caller is asked for only where that is not known from the span, which has adopted it.
pub(crate) fn carried_on(span: &Span, headers: &HeaderMap, host: &dyn Host) -> Trace {
    let context = span.context();
    let recorded = context.span();
    let recorded = recorded.span_context();
    let (trace_id, span_id, flags) = if recorded.is_valid() {
        (recorded.trace_id(), recorded.span_id(), recorded.trace_flags())
    } else {
        let span_id = SpanId::from((host.random() as u64).max(1));
        match caller(headers) {
            Some(caller) => (caller.trace_id(), span_id, caller.trace_flags()),
            None => (TraceId::from(host.random().max(1)), span_id, TraceFlags::default()),
        }
    };
    let tracestate = headers.get("tracestate").and_then(|state| state.to_str().ok());
    let tracestate = tracestate.filter(|state| state.len() <= MAX_TRACESTATE_BYTES && caller(headers).is_some());
    Trace { traceparent: traceparent(trace_id, span_id, flags), tracestate: tracestate.map(str::to_owned) }
}

/// The header, in version 0 of the specification. Each call has one: it is written without the formatter, which would have
/// it grow three times.
fn traceparent(trace_id: TraceId, span_id: SpanId, flags: TraceFlags) -> String {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut text = String::with_capacity(TRACEPARENT_BYTES);
    text.push_str("00");
    for part in [&trace_id.to_bytes()[..], &span_id.to_bytes()[..], &[flags.to_u8()]] {
        text.push('-');
        text.extend(part.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| DIGITS[usize::from(digit)]));
    }
    text
}
