//! The settings of the pure part, with their defaults.

use domain::HumanDuration;
use serde::Deserialize;

use crate::retry::Retry;

/// With more, a customer's state could become larger than a record may be, and her partition would stand still.
pub const MAX_WAITING_BYTES: u32 = 512 * 1024;

/// How messages are decided on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether messages really leave, or are recorded as if they had. A property of the installation, not a setting.
    #[serde(skip)]
    pub mode: Mode,
    /// In a replay, a customer without an address counts as reached by the first channel (true), because recorded
    /// clickstreams rarely have addresses; false gives the outcome `no_address`, as when live.
    pub replay_without_address: bool,
    /// How a message that was refused for the time being is tried again.
    pub retry: Retry,
    /// How long a message's id is remembered after its outcome, so that a repeated request gets no second one (14 d).
    pub remember_outcomes: HumanDuration,
    /// More messages of one customer than this do not wait at the same time (50); the next one fails.
    pub waiting_per_customer: u16,
    /// Messages of one customer that wait at the same time have no more bytes than this together (256 KiB, at most
    /// [`MAX_WAITING_BYTES`]); one that would go beyond it fails. They lie in one record.
    pub waiting_bytes_per_customer: u32,
    /// A longer context is refused (64 KiB).
    pub context_bytes: u32,
}

/// Whether messages really leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// They do.
    #[default]
    Live,
    /// Each that could be sent has the outcome `sent` at its request; nothing leaves, nothing waits.
    Replay,
    /// A replay in which each that could be sent is sent. It left at its request, by the customer's time, however long it
    /// really takes: so nothing that comes later expires it, cancels it or takes its place.
    SendingReplay,
}

impl Mode {
    /// Whether what was accepted counts as having left at its request.
    pub(crate) const fn leaves_at_request(self) -> bool {
        matches!(self, Self::SendingReplay)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            replay_without_address: true,
            retry: Retry::default(),
            remember_outcomes: HumanDuration::from_hours(14 * 24),
            waiting_per_customer: 50,
            waiting_bytes_per_customer: 256 * 1024,
            context_bytes: 64 * 1024,
        }
    }
}
