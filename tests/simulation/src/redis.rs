//! Redis, as far as the port to the state store knows it: views by partition, each fenced by what it stands for. It may be
//! emptied, fall back to a copy, be away, be full, or fail before or after it did what it was asked.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use domain::Timestamp;
use stream::{Applied, Due, Key, LoadRequest, Loaded, Partition, StateChange, StateStore, StoreError, StorePosition};

use crate::clients::Handle;
use crate::world::{MS, Micros, World};

/// One service's store.
#[derive(Clone, Debug, Default)]
pub struct Redis {
    /// It answers nobody before this.
    pub away_until: Micros,
    /// It takes nothing before this.
    pub full_until: Micros,
    views: BTreeMap<Partition, View>,
    rebuilds: BTreeMap<Partition, Rebuild>,
    copy: Option<BTreeMap<Partition, View>>,
}

/// A partition's view.
#[derive(Clone, Debug)]
pub struct View {
    /// What it stands for.
    pub position: StorePosition,
    /// By key: its framed value, and what it waits for.
    pub states: BTreeMap<Key, (Bytes, Due)>,
}

#[derive(Clone, Debug)]
struct Rebuild {
    over: Option<StorePosition>,
    view: View,
}

impl View {
    fn write(&mut self, changes: &[StateChange]) {
        for change in changes {
            match &change.value {
                Some(value) => {
                    self.states.insert(change.key.clone(), (Bytes::copy_from_slice(value), change.due));
                }
                None => {
                    self.states.remove(&change.key);
                }
            }
        }
    }
}

impl Redis {
    /// A partition's view.
    pub fn view(&self, partition: Partition) -> Option<&View> {
        self.views.get(&partition)
    }

    /// Writes without a look at the fence: what a broken engine does.
    pub fn write_unfenced(&mut self, partition: Partition, changes: &[StateChange]) {
        if let Some(view) = self.views.get_mut(&partition) {
            view.write(changes);
        }
    }

    pub(crate) fn copy(&mut self) {
        self.copy = Some(self.views.clone());
    }

    pub(crate) fn roll_back(&mut self) {
        if let Some(copy) = self.copy.take() {
            self.views = copy;
            self.rebuilds.clear();
        }
    }

    pub(crate) fn empty(&mut self) {
        self.views.clear();
        self.rebuilds.clear();
    }

    pub(crate) fn calm_down(&mut self) {
        (self.away_until, self.full_until) = (0, 0);
    }

    fn position(&self, partition: Partition) -> Option<StorePosition> {
        self.views.get(&partition).map(|view| view.position.clone())
    }

    fn load(&self, partition: Partition, request: &LoadRequest) -> Option<Loaded> {
        let view = self.views.get(&partition)?;
        let get = |key: &Key| view.states.get(key).map(|(value, _)| value.clone());
        let due = request.due.map_or_else(Vec::new, |query| {
            let of = |(key, (_, due)): (&Key, &(Bytes, Due))| Some((due.lane(query.lane)?, key.clone()));
            let mut due: Vec<(Timestamp, Key)> = view.states.iter().filter_map(of).collect();
            due.retain(|(at, _)| *at <= query.until);
            due.sort();
            due.truncate(query.limit);
            due.into_iter().map(|(at, key)| (at, key.clone(), get(&key))).collect()
        });
        Some(Loaded { position: view.position.clone(), states: request.keys.iter().map(get).collect(), due })
    }

    fn apply(
        &mut self,
        partition: Partition,
        expected: &StorePosition,
        header_offset: i64,
        changes: &[StateChange],
    ) -> Applied {
        let Some(view) = self.views.get_mut(&partition) else { return Applied::Refused(None) };
        let same_view = view.position.generation == expected.generation && view.position.log == expected.log;
        if same_view && view.position.header_offset == header_offset {
            return Applied::AlreadyThere;
        }
        if view.position != *expected {
            return Applied::Refused(Some(view.position.clone()));
        }
        view.write(changes);
        view.position.header_offset = header_offset;
        Applied::Done
    }

    fn rebuild(&mut self, partition: Partition, generation: &str) -> Result<&mut Rebuild, StoreError> {
        self.rebuilds
            .get_mut(&partition)
            .filter(|rebuild| rebuild.view.position.generation == generation)
            .ok_or_else(|| lost(partition))
    }

    fn switch(&mut self, partition: Partition, generation: &str, header_offset: i64) -> Result<(), StoreError> {
        let standing = self.position(partition);
        if standing.as_ref().is_some_and(|at| at.generation == generation && at.header_offset == header_offset) {
            return Ok(());
        }
        if self.rebuild(partition, generation)?.over != standing {
            return Err(lost(partition));
        }
        if let Some(mut rebuild) = self.rebuilds.remove(&partition) {
            rebuild.view.position.header_offset = header_offset;
            self.views.insert(partition, rebuild.view);
        }
        Ok(())
    }
}

fn lost(partition: Partition) -> StoreError {
    StoreError::Unavailable(format!("the rebuild of partition {partition} was lost"))
}

/// A worker's connection to its service's store.
pub(crate) struct Connection<'y> {
    pub(crate) handle: Handle<'y>,
    pub(crate) service: &'static str,
}

impl fmt::Debug for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Connection<'_> {
    /// One call: there, done, and back.
    fn call<T>(&self, writes: bool, act: impl FnOnce(&mut Redis) -> T) -> Result<T, StoreError> {
        self.handle.sleep_drawn(World::store_latency);
        let unavailable = |why: &str| StoreError::Unavailable(why.to_owned());
        let (answer, lost) = {
            let mut world = self.handle.world();
            let (now, parts) = (world.now, world.network.store_ppm);
            let (fails_before, fails_after) =
                (world.chance.parts_per_million(parts), world.chance.parts_per_million(parts));
            let redis = world.redis.entry(self.service).or_default();
            if now < redis.away_until || fails_before {
                (Err(unavailable("no answer")), false)
            } else if writes && now < redis.full_until {
                (Err(StoreError::Unusable("the memory is full".to_owned())), false)
            } else {
                (Ok(act(redis)), fails_after)
            }
        };
        if answer.is_err() || lost {
            self.handle.sleep(20 * MS);
        }
        self.handle.sleep_drawn(World::store_latency);
        if lost { Err(unavailable("the answer was lost")) } else { answer }
    }
}

impl World {
    fn store_latency(&mut self) -> Micros {
        if self.network.store_ppm > 0 && self.chance.parts_per_million(self.network.slow_ppm) {
            let slowest = self.network.slowest;
            self.chance.between(10 * MS, slowest)
        } else {
            self.chance.between(20, 300)
        }
    }
}

impl StateStore for Connection<'_> {
    fn position(&mut self, partition: Partition) -> Result<Option<StorePosition>, StoreError> {
        self.call(false, |redis| redis.position(partition))
    }

    fn load(&mut self, partition: Partition, request: &LoadRequest) -> Result<Option<Loaded>, StoreError> {
        self.call(false, |redis| redis.load(partition, request))
    }

    fn apply(
        &mut self,
        partition: Partition,
        expected: &StorePosition,
        header_offset: i64,
        changes: &[StateChange],
    ) -> Result<Applied, StoreError> {
        self.call(true, |redis| redis.apply(partition, expected, header_offset, changes))
    }

    fn begin_rebuild(&mut self, partition: Partition, generation: &str, log: &str) -> Result<(), StoreError> {
        self.call(true, |redis| {
            let position = StorePosition { generation: generation.to_owned(), log: log.to_owned(), header_offset: -1 };
            let (over, view) = (redis.position(partition), View { position, states: BTreeMap::new() });
            redis.rebuilds.insert(partition, Rebuild { over, view });
        })
    }

    fn fill(&mut self, partition: Partition, generation: &str, changes: &[StateChange]) -> Result<(), StoreError> {
        self.call(true, |redis| {
            redis.rebuild(partition, generation)?.view.write(changes);
            Ok(())
        })?
    }

    fn switch(
        &mut self,
        partition: Partition,
        generation: &str,
        _log: &str,
        header_offset: i64,
    ) -> Result<(), StoreError> {
        self.call(true, |redis| redis.switch(partition, generation, header_offset))?
    }

    fn release(&mut self, _partition: Partition) {}
}
