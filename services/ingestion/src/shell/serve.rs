//! The HTTP server under the router, with its limits.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::options::ServerOptions;
use super::tls::Tls;

/// How long the server waits before it accepts again when the system has no room for a connection.
const NO_ROOM: Duration = Duration::from_millis(100);

/// Serves, over TLS where it is given, until `shutdown` is ready; then takes no more connections and lets the calls under way
/// end, up to the drain time-out. Returns whether all of them did.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<&Tls>,
    options: &ServerOptions,
    shutdown: impl Future<Output = ()> + Send,
) -> bool {
    let places = Arc::new(Semaphore::new(options.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let mut server = Builder::new(TokioExecutor::new()).http1_only();
    server.http1().timer(TokioTimer::new()).header_read_timeout(options.head_timeout.as_std()).max_buf_size(64 << 10);
    let mut shutdown = std::pin::pin!(shutdown);
    // Its end tells those that are still shaking hands.
    let (serving, stopped) = watch::channel(());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, place)) = accepted else { continue };
        // Answers are small and written at once: to wait for more bytes only delays them.
        let _ = stream.set_nodelay(true);
        let (server, watcher) = (server.clone(), graceful.watcher());
        let service = TowerToHyperService::new(router.clone());
        let (acceptor, mut stopped) = (tls.map(Tls::acceptor), stopped.clone());
        let handshake_timeout = options.head_timeout.as_std();
        tokio::spawn(async move {
            let _place = place;
            // A connection that breaks is its client's affair; the calls on it were answered or will be sent again.
            let Some(acceptor) = acceptor else {
                let _ = watcher.watch(server.serve_connection(TokioIo::new(stream), service).into_owned()).await;
                return;
            };
            let shaken = tokio::select! {
                shaken = tokio::time::timeout(handshake_timeout, acceptor.accept(stream)) => shaken,
                _ = stopped.changed() => return,
            };
            match shaken {
                Ok(Ok(stream)) => {
                    let _ = watcher.watch(server.serve_connection(TokioIo::new(stream), service).into_owned()).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a client and the door did not agree on TLS"),
                Err(_) => tracing::debug!("a client did not shake hands in time"),
            }
        });
    }
    drop((listener, serving));
    tokio::time::timeout(options.drain_timeout.as_std(), graceful.shutdown()).await.is_ok()
}

/// The next connection, once there is a place for it; none if it was gone before it was accepted.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(NO_ROOM).await;
            None
        }
    }
}
