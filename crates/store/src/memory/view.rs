//! One partition's data in memory, and what it weighs.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use domain::Timestamp;
use foldhash::fast::RandomState;
use stream::{Due, DueQuery, Key, Lane, StateChange};

use crate::score;

/// What a key costs beside its bytes: its slot in the map (113 B, at half to seven eighths full) and the headers of its two
/// allocations. Measured with 300 B values: 200 to 310 B, as the map's fill varies.
const KEY_OVERHEAD: usize = 250;
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
    value: Bytes,
    due: Due,
}

impl View {
    pub(super) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// What a key's state weighs now.
    pub(super) fn weight_of(&self, key: &str) -> usize {
        self.states.get(key).map_or(0, |state| weight(key, &state.value, state.due))
    }

    pub(super) fn get(&self, key: &str) -> Option<Bytes> {
        self.states.get(key).map(|state| state.value.clone())
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
        let state = State { value: Bytes::copy_from_slice(value), due };
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
        self.size_bytes += weight(&key, value, due);
        for lane in Lane::ALL {
            if let Some(at) = due.lane(lane) {
                self.lanes[lane as usize].insert((score(at), key.clone()));
            }
        }
    }

    fn end(&mut self, key: &Key) {
        if let Some(before) = self.states.remove(key) {
            self.forget(key, &before);
        }
    }

    fn forget(&mut self, key: &Key, before: &State) {
        self.size_bytes -= weight(key, &before.value, before.due);
        for lane in Lane::ALL {
            if let Some(at) = before.due.lane(lane) {
                self.lanes[lane as usize].remove(&(score(at), key.clone()));
            }
        }
    }
}

/// What a state weighs in memory, in bytes.
pub(super) fn weight(key: &str, value: &[u8], due: Due) -> usize {
    let lanes = Lane::ALL.iter().filter(|lane| due.lane(**lane).is_some()).count();
    key.len() + value.len() + KEY_OVERHEAD + lanes * LANE_OVERHEAD
}
