//! The command line: one file for each command, each with examples in its help.

mod apply;
mod check;
mod completions;
mod config;
mod customers;
mod deadletters;
mod demo;
mod erasing;
mod giving_out;
mod import;
mod mapping;
mod replay;
mod run;
mod segment;
mod topics;
mod why;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use domain::{Currency, Timestamp};
use runtime::config::{Config, Layout, MAX_SECRET_SIZE, Problems, Sources, read_text};
use schemas::DefinitionStatus;
use vuelve::terminal;

use self::replay::Interrupted;

/// Turns a shop's stream of clicks, carts and orders into the next right thing for each customer.
#[derive(Debug, Parser)]
#[command(
    name = "vuelve",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  vuelve demo                           What does it do? A shop to look at.
  vuelve check presets/basic            Is what I wrote a definition?
  vuelve replay --help                  What would have been sent, on a recorded clickstream?
  vuelve run --help                     Run the services.
  vuelve import --help                  Bring past orders, customers and events in.
  vuelve why MESSAGE_ID                 Why did she get it, or not?
  vuelve customers export --help        Who are my customers, as a table?
  vuelve segment preview --help         Who would be in the segments that I wrote?
  vuelve deadletters list               What could not be processed, and why?
  vuelve mapping test --help            What do the webhooks of my own systems become?
  vuelve config                         What is in force, and where was it written?
  vuelve completions bash               Complete commands in my shell.

Exit codes: 0 well, 1 failed, 2 wrong command line or configuration, 3 drain deadline passed, 4 rows of an import were rejected,
129/130/143 ended by a signal."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The configuration file (TOML); `vuelve config defaults` writes one to begin with.
    #[arg(long, short, value_name = "FILE", env = "VUELVE_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Sets one key of the configuration, over the file and the environment; can be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE", global = true)]
    set: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Check),
    Apply(apply::Apply),
    /// Holds a journey: its runs wait where they are, and nobody enters.
    Pause(apply::Control),
    /// Lets a paused journey go on.
    Resume(apply::Control),
    /// Stops a journey for good: its runs end, and what is not claimed is cancelled.
    Stop(apply::Control),
    Demo(demo::Demo),
    Replay(replay::Replay),
    Import(import::Import),
    Run(run::Run),
    Topics(topics::TopicsCommand),
    Why(why::Why),
    Customers(customers::CustomersCommand),
    Segment(segment::SegmentCommand),
    Deadletters(deadletters::DeadLetters),
    Mapping(mapping::MappingCommand),
    Config(config::Config),
    Completions(completions::Completions),
}

impl Cli {
    /// Does what was asked for.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Check(check) => check.run(),
            Command::Apply(apply) => apply.run(&self.global),
            Command::Pause(control) => control.run(&self.global, DefinitionStatus::Paused),
            Command::Resume(control) => control.run(&self.global, DefinitionStatus::Active),
            Command::Stop(control) => control.run(&self.global, DefinitionStatus::Stopped),
            Command::Run(run) => run.run(&self.global),
            Command::Topics(topics) => topics.run(&self.global),
            Command::Why(why) => why.run(&self.global),
            Command::Customers(customers) => customers.run(&self.global),
            Command::Segment(segment) => segment.run(&self.global),
            Command::Deadletters(letters) => letters.run(&self.global),
            Command::Mapping(mapping) => mapping.run(),
            Command::Config(config) => config.run(&self.global),
            Command::Completions(completions) => completions.run(),
            Command::Demo(demo) => demo.run(&self.global),
            Command::Replay(replay) => replay.run(&self.global),
            Command::Import(import) => import.run(&self.global),
        }
    }
}

impl Global {
    /// The configuration, or everything that is wrong with it.
    pub(crate) fn load(&self) -> Result<Config, Problems> {
        self.load_as(&vuelve::hosting::layout())
    }

    /// The same by another layout, which checks more.
    pub(crate) fn load_as(&self, layout: &Layout) -> Result<Config, Problems> {
        layout.load(&Sources::of_this_process(self.config.clone(), self.set.clone()))
    }
}

/// Writes the help that was asked for, or what is wrong with the command line.
pub(crate) fn tell_usage(usage: &clap::Error) -> anyhow::Result<ExitCode> {
    let written = usage.print();
    if !usage.use_stderr() {
        terminal::taken(written)?;
    }
    Ok(u8::try_from(usage.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// A time as RFC 3339 has it; its seconds may be missing.
fn time(text: &str) -> Result<Timestamp, String> {
    let at: Result<jiff::Timestamp, _> = text.parse();
    let at = at.map_err(|_| format!("`{text}` is no time as RFC 3339 has it (`2026-01-31T12:00Z`)"))?;
    Ok(Timestamp::from_millis(at.as_millisecond()))
}

fn currency(text: &str) -> Result<Currency, String> {
    Currency::parse(text).map_err(|error| error.to_string())
}

/// The write key that a file holds.
fn write_key(path: &Path) -> anyhow::Result<String> {
    let text = read_text(path, MAX_SECRET_SIZE);
    let text = text.map_err(|problem| anyhow::anyhow!("--write-key-file: {} {problem}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// What a command's failure is to the shell.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        return ExitCode::from(interrupted.code());
    }
    if error.is::<Problems>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}
