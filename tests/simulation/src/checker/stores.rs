//! Redis holds what the changelog gives, and the fence knows what the header says.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use devbroker::core::records::Record;
use ingestion::Resolver;
use schemas::{ChangelogHeader, ChangelogRecord, StateContract};
use stream::{Due, Service, Topology};

use super::{Breach, at, committed, group_offset, services};
use crate::SCHEMAS;
use crate::clients::due_of;
use crate::redis;
use crate::workload::PARTITIONS;
use crate::world::World;

/// What a changelog's fold gives, up to the last header of an offset or before it.
pub(super) struct Fold {
    pub(super) header: Option<(i64, ChangelogHeader)>,
    pub(super) states: BTreeMap<String, (Bytes, Due)>,
}

pub(super) fn fold<S: StateContract>(world: &World, dataset: &str, partition: i32, until: i64) -> Fold {
    let mut fold = Fold { header: None, states: BTreeMap::new() };
    let mut pending: Vec<Record> = Vec::new();
    for record in committed(world, &at(dataset, partition)).into_iter().take_while(|record| record.offset <= until) {
        if record.key.as_deref() != Some(b"\0") {
            pending.push(record);
            continue;
        }
        for record in pending.drain(..) {
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
            match record.value {
                None => drop(fold.states.remove(&key)),
                Some(value) => {
                    let due = record.headers.iter().find(|(name, _)| name == "vuelve-due");
                    let due = due.and_then(|(_, value)| value.as_deref()).map(due_of).unwrap_or_default();
                    fold.states.insert(key, (value, due));
                }
            }
        }
        let header = record.value.as_deref().and_then(|value| SCHEMAS.decode::<ChangelogRecord<S>>(value).ok());
        if let Some(header) = header.and_then(|record| record.header) {
            fold.header = Some((record.offset, header));
        }
    }
    fold
}

/// Up to where a view may lack what the changelog has. The resolver was told to stop: one that was about to heal its view of its
/// last batch leaves that to the next owner, and there is none.
fn may_stand_at(world: &World, topology: &Topology, partition: i32) -> i64 {
    let view = world.redis.get(topology.service).and_then(|redis| redis.position(partition));
    let records = committed(world, &at(topology.changelog, partition));
    let headers = records.iter().rev().filter(|record| record.key.as_deref() == Some(b"\0"));
    let before_last = headers.map(|record| record.offset).nth(1);
    let is_stopped = topology.service == Resolver::topology().service;
    view.map(|view| view.header_offset).filter(|at| is_stopped && Some(*at) == before_last).unwrap_or(i64::MAX)
}

pub(super) fn stores_are_the_fold(world: &World, breaches: &mut Vec<Breach>) {
    let nothing = redis::States::new();
    for (topology, fold, last_header) in services() {
        for partition in 0..PARTITIONS {
            let place = || format!("{} {partition}", topology.service);
            let redis = world.redis.get(topology.service);
            let until = may_stand_at(world, topology, partition);
            let Fold { header, states } = fold(world, topology.changelog, partition, until);
            let Some((offset, _)) = header else { continue };
            let view =
                redis.and_then(|redis| redis.position(partition).zip(redis.states(partition).or(Some(&nothing))));
            match view {
                None => breaches.push(Breach::new("the_store_is_the_fold", format!("{} has no view", place()))),
                Some((position, kept)) => {
                    if position.header_offset != offset {
                        let detail = format!("{} stands at {}, not {offset}", place(), position.header_offset);
                        breaches.push(Breach::new("the_store_is_the_fold", detail));
                    }
                    let kept: BTreeMap<String, (Bytes, Due)> =
                        kept.iter().map(|(key, state)| (key.to_string(), state.clone())).collect();
                    for key in kept.keys().chain(states.keys()).collect::<BTreeSet<_>>() {
                        if kept.get(key) != states.get(key) {
                            breaches
                                .push(Breach::new("the_store_is_the_fold", format!("{} differs at {key}", place())));
                        }
                    }
                }
            }
            let Some(header) = last_header(world, topology.changelog, partition) else { continue };
            let primary = topology.primary().dataset;
            let position = header.positions.iter().find(|position| position.dataset == primary);
            let offset = group_offset(world, topology, partition).ok().flatten();
            if offset != position.map(|position| position.next_offset) {
                let detail = format!("{}: {offset:?}, and the header says {position:?}", place());
                breaches.push(Breach::new("group_offsets_are_the_headers", detail));
            }
        }
    }
}
