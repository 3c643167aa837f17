//! Whatever two workers do, right or wrong, in whatever order: a store does what a map with a position would do, and finds
//! under a label those keys that looking through all states would find.

use std::collections::BTreeMap;

use domain::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use store::{LookupError, Lookups};
use stream::{Applied, Due, Label, Labels, Lane, StateChange, StateStore, StorePosition};

use super::{Backend, LOG, PARTITION};

/// What a worker does.
#[derive(Clone, Debug)]
enum Act {
    /// Applies from where the view stands, moved by the first number (mostly 0), on by the second.
    Apply { off: i64, by: i64, other_generation: bool, changes: Vec<StateChange> },
    /// Sends the last batch again.
    Repeat,
    /// Reads all keys and one lane.
    Load { lane: Lane, until: i64, limit: usize },
    /// Rebuilds with these fills, and switches.
    Rebuild { fills: Vec<Vec<StateChange>>, by: i64, meanwhile: Option<Vec<StateChange>> },
    /// The process ends, another begins.
    Restart,
}

#[derive(Clone, Debug, Default)]
struct Model {
    position: Option<StorePosition>,
    states: States,
}

type States = BTreeMap<String, Held>;

#[derive(Clone, Debug, Default)]
struct Held {
    value: Vec<u8>,
    due: Due,
    labels: Vec<Label>,
}

const LABELS: [&str; 3] = ["vip", "new", "a:b"];

const KEYS: usize = 12;

fn key(n: usize) -> String {
    format!("customer-{n}")
}

fn changes() -> impl Strategy<Value = Vec<StateChange>> {
    let time = || prop_oneof![3 => Just(None), 2 => (0..20_i64).prop_map(|at| Some(Timestamp::from_millis(at)))];
    let due =
        (time(), time(), time(), time()).prop_map(|(timer, ready, claimed, held)| Due { timer, ready, claimed, held });
    let value = prop_oneof![3 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Some), 1 => Just(None)];
    let now = prop::sample::subsequence(LABELS.to_vec(), 0..=LABELS.len())
        .prop_map(|labels| labels.into_iter().map(Label::from).collect::<Vec<_>>());
    let labels = prop_oneof![
        3 => Just(Labels::Same),
        // What was before is filled in when it is applied.
        4 => (prop::bool::ANY, now).prop_map(|(knows, now)| Labels::Are { before: knows.then(Vec::new), now }),
    ];
    let change = (0..KEYS, value, due, labels).prop_map(|(n, value, due, mut labels)| {
        if let (None, Labels::Are { now, .. }) = (&value, &mut labels) {
            now.clear();
        }
        let due = if value.is_some() { due } else { Due::default() };
        StateChange { key: key(n).into(), due, value: value.map(Into::into), labels }
    });
    prop::collection::vec(change, 0..8)
}

fn act() -> impl Strategy<Value = Act> {
    let off = prop_oneof![5 => Just(0), 1 => -3..4_i64];
    prop_oneof![
        6 => (off, 0..4_i64, prop::bool::weighted(0.1), changes())
            .prop_map(|(off, by, other_generation, changes)| Act::Apply { off, by, other_generation, changes }),
        1 => Just(Act::Repeat),
        4 => (0..4_usize, -1..22_i64, 0..15_usize)
            .prop_map(|(lane, until, limit)| Act::Load { lane: Lane::ALL[lane], until, limit }),
        1 => (prop::collection::vec(changes(), 0..3), 0..3_i64, prop::option::weighted(0.2, changes()))
            .prop_map(|(fills, by, meanwhile)| Act::Rebuild { fills, by, meanwhile }),
        1 => Just(Act::Restart),
    ]
}

impl Model {
    fn write(states: &mut States, changes: &[StateChange]) {
        for change in changes {
            match &change.value {
                Some(value) => {
                    let held = states.entry(change.key.to_string()).or_default();
                    (held.value, held.due) = (value.to_vec(), change.due);
                    if let Labels::Are { now, .. } = &change.labels {
                        held.labels.clone_from(now);
                    }
                }
                None => drop(states.remove(&*change.key)),
            }
        }
    }

    fn apply(&mut self, expected: &StorePosition, header_offset: i64, changes: &[StateChange]) -> Applied {
        let Some(position) = &mut self.position else { return Applied::Refused(None) };
        let same_log = (&position.generation, &position.log) == (&expected.generation, &expected.log);
        if same_log && position.header_offset == header_offset {
            return Applied::AlreadyThere;
        }
        if position != expected {
            return Applied::Refused(Some(position.clone()));
        }
        Self::write(&mut self.states, changes);
        position.header_offset = header_offset;
        Applied::Done
    }

    /// As one who applies from where the view stands: where she knows what was before, it is so.
    fn known(&self, mut changes: Vec<StateChange>) -> Vec<StateChange> {
        for change in &mut changes {
            if let Labels::Are { before: Some(before), .. } = &mut change.labels {
                *before = self.states.get(&*change.key).map(|held| held.labels.clone()).unwrap_or_default();
            }
        }
        changes
    }

    fn under(&self, label: &str) -> Vec<String> {
        let is_under = |held: &Held| held.labels.iter().any(|known| **known == *label);
        self.states.iter().filter(|(_, held)| is_under(held)).map(|(key, _)| key.clone()).collect()
    }

    fn due(&self, lane: Lane, until: i64) -> Vec<(i64, String)> {
        let entries =
            self.states.iter().filter_map(|(key, held)| Some((held.due.lane(lane)?.as_millis(), key.clone())));
        let mut due: Vec<_> = entries.filter(|(at, _)| *at <= until).collect();
        due.sort();
        due
    }
}

/// As one who reads a changelog, and does not know what was before.
fn unknowing(changes: &[StateChange]) -> Vec<StateChange> {
    let mut changes = changes.to_vec();
    for change in &mut changes {
        if let Labels::Are { before, .. } = &mut change.labels {
            *before = None;
        }
    }
    changes
}

struct Run<'a, B: Backend> {
    backend: &'a B,
    lookups: Box<dyn Lookups>,
    workers: Vec<B::Store>,
    model: Model,
    last: Option<(StorePosition, i64, Vec<StateChange>)>,
    generations: usize,
}

impl<B: Backend> Run<'_, B> {
    fn act(&mut self, worker: usize, act: Act) {
        match act {
            Act::Apply { off, by, other_generation, changes } => {
                let mut from = self.model.position.clone().unwrap_or_else(|| super::position("none", 0));
                from.header_offset += off;
                if other_generation {
                    from.generation.push('x');
                }
                let to = from.header_offset + by;
                self.apply(worker, from, to, changes);
            }
            Act::Repeat => {
                if let Some((from, to, changes)) = self.last.clone() {
                    self.apply(worker, from, to, changes);
                }
            }
            Act::Load { lane, until, limit } => self.load(worker, lane, until, limit),
            Act::Rebuild { fills, by, meanwhile } => self.rebuild(worker, &fills, by, meanwhile),
            Act::Restart => self.workers[worker] = self.backend.open(),
        }
        assert_eq!(self.workers[worker].position(PARTITION).unwrap(), self.model.position);
        self.compare_labels();
    }

    fn compare_labels(&self) {
        let Some(position) = &self.model.position else {
            let asked = [(PARTITION, super::all_under("vip"))];
            assert!(matches!(self.lookups.members(&asked), Err(LookupError::Restoring(PARTITION))));
            return;
        };
        for label in LABELS {
            let expected = self.model.under(label);
            assert_eq!(super::pages(&*self.lookups, label, 3), expected, "under {label}");
            let all = self.lookups.members(&[(PARTITION, super::all_under(label))]).unwrap().remove(0);
            assert_eq!((all.count, all.keys.len()), (expected.len() as u64, expected.len()));
            assert_eq!(&all.position, position);
        }
    }

    fn apply(&mut self, worker: usize, from: StorePosition, to: i64, changes: Vec<StateChange>) {
        let changes = self.model.known(changes);
        let expected = self.model.apply(&from, to, &changes);
        assert_eq!(self.workers[worker].apply(PARTITION, &from, to, &changes).unwrap(), expected);
        self.last = Some((from, to, changes));
    }

    fn load(&mut self, worker: usize, lane: Lane, until: i64, limit: usize) {
        let mut request = super::who_is_due(lane, Timestamp::from_millis(until), limit);
        request.keys = (0..KEYS).map(|n| key(n).into()).collect();
        let loaded = self.workers[worker].load(PARTITION, &request).unwrap();
        assert_eq!(loaded.is_some(), self.model.position.is_some());
        let Some(loaded) = loaded else { return };
        assert_eq!(Some(&loaded.position), self.model.position.as_ref());
        let states = &self.model.states;
        for (state, key) in loaded.states.iter().zip(&request.keys) {
            assert_eq!(state.as_deref(), states.get(&**key).map(|held| &*held.value));
        }
        // Who of those due at the same time comes first is not promised.
        let due = self.model.due(lane, until);
        assert_eq!(loaded.due.len(), due.len().min(limit));
        assert!(loaded.due.is_sorted_by_key(|(at, ..)| *at));
        for ((at, key, value), (expected, _)) in loaded.due.iter().zip(&due) {
            assert_eq!(at.as_millis(), *expected);
            assert!(due.contains(&(at.as_millis(), key.to_string())));
            assert_eq!(value.as_deref(), states.get(&**key).map(|held| &*held.value));
        }
    }

    fn rebuild(&mut self, worker: usize, fills: &[Vec<StateChange>], by: i64, meanwhile: Option<Vec<StateChange>>) {
        self.generations += 1;
        let generation = format!("g{}", self.generations);
        let store = &mut self.workers[worker];
        store.begin_rebuild(PARTITION, &generation, LOG).unwrap();
        let mut states = States::new();
        for fill in fills {
            let fill = &unknowing(fill);
            store.fill(PARTITION, &generation, fill).unwrap();
            Model::write(&mut states, fill);
        }
        let before = self.model.position.clone();
        if let (Some(changes), Some(from)) = (meanwhile, before.clone()) {
            let to = from.header_offset + by;
            self.apply(1 - worker, from, to, changes);
        }
        let header_offset = before.as_ref().map_or(0, |position| position.header_offset) + by;
        let switched = self.workers[worker].switch(PARTITION, &generation, LOG, header_offset);
        if self.model.position == before {
            switched.unwrap();
            self.model = Model { position: Some(super::position(&generation, header_offset)), states };
        } else {
            switched.unwrap_err();
        }
    }
}

/// Runs many histories of two workers, each on data of its own.
pub fn it_agrees_with_a_simple_model_whatever_is_done<B: Backend>(backend: impl Fn() -> B, cases: u32) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::default()));
    let histories = prop::collection::vec((0..2_usize, act()), 1..40);
    let result = runner.run(&histories, |history| {
        let backend = backend();
        let workers = vec![backend.open(), backend.open()];
        let lookups = backend.lookups(&workers[0]);
        let mut run = Run { backend: &backend, lookups, workers, model: Model::default(), last: None, generations: 0 };
        for (worker, act) in history {
            run.act(worker, act);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
