//! Who may depend on what.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::Breach;

/// A library, and the only packages that may depend on it (apart from dev-dependencies).
const ONLY_IN: [(&str, &[&str]); 7] = [
    ("rdkafka", &["vuelve-kafka"]),
    ("redis", &["vuelve-store"]),
    ("tonic", &["vuelve-proto", "vuelve-runtime"]),
    ("kafka-protocol", &["vuelve-devbroker"]),
    ("lettre", &["vuelve-messaging"]),
    ("vuelve-devbroker", &["vuelve", "vuelve-testkit"]),
    ("rand", &[]),
];

/// What the pure crates may not know.
const PURE: [&str; 5] = ["vuelve-domain", "vuelve-stream", "vuelve-definitions", "vuelve-links", "vuelve-schemas"];
const IO: [&str; 7] = ["tokio", "rdkafka", "redis", "ureq", "axum", "tonic", "lettre"];

/// The services' libraries know the engine and the contract, not what drives them.
const SERVICES: [&str; 3] = ["vuelve-ingestion", "vuelve-journeys", "vuelve-messaging"];
const DRIVERS: [&str; 4] = ["vuelve-kafka", "vuelve-store", "rdkafka", "redis"];
/// Services without I/O of their own.
const SHELL_LESS: [&str; 1] = ["vuelve-journeys"];

pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Breach>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let mut breaches = Vec::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        let name = package["name"].as_str().unwrap_or_default();
        let dependencies = package["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
        let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
        for dependency in normal.filter_map(|dependency| dependency["name"].as_str()) {
            let mut refuse = |why: &str| {
                let rule = format!("depends on {dependency}, but {why}");
                breaches.push(Breach { place: name.to_owned(), rule });
            };
            if let Some((_, allowed)) = ONLY_IN.iter().find(|(library, _)| *library == dependency)
                && !allowed.contains(&name)
            {
                refuse(&format!("only {allowed:?} may"));
            }
            if PURE.contains(&name) && IO.contains(&dependency) {
                refuse("the pure core knows no I/O");
            }
            if SERVICES.contains(&name) && DRIVERS.contains(&dependency) {
                refuse("a service knows the engine, not what drives it");
            }
            if SHELL_LESS.contains(&name) && IO.contains(&dependency) {
                refuse("this service has no I/O of its own");
            }
            if SERVICES.contains(&name) && SERVICES.contains(&dependency) {
                refuse("a service reads only its own state and others' events");
            }
        }
    }
    Ok(breaches)
}
