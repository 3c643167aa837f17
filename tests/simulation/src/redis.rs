//! Redis, as the scripts of the state store leave it: views by partition, each fenced by what it stands for. It may be
//! emptied, fall back to a copy, be away, be full, fail before or after it did what it was asked, or stop in mid-script.
//!
//! The scripts are those of `crates/store/src/redis/*.lua`, write by write: what is in a generation is kept under its name,
//! `pending` is written first and the header last.

mod connection;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use domain::Timestamp;
use stream::{Applied, Due, Key, Lane, LoadRequest, Loaded, Partition, StateChange, StoreError, StorePosition};

use crate::world::Micros;

pub(crate) use connection::Connection;

/// By key: its framed value, and what it waits for.
pub type States = BTreeMap<Key, (Bytes, Due)>;

/// One service's store.
#[derive(Clone, Debug, Default)]
pub struct Redis {
    /// It answers nobody before this.
    pub away_until: Micros,
    /// It takes nothing before this.
    pub full_until: Micros,
    keys: Keys,
    copy: Option<Keys>,
}

/// All that it holds.
#[derive(Clone, Debug, Default)]
struct Keys {
    views: BTreeMap<Partition, View>,
    rebuilds: BTreeMap<Partition, Rebuild>,
    garbage: BTreeSet<(Partition, String)>,
    states: BTreeMap<(Partition, String), States>,
}

/// The hash of a partition's view.
#[derive(Clone, Debug)]
struct View {
    position: StorePosition,
    /// The header of the batch that was begun last.
    pending: i64,
}

impl View {
    /// A view that is half written stands for nothing.
    fn standing(&self) -> Option<&StorePosition> {
        (self.pending == self.position.header_offset).then_some(&self.position)
    }
}

/// The hash of a partition's rebuild.
#[derive(Clone, Debug)]
struct Rebuild {
    generation: String,
    log: String,
    filled: u64,
    over: Option<(String, i64)>,
}

/// How far a script comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// To its end.
    Whole,
    /// It stops after so many changes, and what it has written stays.
    StopsAfter(usize),
}

impl Redis {
    /// What a partition's view stands for.
    pub fn position(&self, partition: Partition) -> Option<StorePosition> {
        self.keys.views.get(&partition)?.standing().cloned()
    }

    /// What a partition's view holds.
    pub fn states(&self, partition: Partition) -> Option<&States> {
        let generation = self.keys.views.get(&partition)?.standing()?.generation.clone();
        self.keys.states.get(&(partition, generation))
    }

    /// Moves a view on without a look at the fence: what a broken engine does.
    pub(crate) fn write_unfenced(&mut self, partition: Partition, header_offset: i64, changes: &[StateChange]) {
        let Some(view) = self.keys.views.get_mut(&partition) else { return };
        (view.position.header_offset, view.pending) = (header_offset, header_offset);
        let generation = view.position.generation.clone();
        self.keys.write(partition, &generation, changes);
    }

    pub(crate) fn copy(&mut self) {
        self.copy = Some(self.keys.clone());
    }

    pub(crate) fn roll_back(&mut self) {
        if let Some(copy) = self.copy.take() {
            self.keys = copy;
        }
    }

    pub(crate) fn empty(&mut self) {
        self.keys = Keys::default();
    }

    pub(crate) fn calm_down(&mut self) {
        (self.away_until, self.full_until) = (0, 0);
    }

    fn load(&self, partition: Partition, request: &LoadRequest) -> Option<Loaded> {
        let position = self.position(partition)?;
        let none = States::new();
        let states = self.states(partition).unwrap_or(&none);
        let get = |key: &Key| states.get(key).map(|(value, _)| value.clone());
        let mut held = 0;
        let due = request.due.map_or_else(Vec::new, |query| {
            let of = |(key, (_, due)): (&Key, &(Bytes, Due))| Some((due.lane(query.lane)?, key.clone()));
            let mut due: Vec<(Timestamp, Key)> = states.iter().filter_map(of).collect();
            due.retain(|(at, _)| *at <= query.until);
            due.sort();
            held = if query.lane == Lane::Held { due.len() as u64 } else { 0 };
            due.truncate(query.limit);
            due.into_iter().map(|(at, key)| (at, key.clone(), get(&key))).collect()
        });
        Some(Loaded { position, states: request.keys.iter().map(get).collect(), due, held })
    }

    /// `apply.lua`. None where it stopped on its way.
    fn apply(
        &mut self,
        partition: Partition,
        expected: &StorePosition,
        header_offset: i64,
        changes: &[StateChange],
        script: Script,
    ) -> Option<Applied> {
        let Some(view) = self.keys.views.get_mut(&partition) else { return Some(Applied::Refused(None)) };
        let refused = Some(Applied::Refused(view.standing().cloned()));
        if view.position.generation != expected.generation || view.position.log != expected.log {
            return refused;
        }
        if view.position.header_offset == header_offset {
            return Some(Applied::AlreadyThere);
        }
        let half_written = view.pending != view.position.header_offset && view.pending != header_offset;
        if view.position.header_offset != expected.header_offset || half_written {
            return refused;
        }
        view.pending = header_offset;
        let generation = view.position.generation.clone();
        if let Script::StopsAfter(count) = script {
            self.keys.write(partition, &generation, &changes[..count.min(changes.len())]);
            return None;
        }
        self.keys.write(partition, &generation, changes);
        if let Some(view) = self.keys.views.get_mut(&partition) {
            view.position.header_offset = header_offset;
        }
        Some(Applied::Done)
    }

    /// `begin.lua`, and then the garbage is dropped. False where the generation is in use.
    fn begin(&mut self, partition: Partition, generation: &str, log: &str) -> bool {
        let view = self.keys.views.get(&partition).map(|view| &view.position);
        if view.is_some_and(|position| position.generation == generation) {
            return false;
        }
        let over = view.map(|position| (position.generation.clone(), position.header_offset));
        let rebuild = Rebuild { generation: generation.to_owned(), log: log.to_owned(), filled: 0, over };
        let before = self.keys.rebuilds.insert(partition, rebuild).map(|rebuild| rebuild.generation);
        self.keys.garbage.extend(before.filter(|before| before != generation).map(|before| (partition, before)));
        self.keys.drop_garbage(partition);
        true
    }

    /// `fill.lua`. False where the rebuild is lost; none where it stopped on its way.
    fn fill(
        &mut self,
        partition: Partition,
        generation: &str,
        number: u64,
        changes: &[StateChange],
        script: Script,
    ) -> Option<bool> {
        let Some(rebuild) = self.keys.rebuilds.get_mut(&partition) else { return Some(false) };
        if rebuild.generation != generation || rebuild.filled + 1 < number {
            return Some(false);
        }
        if rebuild.filled >= number {
            return Some(true);
        }
        if let Script::StopsAfter(count) = script {
            self.keys.write(partition, generation, &changes[..count.min(changes.len())]);
            return None;
        }
        rebuild.filled = number;
        self.keys.write(partition, generation, changes);
        Some(true)
    }

    /// How many portions of a rebuild have arrived.
    fn filled(&self, partition: Partition, generation: &str) -> Option<u64> {
        self.keys
            .rebuilds
            .get(&partition)
            .filter(|rebuild| rebuild.generation == generation)
            .map(|rebuild| rebuild.filled)
    }

    /// `switch.lua`. False where the rebuild is lost.
    fn switch(&mut self, partition: Partition, target: &StorePosition, filled: u64) -> bool {
        let view = self.keys.views.get(&partition).map(|view| view.position.clone());
        if view.as_ref() == Some(target) {
            return true;
        }
        let Some(rebuild) = self.keys.rebuilds.get(&partition) else { return false };
        let over = view.map(|position| (position.generation, position.header_offset));
        if rebuild.generation != target.generation
            || rebuild.log != target.log
            || rebuild.filled != filled
            || rebuild.over != over
        {
            return false;
        }
        self.keys.garbage.extend(over.map(|(generation, _)| (partition, generation)));
        let view = View { position: target.clone(), pending: target.header_offset };
        self.keys.views.insert(partition, view);
        self.keys.rebuilds.remove(&partition);
        true
    }
}

impl Keys {
    fn write(&mut self, partition: Partition, generation: &str, changes: &[StateChange]) {
        let states = self.states.entry((partition, generation.to_owned())).or_default();
        for change in changes {
            match &change.value {
                Some(value) => {
                    states.insert(change.key.clone(), (Bytes::copy_from_slice(value), change.due));
                }
                None => {
                    states.remove(&change.key);
                }
            }
        }
    }

    fn drop_garbage(&mut self, partition: Partition) {
        let (mine, others) = std::mem::take(&mut self.garbage).into_iter().partition(|(at, _)| *at == partition);
        self.garbage = others;
        let mine: BTreeSet<(Partition, String)> = mine;
        self.states.retain(|generation, _| !mine.contains(generation));
    }
}

fn lost(partition: Partition) -> StoreError {
    StoreError::Unavailable(format!("the rebuild of partition {partition} was lost"))
}
