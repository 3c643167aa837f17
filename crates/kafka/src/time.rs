//! Where time enters the engine: the driver hands what the clocks say to the worker.

use std::time::Duration;

use domain::BootTime;
use rustix::time::{ClockId, clock_gettime};

/// Goes on while the machine sleeps. (macOS calls that one monotonic.)
#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOT: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOOT: ClockId = ClockId::Monotonic;

/// The wall clock, in milliseconds since 1970.
#[allow(clippy::disallowed_methods, reason = "the driver owns time and hands it to the worker")]
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The boot-time clock: how old a claim is.
pub fn boot_time() -> BootTime {
    let time = clock_gettime(BOOT);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    BootTime::after_start(Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default()))
}
