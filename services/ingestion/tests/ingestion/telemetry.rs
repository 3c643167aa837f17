//! Spans and metrics, as they are really emitted.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use axum::body::Body;
use axum::http::Method;
use ingestion::shell::{DoorOptions, WriteKeyOptions};
use opentelemetry::trace::{SpanKind, TracerProvider};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use tracing_subscriber::layer::SubscriberExt;

use crate::support::{Fixture, KEY, header_of, post, request, write_key};
use crate::webhooks;

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn the_records_belong_to_the_producer_span_under_the_server_span_under_the_caller() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let subscriber =
        tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")));
    let door = Fixture::new();
    let record = {
        let _guard = tracing::subscriber::set_default(subscriber);
        let call = post("/v1/t?writeKey=demo-write-key").header("traceparent", CALLER);
        door.send(call.body(r#"{"event":"X","userId":"ana-7"}"#.into()).unwrap()).await.is_accepted();
        door.records().remove(0)
    };
    let spans = exporter.get_finished_spans().unwrap();
    let server = spans.iter().find(|span| span.span_kind == SpanKind::Server).unwrap();
    let producer = spans.iter().find(|span| span.span_kind == SpanKind::Producer).unwrap();
    assert_eq!((server.name.as_ref(), producer.name.as_ref()), ("POST /v1/t", "send storefront.received"));
    assert_eq!(server.span_context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(server.parent_span_id.to_string(), "00f067aa0ba902b7");
    assert_eq!(producer.parent_span_id, server.span_context.span_id());
    let expected = format!("00-{}-{}-01", producer.span_context.trace_id(), producer.span_context.span_id());
    assert_eq!(header_of(&record, "traceparent"), expected);
    let attribute =
        |name: &str| server.attributes.iter().find(|pair| pair.key.as_str() == name).map(|pair| pair.value.to_string());
    assert_eq!(attribute("http.route").as_deref(), Some("/v1/t"));
    assert_eq!(attribute("http.request.method").as_deref(), Some("POST"));
    assert_eq!(attribute("http.response.status_code").as_deref(), Some("200"));
    let all = format!("{spans:?}");
    assert!(!all.contains("ana-7") && !all.contains("demo-write-key"), "no personal data, no keys: {all}");
}

#[tokio::test]
async fn requests_and_events_are_counted_under_the_names_of_the_conventions() {
    let exporter = InMemoryMetricExporter::default();
    let provider = SdkMeterProvider::builder().with_reader(PeriodicReader::builder(exporter.clone()).build()).build();
    opentelemetry::global::set_meter_provider(provider.clone());
    let door = webhooks::door();
    let cart = webhooks::fixture("shopify_carts_update").to_string();
    webhooks::shopify(&door, "carts/update", "w1", cart).await.is_accepted();
    webhooks::shopify(&door, "ana-7/unheard-of", "w2", "{}").await.is_accepted();
    door.post("/v1/track", r#"{"event":"X","userId":"ana-7"}"#).await.is_accepted();
    door.post("/v1/track", "{}").await.is_accepted();
    door.send(request(Method::GET, "/c/ana-7").body(Body::empty()).unwrap()).await;
    let visit = r#"{"event":"X","anonymousId":"d1","context":{"page":{"search":"?vuelve_click=ana-7"}}}"#;
    door.post("/v1/track", visit).await.is_accepted();
    // Every instrument that there is: doors of other tests in this process may count in any of them meanwhile.
    let one = NonZeroU32::new(1);
    let key = WriteKeyOptions { events_per_second: one, burst_events: NonZeroU32::new(2_500), ..write_key("web", KEY) };
    let limited = Fixture::with_keys(&DoorOptions::default(), &[key]);
    let events = format!(r#"{{"batch":[{}0]}}"#, "0,".repeat(2_499));
    limited.post("/v1/batch", events).await.is_accepted();
    limited.post("/v1/track", "{}").await.is_refused(429, "rate_limited", "1 events a second");
    provider.force_flush().unwrap();
    let metrics = exporter.get_finished_metrics().unwrap();
    let names: BTreeSet<_> = metrics
        .iter()
        .flat_map(opentelemetry_sdk::metrics::data::ResourceMetrics::scope_metrics)
        .flat_map(opentelemetry_sdk::metrics::data::ScopeMetrics::metrics)
        .map(|metric| metric.name().to_owned())
        .collect();
    let expected = [
        "http.server.active_requests",
        "http.server.request.duration",
        "messaging.client.operation.duration",
        "vuelve.ingestion.events.accepted",
        "vuelve.ingestion.events.dead_lettered",
        "vuelve.ingestion.events.limited",
        "vuelve.ingestion.message_links",
        "vuelve.ingestion.visits",
        "vuelve.ingestion.webhooks",
    ];
    assert_eq!(names, expected.iter().map(ToString::to_string).collect());
    let all = format!("{metrics:?}");
    assert!(
        all.contains("carts/update")
            && all.contains("bad_link")
            && all.contains("bad_token")
            && all.contains("unknown_topic")
            && all.contains("/webhooks/{id}"),
        "{all}"
    );
    assert!(all.contains("no_id") && all.contains("/v1/track") && !all.contains("ana-7"), "{all}");
}
