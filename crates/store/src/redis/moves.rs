//! Who comes under which labels and who leaves them, in a batch: variadic commands, one a label, after those of the states.
//!
//! Wanted properties:
//! - what stays as it is costs nothing;
//! - who leaves is taken out of the labels that the caller knows, else out of all;
//! - a label is on the list of labels before anybody is under it, so that none is forgotten when a generation is dropped.

use std::collections::{BTreeMap, HashMap};

use ::redis::Cmd;
use foldhash::fast::RandomState;
use stream::{Label, Labels, StateChange};

use super::keys::Keys;

/// A batch's writes to labels.
#[derive(Default)]
pub(super) struct Moves<'a> {
    /// Those of whom nobody knows where they were.
    strays: Vec<&'a str>,
    leaving: BTreeMap<&'a str, Vec<&'a str>>,
    entering: BTreeMap<&'a str, Vec<&'a str>>,
}

/// What all changes of one key come to.
struct Told<'a> {
    before: Option<&'a [Label]>,
    now: &'a [Label],
}

impl<'a> Moves<'a> {
    pub(super) fn new(changes: &'a [StateChange]) -> Self {
        let mut told: HashMap<&str, Told<'a>, RandomState> = HashMap::default();
        for change in changes {
            let (before, now): (_, &[Label]) = match &change.labels {
                Labels::Are { before, now } if change.value.is_some() => (before.as_deref(), now),
                Labels::Are { before, .. } => (before.as_deref(), &[]),
                Labels::Same if change.value.is_none() => (None, &[]),
                Labels::Same => continue,
            };
            // What the first knew is what the view has.
            told.entry(&change.key).or_insert(Told { before, now }).now = now;
        }
        let mut moves = Self::default();
        for (key, Told { before, now }) in told {
            if before.is_none() {
                moves.strays.push(key);
            }
            let before = before.unwrap_or_default();
            for label in before.iter().filter(|label| !now.contains(label)) {
                moves.leaving.entry(label).or_default().push(key);
            }
            for label in now.iter().filter(|label| !before.contains(label)) {
                moves.entering.entry(label).or_default().push(key);
            }
        }
        moves
    }

    /// The commands, their keys and how many arguments each takes.
    pub(super) fn operations(&self, keys: &Keys, generation: &str) -> Vec<(&'static str, String, usize)> {
        let mut operations = Vec::new();
        if !self.strays.is_empty() {
            operations.push(("STRAY", keys.labels(generation), self.strays.len()));
        }
        for (label, members) in &self.leaving {
            operations.push(("ZREM", keys.label(generation, label), members.len()));
        }
        if !self.entering.is_empty() {
            operations.push(("SADD", keys.labels(generation), self.entering.len()));
        }
        for (label, members) in &self.entering {
            operations.push(("ZADD", keys.label(generation, label), members.len() * 2));
        }
        operations
    }

    /// The arguments of all of them, in the same order.
    pub(super) fn append(&self, call: &mut Cmd) {
        for member in self.strays.iter().chain(self.leaving.values().flatten()) {
            call.arg(*member);
        }
        for label in self.entering.keys() {
            call.arg(*label);
        }
        for member in self.entering.values().flatten() {
            call.arg(0).arg(*member);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use stream::Due;

    use super::*;

    fn change(key: &str, before: Option<&[&str]>, now: &[&str]) -> StateChange {
        let of = |labels: &[&str]| labels.iter().map(|label| Label::from(*label)).collect();
        let labels = Labels::Are { before: before.map(of), now: of(now) };
        StateChange { key: key.into(), value: Some(Bytes::new()), due: Due::default(), labels }
    }

    #[test]
    fn only_what_changes_is_written() {
        let same = StateChange { labels: Labels::Same, ..change("anna", None, &[]) };
        let changes = [same, change("berta", Some(&["a", "b"]), &["b", "c"]), change("carla", Some(&["a"]), &["a"])];
        let moves = Moves::new(&changes);
        assert!(moves.strays.is_empty());
        assert_eq!(moves.leaving, BTreeMap::from([("a", vec!["berta"])]));
        assert_eq!(moves.entering, BTreeMap::from([("c", vec!["berta"])]));
    }

    #[test]
    fn several_changes_of_a_key_lead_from_what_the_first_knew_to_what_the_last_tells() {
        let first = change("anna", Some(&["a"]), &["b"]);
        let ended = StateChange { value: None, ..change("anna", Some(&["b"]), &["b"]) };
        let again = StateChange { labels: Labels::Same, ..change("anna", None, &[]) };
        let changes = [first, ended, again];
        let moves = Moves::new(&changes);
        assert_eq!((moves.strays.len(), moves.entering.len()), (0, 0));
        assert_eq!(moves.leaving, BTreeMap::from([("a", vec!["anna"])]));
    }

    #[test]
    fn who_ends_without_a_word_of_her_labels_is_looked_for_under_all() {
        let changes = [StateChange { value: None, labels: Labels::Same, ..change("anna", None, &[]) }];
        assert_eq!(Moves::new(&changes).strays, ["anna"]);
    }
}
