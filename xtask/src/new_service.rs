//! `new-service NAME`: the files that every service has, where every service has them, and its name where each of them
//! is listed.
//!
//! Wanted properties:
//! - what is written compiles, keeps every rule of `tidy` and passes tests of its own: it counts each customer's events;
//! - it runs as every service does: by its name, with all others, and in a replay, which waits for it; and an erasure looks for what
//!   it keeps;
//! - nothing is written unless all of it can be;
//! - what needs a decision is not guessed but said ([`left_to_do`]).
//!
//! `templates/` has the files, with paths as from the root; the word `skeleton` in them stands for the name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};

/// Names that the language has for itself, as far as they are plain words.
const KEPT_BY_RUST: [&str; 45] = [
    "abstract", "alloc", "as", "async", "await", "become", "box", "break", "const", "continue", "core", "crate", "do",
    "dyn", "else", "enum", "extern", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match",
    "mod", "move", "mut", "override", "pub", "ref", "return", "static", "std", "struct", "super", "test", "trait",
    "type", "use", "where", "while",
];
const MAX_NAME_CHARS: usize = 24;

/// Files by their path from the root.
type Files = BTreeMap<String, String>;

/// Writes the service. Returns what was written or changed.
pub(crate) fn write(root: &Path, name: &str) -> anyhow::Result<Vec<String>> {
    check_name(root, name)?;
    let mut files = Files::new();
    instantiate(&Path::new(env!("CARGO_MANIFEST_DIR")).join("templates"), "", name, &mut files)?;
    list(root, name, &mut files)?;
    for (path, text) in &files {
        let path = root.join(path);
        let folder = path.parent().context("a file lies in a folder")?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    // How a line breaks depends on how long the name is.
    let written = files.into_keys().collect::<Vec<_>>();
    let sources = written.iter().filter(|path| Path::new(path).extension().is_some_and(|extension| extension == "rs"));
    let formatted = Command::new("rustfmt").args(["--edition", "2024"]).args(sources).current_dir(root).status();
    ensure!(formatted.context("rustfmt can't be run")?.success(), "rustfmt does not take what was written");
    Ok(written)
}

/// What nobody but its author can decide.
pub(crate) fn left_to_do(name: &str) -> String {
    format!(
        "services/{name} counts each customer's events: cargo test -p vuelve-{name}; cargo run -p vuelve -- run {name}\n\
         Left to do by hand:\n\
         - Decide something: one file for each input in src/, dispatched by src/step.rs; then README.md says what it owns,\n  \
         what can go wrong.\n\
         - What else it reads and writes: src/topology.rs; for an output also schemas/README.md, \"Adding a contract\", and a\n  \
         row of schemas/topics.yaml.\n\
         - What an installation sets: src/hosting/sections.rs, default.toml and src/hosting/worker.rs of services/vuelve; where it\n  \
         follows definitions, src/definition_topic.rs there.\n\
         - Tell it: the map in ARCHITECTURE.md, CHANGELOG.md, and README.md with README.es.md."
    )
}

fn check_name(root: &Path, name: &str) -> anyhow::Result<()> {
    ensure!(
        !name.is_empty() && name.len() <= MAX_NAME_CHARS && name.bytes().all(|byte| byte.is_ascii_lowercase()),
        "`{name}` is no name for a service: give it one plain lower-case word, such as `loyalty`"
    );
    ensure!(!KEPT_BY_RUST.contains(&name), "`{name}` is no name for a service: Rust keeps the word for itself");
    for place in ["services", "schemas", "crates"].map(|folder| format!("{folder}/{name}")) {
        ensure!(!root.join(&place).exists(), "`{name}` is taken: {place} is there already");
    }
    let manifest = read(root, MANIFEST)?;
    let is_listed = |line: &str| line.split([' ', '.', '=']).next() == Some(name);
    ensure!(!manifest.lines().any(is_listed), "`{name}` is taken: {MANIFEST} has a dependency of that name");
    Ok(())
}

/// Every file below a folder of the templates, with the name in place of `skeleton`.
fn instantiate(folder: &Path, below: &str, name: &str, files: &mut Files) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let path = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            instantiate(&entry.path(), &format!("{path}/"), name, files)?;
        } else {
            files.insert(named(&path, name), named(&fs::read_to_string(entry.path())?, name));
        }
    }
    Ok(())
}

/// A template's text with the name in it.
fn named(text: &str, name: &str) -> String {
    text.replace("skeleton", name).replace("SKELETON", &name.to_uppercase()).replace("Skeleton", &capitalised(name))
}

fn capitalised(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + rest
}

const MANIFEST: &str = "Cargo.toml";
const TOPICS: &str = "schemas/topics.yaml";

/// Where services are listed: file, the text before which the service goes, and what goes there.
const LISTS: [(&str, &str, &str); 19] = [
    (
        "schemas/src/changelog.rs",
        "\n/// Schema text of [`ChangelogHeader`]",
        "/// Schema of skeleton's changelog.\npub static SKELETON_CHANGELOG: AvroSchema = AvroSchema::changelog(\"SkeletonChangelog\", \
         \"vuelve.skeleton\", include_str!(\"../skeleton/skeleton_state.avsc\"));\n",
    ),
    ("schemas/src/contract.rs", "];\n\n/// Every schema that is compiled in", "&crate::SKELETON_CHANGELOG,\n"),
    ("schemas/src/lib.rs", "StateContract, UpstreamWatermark,\n};", "SKELETON_CHANGELOG, "),
    ("services/vuelve/Cargo.toml", "store.workspace = true\n", "skeleton.workspace = true\n"),
    (SERVICES, "    /// Renders and sends.\n", "    /// Counts what each customer did.\n    Skeleton,\n"),
    (SERVICES, "Self::Messaging];", "Self::Skeleton, "),
    (SERVICES, "            Self::Messaging => \"messaging\",\n", "            Self::Skeleton => \"skeleton\",\n"),
    (SERVICES, " => &[],\n    };\n", " | ServiceName::Skeleton"),
    (
        SERVICES,
        "    if wants(&[ServiceName::Messaging]) {\n",
        "    if wants(&[ServiceName::Skeleton]) {\n        hosting::add_skeleton(host, config, installation).await?;\n    }\n",
    ),
    ("services/vuelve/src/hosting/mod.rs", "add_messaging, add_resolver", "add_skeleton, "),
    (WORKER, "use store::{", "use skeleton::Skeleton;\n"),
    (
        WORKER,
        "        (Messaging::topology()",
        "        (Skeleton::topology().service, <Skeleton as Service>::State::INDEX),\n",
    ),
    (
        WORKER,
        "/// A service's workers.\n",
        "/// Adds skeleton's worker.\npub async fn add_skeleton(\nhost: &mut Host,\nconfig: &Config,\ninstallation: &Installation,\n) -> \
         anyhow::Result<()> {\n    let with = || Ok((skeleton::Policy::default(), NoShell));\n    \
         add_workers::<Skeleton, _>(host, config, installation, with).await.map(drop)\n}\n\n",
    ),
    (
        "services/vuelve/src/headers.rs",
        "        other => bail!(\"{other} keeps no changelog\"),\n",
        "        \"skeleton\" => installation.read::<ChangelogRecord<skeleton::SkeletonState>>(value).map(|read| read.header),\n",
    ),
    ("services/vuelve/src/erasure/states.rs", "\"messaging\"];\n", "\"skeleton\", "),
    (QUIET, "\"segmentation\"];\n", "\"skeleton\", "),
    (QUIET, "Segmentation::topology()]", "Skeleton::topology(), "),
    (QUIET, "use stream::", "use skeleton::Skeleton;\n"),
    ("services/vuelve/src/replay/moving.rs", "\"segmentation\"];\n", "\"skeleton\", "),
];
const SERVICES: &str = "services/vuelve/src/services.rs";
const WORKER: &str = "services/vuelve/src/hosting/worker.rs";
const QUIET: &str = "services/vuelve/src/replay/quiet.rs";

/// Of which lists the length stands before them, so that it is one more with the service: what stands before the number.
const LENGTHS: [(&str, &str); 5] = [
    (SERVICES, "pub const ALL: [Self; "),
    ("services/vuelve/src/erasure/states.rs", "const KEEPERS: [&str; "),
    (QUIET, "const SERVICES: [&str; "),
    (QUIET, "-> [&'static Topology; "),
    ("services/vuelve/src/replay/moving.rs", "const BY_STOREFRONT_EVENTS: [&str; "),
];

const TOPIC: &str = r#"
  - dataset: skeleton.changelog
    about: State of skeleton by customer, and how far it got.
    owner: skeleton
    visibility: internal
    contract: SkeletonChangelog
    key: state key; the header under one fixed key
    partitions: customer
    cleanup: compact
    retention: 1d
    timestamps: producer
    personal: []
    config: { min.cleanable.dirty.ratio: "0.2", segment.bytes: "67108864", max.compaction.lag.ms: "604800000" }
"#;

/// The lists, with the service on them.
fn list(root: &Path, name: &str, files: &mut Files) -> anyhow::Result<()> {
    for (path, before, entry) in LISTS {
        let text = as_it_will_be(root, path, files)?;
        let Some(at) = text.find(before) else { bail!("{path}: there is no {before:?} to put the service before") };
        files.insert(path.to_owned(), format!("{}{}{}", &text[..at], named(entry, name), &text[at..]));
    }
    for (path, before) in LENGTHS {
        let text = as_it_will_be(root, path, files)?;
        let number = text.find(before).map(|at| at + before.len()).and_then(|at| Some(at..at + text[at..].find(']')?));
        let length = number.clone().and_then(|number| text[number].parse::<usize>().ok());
        let (Some(number), Some(length)) = (number, length) else {
            bail!("{path}: no length of a list stands behind {before:?}")
        };
        files.insert(path.to_owned(), format!("{}{}{}", &text[..number.start], length + 1, &text[number.end..]));
    }
    files.insert(TOPICS.to_owned(), read(root, TOPICS)? + &named(TOPIC, name));
    let manifest = read(root, MANIFEST)?;
    let is_service = |line: &&str| line.contains("path = \"services/");
    let last = manifest.lines().rfind(is_service).with_context(|| format!("{MANIFEST} lists no service"))?;
    let entry = format!("{name} = {{ package = \"vuelve-{name}\", path = \"services/{name}\" }}");
    files.insert(MANIFEST.to_owned(), manifest.replacen(last, &format!("{last}\n{entry}"), 1));
    Ok(())
}

/// What a file holds with what is put into it so far.
fn as_it_will_be(root: &Path, path: &str, files: &Files) -> anyhow::Result<String> {
    files.get(path).map_or_else(|| read(root, path), |text| Ok(text.clone()))
}

fn read(root: &Path, path: &str) -> anyhow::Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| path.to_owned())
}

#[cfg(test)]
mod tests;
