use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use vuelve::terminal::print;

use super::Cli;

/// Writes a script that completes commands and flags in a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve completions bash > /etc/bash_completion.d/vuelve
  vuelve completions zsh  > \"${fpath[1]}/_vuelve\"
  vuelve completions fish > ~/.config/fish/completions/vuelve.fish")]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "vuelve", &mut script);
        print(&String::from_utf8(script)?)?;
        Ok(ExitCode::SUCCESS)
    }
}
