//! One partition's data in memory, and what it weighs.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use domain::Timestamp;
use foldhash::fast::RandomState;
use stream::{Due, DueQuery, Key, Lane, StateChange};

use crate::score;

/// What a key costs beside its bytes: its slot in the map (65 B, at half to seven eighths full) and the headers of its two
/// allocations. Measured with 300 B values: 140 to 200 B, as the map's fill varies.
const KEY_OVERHEAD: usize = 170;
/// What an entry in a lane costs: (due, key) in a B-tree. Measured: 35 to 40 B.
const LANE_OVERHEAD: usize = 40;

#[derive(Debug, Default)]
pub(super) struct View {
    states: HashMap<Key, State, RandomState>,
    lanes: [BTreeSet<(i64, Key)>; Lane::ALL.len()],
    size_bytes: usize,
}

#[derive(Debug)]
struct State {
    value: Box<[u8]>,
    /// By lane: when it is due there; [`NEVER`] where it is not.
    due: [i64; Lane::ALL.len()],
}

const NEVER: i64 = i64::MAX;

impl State {
    fn new(value: &[u8], due: Due) -> Self {
        Self { value: value.into(), due: Lane::ALL.map(|lane| due.lane(lane).map_or(NEVER, score)) }
    }

    /// In which lanes it is due, and when.
    fn lanes(&self) -> impl Iterator<Item = (usize, i64)> + use<> {
        self.due.into_iter().enumerate().filter(|(_, at)| *at != NEVER)
    }

    fn weight(&self, key: &str) -> usize {
        weight(key, self.value.len(), self.lanes().count())
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

    pub(super) fn write(&mut self, changes: &[StateChange]) {
        for change in changes {
            match &change.value {
                Some(value) => self.set(&change.key, value, change.due),
                None => self.end(&change.key),
            }
        }
    }

    fn set(&mut self, key: &Key, value: &Bytes, due: Due) {
        // A copy of its own: the value given may be a slice of a whole batch, which it would hold on to.
        let state = State::new(value, due);
        let (weight, lanes) = (state.weight(key), state.lanes());
        let (key, before) = match self.states.entry(key.clone()) {
            Entry::Occupied(mut slot) => (slot.key().clone(), Some(slot.insert(state))),
            Entry::Vacant(slot) => {
                let key = slot.key().clone();
                slot.insert(state);
                (key, None)
            }
        };
        if let Some(before) = before {
            self.forget(&key, &before);
        }
        self.size_bytes += weight;
        for (lane, at) in lanes {
            self.lanes[lane].insert((at, key.clone()));
        }
    }

    fn end(&mut self, key: &Key) {
        if let Some(before) = self.states.remove(key) {
            self.forget(key, &before);
        }
    }

    fn forget(&mut self, key: &Key, before: &State) {
        self.size_bytes -= before.weight(key);
        for (lane, at) in before.lanes() {
            self.lanes[lane].remove(&(at, key.clone()));
        }
    }
}

/// What a state weighs in memory, in bytes.
fn weight(key: &str, value_bytes: usize, lanes: usize) -> usize {
    key.len() + value_bytes + KEY_OVERHEAD + lanes * LANE_OVERHEAD
}

/// What a change's state will weigh.
pub(super) fn weight_of(change: &StateChange) -> usize {
    let lanes = Lane::ALL.iter().filter(|lane| change.due.lane(**lane).is_some()).count();
    change.value.as_ref().map_or(0, |value| weight(&change.key, value.len(), lanes))
}
