//! Waiting for a condition with a deadline: tests wait for what they need, never for a length of time.

use std::time::{Duration, Instant};

use crate::{Error, Result};

/// The first pause between two looks; it doubles up to [`SLOWEST`].
const QUICKEST: Duration = Duration::from_millis(1);
/// The longest pause between two looks.
const SLOWEST: Duration = Duration::from_millis(50);

/// Asks `condition` until it gives a value, at most for `limit`; `what` names it in the error.
///
/// The condition is asked at least once, and once more when the time is up, so that a slow machine does not fail a
/// test whose condition already holds.
pub fn wait_until<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
    try_until(limit, || match condition() {
        Some(value) => Ok(Some(value)),
        None => Ok(None),
    })?
    .ok_or_else(|| Error::new(what, format!("did not come about within {}", seconds(limit))))
}

/// As [`wait_until`], for a condition that may also fail for good; `None` if the time ran out.
pub(crate) fn try_until<T>(limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let start = Instant::now();
    let mut pause = QUICKEST;
    loop {
        let last_look = start.elapsed() >= limit;
        if let Some(value) = look()? {
            return Ok(Some(value));
        }
        if last_look {
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(SLOWEST);
    }
}

/// A length of time as an error shows it.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
