//! Who is given what: the leader's part in a rebalance, as the cooperative-sticky assignor plays it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use devbroker::core::groups::JoinedMember;
use devbroker::core::topics::TopicPartition;

use crate::world::World;

/// Its name.
pub(super) const NAME: &str = "cooperative-sticky";

/// What a member says of itself: what it wants, what it has, and of which generation it has that.
pub(super) fn claim(topics: &[String], owned: &BTreeSet<TopicPartition>, generation: i32) -> Bytes {
    let owned: Vec<String> = owned.iter().map(|at| format!("{}:{}", at.topic, at.partition)).collect();
    format!("{}|{}|{generation}", topics.join(","), owned.join(",")).into()
}

impl World {
    /// Cooperative and sticky: nobody is given what another still has.
    pub(super) fn assign(&self, members: &[JoinedMember]) -> Vec<(Arc<str>, Bytes)> {
        struct Claim<'m> {
            id: &'m str,
            generation: i32,
        }
        let mut wants: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut claims: BTreeMap<TopicPartition, Claim<'_>> = BTreeMap::new();
        for member in members {
            let text = std::str::from_utf8(&member.metadata).unwrap_or_default();
            let mut parts = text.split('|');
            let topics = parts.next().unwrap_or_default();
            let owned = read_places(parts.next().unwrap_or_default());
            let generation: i32 = parts.next().and_then(|text| text.parse().ok()).unwrap_or(-1);
            for topic in topics.split(',').filter(|topic| !topic.is_empty()) {
                wants.entry(topic).or_default().push(&member.id);
            }
            for at in owned {
                let claim = Claim { id: &member.id, generation };
                if claims.get(&at).is_none_or(|other| other.generation < generation) {
                    claims.insert(at, claim);
                }
            }
        }
        let mut given: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (topic, ids) in wants {
            let count = self.core.topic(topic).map_or(0, |topic| topic.partitions.len());
            let mut loads: BTreeMap<&str, Vec<i32>> = ids.iter().map(|id| (*id, Vec::new())).collect();
            let claim = |partition: i32| claims.get(&TopicPartition::new(topic, partition)).map(|claim| claim.id);
            let (mine, free): (Vec<i32>, Vec<i32>) =
                (0..count as i32).partition(|partition| claim(*partition).is_some_and(|id| loads.contains_key(id)));
            for partition in mine {
                if let Some(load) = claim(partition).and_then(|id| loads.get_mut(id)) {
                    load.push(partition);
                }
            }
            for partition in free {
                if let Some((_, load)) = loads.iter_mut().min_by_key(|(_, load)| load.len()) {
                    load.push(partition);
                }
            }
            loop {
                let most = loads.iter().max_by_key(|(_, load)| load.len()).map(|(id, load)| (*id, load.len()));
                let least = loads.iter().min_by_key(|(_, load)| load.len()).map(|(id, load)| (*id, load.len()));
                let (Some((most, high)), Some((least, low))) = (most, least) else { break };
                if high <= low + 1 {
                    break;
                }
                if let Some(moved) = loads.get_mut(most).and_then(Vec::pop)
                    && let Some(load) = loads.get_mut(least)
                {
                    load.push(moved);
                }
            }
            for (id, load) in loads {
                let free = load
                    .into_iter()
                    .filter(|partition| claim(*partition).is_none_or(|owner| owner == id || !ids.contains(&owner)));
                given.entry(id).or_default().extend(free.map(|partition| format!("{topic}:{partition}")));
            }
        }
        given.into_iter().map(|(id, places)| (Arc::from(id), Bytes::from(places.join(",")))).collect()
    }
}

/// What an assignment gives.
pub(super) fn read_places(text: &str) -> BTreeSet<TopicPartition> {
    let places = text.split(',').filter_map(|place| {
        let (topic, partition) = place.rsplit_once(':')?;
        Some(TopicPartition::new(topic, partition.parse().ok()?))
    });
    places.collect()
}
