use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use certificates::{Tls, TlsAcceptor};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::host::StopToken;

/// A connection that says nothing for so long after it was opened is closed.
const FIRST_BYTE_DEADLINE: Duration = Duration::from_secs(10);
/// How often a silent peer is asked whether it is still there, and how long it has to answer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// After a failure to accept (no file descriptors left): not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// So long calls under way may take to end: well within the host's own deadline. One whose caller does not read its answer never
/// ends.
const DRAIN: Duration = Duration::from_secs(15);
const MAX_STREAMS_OF_A_CONNECTION: u32 = 200;
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// Accepts at most `max_connections` at once and serves them, over TLS where it is given, until it is asked to stop and all calls
/// have ended.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<Tls>>,
    max_connections: u32,
    stop: StopToken,
) {
    let places = Arc::new(Semaphore::new(usize::try_from(max_connections).unwrap_or(usize::MAX)));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (stream, place) = tokio::select! {
            () = stop.stopped() => break,
            (stream, place) = accepted => (stream, place),
        };
        let stream = match stream {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a gRPC connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let watcher = graceful.watcher();
        let router = router.clone();
        let (stop, acceptor) = (stop.clone(), tls.as_deref().map(Tls::acceptor));
        tokio::spawn(async move {
            let _place = place;
            if !speaks(&stream, &stop).await {
                return;
            }
            match acceptor {
                None => answer(stream, router, watcher).await,
                Some(acceptor) => {
                    if let Some(stream) = shake_hands(&acceptor, stream, &stop).await {
                        answer(stream, router, watcher).await;
                    }
                }
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some gRPC calls did not end in time");
    }
}

/// Serves a connection to its end.
async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router, watcher: Watcher) {
    let builder = builder();
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // How a peer went away is its own affair.
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a gRPC connection has ended");
    }
}

/// The connection under TLS; none where both sides do not agree in time.
async fn shake_hands(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    stop: &StopToken,
) -> Option<impl AsyncRead + AsyncWrite + Unpin + Send + 'static> {
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(FIRST_BYTE_DEADLINE, acceptor.accept(stream)) => shaken,
        () = stop.stopped() => return None,
    };
    match shaken {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => tracing::debug!(%error, "a client and the gRPC server did not agree on TLS"),
        Err(_) => tracing::debug!("a client did not shake hands in time"),
    }
    None
}

/// Whether the peer says anything before its time is over.
async fn speaks(stream: &TcpStream, stop: &StopToken) -> bool {
    let no_delay = stream.set_nodelay(true);
    tokio::select! {
        readable = tokio::time::timeout(FIRST_BYTE_DEADLINE, stream.readable()) => no_delay.is_ok() && matches!(readable, Ok(Ok(()))),
        () = stop.stopped() => false,
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new()).http2_only();
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS_OF_A_CONNECTION)
        .max_header_list_size(MAX_HEADER_BYTES);
    builder
}
