//! What a partition remembers of each idempotent producer.
//!
//! Wanted properties:
//! - A batch sent again is recognised and answered with the offset that it got the first time, while it is among the
//!   producer's last five; an older one is answered as a duplicate without an offset.
//! - A gap in the sequence is refused: no record is lost unseen.
//! - An older epoch is refused: a fenced producer writes nothing.

use std::collections::{BTreeMap, VecDeque};

use kafka_protocol::ResponseError;

use super::batch::BatchHeader;

/// A producer may have this many batches in flight; as many are remembered.
const REMEMBERED_BATCHES: usize = 5;

#[derive(Clone, Debug)]
struct SentBatch {
    base_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
    timestamp_ms: i64,
}

/// One producer, as seen by one partition.
#[derive(Clone, Debug)]
struct ProducerEntry {
    epoch: i16,
    sent: VecDeque<SentBatch>,
    last_seen_ms: i64,
    /// First offset of its open transaction here.
    open_since: Option<i64>,
}

/// One producer, as `DescribeProducers` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub id: i64,
    /// The epoch that it wrote under last.
    pub epoch: i16,
    /// The last sequence number, or -1.
    pub last_sequence: i32,
    /// When it wrote last, in ms.
    pub last_seen_ms: i64,
    /// Where its open transaction began on this partition.
    pub open_since: Option<i64>,
}

/// What is to be done with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Append it.
    New,
    /// It is already there, at this offset, stamped with this time.
    Duplicate { base_offset: i64, timestamp_ms: i64 },
}

/// How far `sequence` lies ahead of `last`, on the ring of 2^31 sequence numbers: what is less than half a ring ahead
/// is ahead, the rest is behind.
fn steps_ahead(sequence: i32, last: i32) -> i32 {
    let ahead = sequence.wrapping_sub(last) & i32::MAX;
    if ahead < 1 << 30 { ahead } else { ahead - i32::MAX - 1 }
}

/// All producers that a partition knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {
    entries: BTreeMap<i64, ProducerEntry>,
}

impl Producers {
    /// Judges a batch without changing anything.
    pub(crate) fn judge(&self, batch: &BatchHeader) -> Result<Verdict, ResponseError> {
        let Some(entry) = self.entries.get(&batch.producer_id) else {
            // All that the producer wrote may have been deleted since: whatever it goes on with is new.
            return Ok(Verdict::New);
        };
        if batch.producer_epoch < entry.epoch {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        if batch.producer_epoch > entry.epoch {
            return if batch.base_sequence == 0 {
                Ok(Verdict::New)
            } else {
                Err(ResponseError::OutOfOrderSequenceNumber)
            };
        }
        let same = |sent: &&SentBatch| {
            sent.base_sequence == batch.base_sequence && sent.last_sequence == batch.last_sequence()
        };
        if let Some(sent) = entry.sent.iter().find(same) {
            return Ok(Verdict::Duplicate { base_offset: sent.base_offset, timestamp_ms: sent.timestamp_ms });
        }
        let Some(last) = entry.sent.back() else {
            return Ok(Verdict::New);
        };
        if steps_ahead(batch.base_sequence, last.last_sequence) == 1 {
            Ok(Verdict::New)
        } else if steps_ahead(batch.last_sequence(), last.last_sequence) <= 0 {
            Err(ResponseError::DuplicateSequenceNumber)
        } else {
            Err(ResponseError::OutOfOrderSequenceNumber)
        }
    }

    /// Remembers a batch that was appended at `base_offset`. True if it opens a transaction here.
    pub(crate) fn appended(&mut self, batch: &BatchHeader, base_offset: i64, timestamp_ms: i64, now_ms: i64) -> bool {
        let entry = self.entry(batch.producer_id, batch.producer_epoch, now_ms);
        entry.sent.push_back(SentBatch {
            base_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence(),
            base_offset,
            timestamp_ms,
        });
        if entry.sent.len() > REMEMBERED_BATCHES {
            entry.sent.pop_front();
        }
        let opens = batch.is_transactional() && entry.open_since.is_none();
        if opens {
            entry.open_since = Some(base_offset);
        }
        opens
    }

    /// The producer's transaction ended here, under this epoch. Returns the offset that it had begun at, if it wrote.
    pub(crate) fn ended(&mut self, producer_id: i64, epoch: i16, now_ms: i64) -> Option<i64> {
        self.entry(producer_id, epoch, now_ms).open_since.take()
    }

    /// Forgets producers that were not seen since `before_ms` and have nothing open.
    pub(crate) fn forget_idle(&mut self, before_ms: i64) {
        self.entries.retain(|_, entry| entry.open_since.is_some() || entry.last_seen_ms >= before_ms);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = ActiveProducer> {
        self.entries.iter().map(|(id, entry)| ActiveProducer {
            id: *id,
            epoch: entry.epoch,
            last_sequence: entry.sent.back().map_or(-1, |batch| batch.last_sequence),
            last_seen_ms: entry.last_seen_ms,
            open_since: entry.open_since,
        })
    }

    fn entry(&mut self, producer_id: i64, epoch: i16, now_ms: i64) -> &mut ProducerEntry {
        let entry = self.entries.entry(producer_id).or_insert_with(|| ProducerEntry {
            epoch,
            sent: VecDeque::new(),
            last_seen_ms: now_ms,
            open_since: None,
        });
        if entry.epoch != epoch {
            entry.epoch = epoch;
            entry.sent.clear();
        }
        entry.last_seen_ms = now_ms;
        entry
    }
}
