//! The broker's clock, as far as a worker knows it: from the times that the broker wrote on records. The wall clock of the
//! worker's machine has no part in it: one that is ahead would let time run ahead.
//!
//! Wanted properties:
//! - the present is never later than the broker's, as long as that is not set back;
//! - once it was set back, the next record that is written corrects it.

use std::time::Duration;

use domain::{HumanDuration, Timestamp};

/// A time that the broker has come past, and when that was heard, by the monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BrokerClock(Option<(Timestamp, Duration)>);

impl BrokerClock {
    /// The broker wrote this time on a record of ours, just now.
    pub(super) fn wrote(&mut self, time: Timestamp, now: Duration) {
        self.0 = Some((time, now));
    }

    /// The broker wrote this time on a record that was read now: it may be old.
    pub(super) fn read(&mut self, time: Timestamp, now: Duration) {
        if self.present(now).is_none_or(|present| time > present) {
            self.wrote(time, now);
        }
    }

    /// The latest time that the broker's clock has surely come past; none where it wrote nothing yet.
    pub(super) fn present(&self, now: Duration) -> Option<Timestamp> {
        let (time, heard_at) = self.0?;
        Some(time + HumanDuration::from_millis(now.saturating_sub(heard_at).as_millis() as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    const fn after(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_present_goes_on_from_what_was_written() {
        let mut clock = BrokerClock::default();
        assert_eq!(clock.present(after(10)), None);
        clock.wrote(at(5_000), after(10));
        assert_eq!(clock.present(after(260)), Some(at(5_250)));
    }

    #[test]
    fn an_old_record_takes_nothing_back_and_a_young_one_tells_of_a_leap() {
        let mut clock = BrokerClock::default();
        clock.wrote(at(5_000), after(0));
        clock.read(at(100), after(50));
        assert_eq!(clock.present(after(50)), Some(at(5_050)));
        clock.read(at(90_000), after(60));
        assert_eq!(clock.present(after(70)), Some(at(90_010)));
    }

    #[test]
    fn a_clock_that_was_set_back_is_followed() {
        let mut clock = BrokerClock::default();
        clock.wrote(at(90_000), after(0));
        clock.wrote(at(5_000), after(10));
        assert_eq!(clock.present(after(10)), Some(at(5_000)));
    }
}
