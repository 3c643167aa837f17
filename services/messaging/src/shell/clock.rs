use std::fmt::Debug;

use domain::Timestamp;

/// The present, by the wall clock. The shell looks at no clock of its own but the one that never goes back, for the age of
/// claims and for time-outs.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The present.
    fn now(&self) -> Timestamp;
}
