//! Every command that a document shows is one that there is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;

use crate::commands::Cli;

/// A command of a document, and where it stands.
struct Shown {
    place: String,
    line: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Markdown file of the project.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 5, "{found:?}");
    found
}

/// The lines of a document's shell blocks, continued ones joined, without their comments.
fn in_blocks(path: &Path) -> Vec<Shown> {
    let text = std::fs::read_to_string(path).unwrap().replace("\\\n", " ");
    let mut in_block = false;
    let mut shown = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = line == "```sh";
        } else if in_block {
            let line = line.split(" #").next().unwrap_or_default().trim().to_owned();
            shown.push(Shown { place: format!("{}: {line}", path.display()), line });
        }
    }
    shown
}

/// What stands between back quotes in running text and begins so.
fn in_text(path: &Path, beginning: &str) -> Vec<Shown> {
    let text = std::fs::read_to_string(path).unwrap();
    let quoted = text.split('`').skip(1).step_by(2).filter(|quoted| quoted.starts_with(beginning));
    quoted.map(|line| Shown { place: format!("{}: {line}", path.display()), line: line.replace('\n', " ") }).collect()
}

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace().map(|word| word.trim_matches('"')))
}

#[test]
fn every_command_line_of_a_document_is_taken() {
    let blocks = documents().iter().flat_map(|path| in_blocks(path)).collect::<Vec<_>>();
    let ours: Vec<&Shown> = blocks.iter().filter(|shown| shown.line.starts_with("vuelve ")).collect();
    assert!(ours.len() > 20, "{}", ours.len());
    for shown in ours {
        let line = shown.line.split(" > ").next().unwrap_or_default();
        parse(line).unwrap_or_else(|error| panic!("{}\n{error}", shown.place));
    }
}

#[test]
fn every_command_that_a_text_names_is_there() {
    // Of a name alone, or one with `…`, arguments may be missing.
    let may_be_missing = [
        ErrorKind::MissingRequiredArgument,
        ErrorKind::MissingSubcommand,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
    ];
    let named = documents().iter().flat_map(|path| in_text(path, "vuelve ")).collect::<Vec<_>>();
    assert!(named.len() > 10, "{}", named.len());
    for shown in named {
        if let Err(error) = parse(&shown.line.replace('…', "")) {
            assert!(may_be_missing.contains(&error.kind()), "{}\n{error}", shown.place);
        }
    }
}

#[test]
fn every_target_that_a_document_makes_is_in_the_makefile() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: BTreeSet<&str> = makefile.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    let documents = documents();
    let blocks = documents.iter().flat_map(|path| in_blocks(path)).filter(|shown| shown.line.starts_with("make "));
    let texts = documents.iter().flat_map(|path| in_text(path, "make "));
    let mut seen = 0;
    for shown in blocks.chain(texts) {
        let target = shown.line.split_whitespace().nth(1).unwrap_or_default();
        assert!(targets.contains(target), "{}", shown.place);
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
}
