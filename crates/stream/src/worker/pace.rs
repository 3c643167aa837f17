//! How much is done at once: as much as is through within a time, found by trying.

/// Halved where it took too long, and grown by half where there was time to spare.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    at_once: usize,
    least: usize,
    most: usize,
    within_ms: i64,
}

impl Pace {
    /// Begins with `first`, and never leaves `least` to `most`.
    pub(super) fn new(first: usize, least: usize, most: usize, within_ms: i64) -> Self {
        let most = most.max(1);
        Self { at_once: first.min(most), least: least.min(most), most, within_ms }
    }

    /// How much is done at once.
    pub(super) const fn at_once(&self) -> usize {
        self.at_once
    }

    /// So long it took to do as much as was allowed.
    pub(super) fn took(&mut self, took_ms: i64) {
        if took_ms > self.within_ms {
            self.at_once = (self.at_once / 2).max(self.least);
        } else if took_ms * 10 < self.within_ms * 7 {
            self.at_once = (self.at_once + self.at_once / 2).max(self.at_once + 1).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_a_millisecond_each_comes_to_what_is_through_in_time_from_wherever_it_begins() {
        for first in [1, 1_000, 10_000] {
            let mut pace = Pace::new(first, 1, 10_000, 250);
            for _ in 0..40 {
                pace.took(pace.at_once() as i64);
            }
            assert!((100..=250).contains(&pace.at_once()), "from {first} it came to {}", pace.at_once());
        }
    }

    #[test]
    fn what_costs_nothing_is_done_all_at_once_and_what_costs_too_much_is_still_done() {
        let mut pace = Pace::new(1_000, 256, 10_000, 250);
        (0..40).for_each(|_| pace.took(0));
        assert_eq!(pace.at_once(), 10_000);
        (0..40).for_each(|_| pace.took(10_000));
        assert_eq!(pace.at_once(), 256);
        // A batch of one record is one of one record.
        assert_eq!(Pace::new(1_000, 256, 1, 250).at_once(), 1);
    }
}
