//! Files that are there only when they are whole.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

/// A file that goes away by itself unless it is given a name.
pub(crate) fn draft(folder: &Path) -> io::Result<NamedTempFile> {
    // A result is the user's own: who may read it is for the umask to say.
    let as_any_file = Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(".vuelve-").permissions(as_any_file).tempfile_in(folder)
}
