//! Producing, fetching, deleting.

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::Core;
use super::batch::{self, BatchHeader};
use super::log::{AppendPolicy, Appended, Fetched, Isolation};
use super::producers::Verdict;
use super::topics::{Refusal, TopicPartition};
use super::transactions::ProducerIdentity;

/// What a reader wants of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchWish {
    /// Which one.
    pub at: TopicPartition,
    /// From where on.
    pub offset: i64,
    /// At most so much.
    pub max_bytes: usize,
}

impl Core {
    /// Appends the batch that a producer sent for a partition.
    pub fn produce(&mut self, at: &TopicPartition, records: &Bytes, now_ms: i64) -> Result<Appended, Refusal> {
        let bare = |code| Refusal::new(code, "");
        let topic = self.topics.get(&at.topic).ok_or_else(|| bare(ResponseError::UnknownTopicOrPartition))?;
        let config = &topic.config;
        if records.len() > config.max_message_bytes {
            let message = format!(
                "The batch is {} bytes and max.message.bytes of topic '{}' is {}.",
                records.len(),
                at.topic,
                config.max_message_bytes
            );
            return Err(Refusal::new(ResponseError::MessageTooLarge, message));
        }
        let policy = AppendPolicy { log_append_time: config.log_append_time, keys_required: config.compact };
        let header = batch::check_produced(records).map_err(bare)?;
        self.check_producer(&header, at).map_err(bare)?;
        let log = self.topics.log_mut(at).ok_or_else(|| bare(ResponseError::UnknownTopicOrPartition))?;
        if let Verdict::Duplicate { base_offset, timestamp_ms } = log.judge(&header).map_err(bare)? {
            return Ok(Appended { base_offset, log_append_time_ms: timestamp_ms, duplicate: true });
        }
        if self.used_bytes.saturating_add(records.len()) > self.config.memory_limit_bytes {
            self.chores.hurry();
            return Err(Refusal::new(ResponseError::PolicyViolation, full(self.config.memory_limit_bytes)));
        }
        let before = log.cost_bytes();
        let appended = log.append(records, &header, policy, now_ms).map_err(|code| {
            let why = if code == ResponseError::InvalidRecord {
                "A compacted topic takes no record without a key."
            } else {
                ""
            };
            Refusal::new(code, why)
        })?;
        self.used_bytes += log.cost_bytes() - before;
        self.progress.insert(at.clone());
        Ok(appended)
    }

    /// A transactional batch is taken only from the owner of an open transaction that the partition was added to.
    fn check_producer(&self, header: &BatchHeader, at: &TopicPartition) -> Result<(), ResponseError> {
        if !header.is_transactional() {
            return Ok(());
        }
        self.transactions.check_append(ProducerIdentity { id: header.producer_id, epoch: header.producer_epoch }, at)
    }

    /// Reads several partitions, at most `max_bytes` together; the first batch that there is comes even if larger.
    pub fn fetch(
        &self,
        wishes: &[FetchWish],
        max_bytes: usize,
        isolation: Isolation,
    ) -> Vec<Result<Fetched, ResponseError>> {
        let mut left = max_bytes;
        let mut empty = true;
        let mut results = Vec::with_capacity(wishes.len());
        for wish in wishes {
            let log = self.topics.log(&wish.at).ok_or(ResponseError::UnknownTopicOrPartition);
            let fetched = log.and_then(|log| log.fetch(wish.offset, wish.max_bytes.min(left), empty, isolation));
            if let Ok(fetched) = &fetched {
                left = left.saturating_sub(fetched.size_bytes);
                empty &= fetched.batches.is_empty();
            }
            results.push(fetched);
        }
        results
    }

    /// Would [`Self::fetch`] give at least `min_bytes`, or an error, at once?
    pub fn fetch_is_due(&self, wishes: &[FetchWish], min_bytes: usize, isolation: Isolation) -> bool {
        let mut bytes = 0;
        for wish in wishes {
            let Some(log) = self.topics.log(&wish.at) else { return true };
            if wish.offset < log.log_start_offset() || wish.offset > log.end_offset() {
                return true;
            }
            bytes += log.available_bytes(wish.offset, min_bytes.min(wish.max_bytes.max(1)), isolation);
            if bytes >= min_bytes {
                return true;
            }
        }
        bytes >= min_bytes
    }

    /// Drops the records below `offset` (-1: all) and gives the new start of the log.
    pub fn delete_records(&mut self, at: &TopicPartition, offset: i64) -> Result<i64, ResponseError> {
        let log = self.topics.log_mut(at).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let before = log.cost_bytes();
        let start = log.delete_before(offset)?;
        self.used_bytes -= before - log.cost_bytes();
        Ok(start)
    }
}

fn full(limit_bytes: usize) -> String {
    format!(
        "This in-memory broker is full: its logs reached memory_limit_bytes ({limit_bytes}). Raise the limit, lower \
         retention.ms or retention.bytes, or delete records or topics."
    )
}
