//! The broker's time: the wall clock, but never going back.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, never less than the time given before.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    latest_ms: AtomicI64,
}

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "this is the shell that asks for the time, so that the core need not")]
    pub(crate) fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        self.latest_ms.fetch_max(wall_ms, Ordering::Relaxed).max(wall_ms)
    }
}
