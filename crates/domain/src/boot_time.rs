//! Time since the machine was started.

use std::time::Duration;

/// A moment on the clock that counts from the machine's start, also while the machine sleeps: what is too old after a sleep
/// is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootTime(Duration);

impl BootTime {
    /// So long after the machine's start.
    pub const fn after_start(since: Duration) -> Self {
        Self(since)
    }

    /// How long after another moment this one is; nothing if it is before.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}
