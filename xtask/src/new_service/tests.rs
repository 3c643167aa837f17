use std::path::PathBuf;

use super::*;

/// A copy of what the tool reads and changes.
fn copy_of_the_project() -> tempfile::TempDir {
    let (root, copy) = (crate::root().unwrap(), tempfile::tempdir().unwrap());
    for path in [MANIFEST, "rustfmt.toml", TOPICS, "services/vuelve/Cargo.toml"] {
        copy_file(&root, copy.path(), Path::new(path));
    }
    for folder in ["schemas/src", "services/journeys", "services/vuelve/src"] {
        copy_folder(&root, copy.path(), Path::new(folder));
    }
    copy
}

fn copy_folder(from: &Path, to: &Path, folder: &Path) {
    for entry in fs::read_dir(from.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = folder.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(from, to, &path);
        } else {
            copy_file(from, to, &path);
        }
    }
}

fn copy_file(from: &Path, to: &Path, path: &Path) {
    fs::create_dir_all(to.join(path).parent().unwrap()).unwrap();
    fs::copy(from.join(path), to.join(path)).unwrap();
}

/// All files below a folder, by path, with what they hold.
fn contents(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(contents(&entry.path()));
        } else {
            found.insert(entry.path(), fs::read_to_string(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn a_new_service_has_the_files_that_every_service_has_and_stands_on_every_list() {
    let project = copy_of_the_project();
    let root = project.path();
    let written = write(root, "loyalty").unwrap();
    for path in [
        "Cargo.toml",
        "README.md",
        "src/lib.rs",
        "src/topology.rs",
        "src/state.rs",
        "src/step.rs",
        "src/input.rs",
        "src/output.rs",
        "src/policy.rs",
        "tests/suite/main.rs",
    ] {
        for service in ["journeys", "loyalty"] {
            assert!(root.join("services").join(service).join(path).is_file(), "{service} has no {path}");
        }
    }
    for path in &written {
        assert!(!read(root, path).unwrap().to_lowercase().contains("skeleton"), "{path}");
    }
    for (path, says) in [
        (MANIFEST, "\nloyalty = { package = \"vuelve-loyalty\", path = \"services/loyalty\" }\n"),
        (TOPICS, "  - dataset: loyalty.changelog\n"),
        ("schemas/src/changelog.rs", "pub static LOYALTY_CHANGELOG: AvroSchema =\n"),
        ("schemas/src/contract.rs", "    &crate::LOYALTY_CHANGELOG,\n];"),
        ("schemas/src/lib.rs", "LOYALTY_CHANGELOG, MESSAGING_CHANGELOG"),
        (SERVICES, "pub const ALL: [Self; 5]"),
        ("services/vuelve/src/erasure/states.rs", "\"loyalty\", \"messaging\"];"),
    ] {
        let text = read(root, path).unwrap();
        assert_eq!(text.matches(says).count(), 1, "{path}: {text}");
    }
}

#[test]
#[ignore = "builds a copy of the project; run by `make new-service`"]
fn a_new_service_compiles_runs_keeps_the_rules_and_passes_its_own_tests() {
    let (root, project) = (crate::root().unwrap(), tempfile::tempdir().unwrap());
    let files = Command::new("git").args(["ls-files", "-z"]).current_dir(&root).output().unwrap();
    for path in String::from_utf8(files.stdout).unwrap().split_terminator('\0') {
        copy_file(&root, project.path(), Path::new(path));
    }
    write(project.path(), "loyalty").unwrap();
    for arguments in [&["init", "-q"][..], &["add", "-A"]] {
        assert!(Command::new("git").args(arguments).current_dir(project.path()).status().unwrap().success());
    }
    let invoices = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n\
                    1,P1,PLATE,1,2024-01-01 10:00:00,3,ana,Spain\n";
    fs::write(project.path().join("invoices.csv"), invoices).unwrap();
    for arguments in [
        &["test", "-p", "vuelve-loyalty"][..],
        // With all services, which it waits for.
        &[
            "run",
            "-q",
            "-p",
            "vuelve",
            "--",
            "replay",
            "--file",
            "invoices.csv",
            "--format",
            "online-retail",
            "--definitions",
            "presets/basic",
            "--out",
            "target/result",
        ],
        &["clippy", "-p", "vuelve-loyalty", "--all-targets", "--", "-D", "warnings"],
        &["run", "-q", "-p", "xtask", "--", "tidy"],
    ] {
        let ran = Command::new("cargo")
            .args(arguments)
            .env("CARGO_TARGET_DIR", root.join("target/new-service"))
            .current_dir(project.path())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

#[test]
fn a_name_that_is_taken_or_is_no_plain_word_is_refused_and_nothing_is_written() {
    let project = copy_of_the_project();
    let before = contents(project.path());
    for (name, why) in [
        ("journeys", "services/journeys is there already"),
        ("serde", "Cargo.toml has a dependency of that name"),
        ("store", "Cargo.toml has a dependency of that name"),
        ("loop", "Rust keeps the word for itself"),
        ("", "one plain lower-case word"),
        ("Loyalty", "one plain lower-case word"),
        ("my-service", "one plain lower-case word"),
        ("../up", "one plain lower-case word"),
        ("points2", "one plain lower-case word"),
        (&"x".repeat(25), "one plain lower-case word"),
    ] {
        let refused = write(project.path(), name).unwrap_err().to_string();
        assert!(refused.contains(why), "{name}: {refused}");
    }
    assert_eq!(contents(project.path()), before);

    write(project.path(), "loyalty").unwrap();
    let after = contents(project.path());
    let refused = write(project.path(), "loyalty").unwrap_err().to_string();
    assert!(refused.contains("services/loyalty is there already"), "{refused}");
    assert_eq!(contents(project.path()), after);
}

#[test]
fn a_list_that_was_rewritten_is_named_and_nothing_is_written() {
    let project = copy_of_the_project();
    let path = project.path().join("schemas/src/contract.rs");
    fs::write(&path, "// All of it is elsewhere now.\n").unwrap();
    let before = contents(project.path());
    let refused = write(project.path(), "loyalty").unwrap_err().to_string();
    assert!(refused.starts_with("schemas/src/contract.rs: there is no "), "{refused}");
    assert_eq!(contents(project.path()), before);
}
