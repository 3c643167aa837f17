//! Seeded chance: the same question under the same seed has the same answer.

use domain::HumanDuration;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Draws by a hash of what is asked, so that no draw depends on how many came before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chance {
    seed: u64,
}

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// A number below `bound` (0 where the bound is 0).
    pub(super) fn below(self, question: &str, bound: u64) -> u64 {
        xxh3_64_with_seed(question.as_bytes(), self.seed).checked_rem(bound).unwrap_or_default()
    }

    /// Whether something that happens to so many of a hundred happens here.
    pub(super) fn happens(self, question: &str, percent: u64) -> bool {
        self.below(question, 100) < percent
    }

    /// A span of time from `least` to `most`, in whole seconds.
    pub(super) fn between(self, question: &str, least: HumanDuration, most: HumanDuration) -> HumanDuration {
        let seconds = most.as_millis().saturating_sub(least.as_millis()).max(0).unsigned_abs() / 1_000;
        let drawn = self.below(question, seconds + 1);
        HumanDuration::from_millis(least.as_millis() + drawn as i64 * 1_000)
    }
}
