use opentelemetry_prometheus::PrometheusExporter;
use opentelemetry_sdk::error::OTelSdkError;
use prometheus::{Registry, TextEncoder};

/// The metrics of this process in Prometheus' text format.
#[derive(Clone, Debug)]
pub struct MetricsPage {
    registry: Registry,
}

impl MetricsPage {
    /// The type that the page is served as.
    pub const CONTENT_TYPE: &'static str = prometheus::TEXT_FORMAT;

    pub(super) fn new() -> Self {
        Self { registry: Registry::new() }
    }

    pub(super) fn reader(&self) -> Result<PrometheusExporter, OTelSdkError> {
        opentelemetry_prometheus::exporter().with_registry(self.registry.clone()).build()
    }

    /// Collects them now.
    pub fn collect(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
