//! What comes from `PyPI`: official SDKs, confluent-kafka, the SMTP server, the OTLP receiver; in an environment of
//! their own.

use std::path::{Path, PathBuf};

use super::{debian, ensure, run_tool};
use crate::Process;
use crate::error::{Error, Result};

const REQUIREMENTS: &str = include_str!("../../parts/requirements.txt");

/// The environment's directory.
pub(crate) fn environment() -> Result<PathBuf> {
    let build = |directory: &Path| {
        let python = debian::program("python3")?;
        run_tool(&Process::spec("python environment", python).args(["-m", "venv", "--clear"]).arg(directory))?;
        let requirements = directory.join("requirements.txt");
        std::fs::write(&requirements, REQUIREMENTS)
            .map_err(|error| Error::new("python", format!("could not write {}: {error}", requirements.display())))?;
        run_tool(
            &Process::spec("python packages", directory.join("bin/python"))
                .args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "-r"])
                .arg(&requirements),
        )
    };
    ensure("python", REQUIREMENTS, build)
}

/// The environment's interpreter.
pub(crate) fn python() -> Result<PathBuf> {
    Ok(environment()?.join("bin/python"))
}

/// The program of the OTLP receiver, which its package brings along.
pub(crate) fn rotel() -> Result<PathBuf> {
    let libraries = environment()?.join("lib");
    let found = std::fs::read_dir(&libraries)
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("site-packages/rotel/rotel-agent"))
        .find(|program| program.is_file());
    found.ok_or_else(|| Error::new("rotel", format!("is not in {}", libraries.display())))
}
