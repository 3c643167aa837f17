//! A worker's connection to its service's store: each call goes there, is done or not, and comes back or not.

use std::collections::BTreeMap;
use std::fmt;

use stream::{Applied, LoadRequest, Loaded, Partition, StateChange, StateStore, StoreError, StorePosition};

use super::{Redis, Script, lost};
use crate::broken::Broken;
use crate::clients::Handle;
use crate::plan::Point;
use crate::world::{MS, Micros, World};

/// A worker's connection.
pub(crate) struct Connection<'y> {
    handle: Handle<'y>,
    service: &'static str,
    /// By partition: the generation that it fills, and how many portions it has sent and seen confirmed.
    rebuilds: BTreeMap<Partition, Progress>,
    /// What the engine takes each view for, if it is one that writes the store first.
    believed: BTreeMap<Partition, StorePosition>,
}

struct Progress {
    generation: String,
    sent: u64,
    filled: u64,
}

impl fmt::Debug for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("service", &self.service).finish_non_exhaustive()
    }
}

/// What a call may do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reads,
    Writes,
}

impl<'y> Connection<'y> {
    /// To a service's store.
    pub(crate) fn new(handle: Handle<'y>, service: &'static str) -> Self {
        Self { handle, service, rebuilds: BTreeMap::new(), believed: BTreeMap::new() }
    }

    /// One call: there, done, and back. It may come to stop in mid-script, which the caller's act has to stand.
    fn call<T>(&self, kind: Kind, act: impl FnOnce(&mut Redis, Script) -> Option<T>) -> Result<T, StoreError> {
        self.handle.sleep_drawn(World::store_latency);
        let unavailable = |why: &str| StoreError::Unavailable(why.to_owned());
        let (answer, lost) = {
            let mut world = self.handle.world();
            let (now, parts) = (world.now, world.network.store_ppm);
            let [before, midway, after] = [(); 3].map(|()| world.chance.parts_per_million(parts));
            let count = world.chance.below(4) as usize;
            let script = if midway { Script::StopsAfter(count) } else { Script::Whole };
            let redis = world.redis.entry(self.service).or_default();
            if now < redis.away_until || before {
                (Err(unavailable("no answer")), false)
            } else if kind == Kind::Writes && now < redis.full_until {
                // It finds out before the script begins, or on its way.
                if count == 0 {
                    act(redis, Script::StopsAfter(1));
                }
                (Err(StoreError::Unusable("the memory is full".to_owned())), false)
            } else {
                (act(redis, script).ok_or_else(|| unavailable("it stopped in mid-script")), after)
            }
        };
        if answer.is_err() || lost {
            self.handle.sleep(20 * MS);
        }
        self.handle.sleep_drawn(World::store_latency);
        if lost { Err(unavailable("the answer was lost")) } else { answer }
    }

    /// After an error nobody knows which portions have arrived: asks.
    fn settle(&mut self, partition: Partition, generation: &str) -> Result<(), StoreError> {
        let progress = self.rebuilds.get(&partition).filter(|progress| progress.generation == generation);
        let progress = progress.ok_or_else(|| lost(partition))?;
        if progress.sent == progress.filled {
            return Ok(());
        }
        let known = progress.filled..=progress.sent;
        let filled = self.call(Kind::Reads, |redis, _| Some(redis.filled(partition, generation)))?;
        let filled = filled.filter(|filled| known.contains(filled)).ok_or_else(|| lost(partition))?;
        self.rebuilds.insert(partition, Progress { generation: generation.to_owned(), sent: filled, filled });
        Ok(())
    }

    /// From here on an engine that rebuilds blindly does not look where the changelog ends.
    fn rebuilds_blindly(&self, now: bool) {
        let mut world = self.handle.world();
        let is_broken = world.broken == Some(Broken::RebuildsBlindly);
        world.machines[self.handle.process].looks_away = now && is_broken;
    }

    /// A line of the trace.
    fn tell(&self, partition: Partition, line: impl FnOnce() -> String) {
        let mut world = self.handle.world();
        let name = if world.trace.is_some() { world.machines[self.handle.process].name.clone() } else { String::new() };
        world.tell(|| format!("{name}, store {partition}: {}", line()));
    }

    fn believe(&mut self, partition: Partition, position: Option<&StorePosition>) {
        match position {
            Some(position) => self.believed.insert(partition, position.clone()),
            None => self.believed.remove(&partition),
        };
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
        self.rebuilds_blindly(false);
        let position = self.call(Kind::Reads, |redis, _| Some(redis.position(partition)))?;
        self.believe(partition, position.as_ref());
        Ok(position)
    }

    fn load(&mut self, partition: Partition, request: &LoadRequest) -> Result<Option<Loaded>, StoreError> {
        let mut loaded = self.call(Kind::Reads, |redis, _| Some(redis.load(partition, request)))?;
        // Who has written ahead takes what it finds for what it has written.
        if let (Some(loaded), Some(believed)) = (&mut loaded, self.believed.get(&partition))
            && self.handle.is_broken(Broken::WritesTheStoreFirst)
            && loaded.position.generation == believed.generation
        {
            loaded.position = believed.clone();
        }
        Ok(loaded)
    }

    fn apply(
        &mut self,
        partition: Partition,
        expected: &StorePosition,
        header_offset: i64,
        changes: &[StateChange],
    ) -> Result<Applied, StoreError> {
        self.handle.reach(Point::Applying);
        let apply = |redis: &mut Redis, script| redis.apply(partition, expected, header_offset, changes, script);
        let applied = self.call(Kind::Writes, apply);
        self.tell(partition, || format!("{} to {header_offset}: {applied:?}", expected.header_offset));
        let applied = applied?;
        if matches!(applied, Applied::Done | Applied::AlreadyThere) {
            self.believe(partition, Some(&StorePosition { header_offset, ..expected.clone() }));
        }
        self.handle.reach(Point::Applied);
        Ok(applied)
    }

    fn begin_rebuild(&mut self, partition: Partition, generation: &str, log: &str) -> Result<(), StoreError> {
        self.handle.reach(Point::Rebuilds);
        self.rebuilds_blindly(true);
        let begun = self.call(Kind::Writes, |redis, _| Some(redis.begin(partition, generation, log)));
        self.tell(partition, || format!("{generation} is begun: {begun:?}"));
        if !begun? {
            return Err(StoreError::Unusable(format!("generation {generation} of partition {partition} is in use")));
        }
        self.rebuilds.insert(partition, Progress { generation: generation.to_owned(), sent: 0, filled: 0 });
        Ok(())
    }

    fn fill(&mut self, partition: Partition, generation: &str, changes: &[StateChange]) -> Result<(), StoreError> {
        self.settle(partition, generation)?;
        if changes.is_empty() {
            return Ok(());
        }
        self.rebuilds_blindly(false);
        self.handle.reach(Point::Filling);
        let Some(progress) = self.rebuilds.get_mut(&partition) else { return Err(lost(partition)) };
        progress.sent = progress.filled + 1;
        let number = progress.sent;
        let fill = |redis: &mut Redis, script| redis.fill(partition, generation, number, changes, script);
        let there = self.call(Kind::Writes, fill);
        self.tell(partition, || format!("portion {number} of {generation}: {there:?}"));
        let there = there?;
        if !there {
            self.rebuilds.remove(&partition);
            return Err(lost(partition));
        }
        if let Some(progress) = self.rebuilds.get_mut(&partition) {
            progress.filled = number;
        }
        Ok(())
    }

    fn switch(
        &mut self,
        partition: Partition,
        generation: &str,
        log: &str,
        header_offset: i64,
    ) -> Result<(), StoreError> {
        let target = StorePosition { generation: generation.to_owned(), log: log.to_owned(), header_offset };
        self.rebuilds_blindly(false);
        if !self.rebuilds.contains_key(&partition) {
            // The same switch again, after its end.
            let standing = self.position(partition)?;
            return if standing.as_ref() == Some(&target) { Ok(()) } else { Err(lost(partition)) };
        }
        self.settle(partition, generation)?;
        let filled = self.rebuilds.get(&partition).map_or(0, |progress| progress.filled);
        let mut before = None;
        let switched = self.call(Kind::Writes, |redis, _| {
            before = redis.position(partition).map(|position| position.header_offset);
            Some(redis.switch(partition, &target, filled))
        });
        if let (Ok(true), Some(before)) = (&switched, before.filter(|before| *before > header_offset)) {
            let detail = format!("{} {partition}: from {before} to {header_offset}", self.service);
            self.handle.world().breach("a_view_never_goes_back", detail);
        }
        self.tell(partition, || format!("{generation} at {header_offset} is put in use: {switched:?}"));
        let switched = switched?;
        self.rebuilds.remove(&partition);
        if switched {
            self.believe(partition, Some(&target));
            Ok(())
        } else {
            Err(lost(partition))
        }
    }

    fn release(&mut self, partition: Partition) {
        self.rebuilds.remove(&partition);
        self.believed.remove(&partition);
    }
}
