//! What a source file may say, and what it may be called.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::Breach;

/// Where time enters: the drivers, shells, tools and tests. Elsewhere it is an argument.
const CLOCK_IN: [&str; 15] = [
    "crates/kafka/",
    "crates/store/",
    "proto/src/deadline.rs",
    "crates/runtime/",
    "crates/devbroker/src/wire",
    "crates/devbroker/src/broker.rs",
    "crates/testkit/",
    "services/vuelve/",
    "/shell/",
    "/tests/",
    "/examples/",
    "/benches/",
    "tests/",
    "xtask/",
    "build.rs",
];
const CLOCKS: [&str; 5] = ["SystemTime::now", "Instant::now", "Timestamp::now(", "Zoned::now", "clock_gettime"];
/// Names that say nothing.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "helpers", "common", "misc", "manager"];
/// Unfinished work does not land.
const UNFINISHED: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimplemented", "!(")];
const MAX_LINES: usize = 800;

pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Breach>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs", "*.py", "*.mjs", "*.sh", "*.lua"])
        .current_dir(root)
        .output()
        .context("git ls-files")?;
    ensure!(output.status.success(), "git ls-files failed");
    let mut breaches = Vec::new();
    for path in String::from_utf8(output.stdout)?.lines() {
        let Ok(text) = fs::read_to_string(root.join(path)) else { continue };
        let mut refuse = |line: usize, rule: String| breaches.push(Breach { place: format!("{path}:{line}"), rule });
        let stem = Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if EMPTY_NAMES.contains(&stem) {
            refuse(1, format!("`{stem}` says nothing about what is in it"));
        }
        let lines = text.lines().count();
        if lines > MAX_LINES {
            refuse(1, format!("{lines} lines: it is two files"));
        }
        let may_tell_time = CLOCK_IN.iter().any(|place| path.contains(place));
        for (index, line) in text.lines().enumerate() {
            if UNFINISHED.iter().any(|word| line.contains(word)) {
                refuse(index + 1, "unfinished work does not land".to_owned());
            }
            if !may_tell_time && let Some(clock) = CLOCKS.iter().find(|clock| line.contains(**clock)) {
                refuse(index + 1, format!("{clock}: time is an argument here"));
            }
        }
    }
    Ok(breaches)
}
