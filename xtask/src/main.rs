//! The project's own tools: `cargo xtask tidy`, or `cargo run -p xtask -- tidy`.

mod dependencies;
mod sources;

use std::path::Path;
use std::process::ExitCode;

/// Something that breaks a rule: where, and which.
pub(crate) struct Breach {
    place: String,
    rule: String,
}

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy(),
        _ => Err(anyhow::anyhow!("usage: cargo run -p xtask -- tidy    (checks the architecture's invariants)")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Checks every rule; tells all breaches at once.
fn tidy() -> anyhow::Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let mut breaches = dependencies::check(&root)?;
    breaches.extend(sources::check(&root)?);
    for breach in &breaches {
        eprintln!("{}: {}", breach.place, breach.rule);
    }
    println!("tidy: {} breaches", breaches.len());
    Ok(breaches.is_empty())
}
