//! Writing the markers that end a transaction.
//!
//! Wanted properties:
//! - Each partition of an ended transaction gets one marker, each group's pending offsets one verdict.
//! - With `marker_delay_ms` they land one by one, as on a real cluster: a reader may see a group's new offsets before
//!   the records of the same transaction. Until the last has landed the transactional id is busy.

use std::collections::BTreeMap;

use super::Core;
use super::topics::{Name, TopicPartition};
use super::transactions::Ended;

/// Where a marker goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Partition(TopicPartition),
    Group(Name),
}

#[derive(Clone, Debug)]
struct Marker {
    due_ms: i64,
    place: Place,
    id: Name,
    producer_id: i64,
    epoch: i16,
    commit: bool,
}

/// Markers that have not landed yet, and how many each transactional id still waits for.
#[derive(Debug, Default)]
pub(super) struct MarkersUnderWay {
    markers: Vec<Marker>,
    left: BTreeMap<Name, usize>,
}

impl Core {
    /// Writes the markers of an ended transaction, now or, where the settings say so, little by little.
    pub(super) fn end_with_markers(&mut self, ended: &Ended, now_ms: i64) {
        let partitions = ended.partitions.iter().cloned().map(Place::Partition);
        let places: Vec<Place> = partitions.chain(ended.groups.iter().cloned().map(Place::Group)).collect();
        self.markers.left.insert(Name::clone(&ended.id), places.len());
        if places.is_empty() {
            self.settle(&ended.id);
        }
        for place in places {
            let delay_ms = self.ids.below(self.config.marker_delay_ms);
            let (id, producer) = (Name::clone(&ended.id), ended.producer);
            let (producer_id, epoch, commit) = (producer.id, producer.epoch, ended.commit);
            self.markers.markers.push(Marker { due_ms: now_ms + delay_ms, place, id, producer_id, epoch, commit });
        }
        self.land_markers(now_ms);
    }

    /// Writes the markers that are due.
    pub(super) fn land_markers(&mut self, now_ms: i64) {
        let due: Vec<Marker> = self.markers.markers.extract_if(.., |marker| marker.due_ms <= now_ms).collect();
        for marker in due {
            match &marker.place {
                Place::Partition(at) => self.write_marker(at, &marker, now_ms),
                Place::Group(group) => {
                    if let Some(group) = self.groups.get_mut(group) {
                        group.end_transaction(marker.producer_id, marker.commit);
                    }
                }
            }
            if let Some(left) = self.markers.left.get_mut(&marker.id) {
                *left -= 1;
                if *left == 0 {
                    self.settle(&marker.id);
                }
            }
        }
    }

    fn settle(&mut self, id: &Name) {
        self.markers.left.remove(id);
        self.transactions.completed(id);
    }

    fn write_marker(&mut self, at: &TopicPartition, marker: &Marker, now_ms: i64) {
        if let Some(log) = self.topics.log_mut(at) {
            let before = log.cost_bytes();
            log.append_marker(marker.producer_id, marker.epoch, marker.commit, now_ms);
            self.used_bytes += log.cost_bytes() - before;
            self.progress.insert(at.clone());
        }
    }

    /// A topic is gone: so are the markers on their way to it.
    pub(super) fn drop_markers_of(&mut self, topic: &str) {
        let of_topic = |marker: &mut Marker| matches!(&marker.place, Place::Partition(at) if &*at.topic == topic);
        let dropped: Vec<Marker> = self.markers.markers.extract_if(.., of_topic).collect();
        for marker in dropped {
            if let Some(left) = self.markers.left.get_mut(&marker.id) {
                *left -= 1;
                if *left == 0 {
                    self.settle(&marker.id);
                }
            }
        }
    }
}
