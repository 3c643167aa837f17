use std::process::ExitCode;

use clap::{Args, Subcommand};
use vuelve::services::{self, ServiceName};
use vuelve::terminal::print;

use super::Global;

/// Shows the configuration that is in force, and where each value was written.
///
/// Layers, each over the one before: the documented defaults, the file (`--config`), the environment
/// (`VUELVE__SECTION__KEY`), flags (`--set section.key=value`). Secrets are not shown. If something is wrong, everything
/// that is wrong is told, and the command ends with 2; so it also checks a configuration before it is rolled out: also the keys, secrets and
/// the mail server that it names, and with --for those that a service needs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve config                                           What is in force here.
  vuelve config --config prod.toml                        Is this file well?
  vuelve config --config prod.toml --for door             Has it all that the door needs?
  VUELVE__KAFKA__REGISTRY_URL=http://registry:8081 vuelve config --set store.kind=memory
  vuelve config defaults > vuelve.toml                    A documented file to begin with.")]
pub(crate) struct Config {
    #[command(subcommand)]
    action: Option<Action>,
    /// Is it well for this service? Can be repeated.
    #[arg(long = "for", value_enum, value_name = "SERVICE")]
    services: Vec<ServiceName>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// What is in force (the default).
    Show,
    /// The documented defaults, as a file.
    Defaults,
}

impl Config {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.action.unwrap_or(Action::Show) {
            Action::Show => print(&global.load_as(&services::layout_of_all(&self.services))?.effective().to_string())?,
            Action::Defaults => print(&vuelve::hosting::layout().documented_defaults())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
