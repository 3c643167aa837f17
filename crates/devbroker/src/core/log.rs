//! One partition: its batches, who wrote them, which transactions are open, what a reader may see.
//!
//! Wanted properties:
//! - Offsets are dense when written and never reused; a batch is stored whole or not at all.
//! - The last stable offset is where the oldest open transaction began here, else the end; it never goes back.
//! - A `read_committed` fetch ends at the last stable offset and names every aborted transaction that overlaps it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::batch::{self, BatchHeader};
pub use super::producers::ActiveProducer;
use super::producers::{Producers, Verdict};
use super::records;

mod compaction;
mod lookup;

pub(crate) use compaction::CompactionPolicy;
pub use lookup::TimestampQuery;

/// Bookkeeping that a stored batch costs beside its bytes.
const BATCH_OVERHEAD_BYTES: usize = 160;

#[derive(Clone, Debug)]
struct StoredBatch {
    header: BatchHeader,
    bytes: Bytes,
    appended_at_ms: i64,
    /// Since when compaction knows that tombstones or a marker in it may go.
    deletable_since_ms: Option<i64>,
}

impl StoredBatch {
    fn cost_bytes(&self) -> usize {
        self.bytes.len() + BATCH_OVERHEAD_BYTES
    }
}

/// A transaction that was aborted: its records are hidden from `read_committed` readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Who wrote it.
    pub producer_id: i64,
    /// Where it began on this partition.
    pub first_offset: i64,
    /// Where its abort marker is.
    pub last_offset: i64,
}

/// Which records a reader wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// All.
    ReadUncommitted,
    /// None of open or aborted transactions.
    ReadCommitted,
}

/// Where an appended batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: i64,
    /// The broker's time, where the topic stamps it, else -1.
    pub log_append_time_ms: i64,
    /// Was it there before (an idempotent producer sent it twice)?
    pub duplicate: bool,
}

/// How a topic wants its batches written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AppendPolicy {
    pub(crate) log_append_time: bool,
    pub(crate) keys_required: bool,
}

/// What a fetch of one partition gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Batches, whole, the first one holding the asked offset (or the next that exists).
    pub batches: Vec<Bytes>,
    /// Their bytes.
    pub size_bytes: usize,
    /// Aborted transactions that overlap them (`read_committed` only).
    pub aborted: Option<Vec<AbortedTransaction>>,
    /// End of the log.
    pub high_watermark: i64,
    /// See [`PartitionLog::last_stable_offset`].
    pub last_stable_offset: i64,
    /// First offset that is kept.
    pub log_start_offset: i64,
}

/// One partition's log.
#[derive(Clone, Debug, Default)]
pub struct PartitionLog {
    batches: VecDeque<StoredBatch>,
    log_start: i64,
    end: i64,
    cost_bytes: usize,
    producers: Producers,
    /// Open transactions: first offset here, producer.
    open: BTreeMap<i64, i64>,
    aborted: Vec<AbortedTransaction>,
    /// Compaction has seen everything below.
    cleaned_to: i64,
}

impl PartitionLog {
    /// First offset that is kept.
    pub fn log_start_offset(&self) -> i64 {
        self.log_start
    }

    /// The offset that the next record gets; on a single node also the high watermark.
    pub fn end_offset(&self) -> i64 {
        self.end
    }

    /// Everything below is decided: where the oldest open transaction began, else the end.
    pub fn last_stable_offset(&self) -> i64 {
        self.open.keys().next().map_or(self.end, |first| (*first).max(self.log_start))
    }

    /// What the log costs in memory.
    pub fn cost_bytes(&self) -> usize {
        self.cost_bytes
    }

    /// The producers that this partition remembers.
    pub fn active_producers(&self) -> impl Iterator<Item = ActiveProducer> {
        self.producers.iter()
    }

    /// Is this batch of an idempotent producer already here (or out of order)?
    pub(crate) fn judge(&self, header: &BatchHeader) -> Result<Verdict, ResponseError> {
        if header.producer_id < 0 { Ok(Verdict::New) } else { self.producers.judge(header) }
    }

    /// Appends a checked batch that [`Self::judge`] found new.
    pub(crate) fn append(
        &mut self,
        produced: &Bytes,
        header: &BatchHeader,
        policy: AppendPolicy,
        now_ms: i64,
    ) -> Result<Appended, ResponseError> {
        if policy.keys_required && lacks_keys(header, produced) {
            return Err(ResponseError::InvalidRecord);
        }
        let base_offset = self.end;
        let append_time_ms = policy.log_append_time.then_some(now_ms);
        let bytes = batch::stamp(produced, base_offset, append_time_ms);
        let log_append_time_ms = append_time_ms.unwrap_or(-1);
        if header.producer_id >= 0 && self.producers.appended(header, base_offset, log_append_time_ms, now_ms) {
            self.open.insert(base_offset, header.producer_id);
        }
        self.push(bytes, now_ms)?;
        Ok(Appended { base_offset, log_append_time_ms, duplicate: false })
    }

    /// Ends a producer's transaction here with a marker.
    pub(crate) fn append_marker(&mut self, producer_id: i64, epoch: i16, commit: bool, now_ms: i64) {
        let marker_offset = self.end;
        let bytes = batch::marker(marker_offset, producer_id, epoch, commit, now_ms);
        if let Some(first_offset) = self.producers.ended(producer_id, epoch, now_ms) {
            self.open.remove(&first_offset);
            if !commit {
                self.aborted.push(AbortedTransaction { producer_id, first_offset, last_offset: marker_offset });
            }
        }
        let pushed = self.push(bytes, now_ms);
        debug_assert!(pushed.is_ok(), "a marker that was just written has a header");
    }

    fn push(&mut self, bytes: Bytes, now_ms: i64) -> Result<(), ResponseError> {
        let header = batch::read_header(&bytes)?;
        let stored = StoredBatch { header, bytes, appended_at_ms: now_ms, deletable_since_ms: None };
        self.end = header.last_offset() + 1;
        self.cost_bytes += stored.cost_bytes();
        self.batches.push_back(stored);
        Ok(())
    }

    /// Reads from `offset`; at least one batch if there is any and `at_least_one`, else at most `max_bytes`.
    pub fn fetch(
        &self,
        offset: i64,
        max_bytes: usize,
        at_least_one: bool,
        isolation: Isolation,
    ) -> Result<Fetched, ResponseError> {
        if offset < self.log_start || offset > self.end {
            return Err(ResponseError::OffsetOutOfRange);
        }
        let bound = self.bound(isolation);
        let mut fetched = Fetched {
            high_watermark: self.end,
            last_stable_offset: self.last_stable_offset(),
            log_start_offset: self.log_start,
            ..Fetched::default()
        };
        let mut end = offset;
        for stored in self.batches.range(self.index_of(offset)..) {
            let fits = fetched.size_bytes + stored.bytes.len() <= max_bytes;
            if stored.header.base_offset >= bound || !(fits || (at_least_one && fetched.batches.is_empty())) {
                break;
            }
            fetched.size_bytes += stored.bytes.len();
            fetched.batches.push(stored.bytes.clone());
            end = stored.header.last_offset() + 1;
        }
        if isolation == Isolation::ReadCommitted {
            fetched.aborted = Some(self.aborted_between(offset, end));
        }
        Ok(fetched)
    }

    /// Bytes that a fetch from `offset` could get at once: for `min_bytes`, without building the answer.
    pub fn available_bytes(&self, offset: i64, enough: usize, isolation: Isolation) -> usize {
        let bound = self.bound(isolation);
        let mut bytes = 0;
        for stored in self.batches.range(self.index_of(offset)..) {
            if stored.header.base_offset >= bound || bytes >= enough {
                break;
            }
            bytes += stored.bytes.len();
        }
        bytes
    }

    fn bound(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.end,
            Isolation::ReadCommitted => self.last_stable_offset(),
        }
    }

    fn aborted_between(&self, from: i64, to: i64) -> Vec<AbortedTransaction> {
        // Sorted by marker offset: all that end before `from` come first.
        let start = self.aborted.partition_point(|aborted| aborted.last_offset < from);
        self.aborted[start..].iter().filter(|aborted| aborted.first_offset < to).copied().collect()
    }

    /// Index of the first batch that ends at or after `offset`.
    fn index_of(&self, offset: i64) -> usize {
        self.batches.partition_point(|stored| stored.header.last_offset() < offset)
    }

    /// Raises the start of the log (`DeleteRecords`).
    pub(crate) fn delete_before(&mut self, offset: i64) -> Result<i64, ResponseError> {
        let offset = if offset == -1 { self.end } else { offset };
        if offset < 0 || offset > self.end {
            return Err(ResponseError::OffsetOutOfRange);
        }
        self.raise_start(offset);
        Ok(self.log_start)
    }

    /// Drops batches from the front that are older than `keep_ms`, and more than `keep_bytes` of them; never beyond
    /// the last stable offset.
    pub(crate) fn retain(&mut self, keep_ms: Option<i64>, keep_bytes: Option<usize>, now_ms: i64) {
        let stable = self.last_stable_offset();
        let mut size_bytes: usize = self.batches.iter().map(|stored| stored.bytes.len()).sum();
        let mut start = self.log_start;
        for stored in &self.batches {
            let expired = keep_ms.is_some_and(|keep| stored.header.max_timestamp < now_ms.saturating_sub(keep));
            // As with Kafka's segments, what is dropped for size leaves at least the limit behind.
            let surplus = keep_bytes.is_some_and(|keep| size_bytes - stored.bytes.len() >= keep);
            if stored.header.last_offset() >= stable || !(expired || surplus) {
                break;
            }
            size_bytes -= stored.bytes.len();
            start = stored.header.last_offset() + 1;
        }
        self.raise_start(start);
    }

    fn raise_start(&mut self, offset: i64) {
        self.log_start = self.log_start.max(offset);
        while let Some(first) = self.batches.front().filter(|first| first.header.last_offset() < self.log_start) {
            self.cost_bytes -= first.cost_bytes();
            self.batches.pop_front();
        }
        let log_start = self.log_start;
        self.aborted.retain(|aborted| aborted.last_offset >= log_start);
        self.cleaned_to = self.cleaned_to.max(log_start);
    }

    pub(crate) fn forget_idle_producers(&mut self, before_ms: i64) {
        self.producers.forget_idle(before_ms);
    }
}

fn lacks_keys(header: &BatchHeader, batch: &Bytes) -> bool {
    records::read(header, batch).is_ok_and(|records| records.iter().any(|record| record.key.is_none()))
}
