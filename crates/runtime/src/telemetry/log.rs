//! How a log line looks. No line and no field is longer than a limit, whatever is put into it.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, layer};

use crate::config::LogFormat;

/// The longest value of one field, in bytes.
const MAX_FIELD_BYTES: usize = 4 * 1024;
/// The most fields of one line.
const MAX_FIELDS: usize = 32;

/// Writes what is told as lines. It hears of no spans: which one a line is in, the registry knows, and their fields go to the
/// traces alone.
pub(super) struct Lines<W> {
    pub(super) format: LogFormat,
    pub(super) writer: W,
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_event(&self, event: &Event<'_>, context: layer::Context<'_, S>) {
        let line = Line::new(&context, event);
        let text = match self.format {
            LogFormat::Json => line.json(),
            LogFormat::Text => line.text(),
        };
        // Where no line can be written, there is nobody to tell.
        let _ = self.writer.make_writer_for(event.metadata()).write_all(text.as_bytes());
    }
}

/// A line before it is written.
struct Line {
    time: String,
    level: &'static str,
    target: String,
    message: String,
    span: Option<&'static str>,
    trace: Option<SpanContext>,
    fields: Map<String, Value>,
}

impl Line {
    fn new<S: Subscriber + for<'a> LookupSpan<'a>>(context: &layer::Context<'_, S>, event: &Event<'_>) -> Self {
        let mut time = String::new();
        // Can fail only if a String could not be written to.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let mut fields = Fields::default();
        event.record(&mut fields);
        let trace = Context::map_current(|current| current.span().span_context().clone());
        Self {
            time,
            level: event.metadata().level().as_str(),
            target: fields.target.unwrap_or_else(|| event.metadata().target().to_owned()),
            message: fields.message,
            span: context.lookup_current().map(|span| span.name()),
            trace: trace.is_valid().then_some(trace),
            fields: fields.others,
        }
    }

    /// One JSON object: `timestamp`, `level`, `target`, `message`, `span`, `trace_id`, `span_id`, then the fields.
    fn json(self) -> String {
        let mut object = Map::new();
        object.insert("timestamp".into(), self.time.into());
        object.insert("level".into(), self.level.into());
        object.insert("target".into(), self.target.into());
        object.insert("message".into(), self.message.into());
        if let Some(span) = self.span {
            object.insert("span".into(), span.into());
        }
        if let Some(trace) = self.trace {
            object.insert("trace_id".into(), trace.trace_id().to_string().into());
            object.insert("span_id".into(), trace.span_id().to_string().into());
        }
        for (name, value) in self.fields {
            object.entry(name).or_insert(value);
        }
        format!("{}\n", Value::Object(object))
    }

    /// For people: time, level, target, message and fields, and the trace at the end.
    fn text(self) -> String {
        let mut text = format!("{} {:>5} {}: {}", self.time, self.level, self.target, self.message);
        for (name, value) in self.fields {
            // Can fail only if a String could not be written to.
            let _ = write!(text, " {name}={value}");
        }
        if let Some(trace) = self.trace {
            let _ = write!(text, " trace={}", trace.trace_id());
        }
        text.push('\n');
        text
    }
}

/// Collects the fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    target: Option<String>,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            // What the `log` crate's records bring along as fields.
            ("log.target", Value::String(text)) => self.target = Some(text),
            (name, _) if name.starts_with("log.") => {}
            (name, value) if self.others.len() < MAX_FIELDS => drop(self.others.insert(name.to_owned(), value)),
            _ => {}
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Bounded::default();
        // The error says only that the limit was reached.
        let _ = write!(text, "{value:?}");
        self.put(field, Value::String(text.0));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = Bounded::default();
        let _ = text.write_str(value);
        self.put(field, Value::String(text.0));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = Bounded::default();
        let mut error = Some(value);
        let mut separator = "";
        while let Some(cause) = error {
            if write!(text, "{separator}{cause}").is_err() {
                break;
            }
            separator = ": ";
            error = cause.source();
        }
        self.put(field, Value::String(text.0));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

/// A text that ends at the limit.
#[derive(Default)]
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_FIELD_BYTES.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        self.0.push('…');
        Err(fmt::Error)
    }
}

/// Panics become log lines too: one format for all that a process has to say, and no personal data.
pub(super) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        // What was put together may quote a customer: only what stands in the source is told.
        let message = panic.payload().downcast_ref::<&'static str>().unwrap_or(&"what it says is not logged");
        tracing::error!(location, thread, "panicked: {message}");
    }));
}
