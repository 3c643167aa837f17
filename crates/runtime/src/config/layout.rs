use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::origin::Origin;
use super::problems::{Problem, Problems, hint};
use super::read::{Reader, Seen};
use super::sources::{Sources, parse};
use super::tree::{Node, Table, Value};
use super::{Config, Effective};

/// As many problems of one section as anybody reads at once.
const MAX_PROBLEMS: usize = 100;

type Section = Arc<dyn Any + Send + Sync>;
type ReadSection = Box<dyn Fn(&Reader<'_>) -> Result<Section, super::read::ReadError>>;
type Check = Box<dyn Fn(&Config, &mut Findings<'_>)>;

/// Which sections there are: each with its documented defaults and its type.
#[derive(Default)]
pub struct Layout {
    sections: Vec<(&'static str, TypeId, ReadSection)>,
    defaults: Vec<&'static str>,
    checks: Vec<Check>,
}

/// Collects what a check finds, at its key.
pub struct Findings<'a> {
    tree: &'a Node,
    problems: &'a mut Vec<Problem>,
}

impl Findings<'_> {
    /// Something is wrong with the value of `section.key`.
    pub fn add(&mut self, key: &str, message: impl Into<String>) {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        let origin = self.tree.nearest(&path).origin.clone();
        self.problems.push(Problem { key: key.to_owned(), origin, message: message.into() });
    }
}

impl Layout {
    /// No sections.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds documented defaults: TOML, with the headers of the sections that it holds.
    #[must_use]
    pub fn defaults(mut self, toml: &'static str) -> Self {
        self.defaults.push(toml);
        self
    }

    /// Adds a section. `Config::get::<T>()` gives it.
    #[must_use]
    pub fn section<T: DeserializeOwned + Send + Sync + 'static>(mut self, name: &'static str) -> Self {
        let read: ReadSection = Box::new(|reader| Ok(Arc::new(T::deserialize(reader.clone())?)));
        self.sections.push((name, TypeId::of::<T>(), read));
        self
    }

    /// Adds a check of what several values say together. Runs when each of them is well.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&Config, &mut Findings<'_>) + 'static) -> Self {
        self.checks.push(Box::new(check));
        self
    }

    /// The documented defaults of all sections: a configuration file to begin with.
    pub fn documented_defaults(&self) -> String {
        self.defaults.iter().map(|text| text.trim()).collect::<Vec<_>>().join("\n\n") + "\n"
    }

    /// Reads the configuration. All that is wrong with it is told at once.
    pub fn load(&self, sources: &Sources) -> Result<Config, Problems> {
        let mut problems = Vec::new();
        let defaults = self.default_tree(&mut problems);
        let mut tree = defaults.clone();
        sources.lay_on(&mut tree, &mut problems);
        self.refuse_unknown_sections(&mut tree, &mut problems);

        let mut secrets = BTreeSet::new();
        let mut sections = BTreeMap::new();
        for (name, type_id, read) in &self.sections {
            if let Some(section) = read_section(name, read, &mut tree, &defaults, &mut problems, &mut secrets) {
                sections.insert(*type_id, section);
            }
        }
        let complete = sections.len() == self.sections.len();
        let config = Config { sections, effective: Effective { tree, secrets } };
        if complete {
            let mut findings = Findings { tree: &config.effective.tree, problems: &mut problems };
            for check in &self.checks {
                check(&config, &mut findings);
            }
        }
        if problems.is_empty() { Ok(config) } else { Err(Problems(problems)) }
    }

    fn default_tree(&self, problems: &mut Vec<Problem>) -> Node {
        let mut tree = Node::table(Origin::Default);
        for text in &self.defaults {
            match parse(text, &|_| Origin::Default) {
                Ok(node) => tree.lay(node),
                Err(found) => problems.extend(found),
            }
        }
        for (name, ..) in &self.sections {
            tree.put(&[(*name).to_owned()], Node::table(Origin::Default));
        }
        tree
    }

    fn refuse_unknown_sections(&self, tree: &mut Node, problems: &mut Vec<Problem>) {
        let Value::Table(table) = &mut tree.value else { return };
        table.retain(|name, node| {
            let known = self.sections.iter().any(|(known, ..)| known == name);
            if !known {
                let message =
                    format!("unknown section; {}", hint(name, self.sections.iter().map(|(known, ..)| *known)));
                problems.push(Problem { key: name.clone(), origin: origin_within(node), message });
            }
            known
        });
    }
}

/// Reads one section. Where a value is wrong, the problem is noted, the default is put in its place, and it is read again.
fn read_section(
    name: &str,
    read: &ReadSection,
    tree: &mut Node,
    defaults: &Node,
    problems: &mut Vec<Problem>,
    secrets: &mut BTreeSet<Vec<String>>,
) -> Option<Section> {
    let root = vec![name.to_owned()];
    for _ in 0..MAX_PROBLEMS {
        let seen = Seen::default();
        let result = {
            let empty = Node { value: Value::Table(Table::new()), origin: Origin::Default };
            read(&Reader::new(tree.at(&root).unwrap_or(&empty), root.clone(), &seen))
        };
        for (path, message) in seen.unknown.into_inner() {
            problems.push(Problem { key: path.join("."), origin: origin_within(tree.nearest(&path)), message });
            tree.remove(&path);
        }
        secrets.append(&mut seen.secrets.into_inner());
        let error = match result {
            Ok(section) => return Some(section),
            Err(error) => error,
        };
        let path = error.path.unwrap_or_else(|| root.clone());
        let origin = origin_within(tree.nearest(&path));
        let hopeless = origin == Origin::Default;
        problems.push(Problem { key: path.join("."), origin, message: error.message });
        if hopeless {
            return None;
        }
        restore(tree, &path, defaults);
    }
    None
}

/// Puts the default at the path, or nothing if there is none.
fn restore(tree: &mut Node, path: &[String], defaults: &Node) {
    let keyed =
        (0..=path.len()).rev().map(|length| &path[..length]).find(|path| tree.at(path).is_some()).unwrap_or(path);
    tree.remove(keyed);
    if let Some(default) = defaults.at(keyed) {
        tree.put(keyed, default.clone());
    }
}

/// Where a value was written; for a table, where somebody wrote into it.
fn origin_within(node: &Node) -> Origin {
    let of_children = || match &node.value {
        Value::Table(table) => table.values().map(origin_within).find(|origin| *origin != Origin::Default),
        Value::Array(items) => items.iter().map(origin_within).find(|origin| *origin != Origin::Default),
        _ => None,
    };
    match &node.origin {
        Origin::Default => of_children().unwrap_or(Origin::Default),
        origin => origin.clone(),
    }
}
