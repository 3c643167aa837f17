//! Builds the engine: libFuzzer, and our code with counters in it. Rust's stable compiler can do that where it is asked to by
//! the name of LLVM's pass; so do the tools that make it convenient.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Counters at each edge, and what is compared with what.
const INSTRUMENTED: [&str; 8] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg",
    "fuzzing",
];

pub(crate) fn root() -> anyhow::Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?)
}

/// Builds it in a folder of its own, and returns where it is.
pub(crate) fn build(folder: &Path) -> anyhow::Result<PathBuf> {
    let host = host()?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // With a target named, the flags are not those of build scripts and macros.
    let status = Command::new(cargo)
        .args(["build", "--package", "vuelve-fuzz", "--bin", "fuzz-engine", "--features", "engine", "--target", &host])
        .current_dir(root()?)
        .env("CARGO_TARGET_DIR", folder)
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTED.join("\u{1f}"))
        .status()
        .context("cargo build")?;
    ensure!(status.success(), "the engine can't be built");
    Ok(folder.join(host).join("debug/fuzz-engine"))
}

fn host() -> anyhow::Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("rustc -vV")?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(host.to_owned())
}
