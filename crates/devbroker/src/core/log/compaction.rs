//! Compaction: of each key the newest record is kept.
//!
//! Wanted properties:
//! - A reader that starts at the beginning sees for every key its newest committed value.
//! - Offsets never change; only records that a newer record of the same key replaces, aborted records, and tombstones
//!   and markers older than `delete.retention.ms` go.
//! - Nothing at or above the last stable offset is touched, nor the last batch below it, so that a reader's position
//!   still reaches every end that it was told.
//! - Batches of a codec that isn't read here are left alone.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::{PartitionLog, StoredBatch};
use crate::core::batch::{self, HeaderParts};
use crate::core::records::{self, Record};

/// How a topic wants to be compacted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompactionPolicy {
    /// At least this part of the log is new since the last time.
    pub(crate) min_dirty_ratio: f64,
    /// At least so many bytes are new since the last time.
    pub(crate) min_dirty_bytes: usize,
    /// Newer batches are left alone.
    pub(crate) min_lag_ms: i64,
    /// Tombstones and markers stay this long after compaction first saw them.
    pub(crate) delete_retention_ms: i64,
}

impl PartitionLog {
    /// Compacts if enough is new. True if it did.
    pub(crate) fn compact(&mut self, policy: CompactionPolicy, now_ms: i64) -> bool {
        let bound = self.compaction_bound(policy, now_ms);
        if !self.worth_compacting(policy, bound, now_ms) {
            return false;
        }
        let newest = self.newest_offsets(bound);
        let mut kept = Vec::new();
        for mut stored in self.batches.drain(..bound) {
            let expired = stored.deletable_since_ms.is_some_and(|since| now_ms - since >= policy.delete_retention_ms);
            if stored.header.is_control() {
                stored.deletable_since_ms.get_or_insert(now_ms);
                if !expired {
                    kept.push(stored);
                }
                continue;
            }
            if let Some(smaller) = shrink(stored, &newest, expired, now_ms) {
                kept.push(smaller);
            }
        }
        for stored in kept.into_iter().rev() {
            self.batches.push_front(stored);
        }
        self.cost_bytes = self.batches.iter().map(StoredBatch::cost_bytes).sum();
        self.forget_cleaned_aborts();
        true
    }

    /// Index of the first batch that is left alone.
    fn compaction_bound(&self, policy: CompactionPolicy, now_ms: i64) -> usize {
        let stable = self.batches.partition_point(|stored| stored.header.base_offset < self.last_stable_offset());
        let old_enough = |stored: &StoredBatch| now_ms - stored.appended_at_ms >= policy.min_lag_ms;
        self.batches.iter().take(stable.saturating_sub(1)).take_while(|stored| old_enough(stored)).count()
    }

    fn worth_compacting(&self, policy: CompactionPolicy, bound: usize, now_ms: i64) -> bool {
        let (mut dirty_bytes, mut total_bytes, mut expired) = (0, 0, false);
        for stored in self.batches.range(..bound) {
            total_bytes += stored.bytes.len();
            if stored.header.base_offset >= self.cleaned_to {
                dirty_bytes += stored.bytes.len();
            }
            expired |= stored.deletable_since_ms.is_some_and(|since| now_ms - since >= policy.delete_retention_ms);
        }
        let enough = dirty_bytes > 0
            && dirty_bytes >= policy.min_dirty_bytes
            && dirty_bytes as f64 >= policy.min_dirty_ratio * total_bytes as f64;
        enough || expired
    }

    /// For each key the newest committed offset below the bound; aborted records count for nothing.
    fn newest_offsets(&mut self, bound: usize) -> Newest {
        let mut newest = Newest::default();
        for stored in self.batches.range(..bound).filter(|stored| !stored.header.is_control()) {
            let first = stored.header.base_offset;
            let producer = stored.header.producer_id;
            let aborted = stored.header.is_transactional()
                && self.aborted.iter().any(|aborted| {
                    aborted.producer_id == producer && (aborted.first_offset..aborted.last_offset).contains(&first)
                });
            if aborted {
                newest.aborted_batches.insert(first);
                continue;
            }
            for record in records::read(&stored.header, &stored.bytes).unwrap_or_default() {
                if let Some(key) = record.key {
                    newest.offset_by_key.insert(key, record.offset);
                }
            }
        }
        self.cleaned_to = self.batches.get(bound).map_or(self.end, |stored| stored.header.base_offset);
        newest
    }

    /// An aborted transaction whose records and marker are gone needs no entry any more.
    fn forget_cleaned_aborts(&mut self) {
        let markers: HashSet<i64> =
            self.batches.iter().filter(|stored| stored.header.is_control()).map(|s| s.header.base_offset).collect();
        self.aborted.retain(|aborted| markers.contains(&aborted.last_offset));
    }
}

#[derive(Default)]
struct Newest {
    offset_by_key: HashMap<Bytes, i64>,
    aborted_batches: HashSet<i64>,
}

impl Newest {
    fn keeps(&self, record: &Record, tombstones_expired: bool) -> bool {
        let Some(key) = &record.key else { return true };
        let replaced = self.offset_by_key.get(key).is_some_and(|newest| *newest > record.offset);
        let expired = tombstones_expired && record.value.is_none();
        !(replaced || expired)
    }
}

/// The batch without the records that may go; `None` if none is left.
fn shrink(mut stored: StoredBatch, newest: &Newest, expired: bool, now_ms: i64) -> Option<StoredBatch> {
    if newest.aborted_batches.contains(&stored.header.base_offset) {
        return None;
    }
    let Ok(records) = records::read(&stored.header, &stored.bytes) else {
        return Some(stored);
    };
    let count = records.len();
    let kept: Vec<Record> = records.into_iter().filter(|record| newest.keeps(record, expired)).collect();
    if kept.is_empty() {
        return None;
    }
    if kept.iter().any(|record| record.value.is_none()) {
        stored.deletable_since_ms.get_or_insert(now_ms);
    } else {
        stored.deletable_since_ms = None;
    }
    if kept.len() < count {
        rewrite(&mut stored, &kept);
    }
    Some(stored)
}

fn rewrite(stored: &mut StoredBatch, kept: &[Record]) {
    let old = &stored.header;
    let body: Vec<u8> = kept.iter().flat_map(|record| record.encoded.iter().copied()).collect();
    let parts = HeaderParts {
        base_offset: old.base_offset,
        last_offset_delta: old.last_offset_delta,
        attributes: batch::uncompressed(old.attributes),
        base_timestamp: old.base_timestamp,
        max_timestamp: old.max_timestamp,
        producer_id: old.producer_id,
        producer_epoch: old.producer_epoch,
        base_sequence: old.base_sequence,
        record_count: i32::try_from(kept.len()).unwrap_or(i32::MAX),
    };
    stored.bytes = batch::write(&parts, &body);
    if let Ok(header) = batch::read_header(&stored.bytes) {
        stored.header = header;
    }
}
