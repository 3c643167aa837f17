//! `vuelve`, the one binary: `vuelve run` hosts services; everything else is a tool beside them.
#![warn(clippy::print_stdout, clippy::print_stderr, reason = "they panic where nobody reads; `terminal` does not")]

mod commands;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by it")]
mod documents;

use std::process::ExitCode;

use clap::Parser;
use vuelve::terminal::tell;

/// Much of what a worker does is to allocate what it decodes on one thread and to free what librdkafka allocated on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = commands::Cli::try_parse().map_or_else(|usage| commands::tell_usage(&usage), commands::Cli::run);
    outcome.unwrap_or_else(|error| {
        tell(&format!("vuelve: {error:#}\n"));
        commands::exit_code(&error)
    })
}
