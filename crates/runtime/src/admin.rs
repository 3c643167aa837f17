//! The admin port: `/livez`, `/readyz`, `/metrics`.
//!
//! It is opened before the parts start and closed after they have ended, so that a slow start and a drain can be watched.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;

use crate::host::StopToken;
use crate::readiness::Readiness;
use crate::telemetry::MetricsPage;

/// The admin port, bound and not yet served.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    router: Router,
}

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{key} = {address}: the port can't be opened; is another process using it?")]
pub struct BindError {
    /// The key of the configuration.
    pub key: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    #[source]
    pub source: std::io::Error,
}

/// Opens a port that a key of the configuration names.
pub async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { key, address, source })
}

#[derive(Clone)]
struct Shown {
    readiness: Readiness,
    metrics: MetricsPage,
}

impl Admin {
    /// Serves what a process says about itself on a port.
    pub fn new(listener: TcpListener, readiness: Readiness, metrics: MetricsPage) -> Self {
        let router = Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics_page))
            .with_state(Shown { readiness, metrics });
        Self { listener, router }
    }

    /// The address that it is on.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is asked to stop.
    pub async fn serve(self, stop: StopToken) -> anyhow::Result<()> {
        let stopped = async move { stop.stopped().await };
        Ok(axum::serve(self.listener, self.router).with_graceful_shutdown(stopped).await?)
    }
}

/// 200 if the process is ready, else 503; the body names each condition, and the reason if it is not met.
async fn ready(State(shown): State<Shown>) -> Response {
    let report = shown.readiness.report();
    let status = if report.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": report.is_ready(),
        "draining": report.draining,
        "conditions": report.conditions,
        "notes": report.notes,
    });
    (status, axum::Json(body)).into_response()
}

async fn metrics_page(State(shown): State<Shown>) -> Response {
    match shown.metrics.collect() {
        Ok(text) => ([(header::CONTENT_TYPE, MetricsPage::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("metrics can't be collected: {error}\n")).into_response()
        }
    }
}
