//! What commands write to standard output and standard error: nothing else writes there, logs aside.
//!
//! Wanted properties:
//! - a reader that has seen enough (`| head`) is no failure; a result that can't be written is one;
//! - who can't be told of an error can't be told of that either: the exit code still says it.

use std::io::{self, ErrorKind, Write as _};

use anyhow::Context;

/// Writes a result to standard output, at once.
pub fn print(text: &str) -> anyhow::Result<()> {
    taken(io::stdout().lock().write_all(text.as_bytes()))
}

/// What became of something that was written to standard output.
pub fn taken(written: io::Result<()>) -> anyhow::Result<()> {
    match written.and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("standard output can't be written to")
        }
        _ => Ok(()),
    }
}

/// Says something about a command's work on standard error.
pub fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
