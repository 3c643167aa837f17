//! Whatever producers do, in whatever order: what readers may see of it.

use std::collections::BTreeMap;

use devbroker::core::log::Isolation;
use devbroker::core::{Core, CoreConfig};
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

fn run(deeds: &[Deed]) -> Result<(), TestCaseError> {
    let mut core = with_topic(CoreConfig::default(), &[]);
    let mut model = Model::default();
    let mut now_ms = 0;
    let mut slots: Vec<Slot> = (0..3)
        .map(|slot| Slot {
            owner: Producer::transactional(&mut core, &slot.to_string(), 0),
            zombie: None,
            open: Vec::new(),
            started_ms: None,
        })
        .collect();
    let mut stable = [0, 0];
    for (number, deed) in deeds.iter().enumerate() {
        now_ms += 1;
        let value = format!("{number}");
        match *deed {
            Deed::Send { slot, zombie: true, partition } => {
                if let Some(zombie) = &mut slots[slot].zombie {
                    prop_assert!(zombie.send(&mut core, partition, &value, now_ms).is_err());
                    prop_assert!(zombie.send_bare(&mut core, &at(partition), &value, now_ms).is_err());
                }
            }
            Deed::Send { slot, zombie: false, partition } => {
                let slot = &mut slots[slot];
                let appended = slot.owner.send(&mut core, partition, &value, now_ms);
                let appended = appended.map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
                slot.started_ms.get_or_insert(now_ms);
                slot.open.push((partition, appended.base_offset));
                model.records.insert((partition, appended.base_offset), (value, None));
            }
            Deed::End { slot, zombie: true, commit } => {
                if let Some(zombie) = &slots[slot].zombie {
                    prop_assert!(zombie.end(&mut core, commit, now_ms).is_err());
                }
            }
            Deed::End { slot, zombie: false, commit } => {
                let slot = &mut slots[slot];
                let ended = slot.owner.end(&mut core, commit, now_ms);
                if slot.started_ms.take().is_some() {
                    prop_assert!(ended.is_ok());
                    model.decide(&mut slot.open, commit);
                }
            }
            Deed::Restart { slot } => restart(&mut core, &mut model, &mut slots[slot], slot, now_ms),
            Deed::SendPlain { partition } => {
                let batch = devbroker::core::records::BatchBuilder::new()
                    .record(None, Some(value.as_bytes()), now_ms)
                    .build(None);
                let appended = core.produce(&at(partition), &batch, now_ms).unwrap();
                model.records.insert((partition, appended.base_offset), (value, Some(true)));
            }
            Deed::Wait { ms } => {
                now_ms += ms;
                core.tick(now_ms);
                for (name, slot) in slots.iter_mut().enumerate() {
                    if slot.started_ms.is_some_and(|started| now_ms - started >= 10_000) {
                        model.decide(&mut slot.open, false);
                        restart(&mut core, &mut model, slot, name, now_ms);
                    }
                }
            }
        }
        for partition in 0..2 {
            let log = core.log(&at(partition)).unwrap();
            prop_assert!(log.last_stable_offset() >= stable[partition as usize], "the last stable offset went back");
            stable[partition as usize] = log.last_stable_offset();
            prop_assert_eq!(committed(&core, partition), model.committed(partition));
            let all = values(&read(&core, &at(partition), 0, Isolation::ReadUncommitted));
            prop_assert_eq!(all, model.all(partition));
        }
    }
    Ok(())
}

fn restart(core: &mut Core, model: &mut Model, slot: &mut Slot, name: usize, now_ms: i64) {
    model.decide(&mut slot.open, false);
    slot.started_ms = None;
    let successor = Producer::transactional(core, &name.to_string(), now_ms);
    slot.zombie = Some(std::mem::replace(&mut slot.owner, successor));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_read_committed_reader_sees_all_that_was_committed_in_order_and_nothing_else(
        deeds in prop::collection::vec(deed(), 1..80)
    ) {
        run(&deeds)?;
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
            let batch = devbroker::core::records::BatchBuilder::new().record(Some(&key), value.as_deref(), now_ms);
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
