//! Every directory of `tests/cases` is a folder of definitions with something wrong, and `expected.txt` is what is said of it.
//! `UPDATE_EXPECTED=1` writes what is said now.

use std::fs;
use std::path::Path;

use definitions::load;

use crate::folder::{lines, read};

#[test]
fn what_is_wrong_is_told_at_once_with_file_line_and_column() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut failed = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(cases).unwrap() {
        let case = entry.unwrap().path();
        let presets = |name: &str| {
            let directory = case.join("presets").join(name);
            directory.is_dir().then(|| read(&directory))
        };
        let said = match load(&read(&case), &presets) {
            Ok(definitions) => definitions.warnings,
            Err(diagnostics) => diagnostics,
        };
        let said = lines(&said);
        let expected = case.join("expected.txt");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_default();
        if said != wanted {
            failed.push(format!("{}:\n--- expected\n{wanted}--- said\n{said}", case.display()));
        }
        count += 1;
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(count >= 20, "the cases are there");
}
