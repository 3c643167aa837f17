//! The ceiling of single calls: the door's own HTTP server, and behind it a handler that reads a body and says that all is well.
//! This program again, as a process of its own.

use axum::Router;
use axum::http::header;
use axum::routing::post;
use bytes::Bytes;
use ingestion::shell::{ServerOptions, serve};
use testkit::Process;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// What the door says.
const ANSWER: &str = r#"{"success":true}"#;

/// Starts the process.
pub(crate) fn start(port: u16) -> anyhow::Result<Process> {
    let program = std::env::current_exe()?;
    Ok(Process::spec("null-handler", program).args(["null-handler", "--port", &port.to_string()]).start()?)
}

/// What the process does, until SIGTERM.
pub(crate) fn run(port: u16) -> anyhow::Result<()> {
    let handler = async |_body: Bytes| ([(header::CONTENT_TYPE, "application/json")], ANSWER);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let mut ended = signal(SignalKind::terminate())?;
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let shutdown = async move {
            let _ = ended.recv().await;
        };
        let router = Router::new().route("/v1/track", post(handler)).route("/v1/page", post(handler));
        serve(listener, router, None, &ServerOptions::default(), shutdown).await;
        Ok(())
    })
}
