//! A log with a spool before it.
//!
//! Wanted properties:
//! - while the log answers, the spool costs nothing;
//! - what was answered is stored in one of them, and comes to the log in the order of the answers: as long as anything
//!   waits in the spool, everything goes into it;
//! - what was in neither is told to come again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge};
use tokio::sync::{Notify, RwLock};
use tokio::time::Instant;

use super::Spool;
use crate::shell::log::{EventLog, LogError, LogRecord};

/// Calls wait for so much to be drained, once no more is left: a portion.
const LAST_BYTES: u64 = super::PORTION_BYTES as u64;
/// After the log did not take what was drained.
const AGAIN: Duration = Duration::from_millis(500);

/// A log with a spool before it. Its clones are the same.
pub struct SpooledLog<L>(Arc<Shared<L>>);

struct Shared<L> {
    log: L,
    spool: Spool,
    /// For so long the log is waited for before a call goes into the spool.
    patience: Duration,
    /// Whether calls go into the spool. Whoever hands a call over holds it, so that it changes between calls alone.
    spooling: RwLock<bool>,
    /// The same, for who only wants to know.
    is_spooling: AtomicBool,
    /// The last call that was to be kept was not.
    refuses: AtomicBool,
    begun: Notify,
    metrics: Metrics,
}

/// How a spool stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolState {
    /// Calls go to the log itself.
    Idle,
    /// Calls go into the spool, in which so many bytes wait.
    Keeps {
        /// So many.
        bytes: u64,
    },
    /// So do they, but there is no room for them, or they can't be written.
    Refuses,
}

struct Metrics {
    bytes: Gauge<u64>,
    calls: Counter<u64>,
}

impl<L> Clone for SpooledLog<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L: EventLog> SpooledLog<L> {
    /// What the spool holds already is drained before anything else goes to the log; [`Self::drain`] has to run for it.
    pub fn new(log: L, spool: Spool, patience: Duration) -> Self {
        let meter = opentelemetry::global::meter("vuelve.ingestion");
        let metrics = Metrics {
            bytes: meter
                .u64_gauge("vuelve.ingestion.spool.size")
                .with_unit("By")
                .with_description("What waits on disk for the broker to come back.")
                .build(),
            calls: meter
                .u64_counter("vuelve.ingestion.spool.calls")
                .with_unit("{call}")
                .with_description("Calls that were to be kept on disk, by what came of it.")
                .build(),
        };
        let spooling = spool.bytes() > 0;
        metrics.bytes.record(spool.bytes(), &[]);
        Self(Arc::new(Shared {
            log,
            spool,
            patience,
            spooling: RwLock::new(spooling),
            is_spooling: AtomicBool::new(spooling),
            refuses: AtomicBool::new(false),
            begun: Notify::new(),
            metrics,
        }))
    }

    /// How it stands.
    pub fn state(&self) -> SpoolState {
        if !self.0.is_spooling.load(Ordering::Acquire) {
            SpoolState::Idle
        } else if self.0.refuses.load(Ordering::Acquire) {
            SpoolState::Refuses
        } else {
            SpoolState::Keeps { bytes: self.0.spool.bytes() }
        }
    }

    /// Brings what is in the spool to the log, again and again. It does not end.
    pub async fn drain(&self) {
        loop {
            let begun = self.0.begun.notified();
            if self.0.is_spooling.load(Ordering::Acquire) {
                self.drain_all().await;
            } else {
                begun.await;
            }
        }
    }

    /// Until nothing is left, and calls go to the log again.
    async fn drain_all(&self) {
        let mut told = false;
        loop {
            let began = Instant::now();
            if !self.drain_portion(&mut told).await {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            // From a log that is slow, calls would come back into the spool; they need not wait for that.
            let quick = began.elapsed() < self.0.patience / 2;
            if quick && self.0.spool.bytes() <= LAST_BYTES && self.end(&mut told).await {
                return;
            }
        }
    }

    /// Brings a portion to the log; returns whether it is there. `told` says whether it was said why the spool waits.
    async fn drain_portion(&self, told: &mut bool) -> bool {
        let Shared { log, spool, metrics, .. } = &*self.0;
        let portion = match spool.next().await {
            Ok(portion) => portion,
            Err(error) => {
                tracing::error!(%error, "the spool can't be read");
                return false;
            }
        };
        if !portion.records.is_empty()
            && let Err(error) = log.append(portion.records).await
        {
            if let LogError::Refused(_) = error {
                tracing::error!(%error, "what was spooled waits");
            } else if !*told {
                tracing::info!(%error, bytes = spool.bytes(), "what was spooled waits");
            }
            *told = true;
            return false;
        }
        if let Some(until) = portion.until {
            let _closed = spool.drained(until);
            metrics.bytes.record(spool.bytes(), &[]);
        }
        true
    }

    /// Lets calls go to the log again. They wait while the last of the spool goes there: where they come all the time, there
    /// would be no end to it otherwise. Where the log does not take it soon, they go on into the spool.
    async fn end(&self, told: &mut bool) -> bool {
        let Shared { spool, spooling, is_spooling, metrics, patience, .. } = &*self.0;
        let mut spooling = spooling.write().await;
        // At least once, whatever the spool says: a call whose caller has gone away may be on its way to the disk.
        let rest = async {
            while self.drain_portion(told).await {
                if spool.bytes() == 0 {
                    return true;
                }
            }
            false
        };
        if !tokio::time::timeout(*patience, rest).await.unwrap_or(false) {
            return false;
        }
        *spooling = false;
        let _closed = spool.ended();
        is_spooling.store(false, Ordering::Release);
        metrics.bytes.record(0, &[]);
        tracing::info!("the spool is drained; calls go to the log again");
        true
    }

    async fn begin(&self) {
        let Shared { spooling, is_spooling, begun, .. } = &*self.0;
        let mut spooling = spooling.write().await;
        if !*spooling {
            *spooling = true;
            is_spooling.store(true, Ordering::Release);
            tracing::warn!("the log does not answer; calls go into the spool");
        }
        begun.notify_one();
    }

    async fn keep(&self, records: &[LogRecord]) -> Result<(), LogError> {
        let Shared { spool, refuses, metrics, .. } = &*self.0;
        let kept = spool.append(records).await;
        refuses.store(!kept, Ordering::Release);
        let outcome = if kept { "kept" } else { "refused" };
        metrics.calls.add(1, &[KeyValue::new("outcome", outcome)]);
        metrics.bytes.record(spool.bytes(), &[]);
        if kept { Ok(()) } else { Err(LogError::Unavailable) }
    }
}

impl<L: EventLog> EventLog for SpooledLog<L> {
    async fn append(&self, records: Vec<LogRecord>) -> Result<(), LogError> {
        loop {
            let spooling = self.0.spooling.read().await;
            if *spooling {
                return self.keep(&records).await;
            }
            match tokio::time::timeout(self.0.patience, self.0.log.append(records.clone())).await {
                Ok(answer @ (Ok(()) | Err(LogError::Refused(_)))) => return answer,
                Ok(Err(LogError::Unavailable | LogError::Overloaded)) | Err(_) => {}
            }
            // What was handed over may be stored all the same: then it comes twice, and the resolver drops one.
            drop(spooling);
            self.begin().await;
        }
    }
}
