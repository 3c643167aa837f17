//! Logs, traces and metrics of a process.
//!
//! Wanted properties:
//! - every log line that is written inside a span names its trace, whether or not traces are exported;
//! - nothing of the wire is logged by the HTTP stack, whatever the filter says: authorization headers stay out;
//! - what is still held is flushed at the end, within a time limit;
//! - the resource is the operator's: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` go before our own words.

mod log;
mod metrics_page;
mod propagation;

use std::env;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, filter, layer};

pub use metrics_page::MetricsPage;
pub use propagation::{TraceContext, continue_from_headers, continue_trace, link_to, traceparent, traceparent_of};

use crate::config::TelemetryOptions;

/// How long a collector that does not answer may hold up the end of a process.
const FLUSH_DEADLINE: Duration = Duration::from_secs(3);

/// The boundaries, in seconds, that the semantic conventions give for durations of calls and of message processing.
pub const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Crates whose log lines at `debug` and below hold what went over the wire.
const WIRE: [&str; 6] = ["h2", "hyper", "hyper_util", "tonic", "tower", "rustls"];

/// Who this process is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What it runs: `vuelve-journeys`, or `vuelve` for several services in one process.
    pub service: String,
    /// Which instance of it.
    pub instance: String,
}

/// Why telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Traces can't be exported to that address.
    #[error("traces can't be sent to {endpoint}: set telemetry.otlp_endpoint to a collector's address")]
    Exporter {
        /// The address.
        endpoint: String,
        /// What the exporter says.
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// Metrics can't be collected.
    #[error("metrics can't be collected")]
    Metrics(#[source] opentelemetry_sdk::error::OTelSdkError),
    /// Something else in this process has taken the logs already.
    #[error("the process already has a logger")]
    AlreadyStarted(#[from] tracing_subscriber::util::TryInitError),
}

/// What has to be flushed at the end.
#[derive(Debug)]
pub struct Telemetry {
    traces: SdkTracerProvider,
    metrics: SdkMeterProvider,
    page: MetricsPage,
}

impl Telemetry {
    /// Starts logs on standard error, traces and metrics for the whole process. Needs a Tokio runtime around it if
    /// traces are exported. Meters taken from [`opentelemetry::global`] before this stay silent.
    pub fn start(options: &TelemetryOptions, identity: &Identity) -> Result<Self, TelemetryError> {
        let telemetry = Self::build(options, identity)?;
        telemetry.subscriber(options, std::io::stderr).try_init()?;
        log::log_panics();
        global::set_text_map_propagator(TraceContextPropagator::new());
        global::set_tracer_provider(telemetry.traces.clone());
        global::set_meter_provider(telemetry.metrics.clone());
        Ok(telemetry)
    }

    /// Builds traces and metrics without taking the process's globals.
    pub fn build(options: &TelemetryOptions, identity: &Identity) -> Result<Self, TelemetryError> {
        let resource = resource(identity);
        let endpoint = otlp_endpoint(options);
        let mut traces = SdkTracerProvider::builder().with_resource(resource.clone());
        if env::var_os("OTEL_TRACES_SAMPLER").is_none() {
            // Where nothing is exported, no trace begins that would cost everybody after us and be seen by nobody.
            let share = if endpoint.is_some() { options.sampling.get() } else { 0.0 };
            traces = traces.with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))));
        }
        if let Some(endpoint) = endpoint {
            let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(&endpoint).build();
            let exporter = exporter.map_err(|source| TelemetryError::Exporter { endpoint, source })?;
            traces = traces.with_batch_exporter(exporter);
        }
        let page = MetricsPage::new();
        let metrics = SdkMeterProvider::builder()
            .with_reader(page.reader().map_err(TelemetryError::Metrics)?)
            .with_resource(resource)
            .build();
        Ok(Self { traces: traces.build(), metrics, page })
    }

    /// What `/metrics` shows.
    pub fn metrics_page(&self) -> MetricsPage {
        self.page.clone()
    }

    /// The meters of this process.
    pub const fn meter_provider(&self) -> &SdkMeterProvider {
        &self.metrics
    }

    /// Takes log lines and spans: log lines go to `writer`, spans to the exporter.
    pub fn subscriber<W>(&self, options: &TelemetryOptions, writer: W) -> Box<dyn Subscriber + Send + Sync>
    where
        W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    {
        let wanted = wanted(options.log_filter.as_str());
        // The hints spare the question at each place that is more verbose.
        let most = wanted.max_level_hint().unwrap_or(filter::LevelFilter::TRACE);
        let is_wanted = move |metadata: &Metadata<'_>| {
            *metadata.level() <= most && *metadata.level() <= most_verbose(metadata.target())
        };
        let off_the_wire = filter::filter_fn(is_wanted).with_max_level_hint(most);
        let lines = log::Lines { format: options.log_format, writer };
        let spans = tracing_opentelemetry::layer()
            .with_tracer(self.traces.tracer("vuelve"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_error_events_to_status(false)
            .with_filter(
                filter::filter_fn(|metadata| {
                    let is_wire = most_verbose(metadata.target()) < Level::TRACE;
                    metadata.is_span() && *metadata.level() <= Level::INFO && !is_wire
                })
                .with_max_level_hint(filter::LevelFilter::INFO),
            );
        // One filter for both: each of its own would look every span up once more, whenever it is entered and left.
        let lines = lines.with_filter(wanted.and(off_the_wire));
        Box::new(tracing_subscriber::registry().with(spans).with(lines))
    }

    /// Sends what is still held, within three seconds. Blocks: not for the threads of an async runtime.
    pub fn flush(&self) {
        if let Err(error) = self.traces.shutdown_with_timeout(FLUSH_DEADLINE) {
            tracing::warn!(%error, "the last traces were not sent");
        }
        if let Err(error) = self.metrics.shutdown_with_timeout(FLUSH_DEADLINE) {
            tracing::warn!(%error, "the last metrics were not collected");
        }
    }
}

/// The lines that are wanted. Where only parts and levels are named, that is settled once for each place that tells something;
/// the filter that knows spans by their names and fields, too, would look for each span that is entered or left.
fn wanted<S>(directives: &str) -> Box<dyn layer::Filter<S> + Send + Sync> {
    let is_plain = |directive: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':' | b'=');
        !directive.is_empty() && !directive.ends_with('=') && directive.bytes().all(is_part)
    };
    let by_part = directives.split(',').all(is_plain).then(|| directives.parse::<Targets>().ok()).flatten();
    match by_part {
        Some(targets) => Box::new(targets),
        None => Box::new(EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"))),
    }
}

/// The most verbose level that is taken from a part, whatever the filter says.
fn most_verbose(target: &str) -> Level {
    let part = target.split("::").next().unwrap_or_default();
    match part {
        _ if WIRE.contains(&part) => Level::INFO,
        // It tells at `info` that its own parts come and go.
        _ if part.starts_with("opentelemetry") => Level::WARN,
        _ => Level::TRACE,
    }
}

/// Where traces go, if anywhere: our own key, else the variables that OpenTelemetry has for it.
fn otlp_endpoint(options: &TelemetryOptions) -> Option<String> {
    let from_environment = || {
        ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]
            .into_iter()
            .find_map(|name| env::var(name).ok().filter(|endpoint| !endpoint.trim().is_empty()))
    };
    options.otlp_endpoint.as_ref().map(ToString::to_string).or_else(from_environment)
}

fn resource(identity: &Identity) -> Resource {
    let ours = [
        KeyValue::new("service.name", identity.service.clone()),
        KeyValue::new("service.namespace", "vuelve"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", identity.instance.clone()),
    ];
    let resource = Resource::builder_empty()
        .with_attributes(ours)
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
    match env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => resource.with_service_name(name).build(),
        _ => resource.build(),
    }
}
