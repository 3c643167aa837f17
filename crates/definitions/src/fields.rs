//! The keys of a map: each is taken by name, and what is left over at the end is a mistake that gets a suggestion.

use crate::diagnostic::{Position, Report};
use crate::suggest;
use crate::yaml::{Content, Key, Node};

/// What design has and this version has not: refused by name, so that nobody thinks it works.
pub(crate) const LATER: &str = "is not available in this version";

/// A map that is being read.
pub(crate) struct Fields<'n> {
    pub(crate) at: Position,
    what: &'static str,
    entries: Vec<(&'n Key, &'n Node, bool)>,
    known: Vec<&'static str>,
    later: &'static [&'static str],
}

impl<'n> Fields<'n> {
    /// The keys of `node`, which is `what`; reports if it is no map.
    pub(crate) fn of(node: &'n Node, what: &'static str, report: &mut Report<'_>) -> Option<Self> {
        let Content::Map(entries) = &node.content else {
            report.error(node.at, format!("{what} is a map of keys and values, not {}", node.kind()));
            return None;
        };
        let entries = entries.iter().map(|(key, value)| (key, value, false)).collect();
        Some(Self { at: node.at, what, entries, known: Vec::new(), later: &[] })
    }

    /// Names the keys that a later version has.
    pub(crate) fn later(mut self, keys: &'static [&'static str]) -> Self {
        self.later = keys;
        self
    }

    /// The value of a key, if it is there (and not null).
    pub(crate) fn take(&mut self, name: &'static str) -> Option<&'n Node> {
        self.known.push(name);
        let entry = self.entries.iter_mut().find(|(key, ..)| key.name == name)?;
        entry.2 = true;
        let is_null = matches!(&entry.1.content, Content::Scalar(scalar) if scalar.is_null());
        (!is_null).then_some(entry.1)
    }

    /// The value of a key that has to be there.
    pub(crate) fn require(&mut self, name: &'static str, report: &mut Report<'_>) -> Option<&'n Node> {
        let value = self.take(name);
        if value.is_none() {
            report.error(self.at, format!("{} needs `{name}`", self.what));
        }
        value
    }

    /// Whether a key is written, even with nothing after it.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, ..)| key.name == name)
    }

    /// The keys that were not taken.
    pub(crate) fn rest(&mut self) -> Vec<(&'n Key, &'n Node)> {
        let mut rest = Vec::new();
        for (key, value, taken) in self.entries.iter_mut().filter(|(.., taken)| !taken) {
            *taken = true;
            rest.push((*key, *value));
        }
        rest
    }

    /// Refuses what was not taken.
    pub(crate) fn finish(mut self, report: &mut Report<'_>) {
        for (key, _) in self.rest() {
            let name = &key.name;
            if self.later.contains(&name.as_str()) {
                report.error(key.at, format!("`{name}` {LATER}"));
                continue;
            }
            let message = format!("{} has no key `{name}`", self.what);
            match suggest::help(name, self.known.iter().copied()) {
                Some(help) => report.error_with_help(key.at, message, help),
                None => report.error(key.at, message),
            }
        }
    }
}
