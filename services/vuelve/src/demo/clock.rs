//! The demo's own time: the shop's, which goes faster than ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::{BootTime, HumanDuration, Timestamp};
use messaging::shell::Clock;

/// The shop's time, as far as it was moved. Clones show the same.
#[derive(Clone, Debug)]
pub(super) struct ShopTime {
    millis: Arc<AtomicI64>,
}

impl ShopTime {
    pub(super) fn starting_at(time: Timestamp) -> Self {
        Self { millis: Arc::new(AtomicI64::new(time.as_millis())) }
    }

    /// Moves it, never back.
    pub(super) fn move_to(&self, time: Timestamp) {
        self.millis.fetch_max(time.as_millis(), Ordering::Relaxed);
    }
}

impl Clock for ShopTime {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::Relaxed))
    }

    fn boot_time(&self) -> BootTime {
        kafka::boot_time()
    }
}

/// How fast the shop's time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// So many times as fast as ours.
    pub(super) speed: u32,
}

/// Time moves in steps of about so long, in ours.
const STEP: Duration = Duration::from_millis(250);
/// In the shop's time a step is never longer: a reminder is sent at most so long after it was due.
const LONGEST_STEP: HumanDuration = HumanDuration::from_millis(10 * 60_000);

impl Pace {
    /// How long a step is, in the shop's time.
    pub(super) fn step(self) -> HumanDuration {
        let millis = STEP.as_millis() as i64 * i64::from(self.speed);
        HumanDuration::from_millis(millis.min(LONGEST_STEP.as_millis()))
    }

    /// How long, in our time, a step may take.
    pub(super) fn step_takes(self) -> Duration {
        self.step().as_std() / self.speed.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_shop_moves_in_more_steps_rather_than_in_longer_ones() {
        let (slow, fast) = (Pace { speed: 1_800 }, Pace { speed: 20_000 });
        assert_eq!((slow.step().as_millis(), slow.step_takes()), (450_000, STEP));
        assert_eq!((fast.step(), fast.step_takes()), (LONGEST_STEP, Duration::from_millis(30)));
    }

    #[test]
    fn time_never_goes_back() {
        let time = ShopTime::starting_at(Timestamp::from_seconds(100));
        let seen_by_another = time.clone();
        time.move_to(Timestamp::from_seconds(200));
        time.move_to(Timestamp::from_seconds(150));
        assert_eq!(seen_by_another.now(), Timestamp::from_seconds(200));
    }
}
