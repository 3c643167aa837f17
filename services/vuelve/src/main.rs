//! `vuelve`, the one binary: `vuelve run` hosts services; everything else is a tool beside them.

mod commands;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let outcome = commands::Cli::parse().run();
    outcome.unwrap_or_else(|error| {
        eprintln!("vuelve: {error:#}");
        commands::exit_code(&error)
    })
}
