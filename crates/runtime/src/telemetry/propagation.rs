//! W3C trace context: out of a span into a header, and back.
//!
//! A cause that is near in time is the parent of its effect ([`continue_trace`]); a timer that fires hours later, or a
//! batch with many causes, only links to them ([`link_to`]).

use http::HeaderMap;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The headers of a trace context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// `traceparent`: the trace, the span and whether it is sampled.
    pub traceparent: Option<String>,
    /// `tracestate`: what tracing systems add for themselves.
    pub tracestate: Option<String>,
}

impl TraceContext {
    /// The context of a span.
    pub fn of(span: &Span) -> Self {
        let mut headers = Self::default();
        TraceContextPropagator::new().inject_context(&span.context(), &mut headers);
        headers.tracestate = headers.tracestate.filter(|state| !state.is_empty());
        headers
    }

    fn extract(&self) -> Context {
        TraceContextPropagator::new().extract_with_context(&Context::new(), self)
    }
}

impl Injector for TraceContext {
    fn set(&mut self, key: &str, value: String) {
        match key {
            "traceparent" => self.traceparent = Some(value),
            "tracestate" => self.tracestate = Some(value),
            _ => {}
        }
    }
}

impl Extractor for TraceContext {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.traceparent.as_deref(),
            "tracestate" => self.tracestate.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

/// The `traceparent` of the current span; none outside of any.
pub fn traceparent() -> Option<String> {
    traceparent_of(&Span::current())
}

/// The `traceparent` of a span: what its effects carry on.
pub fn traceparent_of(span: &Span) -> Option<String> {
    TraceContext::of(span).traceparent
}

/// Makes a new span, not yet entered, a child of where the context came from. False if the context can't be read.
pub fn continue_trace(span: &Span, context: &TraceContext) -> bool {
    let parent = context.extract();
    parent.span().span_context().is_valid() && span.set_parent(parent).is_ok()
}

/// The same from the headers of an HTTP or gRPC request.
pub fn continue_from_headers(span: &Span, headers: &HeaderMap) -> bool {
    let header = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok()).map(str::to_owned);
    continue_trace(span, &TraceContext { traceparent: header("traceparent"), tracestate: header("tracestate") })
}

/// Links a span to where the `traceparent` came from. False if it can't be read.
pub fn link_to(span: &Span, traceparent: &str) -> bool {
    let cause = TraceContext { traceparent: Some(traceparent.to_owned()), tracestate: None }.extract();
    let cause = cause.span().span_context().clone();
    let is_valid = cause.is_valid();
    if is_valid {
        span.add_link(cause);
    }
    is_valid
}
