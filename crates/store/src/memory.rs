//! The store of the one-process mode: a view is a map, and is rebuilt from its changelog when the process starts.
//!
//! Wanted properties, beside the port's:
//! - workers and lookups hold handles of the same data; a batch is seen whole or not at all;
//! - what is kept is accounted for in bytes, and a batch that would pass the limit is refused whole.

mod view;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;
use stream::{Applied, Lane, LoadRequest, Loaded, Partition, StateChange, StateStore, StoreError, StorePosition};

use crate::limits;
use crate::lookups::{Glance, Looked, LookupError, Lookups, Members, MembersQuery};
use crate::rebuild_lost;
use view::View;

/// A store in memory. Clones are handles of the same data.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    partitions: RwLock<HashMap<Partition, Arc<Slot>>>,
    limit_bytes: Option<usize>,
}

/// A partition. Its size stands beside the lock, so that the sum of all can be taken under the lock of one.
#[derive(Debug, Default)]
struct Slot {
    views: RwLock<Views>,
    size_bytes: AtomicUsize,
}

/// A partition's view, and the one that is being rebuilt beside it.
#[derive(Debug, Default)]
struct Views {
    view: Option<(StorePosition, View)>,
    rebuild: Option<Rebuild>,
}

#[derive(Debug)]
struct Rebuild {
    generation: String,
    log: String,
    /// What the view stood for when this was begun: it replaces that one and no other.
    over: Option<StorePosition>,
    view: View,
}

impl Memory {
    /// An empty store without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that refuses what would take it past so many bytes (of states and their indexes, all partitions together).
    pub fn with_limit(limit_bytes: usize) -> Self {
        Self { shared: Arc::new(Shared { limit_bytes: Some(limit_bytes), ..Shared::default() }) }
    }

    /// What it keeps: an estimate in bytes, with the maps' own cost.
    pub fn size_bytes(&self) -> usize {
        self.shared.partitions.read().values().map(|slot| slot.size_bytes.load(Ordering::Relaxed)).sum()
    }

    /// A handle for lookups.
    pub fn lookups(&self) -> MemoryLookups {
        MemoryLookups { memory: self.clone() }
    }

    fn slot(&self, partition: Partition) -> Option<Arc<Slot>> {
        self.shared.partitions.read().get(&partition).cloned()
    }

    /// Refuses a batch that would pass the limit.
    fn check_room(&self, view: &View, changes: &[StateChange]) -> Result<(), StoreError> {
        let Some(limit) = self.shared.limit_bytes else { return Ok(()) };
        let added: usize = changes.iter().map(|change| view.weight_after(change)).sum();
        let replaced: usize = changes.iter().map(|change| view.weight_of(&change.key)).sum();
        let needed = (self.size_bytes() + added).saturating_sub(replaced);
        if needed > limit && added > replaced {
            return Err(StoreError::Unusable(format!(
                "the store in memory is full: the batch needs {needed} bytes, the limit is {limit}; raise it, or use Redis"
            )));
        }
        Ok(())
    }
}

impl Slot {
    /// Notes the size of what was changed.
    fn account(&self, views: &Views) {
        let view = views.view.as_ref().map_or(0, |(_, view)| view.size_bytes());
        let rebuild = views.rebuild.as_ref().map_or(0, |rebuild| rebuild.view.size_bytes());
        self.size_bytes.store(view + rebuild, Ordering::Relaxed);
    }
}

impl Views {
    fn position(&self) -> Option<StorePosition> {
        self.view.as_ref().map(|(position, _)| position.clone())
    }
}

impl StateStore for Memory {
    fn position(&mut self, partition: Partition) -> Result<Option<StorePosition>, StoreError> {
        Ok(self.slot(partition).and_then(|slot| slot.views.read().position()))
    }

    fn load(&mut self, partition: Partition, request: &LoadRequest) -> Result<Option<Loaded>, StoreError> {
        limits::check_load(request)?;
        let Some(slot) = self.slot(partition) else { return Ok(None) };
        let views = slot.views.read();
        Ok(views.view.as_ref().map(|(position, view)| Loaded {
            position: position.clone(),
            states: request.keys.iter().map(|key| view.get(key)).collect(),
            due: request.due.map_or_else(Vec::new, |query| view.due(query)),
            held: request.due.filter(|query| query.lane == Lane::Held).map_or(0, |query| view.count_due(query)),
        }))
    }

    fn apply(
        &mut self,
        partition: Partition,
        expected: &StorePosition,
        header_offset: i64,
        changes: &[StateChange],
    ) -> Result<Applied, StoreError> {
        limits::check_apply(expected, header_offset, changes)?;
        let Some(slot) = self.slot(partition) else { return Ok(Applied::Refused(None)) };
        let mut views = slot.views.write();
        let Some((position, view)) = views.view.as_mut() else { return Ok(Applied::Refused(None)) };
        if position.generation != expected.generation || position.log != expected.log {
            return Ok(Applied::Refused(Some(position.clone())));
        }
        if position.header_offset == header_offset {
            return Ok(Applied::AlreadyThere);
        }
        if position.header_offset != expected.header_offset {
            return Ok(Applied::Refused(Some(position.clone())));
        }
        self.check_room(view, changes)?;
        view.write(changes);
        position.header_offset = header_offset;
        slot.account(&views);
        Ok(Applied::Done)
    }

    fn begin_rebuild(&mut self, partition: Partition, generation: &str, log: &str) -> Result<(), StoreError> {
        limits::check_generation(generation)?;
        let slot = self.shared.partitions.write().entry(partition).or_default().clone();
        let mut views = slot.views.write();
        let over = views.position();
        if over.as_ref().is_some_and(|view| view.generation == generation) {
            return Err(crate::generation_in_use(partition, generation));
        }
        let rebuild = Rebuild { generation: generation.into(), log: log.into(), over, view: View::default() };
        let before = views.rebuild.replace(rebuild);
        slot.account(&views);
        // To free a large view takes a while, in which lookups should not wait.
        drop(views);
        drop(before);
        Ok(())
    }

    fn fill(&mut self, partition: Partition, generation: &str, changes: &[StateChange]) -> Result<(), StoreError> {
        limits::check_changes(changes)?;
        let slot = self.slot(partition).ok_or_else(|| rebuild_lost(partition))?;
        let mut views = slot.views.write();
        match &mut views.rebuild {
            Some(rebuild) if rebuild.generation == generation => {
                self.check_room(&rebuild.view, changes)?;
                rebuild.view.write(changes);
                slot.account(&views);
                Ok(())
            }
            _ => Err(rebuild_lost(partition)),
        }
    }

    fn switch(
        &mut self,
        partition: Partition,
        generation: &str,
        log: &str,
        header_offset: i64,
    ) -> Result<(), StoreError> {
        let slot = self.slot(partition).ok_or_else(|| rebuild_lost(partition))?;
        let mut views = slot.views.write();
        let position = StorePosition { generation: generation.into(), log: log.into(), header_offset };
        let standing = views.position();
        if standing.as_ref() == Some(&position) {
            return Ok(());
        }
        match views.rebuild.take() {
            Some(rebuild) if rebuild.generation == generation && rebuild.log == log && rebuild.over == standing => {
                let before = views.view.replace((position, rebuild.view));
                slot.account(&views);
                drop(views);
                drop(before);
                Ok(())
            }
            other => {
                views.rebuild = other;
                Err(rebuild_lost(partition))
            }
        }
    }

    fn release(&mut self, partition: Partition) {
        self.shared.partitions.write().remove(&partition);
    }
}

/// Lookups in a [`Memory`].
#[derive(Clone, Debug)]
pub struct MemoryLookups {
    memory: Memory,
}

impl Lookups for MemoryLookups {
    fn get_all(&self, wanted: &[(Partition, &str)]) -> Result<Vec<Looked>, LookupError> {
        limits::check_lookup(wanted)?;
        let get = |(partition, key): &(Partition, &str)| {
            let slot = self.memory.slot(*partition).ok_or(LookupError::Restoring(*partition))?;
            let views = slot.views.read();
            let (position, view) = views.view.as_ref().ok_or(LookupError::Restoring(*partition))?;
            Ok(Looked { position: Arc::new(position.clone()), value: view.get(key) })
        };
        wanted.iter().map(get).collect()
    }

    fn members(&self, asked: &[(Partition, MembersQuery)]) -> Result<Vec<Members>, LookupError> {
        limits::check_members(asked)?;
        let members = |(partition, query): &(Partition, MembersQuery)| {
            let slot = self.memory.slot(*partition).ok_or(LookupError::Restoring(*partition))?;
            let views = slot.views.read();
            let (position, view) = views.view.as_ref().ok_or(LookupError::Restoring(*partition))?;
            let (count, keys) = view.members(query);
            Ok(Members { position: position.clone(), count, keys })
        };
        asked.iter().map(members).collect()
    }

    fn glance(&self) -> Option<Box<dyn Glance>> {
        Some(Box::new(self.clone()))
    }
}

/// It waits for nobody who writes.
impl Glance for MemoryLookups {
    fn get_all<'a>(
        &'a mut self,
        wanted: &'a [(Partition, &'a str)],
    ) -> Pin<Box<dyn Future<Output = Vec<Option<Looked>>> + Send + 'a>> {
        let look = |(partition, key): &(Partition, &str)| {
            let slot = self.memory.slot(*partition)?;
            let views = slot.views.try_read()?;
            let (position, view) = views.view.as_ref()?;
            Some(Looked { position: Arc::new(position.clone()), value: view.get(key) })
        };
        let looked = wanted.iter().map(look).collect();
        Box::pin(std::future::ready(looked))
    }
}
