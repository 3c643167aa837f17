//! The project's own tools: `cargo run -p xtask -- tidy`, and `… -- new-service NAME`.

mod dependencies;
mod new_service;
mod sources;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo run -p xtask -- tidy                checks the architecture's invariants
       cargo run -p xtask -- new-service NAME    writes the skeleton of a service";

/// Something that breaks a rule: where, and which.
pub(crate) struct Breach {
    place: String,
    rule: String,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy(),
        ["new-service", name] => new_service(name),
        _ => Err(anyhow::anyhow!("{USAGE}")),
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

fn root() -> anyhow::Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?)
}

/// Checks every rule; tells all breaches at once.
fn tidy() -> anyhow::Result<bool> {
    let root = root()?;
    let mut breaches = dependencies::check(&root)?;
    breaches.extend(sources::check(&root)?);
    for breach in &breaches {
        eprintln!("{}: {}", breach.place, breach.rule);
    }
    println!("tidy: {} breaches", breaches.len());
    Ok(breaches.is_empty())
}

/// Writes a service's skeleton, and says what is left to do.
fn new_service(name: &str) -> anyhow::Result<bool> {
    let root = root()?;
    for path in new_service::write(&root, name)? {
        println!("wrote {path}");
    }
    println!("\n{}", new_service::left_to_do(name));
    Ok(true)
}
