//! Whatever producers do, in whatever order: what readers may see of it.

use std::collections::BTreeMap;

use devbroker::core::log::Isolation;
use devbroker::core::records::BatchBuilder;
use devbroker::core::{Core, CoreConfig, ErrorCode};
use proptest::prelude::*;

use crate::support::{Producer, at, committed, read, values, with_topic};

/// What happens next. Slots are transactional ids; each has one producer that thinks it owns it, and old ones.
#[derive(Clone, Debug)]
enum Deed {
    Send { slot: usize, zombie: bool, partition: i32 },
    End { slot: usize, zombie: bool, commit: bool },
    Restart { slot: usize },
    SendPlain { partition: i32 },
    Wait { ms: i64 },
}

fn deed() -> impl Strategy<Value = Deed> {
    let slot = 0..3_usize;
    let zombie = prop::bool::weighted(0.2);
    prop_oneof![
        6 => (slot.clone(), zombie, 0..2_i32)
            .prop_map(|(slot, zombie, partition)| Deed::Send { slot, zombie, partition }),
        3 => (slot.clone(), zombie, any::<bool>()).prop_map(|(slot, zombie, commit)| Deed::End { slot, zombie, commit }),
        1 => slot.prop_map(|slot| Deed::Restart { slot }),
        2 => (0..2_i32).prop_map(|partition| Deed::SendPlain { partition }),
        1 => (0..12_000_i64).prop_map(|ms| Deed::Wait { ms }),
    ]
}

/// What the model knows: per partition what is decided, in the order of offsets.
#[derive(Default)]
struct Model {
    /// Partition, offset → value, and whether it counts (`None`: open).
    records: BTreeMap<(i32, i64), (String, Option<bool>)>,
}

impl Model {
    fn decide(&mut self, open: &mut Vec<(i32, i64)>, commit: bool) {
        for place in open.drain(..) {
            self.records.get_mut(&place).unwrap().1 = Some(commit);
        }
    }

    /// What a `read_committed` reader must see: all that counts below the first open record.
    fn committed(&self, partition: i32) -> Vec<String> {
        let mine = self.records.iter().filter(|((of, _), _)| *of == partition);
        let stable = mine.take_while(|(_, (_, fate))| fate.is_some());
        stable.filter(|(_, (_, fate))| *fate == Some(true)).map(|(_, (value, _))| value.clone()).collect()
    }

    fn all(&self, partition: i32) -> Vec<String> {
        let mine = self.records.iter().filter(|((of, _), _)| *of == partition);
        mine.map(|(_, (value, _))| value.clone()).collect()
    }
}

struct Slot {
    owner: Producer,
    zombie: Option<Producer>,
    open: Vec<(i32, i64)>,
    started_ms: Option<i64>,
}

impl Slot {
    fn is_overdue(&self, now_ms: i64) -> bool {
        self.started_ms.is_some_and(|started| now_ms - started >= 10_000)
    }
}

/// A core with three transactional ids, driven beside the model.
struct World {
    core: Core,
    model: Model,
    slots: Vec<Slot>,
    now_ms: i64,
    stable: [i64; 2],
    seen: [Vec<String>; 2],
    markers_are_late: bool,
}

impl World {
    fn new(marker_delay_ms: i64) -> Self {
        let mut core = with_topic(CoreConfig { marker_delay_ms, ..CoreConfig::default() }, &[]);
        let slot = |core: &mut Core, name: i32| Slot {
            owner: Producer::transactional(core, &name.to_string(), 0),
            zombie: None,
            open: Vec::new(),
            started_ms: None,
        };
        let slots = (0..3).map(|name| slot(&mut core, name)).collect();
        let markers_are_late = marker_delay_ms > 0;
        let (stable, seen) = ([0, 0], [Vec::new(), Vec::new()]);
        Self { core, model: Model::default(), slots, now_ms: 0, stable, seen, markers_are_late }
    }

    /// Asks again, as a client does, while the transactional id is busy with its markers.
    fn insist<T>(&mut self, mut call: impl FnMut(&mut Self) -> Result<T, ErrorCode>) -> Result<T, ErrorCode> {
        loop {
            match call(self) {
                Err(ErrorCode::ConcurrentTransactions) => {
                    self.now_ms += 5;
                    self.core.tick(self.now_ms);
                }
                other => return other,
            }
        }
    }

    fn restart(&mut self, index: usize) {
        let mut open = std::mem::take(&mut self.slots[index].open);
        self.model.decide(&mut open, false);
        self.slots[index].started_ms = None;
        let name = index.to_string();
        let initialise = |world: &mut Self| world.core.init_producer_id(Some(&name), 10_000, None, world.now_ms);
        let identity = self.insist(initialise).unwrap();
        let successor = Producer { transactional_id: Some(name.clone()), identity, sequences: BTreeMap::new() };
        let slot = &mut self.slots[index];
        slot.zombie = Some(std::mem::replace(&mut slot.owner, successor));
    }

    /// Transactions that took too long are aborted by the core; their producers start again. Starting takes time, in
    /// which others may become overdue.
    fn restart_the_overdue(&mut self) {
        while let Some(index) = self.slots.iter().position(|slot| slot.is_overdue(self.now_ms)) {
            self.restart(index);
        }
    }

    fn send(&mut self, index: usize, partition: i32, value: &str) -> Result<(), TestCaseError> {
        let sent = self.insist(|world| {
            let (slot, now_ms) = (&mut world.slots[index], world.now_ms);
            slot.owner.send(&mut world.core, partition, value, now_ms)
        });
        let sent = sent.map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        let slot = &mut self.slots[index];
        slot.started_ms.get_or_insert(self.now_ms);
        slot.open.push((partition, sent.base_offset));
        self.model.records.insert((partition, sent.base_offset), (value.to_owned(), None));
        Ok(())
    }

    fn end(&mut self, index: usize, commit: bool) -> Result<(), TestCaseError> {
        let ended = self.insist(|world| {
            let (owner, now_ms) = (world.slots[index].owner.clone(), world.now_ms);
            owner.end(&mut world.core, commit, now_ms)
        });
        if self.slots[index].started_ms.take().is_some() {
            prop_assert!(ended.is_ok());
            let mut open = std::mem::take(&mut self.slots[index].open);
            self.model.decide(&mut open, commit);
        }
        Ok(())
    }

    fn act(&mut self, number: usize, deed: &Deed) -> Result<(), TestCaseError> {
        self.now_ms += 1;
        let (value, now_ms) = (number.to_string(), self.now_ms);
        match *deed {
            Deed::Send { slot, zombie: true, partition } => {
                if let Some(zombie) = &mut self.slots[slot].zombie {
                    prop_assert!(zombie.send(&mut self.core, partition, &value, now_ms).is_err());
                    prop_assert!(zombie.send_bare(&mut self.core, &at(partition), &value, now_ms).is_err());
                }
            }
            Deed::Send { slot, zombie: false, partition } => self.send(slot, partition, &value)?,
            Deed::End { slot, zombie: true, commit } => {
                if let Some(zombie) = &self.slots[slot].zombie {
                    prop_assert!(zombie.end(&mut self.core, commit, now_ms).is_err());
                }
            }
            Deed::End { slot, zombie: false, commit } => self.end(slot, commit)?,
            Deed::Restart { slot } => self.restart(slot),
            Deed::SendPlain { partition } => {
                let batch = BatchBuilder::new().record(None, Some(value.as_bytes()), now_ms).build(None);
                let appended = self.core.produce(&at(partition), &batch, now_ms).unwrap();
                self.model.records.insert((partition, appended.base_offset), (value, Some(true)));
            }
            Deed::Wait { ms } => {
                self.now_ms += ms;
                self.core.tick(self.now_ms);
            }
        }
        self.restart_the_overdue();
        self.check()
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        for partition in 0..2 {
            let index = partition as usize;
            let stable = self.core.log(&at(partition)).unwrap().last_stable_offset();
            prop_assert!(stable >= self.stable[index], "the last stable offset went back");
            self.stable[index] = stable;
            let (now, must) = (committed(&self.core, partition), self.model.committed(partition));
            prop_assert!(now.starts_with(&self.seen[index]), "what was seen once is seen again");
            prop_assert!(must.starts_with(&now), "{now:?} is more than {must:?}");
            prop_assert!(self.markers_are_late || now == must);
            self.seen[index] = now;
            let all = values(&read(&self.core, &at(partition), 0, Isolation::ReadUncommitted));
            prop_assert_eq!(all, self.model.all(partition));
        }
        Ok(())
    }
}

fn run(deeds: &[Deed], marker_delay_ms: i64) -> Result<(), TestCaseError> {
    let mut world = World::new(marker_delay_ms);
    for (number, deed) in deeds.iter().enumerate() {
        world.act(number, deed)?;
    }
    world.now_ms += marker_delay_ms;
    world.core.tick(world.now_ms);
    world.restart_the_overdue();
    world.markers_are_late = false;
    world.check()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_read_committed_reader_sees_all_that_was_committed_in_order_and_nothing_else(
        deeds in prop::collection::vec(deed(), 1..80)
    ) {
        run(&deeds, 0)?;
    }

    #[test]
    fn it_sees_the_same_when_markers_land_late_and_one_by_one(deeds in prop::collection::vec(deed(), 1..80)) {
        run(&deeds, 40)?;
    }

    #[test]
    fn compaction_changes_no_keys_newest_committed_value(
        writes in prop::collection::vec((0..5_u8, prop::option::of(0..100_u8), 0..3_u8, any::<bool>()), 1..80),
        pauses in prop::collection::vec(0..80_usize, 0..4),
    ) {
        let config = CoreConfig { compaction_min_dirty_bytes: 0, ..CoreConfig::default() };
        let settings = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0"), ("delete.retention.ms", "20")];
        let mut core = with_topic(config, &settings);
        let mut newest: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut producer = Producer::transactional(&mut core, "tx", 0);
        for (number, (key, value, kind, commit)) in writes.iter().enumerate() {
            let now_ms = number as i64;
            let key = vec![*key];
            let value = value.map(|value| vec![value]);
            let in_transaction = *kind == 0;
            let batch = BatchBuilder::new().record(Some(&key), value.as_deref(), now_ms);
            let stamp = in_transaction.then(|| {
                let id = producer.transactional_id.clone().unwrap();
                core.add_partitions_to_transaction(&id, producer.identity, &[at(0)], now_ms);
                let sequence = producer.sequences.entry(at(0)).or_default();
                *sequence += 1;
                devbroker::core::records::ProducerStamp {
                    id: producer.identity.id,
                    epoch: producer.identity.epoch,
                    sequence: *sequence - 1,
                    transactional: true,
                }
            });
            core.produce(&at(0), &batch.build(stamp), now_ms).unwrap();
            if in_transaction {
                producer.end(&mut core, *commit, now_ms).unwrap();
            }
            if !in_transaction || *commit {
                match value {
                    Some(value) => drop(newest.insert(key, value)),
                    None => drop(newest.remove(&key)),
                }
            }
            if pauses.contains(&number) {
                core.keep_house(now_ms);
            }
        }
        core.keep_house(writes.len() as i64 + 1_000);
        core.keep_house(writes.len() as i64 + 2_000);
        let mut table: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut last_offset = -1;
        for record in read(&core, &at(0), 0, Isolation::ReadCommitted) {
            prop_assert!(record.offset > last_offset);
            last_offset = record.offset;
            match record.value {
                Some(value) => drop(table.insert(record.key.unwrap().to_vec(), value.to_vec())),
                None => drop(table.remove(&record.key.unwrap()[..])),
            }
        }
        prop_assert_eq!(table, newest);
    }
}
