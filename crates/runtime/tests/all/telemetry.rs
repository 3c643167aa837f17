//! What is seen of a process from outside.

use std::io;
use std::sync::Arc;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use parking_lot::Mutex;
use runtime::config::{Secret, Sources, TelemetryOptions, layout};
use runtime::telemetry::{Identity, Telemetry, TraceContext, continue_trace, link_to, traceparent};
use serde_json::Value;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tracing_subscriber::fmt::MakeWriter;

/// Log lines, kept.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }

    fn json(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

pub(crate) fn options(settings: &[&str]) -> TelemetryOptions {
    let flags = settings.iter().map(|flag| (*flag).to_owned()).collect();
    let config = layout().load(&Sources { flags, ..Sources::default() }).unwrap();
    config.get::<TelemetryOptions>().clone()
}

fn identity() -> Identity {
    Identity { service: "vuelve-test".into(), instance: "0".into() }
}

/// Takes this thread's log lines.
pub(crate) fn capture(settings: &[&str]) -> (Lines, tracing::subscriber::DefaultGuard) {
    let (lines, options) = (Lines::default(), options(settings));
    let telemetry = Telemetry::build(&options, &identity()).unwrap();
    let guard = tracing::subscriber::set_default(telemetry.subscriber(&options, lines.clone()));
    (lines, guard)
}

const CAUSE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const EARLIER: &str = "00-11111111111111111111111111111111-2222222222222222-01";

fn caused(traceparent: &str) -> TraceContext {
    TraceContext { traceparent: Some(traceparent.into()), tracestate: Some("shop=1".into()) }
}

#[test]
fn a_line_inside_a_span_names_its_trace_and_the_span_goes_on_from_where_it_came() {
    let (lines, _guard) = capture(&[]);
    tracing::info!("outside");
    let span = tracing::info_span!("process");
    assert!(continue_trace(&span, &caused(CAUSE)));
    let carried_on = span.in_scope(|| {
        tracing::warn!(partition = 3, ratio = 0.5, done = true, "inside");
        traceparent().unwrap()
    });
    let [outside, inside] = &lines.json()[..] else { panic!("{}", lines.text()) };
    assert!(outside.get("trace_id").is_none());
    assert_eq!(inside["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(
        (&inside["message"], &inside["level"], &inside["span"]),
        (&"inside".into(), &"WARN".into(), &"process".into())
    );
    assert_eq!(
        (inside["partition"].as_i64(), inside["ratio"].as_f64(), inside["done"].as_bool()),
        (Some(3), Some(0.5), Some(true))
    );
    assert_eq!(carried_on, format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", inside["span_id"].as_str().unwrap()));
    assert_ne!(inside["span_id"], "b7ad6b7169203331");
    assert_eq!(TraceContext::of(&span).tracestate.as_deref(), Some("shop=1"));
}

#[test]
fn a_context_that_cannot_be_read_begins_a_new_trace() {
    let (_lines, _guard) = capture(&[]);
    for nonsense in ["", "00-0-0-01", "00-00000000000000000000000000000000-0000000000000000-01", "hello"] {
        let span = tracing::info_span!("process");
        assert!(!continue_trace(&span, &caused(nonsense)), "{nonsense}");
        assert!(!link_to(&span, nonsense), "{nonsense}");
        assert!(span.in_scope(traceparent).is_some());
    }
    assert_eq!(traceparent(), None);
}

#[test]
fn a_secret_prints_as_redacted_wherever_it_gets_into_a_line() {
    let (lines, _guard) = capture(&[]);
    let secret = Secret::new("hunter2");
    tracing::info!(?secret, other = %secret, "connecting with {secret}");
    assert!(!lines.text().contains("hunter2"), "{}", lines.text());
    assert!(lines.text().contains("connecting with <redacted>"));
}

#[test]
fn a_line_has_a_largest_size_and_tells_the_whole_chain_of_an_error() {
    #[derive(Debug, thiserror::Error)]
    #[error("the batch was not committed")]
    struct Outer(#[source] io::Error);

    let (lines, _guard) = capture(&[]);
    let error = Outer(io::Error::other("broker away"));
    tracing::error!(error = &error as &dyn std::error::Error, long = "é".repeat(100_000), "failed");
    let line = &lines.json()[0];
    assert_eq!(line["error"], "the batch was not committed: broker away");
    assert!(line["long"].as_str().unwrap().len() < 5000);
}

#[test]
fn the_filter_chooses_lines_by_part_and_text_is_for_people() {
    let (lines, _guard) = capture(&["telemetry.log_filter=warn,kafka=debug", "telemetry.log_format=text"]);
    tracing::info!("left out");
    tracing::debug!(target: "kafka", attempt = 2, "taken");
    tracing::debug!(target: "h2::codec", "never");
    let text = lines.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.ends_with("DEBUG kafka: taken attempt=2\n"), "{text}");
}

#[test]
fn the_filter_may_name_spans_too_and_one_that_cannot_be_kept_by_parts_alone_means_what_it_did() {
    for (filter, wanted) in
        [("warn,[process]=info", 1), ("info", 2), ("off,[process{partition=3}]=info", 1), ("warn,", 0)]
    {
        let (lines, _guard) = capture(&[&format!("telemetry.log_filter={filter}")]);
        tracing::info!("outside");
        tracing::info_span!("process", partition = 3).in_scope(|| tracing::info!("inside"));
        assert_eq!(lines.text().lines().count(), wanted, "{filter}: {}", lines.text());
    }
}

#[test]
fn a_line_names_its_span_and_none_of_the_spans_fields() {
    for format in ["json", "text"] {
        let (lines, _guard) = capture(&[&format!("telemetry.log_format={format}")]);
        let span = tracing::info_span!("process", place = "before", later = tracing::field::Empty);
        span.record("later", "behind");
        span.in_scope(|| tracing::info!("inside"));
        let text = lines.text();
        assert!(text.contains("inside") && !text.contains("before") && !text.contains("behind"), "{text}");
        assert_eq!(text.contains(r#""span":"process""#), format == "json", "{text}");
    }
}

#[test]
fn a_metric_is_on_the_page_under_its_prometheus_name() {
    let telemetry = Telemetry::build(&options(&[]), &identity()).unwrap();
    let meter = telemetry.meter_provider().meter("test");
    let seconds = meter
        .f64_histogram("messaging.process.duration")
        .with_unit("s")
        .with_boundaries(runtime::telemetry::SECONDS.to_vec())
        .build();
    seconds.record(0.02, &[]);
    let page = telemetry.metrics_page().collect().unwrap();
    assert!(page.contains("messaging_process_duration_seconds_bucket{"), "{page}");
    assert!(page.contains(r#"le="0.025""#), "{page}");
}

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_reach_an_otlp_collector_with_parent_links_and_resource_before_the_process_ends() {
    let collector = Collector::default();
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("telemetry.otlp_endpoint=http://{}", incoming.local_addr().unwrap());
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
    let serving = tokio::spawn(server.serve_with_incoming(incoming));

    let options = options(&[&endpoint]);
    let telemetry = Telemetry::build(&options, &identity()).unwrap();
    let subscriber = telemetry.subscriber(&options, io::sink);
    tracing::subscriber::with_default(subscriber, || {
        let span = tracing::info_span!("process", otel.name = "process storefront.events", otel.kind = "consumer");
        assert!(continue_trace(&span, &caused(CAUSE)));
        assert!(link_to(&span, EARLIER));
        span.in_scope(|| tracing::info_span!("inner").in_scope(|| ()));
    });
    tokio::task::spawn_blocking(move || telemetry.flush()).await.unwrap();
    serving.abort();

    let requests = collector.0.lock();
    let resource = requests[0].resource_spans[0].resource.as_ref().unwrap();
    assert!(
        resource
            .attributes
            .iter()
            .any(|pair| pair.key == "service.name" && format!("{pair:?}").contains("vuelve-test"))
    );
    let spans: Vec<_> = requests
        .iter()
        .flat_map(|request| &request.resource_spans)
        .flat_map(|of| &of.scope_spans)
        .flat_map(|of| &of.spans)
        .collect();
    assert_eq!(spans.len(), 2);
    let process = spans.iter().find(|span| span.name == "process storefront.events").unwrap();
    let inner = spans.iter().find(|span| span.name == "inner").unwrap();
    assert_eq!(process.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!(process.links[0].trace_id, [0x11; 16]);
    assert_eq!((&inner.parent_span_id, &inner.trace_id), (&process.span_id, &process.trace_id));
}
