//! The threads that serve connections: a connection is one thread's, and so is all that its calls wait for.
//!
//! Wanted properties:
//! - a call is not handed from thread to thread, and what a thread has to write to a connection it writes at once (a runtime of many
//!   threads wakes one for each step of a call: half of what a lookup took);
//! - connections are dealt out in turn;
//! - a thread ends with its connections, once no more can come.

use std::io;
use std::net;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Context as _;
use axum::Router;
use certificates::Tls;
use hyper_util::server::graceful::Watcher;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;

use super::connections::serve_one;
use crate::host::StopToken;

/// One for each core, but no more.
const MOST: usize = 8;

/// A connection that was accepted.
pub(super) struct Accepted {
    pub(super) stream: net::TcpStream,
    pub(super) watcher: Watcher,
    pub(super) _place: OwnedSemaphorePermit,
}

/// What every thread needs to serve.
#[derive(Clone)]
struct Serving {
    router: Router,
    tls: Option<Arc<Tls>>,
    stop: StopToken,
}

/// The threads, by where they take their connections from.
pub(super) struct Threads {
    threads: Vec<mpsc::UnboundedSender<Accepted>>,
    next: AtomicUsize,
}

impl Threads {
    pub(super) fn start(router: &Router, tls: Option<&Arc<Tls>>, stop: &StopToken) -> io::Result<Self> {
        let serving = Serving { router: router.clone(), tls: tls.cloned(), stop: stop.clone() };
        let count = thread::available_parallelism().map_or(1, usize::from).min(MOST);
        let threads = (0..count).map(|number| serving.clone().start(number)).collect::<Result<_, _>>()?;
        Ok(Self { threads, next: AtomicUsize::new(0) })
    }

    /// Gives the connection to the thread whose turn it is.
    pub(super) fn take(&self, accepted: Accepted) -> anyhow::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed) % self.threads.len();
        self.threads[number].send(accepted).ok().with_context(|| format!("the thread gRPC {number} has ended"))
    }
}

impl Serving {
    fn start(self, number: usize) -> io::Result<mpsc::UnboundedSender<Accepted>> {
        let (sender, accepted) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = move || {
            runtime.block_on(self.serve(accepted));
            // What is still read for nobody ends by itself.
            runtime.shutdown_background();
        };
        thread::Builder::new().name(format!("gRPC {number}")).spawn(work)?;
        Ok(sender)
    }

    async fn serve(self, mut accepted: mpsc::UnboundedReceiver<Accepted>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                next = accepted.recv() => match next {
                    Some(accepted) => drop(connections.spawn(self.clone().serve_one(accepted))),
                    None => break,
                },
                // A defect in one connection is that one's end; the log tells of it.
                Some(_) = connections.join_next() => {}
            }
        }
        while connections.join_next().await.is_some() {}
    }

    async fn serve_one(self, accepted: Accepted) {
        let Accepted { stream, watcher, _place } = accepted;
        match TcpStream::from_std(stream) {
            Ok(stream) => serve_one(stream, self.router, self.tls.as_deref(), watcher, &self.stop).await,
            Err(error) => tracing::warn!(%error, "a gRPC connection could not be served"),
        }
    }
}
