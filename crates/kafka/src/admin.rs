//! Following topics from the outside: for commands that wait for something to be written.

use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use crate::KafkaFailure;
use crate::append::Header;
use crate::clients::{Cluster, Logged, ask, create, poll, watermarks};
use crate::port::Polled;

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRecord {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its time.
    pub timestamp: Timestamp,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<Header>,
}

pub(crate) fn owned(message: &BorrowedMessage<'_>) -> ReadRecord {
    ReadRecord {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: Timestamp::from_millis(message.timestamp().to_millis().unwrap_or_default()),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: message.headers().map_or_else(Vec::new, |headers| {
            headers
                .iter()
                .map(|h| Header {
                    name: h.key.to_owned().into(),
                    value: Bytes::copy_from_slice(h.value.unwrap_or_default()),
                })
                .collect()
        }),
    }
}

/// Follows topics from their beginning: for commands that wait for something to be written.
pub struct Follower {
    reader: BaseConsumer<Logged>,
    /// Asks where topics end. The reader's own connection is busy: the broker answers a question there only after the fetch
    /// before it, which waits for records.
    asker: BaseConsumer<Logged>,
    partitions: Vec<(String, i32)>,
    timeout: Duration,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("partitions", &self.partitions.len()).finish_non_exhaustive()
    }
}

impl Follower {
    /// Of the committed records of these topics.
    pub fn new(cluster: &Cluster, topics: &[String], timeout: Duration) -> Result<Self, KafkaFailure> {
        let reader: BaseConsumer<Logged> = create(&cluster.reader("vuelve-follow", true), "a reader")?;
        let mut assignment = TopicPartitionList::new();
        let mut partitions = Vec::new();
        for topic in topics {
            let failed = |source| KafkaFailure::of(format!("following {topic}"), source);
            let metadata = ask(timeout, || reader.fetch_metadata(Some(topic), timeout).map_err(failed))?;
            for partition in 0..metadata.topics().first().map_or(0, |topic| topic.partitions().len()) as i32 {
                assignment.add_partition_offset(topic, partition, Offset::Beginning).map_err(failed)?;
                partitions.push((topic.clone(), partition));
            }
        }
        reader.assign(&assignment).map_err(|source| KafkaFailure::of("following topics", source))?;
        let asker = create(&cluster.reader("vuelve-ask", true), "a reader")?;
        Ok(Self { reader, asker, partitions, timeout })
    }

    /// The next record, if one comes within `wait`.
    pub fn next(&self, wait: Duration) -> Result<Option<ReadRecord>, KafkaFailure> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match poll(&self.reader, left).map_err(|source| KafkaFailure::of("following topics", source))? {
                Polled::Record(message) => return Ok(Some(owned(&message))),
                Polled::Nothing if Instant::now() >= deadline => return Ok(None),
                Polled::Nothing | Polled::End(_) => {}
            }
        }
    }

    /// The last stable offset of every partition of a topic.
    pub fn stable_ends(&self, topic: &str, partitions: i32) -> Result<Vec<i64>, KafkaFailure> {
        (0..partitions).map(|partition| self.stable_end(topic, partition)).collect()
    }

    /// The last stable offset of a partition.
    pub fn stable_end(&self, topic: &str, partition: i32) -> Result<i64, KafkaFailure> {
        let end = || {
            let bounds = watermarks(&self.asker, topic, partition, self.timeout);
            bounds
                .map(|(_, end)| end)
                .map_err(|source| KafkaFailure::of(format!("asking for the end of {topic}"), source))
        };
        ask(self.timeout, end)
    }
}

/// Whether a changelog's record is a header: how far its partition got.
pub fn is_changelog_header(record: &ReadRecord) -> bool {
    record.key.as_deref() == Some(crate::worker::HEADER_KEY.as_bytes())
}
