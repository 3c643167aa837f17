use std::fmt::Debug;
use std::time::Duration;

use domain::Timestamp;

/// What the door asks of its host: time and chance. It looks at no clock of its own.
pub trait Host: Debug + Send + Sync + 'static {
    /// The present, by the wall clock.
    fn now(&self) -> Timestamp;
    /// Since some beginning, by a clock that never goes back: for durations.
    fn elapsed(&self) -> Duration;
    /// A number that nobody can guess or meet twice.
    fn random(&self) -> u128;
}
