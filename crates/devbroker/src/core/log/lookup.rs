//! Offsets by time: what `ListOffsets` asks of a partition.

use super::{Isolation, PartitionLog, StoredBatch};
use crate::core::records;

/// What an offset is asked for by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampQuery {
    /// The first offset that is kept.
    Earliest,
    /// The end, or the last stable offset for `read_committed`.
    Latest,
    /// The record with the greatest timestamp.
    MaxTimestamp,
    /// The first record with this timestamp (ms) or a later one.
    AtOrAfter(i64),
}

impl PartitionLog {
    /// Offset and timestamp (-1 where it has none) that a query leads to; `None` if no record answers it.
    pub fn offset_for(&self, query: TimestampQuery, isolation: Isolation) -> Option<(i64, i64)> {
        let bound = self.bound(isolation);
        match query {
            TimestampQuery::Earliest => Some((self.log_start, -1)),
            TimestampQuery::Latest => Some((bound, -1)),
            TimestampQuery::MaxTimestamp => {
                let data = self.batches.iter().filter(|stored| !stored.header.is_control());
                let newest = data.rev().max_by_key(|stored| stored.header.max_timestamp)?;
                self.first_at(newest, newest.header.max_timestamp)
            }
            TimestampQuery::AtOrAfter(timestamp_ms) => {
                let late_enough =
                    |stored: &&StoredBatch| !stored.header.is_control() && stored.header.max_timestamp >= timestamp_ms;
                let mut found = self.batches.iter().filter(late_enough);
                let found = found.find_map(|stored| self.first_at(stored, timestamp_ms))?;
                (found.0 < bound).then_some(found)
            }
        }
    }

    /// The first record of a batch that is kept and is at or after a time. Batches of an unread codec answer with
    /// their first offset: a reader that starts there misses nothing.
    fn first_at(&self, stored: &StoredBatch, timestamp_ms: i64) -> Option<(i64, i64)> {
        let Ok(records) = records::read(&stored.header, &stored.bytes) else {
            return Some((stored.header.base_offset.max(self.log_start), stored.header.max_timestamp));
        };
        let mut records = records.into_iter();
        records
            .find(|record| record.offset >= self.log_start && record.timestamp_ms >= timestamp_ms)
            .map(|record| (record.offset, record.timestamp_ms))
    }
}
