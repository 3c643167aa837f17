//! How long things took, all of them.

use std::time::Duration;

/// Times, sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Percentiles {
    sorted: Vec<Duration>,
}

impl Percentiles {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { sorted: times }
    }

    pub(crate) fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The least time that so many percent are not above (nearest rank), in milliseconds; nought of none.
    pub(crate) fn ms(&self, percent: usize) -> f64 {
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1);
        self.sorted.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}
