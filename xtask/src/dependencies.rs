//! Who may depend on what.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::Breach;

/// A library, and the only packages that may depend on it (apart from dev-dependencies).
const ONLY_IN: [(&str, &[&str]); 10] = [
    ("rdkafka", &["vuelve-kafka", "vuelve-rebootstrap"]),
    ("vuelve-rebootstrap", &["vuelve-kafka"]),
    ("redis", &["vuelve-store"]),
    ("tonic", &["vuelve-proto", "vuelve-runtime"]),
    ("kafka-protocol", &["vuelve-devbroker"]),
    ("lettre", &["vuelve-messaging"]),
    ("rustix", &["vuelve-kafka", "vuelve-testkit"]),
    ("vuelve-devbroker", &["vuelve", "vuelve-testkit", "vuelve-simulation"]),
    ("corosensei", &["vuelve-simulation"]),
    ("rand", &[]),
];

/// What the pure crates may not know.
const PURE: [&str; 5] = ["vuelve-domain", "vuelve-stream", "vuelve-definitions", "vuelve-links", "vuelve-schemas"];
const IO: [&str; 8] = ["tokio", "rdkafka", "redis", "ureq", "axum", "tonic", "lettre", "rustix"];

/// What drives a service, which its library does not know.
const DRIVERS: [&str; 4] = ["vuelve-kafka", "vuelve-store", "rdkafka", "redis"];
/// Where the services' libraries lie, and the binary that puts them together.
const SERVICES: &str = "services";
const BINARY: &str = "vuelve";
/// Where a service that has I/O of its own keeps it.
const SHELL: &str = "src/shell";

pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Breach>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let mut breaches = Vec::new();
    let packages = metadata["packages"].as_array().context("no packages")?;
    let services: Vec<&str> =
        packages.iter().filter_map(|package| service(root, package)).map(|(name, _)| name).collect();
    ensure!(!services.is_empty(), "there is no service in {SERVICES}/");
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let service = service(root, package);
        let has_no_shell = service.as_ref().is_some_and(|(_, folder)| !folder.join(SHELL).is_dir());
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
            if service.is_some() && DRIVERS.contains(&dependency) {
                refuse("a service knows the engine, not what drives it");
            }
            if has_no_shell && IO.contains(&dependency) {
                refuse("a service without a shell/ has no I/O of its own");
            }
            if service.is_some() && services.contains(&dependency) {
                refuse("a service reads only its own state and others' events");
            }
        }
    }
    Ok(breaches)
}

/// The name and the folder of a package, if it is a service's library.
fn service<'a>(root: &Path, package: &'a Value) -> Option<(&'a str, PathBuf)> {
    let name = package["name"].as_str().filter(|name| *name != BINARY)?;
    let folder = Path::new(package["manifest_path"].as_str()?).parent()?;
    (folder.parent()? == root.join(SERVICES)).then(|| (name, folder.to_owned()))
}
