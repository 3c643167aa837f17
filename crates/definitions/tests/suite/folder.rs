//! Folders of definitions as they lie on the disk.

use std::fs;
use std::path::{Path, PathBuf};

use definitions::{Diagnostic, Folder, SourceFile};

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace is two levels up").to_owned()
}

/// The files below a directory, but for those below its `presets`.
pub(crate) fn read(directory: &Path) -> Folder {
    let mut files = Vec::new();
    collect(directory, "", &mut files);
    files.sort_by(|left, right| left.path.cmp(&right.path));
    Folder { name: directory.file_name().expect("a name").to_string_lossy().into_owned(), files }
}

fn collect(directory: &Path, prefix: &str, files: &mut Vec<SourceFile>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            if name != "presets" {
                collect(&entry.path(), &format!("{prefix}{name}/"), files);
            }
        } else if name != "expected.txt" {
            let text = fs::read_to_string(entry.path()).expect("a text");
            files.push(SourceFile { path: format!("{prefix}{name}"), text });
        }
    }
}

pub(crate) fn one_file(text: &str) -> Folder {
    Folder { name: "test".to_owned(), files: vec![SourceFile { path: "test.yaml".to_owned(), text: text.to_owned() }] }
}

/// What was said, a line each.
pub(crate) fn lines(said: &[Diagnostic]) -> String {
    said.iter().flat_map(|diagnostic| [diagnostic.to_string(), "\n".to_owned()]).collect()
}
