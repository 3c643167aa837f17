//! What comes from npm: official SDKs and a mail server with an API.

use std::path::{Path, PathBuf};

use super::{debian, ensure, run_tool};
use crate::Process;
use crate::error::{Context as _, Result};

const PACKAGE: &str = include_str!("../../parts/package.json");
const LOCK: &str = include_str!("../../parts/package-lock.json");

/// The directory that holds `node_modules`.
pub(crate) fn directory() -> Result<PathBuf> {
    let build = |directory: &Path| {
        for (name, text) in [("package.json", PACKAGE), ("package-lock.json", LOCK)] {
            std::fs::write(directory.join(name), text).context("node", || format!("could not write {name}"))?;
        }
        run_tool(
            &Process::spec("node packages", debian::program("npm")?)
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress"])
                .dir(directory),
        )
    };
    ensure("node", &format!("{PACKAGE}{LOCK}"), build)
}
