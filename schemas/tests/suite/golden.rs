//! Every past version of every contract, as schema (`vN.avsc`), as bytes that were written with it (`vN.bin`, every
//! field filled) and as what these say (`vN.json`).
//!
//! Wanted properties:
//! - The current schema is the newest version, and `FULL_TRANSITIVE` with all before it.
//! - What any version wrote still reads as what it said.
//! - A version that is listed in `released.txt` is never written again.
//!
//! `UPDATE_GOLDEN` (see the README) is the only way to write them:
//! `1` brings all that have golden files, and every record contract, up to date; `<Contract>` that one;
//! `release` lists the newest versions as released.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use schemas::AvroSchema;
use schemas::compatibility::check_full_transitive;
use schemas::conformance::{Example, datum};
use serde_json::Value;

use crate::shared::{CURRENT, PAST, between, cases, framed, reference};

const RELEASED: &str = "released.txt";

/// The golden files of all contracts.
struct Golden {
    root: PathBuf,
}

/// One version of one contract.
struct Version {
    avsc: String,
    bin: Vec<u8>,
    json: Value,
}

impl Golden {
    fn in_the_source() -> Self {
        Self { root: Path::new(env!("CARGO_MANIFEST_DIR")).join("golden") }
    }

    fn file(&self, contract: &str, version: usize, extension: &str) -> PathBuf {
        self.root.join(contract).join(format!("v{version}.{extension}"))
    }

    fn versions(&self, contract: &str) -> Vec<Version> {
        let read = |path: PathBuf| std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (1..10_000)
            .take_while(|version| self.file(contract, *version, "avsc").exists())
            .map(|version| Version {
                avsc: String::from_utf8(read(self.file(contract, version, "avsc"))).unwrap(),
                bin: read(self.file(contract, version, "bin")),
                json: serde_json::from_slice(&read(self.file(contract, version, "json"))).unwrap(),
            })
            .collect()
    }

    /// The newest released version of each contract.
    fn released(&self) -> BTreeMap<String, usize> {
        let text = std::fs::read_to_string(self.root.join(RELEASED)).unwrap_or_default();
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        lines
            .map(|line| {
                let (contract, version) = line.split_once(" v").unwrap_or_else(|| panic!("{RELEASED}: {line:?}"));
                (contract.to_owned(), version.parse().unwrap())
            })
            .collect()
    }

    /// Writes the schema as the newest version: in place of it while it is not released, else as one more.
    fn update(&self, name: &str, avsc: &str) -> Result<usize, String> {
        let versions = self.versions(name);
        if versions.last().is_some_and(|newest| is_same(&newest.avsc, avsc)) {
            return Ok(versions.len());
        }
        let released = self.released().get(name).copied().unwrap_or_default();
        let kept: Vec<&str> = versions.iter().take(released).map(|version| version.avsc.as_str()).collect();
        check_full_transitive(avsc, &kept).map_err(|breaches| describe(name, &breaches))?;
        let version = versions.len().max(1).max(released + 1);
        let bin = datum(avsc, Example::Filled).map_err(|error| error.to_string())?;
        let json = said(avsc, avsc, &bin);
        let write = |extension, bytes: &[u8]| {
            let path = self.file(name, version, extension);
            std::fs::create_dir_all(path.parent().unwrap()).and_then(|()| std::fs::write(&path, bytes)).unwrap();
        };
        write("avsc", avsc.as_bytes());
        write("bin", &bin);
        write("json", format!("{json:#}\n").as_bytes());
        Ok(version)
    }

    fn release(&self, names: &[&str]) {
        let mut text =
            "# The newest released version of each contract: it and those before it are never written again.\n"
                .to_owned();
        for name in names {
            writeln!(text, "{name} v{}", self.versions(name).len()).unwrap();
        }
        std::fs::write(self.root.join(RELEASED), text).unwrap();
    }
}

/// Layout apart.
fn is_same(one: &str, other: &str) -> bool {
    serde_json::from_str::<Value>(one).unwrap() == serde_json::from_str::<Value>(other).unwrap()
}

fn describe(name: &str, breaches: &[schemas::compatibility::Incompatible]) -> String {
    let reasons: Vec<_> = breaches.iter().map(|breach| format!("  {breach}")).collect();
    format!("{name} may not follow its past versions:\n{}", reasons.join("\n"))
}

/// What the bytes say, by the reference implementation.
fn said(writer: &str, reader: &str, bin: &[u8]) -> Value {
    reference(writer, reader, bin).try_into().unwrap()
}

/// The schemas that have golden files: every record's; and a changelog's once its state is settled.
fn golden_schemas(golden: &Golden) -> Vec<&'static AvroSchema> {
    let asked = std::env::var("UPDATE_GOLDEN").unwrap_or_default();
    let all = schemas::schemas().iter().copied();
    all.filter(|schema| {
        let is_state = schema.name().ends_with("Changelog");
        !is_state || asked == schema.name() || golden.file(schema.name(), 1, "avsc").exists()
    })
    .collect()
}

#[test]
fn every_contract_follows_its_golden_versions() {
    let golden = Golden::in_the_source();
    let asked = std::env::var("UPDATE_GOLDEN").unwrap_or_default();
    let schemas = golden_schemas(&golden);
    for schema in schemas.iter().filter(|schema| asked == "1" || asked == schema.name()) {
        golden.update(schema.name(), schema.text()).unwrap_or_else(|reason| panic!("{reason}"));
    }
    if asked == "release" {
        golden.release(&schemas.iter().map(|schema| schema.name()).collect::<Vec<_>>());
    }
    for schema in schemas {
        follows(&golden, schema);
    }
}

fn follows(golden: &Golden, schema: &AvroSchema) {
    let (name, versions) = (schema.name(), golden.versions(schema.name()));
    let olds: Vec<&str> = versions.iter().map(|version| version.avsc.as_str()).collect();
    check_full_transitive(schema.text(), &olds).unwrap_or_else(|breaches| panic!("{}", describe(name, &breaches)));
    assert!(
        olds.last().is_some_and(|newest| is_same(newest, schema.text())),
        "the schema of {name} is not its newest golden version: run UPDATE_GOLDEN=1 cargo test -p vuelve-schemas golden"
    );
    assert!(
        golden.released().get(name).is_none_or(|released| *released <= versions.len()),
        "{name}: a released version is gone"
    );
    for version in &versions {
        assert_eq!(said(&version.avsc, &version.avsc, &version.bin), version.json, "{name}");
        // The current schema reads it too, with null for what is new.
        said(&version.avsc, schema.text(), &version.bin);
    }
}

#[test]
fn what_a_past_version_wrote_is_still_read_as_what_it_said() {
    let golden = Golden::in_the_source();
    for case in cases() {
        for (number, version) in (1..).zip(golden.versions(case.schema.name())) {
            let schemas = between(&version.avsc, case.schema.text());
            let reads = (case.reads_as)(&schemas, &framed(PAST, &version.bin), &version.json);
            assert_eq!(reads, Ok(true), "{} v{number}", case.schema.name());
        }
    }
}

mod updating {
    use super::*;

    const V1: &str = r#"{"type": "record", "name": "Gift", "fields": [{"name": "id", "type": "string"}]}"#;
    const WITH_NOTE: &str = r#"{"type": "record", "name": "Gift", "fields": [{"name": "id", "type": "string"},
        {"name": "note", "type": ["null", "string"], "default": null}]}"#;
    const WITH_MUST: &str = r#"{"type": "record", "name": "Gift", "fields": [{"name": "id", "type": "string"},
        {"name": "must", "type": "string"}]}"#;

    fn empty(name: &str) -> Golden {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("golden-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(&root).unwrap();
        Golden { root }
    }

    #[test]
    fn a_version_is_written_again_until_it_is_released() {
        let golden = empty("unreleased");
        assert_eq!(golden.update("Gift", V1), Ok(1));
        assert_eq!(golden.update("Gift", WITH_MUST), Ok(1));
        assert_eq!(golden.versions("Gift")[0].json, serde_json::json!({"id": "id-1", "must": "must-2"}));
        std::fs::remove_dir_all(golden.root).unwrap();
    }

    #[test]
    fn a_released_version_is_followed_by_another_and_never_written_again() {
        let golden = empty("released");
        golden.update("Gift", V1).unwrap();
        golden.release(&["Gift"]);
        assert_eq!(golden.update("Gift", V1), Ok(1), "nothing changed");
        let refused = golden.update("Gift", WITH_MUST).unwrap_err();
        assert!(refused.contains("a new field is"), "{refused}");
        assert_eq!(golden.update("Gift", WITH_NOTE), Ok(2));
        assert_eq!(golden.update("Gift", WITH_NOTE), Ok(2), "not released, so not followed by a third");
        assert_eq!(golden.versions("Gift")[0].avsc, V1);
        golden.release(&["Gift"]);
        assert_eq!(golden.released()["Gift"], 2);
        std::fs::remove_dir_all(golden.root).unwrap();
    }

    #[test]
    fn a_field_that_is_new_reads_as_null_in_what_a_past_version_wrote() {
        let bin = datum(V1, Example::Filled).unwrap();
        assert_eq!(said(V1, WITH_NOTE, &bin), serde_json::json!({"id": "id-1", "note": null}));
        let newer = datum(WITH_NOTE, Example::Filled).unwrap();
        assert_eq!(said(WITH_NOTE, V1, &newer), serde_json::json!({"id": "id-1"}));
        assert!(between(V1, WITH_NOTE).missing(&framed(CURRENT, &newer)).is_none());
    }
}
