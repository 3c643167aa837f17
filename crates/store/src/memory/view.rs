//! One partition's data in memory, and what it weighs.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use bytes::Bytes;
use domain::Timestamp;
use foldhash::fast::RandomState;
use stream::{Due, DueQuery, Key, Label, Labels, Lane, StateChange};

use crate::lookups::MembersQuery;
use crate::score;

/// What a key costs beside its bytes: its slot in the map (65 B, at half to seven eighths full) and the headers of its two
/// allocations. Measured with 300 B values: 140 to 200 B, as the map's fill varies.
const KEY_OVERHEAD: usize = 170;
/// What an entry in a lane costs: (due, key) in a B-tree. Measured: 35 to 40 B.
const LANE_OVERHEAD: usize = 40;
/// What being under a label costs: the key in a B-tree, the label in the state. Measured: 50 B.
const LABEL_OVERHEAD: usize = 50;

#[derive(Debug, Default)]
pub(super) struct View {
    states: HashMap<Key, State, RandomState>,
    lanes: [BTreeSet<(i64, Key)>; Lane::ALL.len()],
    index: Index,
    size_bytes: usize,
}

#[derive(Debug)]
struct State {
    value: Box<[u8]>,
    /// By lane: when it is due there; [`NEVER`] where it is not.
    due: [i64; Lane::ALL.len()],
    /// Under which labels it is; they are the index's own.
    labels: Box<[Label]>,
}

const NEVER: i64 = i64::MAX;

impl State {
    fn new(value: &[u8], due: Due, labels: Box<[Label]>) -> Self {
        Self { value: value.into(), due: Lane::ALL.map(|lane| due.lane(lane).map_or(NEVER, score)), labels }
    }

    /// In which lanes it is due, and when.
    fn lanes(&self) -> impl Iterator<Item = (usize, i64)> + use<> {
        self.due.into_iter().enumerate().filter(|(_, at)| *at != NEVER)
    }

    fn weight(&self, key: &str) -> usize {
        weight(key, self.value.len(), self.lanes().count(), self.labels.len())
    }
}

impl View {
    pub(super) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// What a key's state weighs now.
    pub(super) fn weight_of(&self, key: &str) -> usize {
        self.states.get(key).map_or(0, |state| state.weight(key))
    }

    /// What a change's state will weigh.
    pub(super) fn weight_after(&self, change: &StateChange) -> usize {
        let Some(value) = &change.value else { return 0 };
        let lanes = Lane::ALL.iter().filter(|lane| change.due.lane(**lane).is_some()).count();
        let labels = match &change.labels {
            Labels::Same => self.states.get(&change.key).map_or(0, |state| state.labels.len()),
            Labels::Are { now, .. } => now.len(),
        };
        weight(&change.key, value.len(), lanes, labels)
    }

    pub(super) fn get(&self, key: &str) -> Option<Bytes> {
        self.states.get(key).map(|state| Bytes::copy_from_slice(&state.value))
    }

    pub(super) fn due(&self, query: DueQuery) -> Vec<(Timestamp, Key, Option<Bytes>)> {
        let until = score(query.until);
        self.lanes[query.lane as usize]
            .iter()
            .take_while(|(due, _)| *due <= until)
            .take(query.limit)
            .map(|(due, key)| (Timestamp::from_millis(*due), key.clone(), self.get(key)))
            .collect()
    }

    /// How many are due in the lane by then, whatever the limit.
    pub(super) fn count_due(&self, query: DueQuery) -> u64 {
        let until = score(query.until);
        self.lanes[query.lane as usize].iter().take_while(|(due, _)| *due <= until).count() as u64
    }

    /// How many keys are under a label, and those that are asked for.
    pub(super) fn members(&self, query: &MembersQuery) -> (u64, Vec<Key>) {
        let Some(members) = self.index.0.get(&query.label) else { return (0, Vec::new()) };
        let after = query.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let keys = members.range::<str, _>((after, Bound::Unbounded)).take(query.limit).cloned().collect();
        (members.len() as u64, keys)
    }

    pub(super) fn write(&mut self, changes: &[StateChange]) {
        for change in changes {
            match &change.value {
                Some(value) => self.set(&change.key, value, change.due, &change.labels),
                None => self.end(&change.key),
            }
        }
    }

    fn set(&mut self, key: &Key, value: &Bytes, due: Due, labels: &Labels) {
        let mut slot = self.states.entry(key.clone());
        // The key as the map has it: all indexes share its memory.
        let key = slot.key().clone();
        let before = match &mut slot {
            Entry::Occupied(slot) => {
                let before = slot.get_mut();
                self.size_bytes -= before.weight(&key);
                for (lane, at) in before.lanes() {
                    self.lanes[lane].remove(&(at, key.clone()));
                }
                std::mem::take(&mut before.labels)
            }
            Entry::Vacant(_) => Box::default(),
        };
        let labels = match labels {
            Labels::Same => before,
            Labels::Are { now, .. } => self.index.moved(&key, &before, now),
        };
        // A copy of its own: the value given may be a slice of a whole batch, which it would hold on to.
        let state = State::new(value, due, labels);
        self.size_bytes += state.weight(&key);
        for (lane, at) in state.lanes() {
            self.lanes[lane].insert((at, key.clone()));
        }
        slot.insert_entry(state);
    }

    fn end(&mut self, key: &Key) {
        if let Some(before) = self.states.remove(key) {
            self.size_bytes -= before.weight(key);
            for (lane, at) in before.lanes() {
                self.lanes[lane].remove(&(at, key.clone()));
            }
            self.index.moved(key, &before.labels, &[]);
        }
    }
}

/// By label: the keys under it, of which there is one at least.
#[derive(Debug, Default)]
struct Index(HashMap<Label, BTreeSet<Key>, RandomState>);

impl Index {
    /// Takes a key from under some labels and puts it under others. Gives those in this index's own memory.
    fn moved(&mut self, key: &Key, before: &[Label], now: &[Label]) -> Box<[Label]> {
        for label in before.iter().filter(|label| !now.contains(label)) {
            if let Some(keys) = self.0.get_mut(label) {
                keys.remove(key);
                if keys.is_empty() {
                    self.0.remove(label);
                }
            }
        }
        let enter = |label: &Label| {
            let slot = self.0.entry(label.clone());
            let label = slot.key().clone();
            slot.or_default().insert(key.clone());
            label
        };
        now.iter().map(enter).collect()
    }
}

/// What a state weighs in memory, in bytes.
fn weight(key: &str, value_bytes: usize, lanes: usize, labels: usize) -> usize {
    key.len() + value_bytes + KEY_OVERHEAD + lanes * LANE_OVERHEAD + labels * LABEL_OVERHEAD
}
