//! The threads that serve connections: a connection is one thread's, and so is all that its calls wait for.
//!
//! Wanted properties:
//! - a call is not handed from thread to thread, and what a thread has to write to a connection it writes at once (a runtime of many
//!   threads wakes one for each step of a call: half of what a lookup took);
//! - a connection goes to the thread that has the fewest;
//! - a thread ends with its connections, once no more can come.

use std::io;
use std::net;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

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
/// What has to block does so on at most so many further threads, of each of these; the rest waits its turn.
const MOST_BLOCKING: usize = 64;

/// A timer that is due before all others makes the thread's runtime wake itself, by a call of the system. While one is always due
/// so soon, no deadline of a call is the first, unless it is sooner still.
const TICK: Duration = Duration::from_millis(100);

/// A connection that was accepted.
pub(super) struct Accepted {
    pub(super) stream: net::TcpStream,
    pub(super) watcher: Watcher,
    pub(super) _place: OwnedSemaphorePermit,
}

/// Of a connection while it lives: by it the connections of a thread are counted.
type Live = Arc<()>;

struct Thread {
    connections: mpsc::UnboundedSender<(Accepted, Live)>,
    live: Live,
}

/// What every thread needs to serve.
#[derive(Clone)]
struct Serving {
    router: Router,
    tls: Option<Arc<Tls>>,
    stop: StopToken,
}

/// The threads.
pub(super) struct Threads(Vec<Thread>);

impl Threads {
    /// Blocks, if only for a moment: not for the threads of an async runtime, in which those of a failed start could not be ended.
    pub(super) fn start(router: &Router, tls: Option<&Arc<Tls>>, stop: &StopToken) -> io::Result<Self> {
        let serving = Serving { router: router.clone(), tls: tls.cloned(), stop: stop.clone() };
        let count = thread::available_parallelism().map_or(1, usize::from).min(MOST);
        let start = |number| Ok(Thread { connections: serving.clone().start(number)?, live: Live::default() });
        (0..count).map(start).collect::<io::Result<_>>().map(Self)
    }

    /// Gives the connection to the thread that has the fewest.
    pub(super) fn take(&self, accepted: Accepted) -> anyhow::Result<()> {
        let fewest = self.0.iter().min_by_key(|thread| Arc::strong_count(&thread.live));
        let Thread { connections, live } = fewest.context("no thread serves gRPC")?;
        connections.send((accepted, Arc::clone(live))).ok().context("a thread that serves gRPC has ended")
    }
}

impl Serving {
    fn start(self, number: usize) -> io::Result<mpsc::UnboundedSender<(Accepted, Live)>> {
        let (sender, accepted) = mpsc::unbounded_channel();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(MOST_BLOCKING).build()?;
        let work = move || {
            runtime.block_on(self.serve(accepted));
            // What is still read for nobody ends by itself.
            runtime.shutdown_background();
        };
        thread::Builder::new().name(format!("gRPC {number}")).spawn(work)?;
        Ok(sender)
    }

    async fn serve(self, mut accepted: mpsc::UnboundedReceiver<(Accepted, Live)>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                next = accepted.recv() => match next {
                    Some((accepted, live)) => drop(connections.spawn(self.clone().serve_accepted(accepted, live))),
                    None => break,
                },
                // A defect in one connection is that one's end; the log tells of it.
                Some(_) = connections.join_next() => {}
                () = tokio::time::sleep(TICK), if !connections.is_empty() => {}
            }
        }
        while connections.join_next().await.is_some() {}
    }

    async fn serve_accepted(self, accepted: Accepted, _live: Live) {
        let Accepted { stream, watcher, _place } = accepted;
        match TcpStream::from_std(stream) {
            Ok(stream) => serve_one(stream, self.router, self.tls.as_deref(), watcher, &self.stop).await,
            Err(error) => tracing::warn!(%error, "a gRPC connection could not be served"),
        }
    }
}
