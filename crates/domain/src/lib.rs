//! Words that every part of Vuelve shares: event time, durations as people write them, money in minor units, locales.
//! No I/O, no clock, no random source.

mod boot_time;
mod duration;
mod locale;
mod log_position;
mod money;
mod personal;
mod timestamp;

pub use boot_time::BootTime;
pub use duration::{HumanDuration, ParseDurationError};
pub use locale::Locale;
pub use log_position::{LogPosition, ParseLogPositionError};
pub use money::{Currency, Money, ParseMoneyError};
pub use personal::{is_email, is_personal, is_phone};
pub use timestamp::Timestamp;
