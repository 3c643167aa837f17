//! Arrivals by the clock: an event is due when it is due, whether or not the one before was sent in time. A latency counts
//! from then on, so a sender that is held up hides nothing.

use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// What comes first warms a process and its topics up, and does not count.
pub(crate) const WARM_UP_SECONDS: u32 = 5;

/// When each of a row of arrivals is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    start: Instant,
    per_second: u32,
}

impl Pace {
    pub(crate) fn from_now(per_second: u32) -> Self {
        Self { start: Instant::now(), per_second }
    }

    /// When the arrival with this number, counted from nought, is due.
    pub(crate) fn due(&self, number: usize) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / f64::from(self.per_second))
    }

    /// Whether its time counts: not where it is among the first.
    pub(crate) fn counts(&self, number: usize) -> bool {
        number >= (self.per_second * WARM_UP_SECONDS) as usize
    }

    /// Lets each of so many arrivals go when it is due. For a thread of its own: a runtime's timers are a millisecond apart.
    pub(crate) fn let_go(&self, count: usize, due: &Semaphore) {
        for number in 0..count {
            self.wait(number);
            due.add_permits(1);
        }
    }

    /// Waits until it is due; returns at once where it is late.
    pub(crate) fn wait(&self, number: usize) {
        if let Some(left) = self.due(number).checked_duration_since(Instant::now()) {
            std::thread::sleep(left);
        }
    }
}
