use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use certificates::Tls;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::preface::begun;
use super::threads::{Accepted, Threads};
use crate::host::StopToken;

/// A connection that does not begin as HTTP/2 does so long after it was opened is closed; over TLS both sides have as long for that.
const BEGIN_DEADLINE: Duration = Duration::from_secs(10);
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
) -> anyhow::Result<()> {
    let places = Arc::new(Semaphore::new(usize::try_from(max_connections).unwrap_or(usize::MAX)));
    let graceful = GracefulShutdown::new();
    let ending = stop.clone();
    let threads = tokio::task::spawn_blocking(move || Threads::start(&router, tls.as_ref(), &ending)).await??;
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
        // One that can't be prepared has gone already.
        if let (Ok(()), Ok(stream)) = (stream.set_nodelay(true), stream.into_std()) {
            threads.take(Accepted { stream, watcher: graceful.watcher(), _place: place? })?;
        }
    }
    drop(listener);
    // They end with their connections.
    drop(threads);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some gRPC calls did not end in time");
    }
    Ok(())
}

/// Serves a connection to its end, over TLS where it is given, once it has begun.
pub(super) async fn serve_one(
    stream: TcpStream,
    router: Router,
    tls: Option<&Tls>,
    watcher: Watcher,
    stop: &StopToken,
) {
    match tls.map(Tls::acceptor) {
        None => answer(stream, router, watcher, stop).await,
        Some(acceptor) => {
            if let Some(stream) = in_time("to agree on TLS", acceptor.accept(stream), stop).await {
                answer(stream, router, watcher, stop).await;
            }
        }
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    watcher: Watcher,
    stop: &StopToken,
) {
    // A large answer comes in two parts.
    let Some(stream) = in_time("to begin", begun(BufWriter::new(stream)), stop).await else { return };
    let builder = builder();
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // How a peer went away is its own affair.
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a gRPC connection has ended");
    }
}

/// What the peer has to do first; none where it does not before its time is over, or does something else.
async fn in_time<T>(what: &str, doing: impl Future<Output = io::Result<T>>, stop: &StopToken) -> Option<T> {
    let done = tokio::select! {
        done = tokio::time::timeout(BEGIN_DEADLINE, doing) => done,
        () = stop.stopped() => return None,
    };
    match done {
        Ok(Ok(done)) => return Some(done),
        Ok(Err(error)) => tracing::debug!(%error, what, "a gRPC client failed"),
        Err(_) => tracing::debug!(what, "a gRPC client took too long"),
    }
    None
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new()).http2_only();
    builder
        .http2()
        .timer(TokioTimer::new())
        // Of no use to gRPC.
        .auto_date_header(false)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS_OF_A_CONNECTION)
        .max_header_list_size(MAX_HEADER_BYTES);
    builder
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by it")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::Body;
    use http::Request;
    use tokio::sync::Barrier;
    use tokio::task::JoinSet;
    use tokio_util::io::InspectWriter;
    use tonic::transport::Endpoint;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const CALLS: usize = 16;

    #[tokio::test]
    async fn answers_that_are_ready_together_are_written_together() {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let writes = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&writes);
        let counted = InspectWriter::new(ours, move |_: &[u8]| {
            counting.fetch_add(1, Ordering::Relaxed);
        });
        let together = Arc::new(Barrier::new(CALLS));
        let router = Router::new().fallback(async move || {
            together.wait().await;
            [b'a'; 800]
        });
        let (graceful, stop) = (GracefulShutdown::new(), StopToken::default());
        let watcher = graceful.watcher();
        tokio::spawn(async move { answer(counted, router, watcher, &stop).await });

        let mut theirs = Some(TokioIo::new(theirs));
        let connector = service_fn(move |_| {
            std::future::ready(theirs.take().ok_or_else(|| io::Error::other("one connection is enough")))
        });
        let channel = Endpoint::from_static("http://localhost").connect_with_connector(connector).await.unwrap();
        let mut calls = JoinSet::new();
        for _ in 0..CALLS {
            calls.spawn(channel.clone().oneshot(Request::new(tonic::body::Body::empty())));
        }
        while let Some(called) = calls.join_next().await {
            let body = Body::new(called.unwrap().unwrap().into_body());
            assert_eq!(axum::body::to_bytes(body, 1000).await.unwrap().len(), 800);
        }
        // What the protocol has to say is in a few of its own.
        let writes = writes.load(Ordering::Relaxed);
        assert!(writes < CALLS / 2, "{writes} writes for {CALLS} answers");
    }
}
