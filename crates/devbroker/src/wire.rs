//! The broker on TCP: framing, dispatch, waiting. All decisions are the core's.
//!
//! Wanted properties:
//! - Requests of one connection are answered in their order, one at a time, as Kafka does.
//! - A waiting fetch wakes when a partition that it reads has more to show, not by polling.
//! - A frame larger than the limit, or one that can't be read, ends its connection and nothing else.

mod clock;
mod connection;
mod fetch_answer;
mod handlers;
mod rope;
mod shared;
mod versions;

pub(crate) use shared::{Shared, WireLimits};

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::core::Core;

/// How often sessions, rebalances and transactions are looked at.
const TICK: std::time::Duration = std::time::Duration::from_millis(20);

/// Accepts connections until `stop` says so.
pub(crate) async fn serve(shared: Arc<Shared>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(shared.limits.connections));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, peer)) = accepted else { continue };
                let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                    tracing::warn!(limit = shared.limits.connections, "connection refused: too many are open");
                    continue;
                };
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    if let Err(error) = connection::serve(shared, stream, peer).await {
                        tracing::debug!(%peer, %error, "connection ended");
                    }
                    drop(slot);
                });
            }
        }
    }
    connections.shutdown().await;
}

/// Lets time pass in the core until `stop` says so.
pub(crate) async fn keep_time(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            _ = interval.tick() => shared.with_core(Core::tick),
        }
    }
}
