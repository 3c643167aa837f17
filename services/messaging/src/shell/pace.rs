//! How fast messages leave, and whether it makes sense to try.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Lets so many pass in a second, evenly.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(per_second: u32) -> Self {
        Self { interval: Duration::from_secs(1) / per_second.max(1), next: Mutex::new(None) }
    }

    /// When the caller may go; none if that is not before `deadline`, and then no place is taken.
    pub(super) fn place(&self, now: Instant, deadline: Instant) -> Option<Instant> {
        let mut next = self.next.lock();
        let place = next.map_or(now, |next| next.max(now));
        if place >= deadline {
            return None;
        }
        *next = Some(place + self.interval);
        Some(place)
    }
}

/// Keeps claims from being spent on a server that can't be reached: after a failed connection nothing is claimed for a
/// while (longer with each), then one message at a time, until one finds a connection.
#[derive(Debug, Default)]
pub(super) struct Outage {
    state: Mutex<Option<Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    again_at: Instant,
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl Outage {
    /// How many of `places` may be used.
    pub(super) fn allows(&self, places: usize, now: Instant) -> usize {
        match *self.state.lock() {
            None => places,
            Some(failures) if now < failures.again_at => 0,
            Some(_) => places.min(1),
        }
    }

    pub(super) fn connected(&self) {
        *self.state.lock() = None;
    }

    pub(super) fn not_connected(&self, now: Instant) {
        let mut state = self.state.lock();
        // Those who were under way together failed together: they count once.
        let known = state.filter(|failures| now < failures.again_at);
        let count = known.map_or_else(|| state.map_or(1, |failures| failures.count + 1), |failures| failures.count);
        let pause = FIRST_PAUSE.saturating_mul(1 << (count - 1).min(8)).min(LONGEST_PAUSE);
        *state = Some(Failures { count, again_at: known.map_or(now + pause, |failures| failures.again_at) });
    }
}
