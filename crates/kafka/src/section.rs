//! Reading a topic once, as of now: for commands that look, and for tests.
//!
//! Wanted properties:
//! - what was committed before the reading began is read, and nothing that was written since;
//! - it ends, however fast others write; a broker that says nothing for the time-out is an error.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use domain::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::KafkaFailure;
use crate::admin::{ReadRecord, owned};
use crate::clients::{Cluster, Logged, ask, create, offset_at, poll, watermarks};
use crate::port::Polled;

const POLL: Duration = Duration::from_millis(100);

/// Which records of a topic to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// This partition alone; else all.
    pub partition: Option<i32>,
    /// Those stored at this time or later, by their own timestamps; else from the beginning.
    pub since: Option<Timestamp>,
    /// From this offset on; only together with a partition.
    pub from: Option<i64>,
    /// What is in the log at all: also what was aborted, and what is in open transactions.
    pub uncommitted: bool,
}

/// How far a reading has come, in offsets. Markers of transactions count, so it is a measure and not a number of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What lies behind.
    pub done: u64,
    /// What there was to read when it began.
    pub total: u64,
}

/// Hands every committed record of a topic, as of now, to `each`, partition by partition in any order, until it says
/// `false`. Gives up where the broker says nothing for `timeout`.
pub fn read_topic(
    cluster: &Cluster,
    topic: &str,
    timeout: Duration,
    mut each: impl FnMut(ReadRecord) -> bool,
) -> Result<(), KafkaFailure> {
    read_section(cluster, topic, Section::default(), timeout, |record, _| each(record))
}

/// The same for a section of it; `each` is told how far the reading has come.
pub fn read_section(
    cluster: &Cluster,
    topic: &str,
    section: Section,
    timeout: Duration,
    mut each: impl FnMut(ReadRecord, Progress) -> bool,
) -> Result<(), KafkaFailure> {
    let reader: BaseConsumer<Logged> = create(&cluster.reader("vuelve-read", !section.uncommitted), "a reader")?;
    let failed = |source| KafkaFailure::of(format!("reading {topic}"), source);
    let mut open = ask(timeout, || spans(&reader, topic, section, timeout))?;
    let mut assignment = TopicPartitionList::new();
    for (partition, span) in &open {
        assignment.add_partition_offset(topic, *partition, Offset::Offset(span.next)).map_err(failed)?;
    }
    let mut progress = Progress { done: 0, total: open.values().map(Span::left).sum() };
    if open.is_empty() {
        return Ok(());
    }
    reader.assign(&assignment).map_err(failed)?;
    let mut heard = Instant::now();
    while !open.is_empty() {
        match poll(&reader, POLL).map_err(failed)? {
            Polled::Nothing if heard.elapsed() > timeout => {
                return Err(failed(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)));
            }
            Polled::Nothing => continue,
            Polled::End(partition) => {
                progress.done += open.remove(&partition).map_or(0, |span| span.left());
            }
            Polled::Record(message) => {
                let (partition, offset) = (message.partition(), message.offset());
                // What was written since the reading began is another reading's.
                let Some(span) = open.get_mut(&partition) else { continue };
                if offset < span.end {
                    progress.done += (offset + 1 - span.next).max(0).unsigned_abs();
                    span.next = offset + 1;
                    if !each(owned(&message), progress) {
                        return Ok(());
                    }
                }
                if offset + 1 >= span.end {
                    progress.done += open.remove(&partition).map_or(0, |span| span.left());
                }
            }
        }
        heard = Instant::now();
    }
    Ok(())
}

/// Where each of these partitions of a topic begins, and where its log ends, open transactions and all.
pub fn bounds(
    cluster: &Cluster,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
    timeout: Duration,
) -> Result<BTreeMap<i32, (i64, i64)>, KafkaFailure> {
    let asker: BaseConsumer<Logged> = create(&cluster.reader("vuelve-bounds", false), "a reader")?;
    let failed = |source| KafkaFailure::of(format!("asking where {topic} begins and ends"), source);
    let of = |partition| {
        let bounds = ask(timeout, || watermarks(&asker, topic, partition, timeout).map_err(failed))?;
        Ok((partition, bounds))
    };
    partitions.into_iter().map(of).collect()
}

/// What is to be read of a partition.
struct Span {
    next: i64,
    end: i64,
}

impl Span {
    fn left(&self) -> u64 {
        (self.end - self.next).max(0).unsigned_abs()
    }
}

/// By partition that holds anything of the section.
fn spans(
    reader: &BaseConsumer<Logged>,
    topic: &str,
    section: Section,
    timeout: Duration,
) -> Result<HashMap<i32, Span>, KafkaFailure> {
    let failed = |source| KafkaFailure::of(format!("asking where {topic} begins and ends"), source);
    let metadata = reader.fetch_metadata(Some(topic), timeout).map_err(failed)?;
    let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len()) as i32;
    if count == 0 {
        return Err(KafkaFailure::Installation(format!("{topic} does not exist; run `vuelve topics create`")));
    }
    if let Some(partition) = section.partition.filter(|partition| !(0..count).contains(partition)) {
        return Err(KafkaFailure::Installation(format!("{topic} has no partition {partition}: it has {count}")));
    }
    let mut spans = HashMap::new();
    for partition in (0..count).filter(|partition| section.partition.is_none_or(|wanted| wanted == *partition)) {
        let (start, end) = watermarks(reader, topic, partition, timeout).map_err(failed)?;
        let from = section.partition.and(section.from).unwrap_or(start).max(start);
        let since = section
            .since
            .map(|since| offset_at(reader, topic, partition, since, timeout))
            .transpose()
            .map_err(failed)?;
        let next = since.unwrap_or(Some(start)).map_or(end, |since| since.max(from));
        if next < end {
            spans.insert(partition, Span { next, end });
        }
    }
    Ok(spans)
}
