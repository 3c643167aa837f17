use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

/// Tells a part that it should end. Cheap to clone; for threads and for tasks.
#[derive(Clone, Debug)]
pub struct StopToken {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    stopped: Mutex<bool>,
    for_threads: Condvar,
    for_tasks: watch::Sender<bool>,
    /// How often the part asked whether it is to end.
    asked: AtomicU64,
    waiting: AtomicU64,
}

impl StopToken {
    /// A token that nobody has pulled yet.
    pub fn new() -> Self {
        let for_tasks = watch::Sender::new(false);
        let shared = Shared {
            stopped: Mutex::new(false),
            for_threads: Condvar::new(),
            for_tasks,
            asked: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Asks the part to end.
    pub fn stop(&self) {
        *self.shared.stopped.lock() = true;
        self.shared.for_threads.notify_all();
        self.shared.for_tasks.send_replace(true);
    }

    /// Whether the part was asked to end.
    pub fn is_stopped(&self) -> bool {
        self.shared.asked.fetch_add(1, Ordering::Relaxed);
        *self.shared.for_tasks.borrow()
    }

    /// For threads: waits that long, or until the part is asked to end; true if it was.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let mut stopped = self.shared.stopped.lock();
        if !*stopped {
            self.shared.for_threads.wait_while_for(&mut stopped, |stopped| !*stopped, timeout);
        }
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        self.shared.asked.fetch_add(1, Ordering::Relaxed);
        *stopped
    }

    /// How often the part has asked; none while it waits to be told, which is a sign of life, too.
    pub(super) fn asked(&self) -> Option<u64> {
        (self.shared.waiting.load(Ordering::Relaxed) == 0).then(|| self.shared.asked.load(Ordering::Relaxed))
    }

    /// For tasks: returns once the part was asked to end.
    pub async fn stopped(&self) {
        // The sender is in `self`: it can't be gone.
        let _ = self.shared.for_tasks.subscribe().wait_for(|stopped| *stopped).await;
    }
}

impl Default for StopToken {
    fn default() -> Self {
        Self::new()
    }
}
