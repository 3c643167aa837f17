//! W3C trace context: from the request's headers, through the spans of this process, to the headers of records.

use axum::http::HeaderMap;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::host::Host;

/// A longer `tracestate` is not carried on (the specification asks for at least this).
const MAX_TRACESTATE_BYTES: usize = 512;

/// The trace that a record or a request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) traceparent: String,
    pub(crate) tracestate: Option<String>,
}

/// The caller's span, if it names one.
pub(crate) fn caller(headers: &HeaderMap) -> Option<SpanContext> {
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
pub(crate) fn adopt(span: &Span, caller: Option<&SpanContext>) {
    if let Some(caller) = caller {
        // An error means that nobody records spans here; the context is then carried on by `carried_on`.
        let _ = span.set_parent(opentelemetry::Context::new().with_remote_span_context(caller.clone()));
    }
}

/// The trace context that records get: that of `span` where spans are recorded, else a new span in the caller's trace, else a
/// trace of its own.
pub(crate) fn carried_on(span: &Span, caller: Option<&SpanContext>, headers: &HeaderMap, host: &dyn Host) -> Trace {
    let recorded = span.context().span().span_context().clone();
    let (trace_id, span_id, flags) = if recorded.is_valid() {
        (recorded.trace_id(), recorded.span_id(), recorded.trace_flags())
    } else {
        let span_id = SpanId::from((host.random() as u64).max(1));
        match caller {
            Some(caller) => (caller.trace_id(), span_id, caller.trace_flags()),
            None => (TraceId::from(host.random().max(1)), span_id, TraceFlags::default()),
        }
    };
    let tracestate = caller.and_then(|_| headers.get("tracestate")?.to_str().ok());
    Trace {
        traceparent: format!("00-{trace_id}-{span_id}-{:02x}", flags.to_u8()),
        tracestate: tracestate.filter(|state| state.len() <= MAX_TRACESTATE_BYTES).map(str::to_owned),
    }
}
