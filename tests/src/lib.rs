//! What the tests of the whole share: the binary, an installation on real parts, and a batch computation to compare with.

pub mod expected;
pub mod installation;
pub mod result;

use std::path::{Path, PathBuf};

/// The `vuelve` binary that this test run built.
pub fn vuelve() -> PathBuf {
    // target/<profile>/deps/<this test>
    let here = std::env::current_exe().unwrap_or_default();
    let profile = here.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    profile.join("vuelve")
}

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file of the evaluation data; none, with a message, where the data is not at hand.
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("VUELVE_SHARED_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let path = folder.join(name);
    if !path.is_file() {
        eprintln!("{} is not there: this evaluation is left out (VUELVE_SHARED_DATA names the folder)", path.display());
        return None;
    }
    Some(path)
}
