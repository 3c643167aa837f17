//! What this program is started with: by whoever measures, and by itself.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::lookups::Echo;
use crate::shared::options::Options;

/// Measures the engine beside plain Kafka clients.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Command {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) hidden: Option<Hidden>,
}

/// What a process that is measured is started with.
#[derive(Debug, Subcommand)]
pub(crate) enum Hidden {
    /// Runs a worker until SIGTERM.
    #[command(hide = true)]
    Worker(Worker),
    /// Holds states in memory, with or without timers, and says how much memory that takes.
    #[command(hide = true)]
    Hold(Hold),
    /// Answers every lookup with the same message.
    #[command(hide = true)]
    Echo(Echo),
}

#[derive(Debug, Args)]
pub(crate) struct Hold {
    #[arg(long)]
    pub(crate) customers: u32,
    #[arg(long)]
    pub(crate) timers: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Worker {
    /// Which service.
    #[arg(value_enum)]
    pub(crate) service: Measured,
    #[arg(long)]
    pub(crate) config: PathBuf,
    #[arg(long = "set")]
    pub(crate) set: Vec<String>,
}

/// A service of this benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measured {
    Profile,
    Reminders,
}

impl Measured {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Reminders => "reminders",
        }
    }
}
