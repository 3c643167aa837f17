//! When a refused message is tried again.
//!
//! Wanted properties: each wait is longer than the one before up to the longest; customers who were refused together
//! do not come back together; the same message and attempt always wait equally long.

use domain::HumanDuration;
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How a message that was refused for the time being is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// The wait after the first refusal (30 s); it doubles with each.
    pub first: HumanDuration,
    /// The longest wait (1 h).
    pub longest: HumanDuration,
    /// After so many attempts the message has failed (20). Its expiry may come before.
    pub attempts: u16,
}

impl Default for Retry {
    fn default() -> Self {
        Self { first: HumanDuration::from_millis(30_000), longest: HumanDuration::from_hours(1), attempts: 20 }
    }
}

impl Retry {
    /// The wait after the given attempt (the first is 1): doubled each time, up to a fifth more or less by a hash of
    /// the message.
    pub(crate) fn wait_after(&self, attempt: i32, message_id: &str) -> HumanDuration {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(40);
        let whole = self.first.as_millis().saturating_mul(1 << doublings).min(self.longest.as_millis()).max(1_000);
        let spread = whole / 5;
        let draw = xxh3_64_with_seed(message_id.as_bytes(), u64::from(attempt.unsigned_abs()));
        let offset = (draw % (2 * spread.unsigned_abs() + 1)) as i64;
        HumanDuration::from_millis(whole - spread + offset)
    }
}
