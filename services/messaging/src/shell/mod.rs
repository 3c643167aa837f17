//! Messaging's own I/O: the channels.
//!
//! A channel performs what was claimed and tells how it ended; it decides nothing. Whether a message may leave is decided
//! in the step; the shell only drops what comes too late: a claim that is too old by the boot-time clock, and a
//! message that has expired by the wall clock.

mod addresses;
mod clock;
mod compose;
mod connections;
mod conversation;
mod mail;
mod mailbox;
mod options;
mod pace;
mod smtp;
mod telemetry;

pub use clock::Clock;
pub use mailbox::{KeptMessage, Mailbox};
pub use options::{MessagingOptions, OptionProblem, Security, ShopOptions, SmtpOptions, TrackingOptions};
pub use smtp::SmtpChannel;
