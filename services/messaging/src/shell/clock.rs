use std::fmt::Debug;

use domain::{BootTime, Timestamp};

/// The clocks of the shell. For time-outs it looks at one more, the runtime's.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The present, by the wall clock.
    fn now(&self) -> Timestamp;
    /// The present on the clock that claims are dated by.
    fn boot_time(&self) -> BootTime;
}
