use std::fmt;
use std::process::ExitCode;

use super::signals::Signal;

/// How a process ended.
///
/// | code | meaning |
/// |---|---|
/// | 0 | all parts ended as they were asked to |
/// | 1 | a part failed, or ended by itself |
/// | 2 | the command line or the configuration is wrong (nothing was started) |
/// | 3 | the drain deadline passed before all parts had ended |
/// | 129, 130, 143 | a second signal (SIGHUP, SIGINT or SIGTERM) ended it at once |
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All parts ended as they were asked to: by this signal, or because the work is done.
    Drained(Option<Signal>),
    /// These parts failed: name and reason, the first one first.
    Failed(Vec<(String, String)>),
    /// These parts had not ended when the drain deadline passed.
    TimedOut(Vec<String>),
    /// A second signal came.
    Forced(Signal),
}

impl Exit {
    /// The process's exit code.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Drained(_) => 0,
            Self::Failed(_) => 1,
            Self::TimedOut(_) => 3,
            Self::Forced(signal) => signal.exit_code(),
        }
    }

    /// The signal that ended it, if one did.
    pub const fn signal(&self) -> Option<Signal> {
        match self {
            Self::Drained(signal) => *signal,
            Self::Forced(signal) => Some(*signal),
            Self::Failed(_) | Self::TimedOut(_) => None,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drained(_) => f.write_str("all parts have ended"),
            Self::Failed(parts) => {
                f.write_str("ended by a failure")?;
                parts.iter().try_for_each(|(name, reason)| write!(f, "; {name}: {reason}"))
            }
            Self::TimedOut(parts) => write!(f, "the drain deadline has passed; still running: {}", parts.join(", ")),
            Self::Forced(signal) => write!(f, "{} came a second time", signal.name()),
        }
    }
}
