//! The port to a cluster and to the machine: all that a worker's driver asks of either, call by call, in words of our own.
//!
//! The driver's order of fencing, takeover, commit, rewind and rebalance is written against it, once. What runs in production
//! is [`crate::Librdkafka`]; the simulation has an implementation of its own, in virtual time and with faults.
//!
//! Wanted properties, for every implementation:
//! - a record is borrowed from the client's buffers, and nothing is allocated for it here;
//! - a call that says that it waits returns by its time-out; one that does not say so does not wait.

use std::collections::HashMap;
use std::sync::MutexGuard;
use std::time::Duration;

use domain::{BootTime, Timestamp};
use stream::{Partition, RecordHeaders};

use crate::KafkaFailure;

/// Makes the clients of one worker, and is what else it knows of the world: time, and chance.
pub trait Clients {
    /// A member of a group.
    type Member: Member;
    /// A reader outside of groups.
    type Reader: Reader;
    /// A transactional producer, which is fenced by what the member says.
    type Producer: Producer<Metadata = <Self::Member as Member>::Metadata>;

    /// A member that has not joined yet, under a slot that stays. It tells of the partitions of `primary`.
    fn member(&self, group_id: &str, slot_id: &str, primary: &str) -> Result<Self::Member, KafkaFailure>;
    /// A reader that reads nothing yet.
    fn reader(&self, client_id: &str, reading: Reading) -> Result<Self::Reader, KafkaFailure>;
    /// A producer that is not initialised yet.
    fn producer(&self, transactional_id: &str) -> Result<Self::Producer, KafkaFailure>;

    /// The wall clock, in milliseconds since 1970. It may jump.
    fn now_ms(&self) -> i64;
    /// The boot-time clock: how old a claim is.
    fn boot_time(&self) -> BootTime;
    /// Since some moment; never goes back.
    fn monotonic(&self) -> Duration;
    /// The worker's thread has nothing else to do.
    fn pause(&self, duration: Duration);
    /// A name that nobody else draws.
    fn unique_name(&self) -> String;

    /// How long ago that moment of [`Self::monotonic`] was.
    fn elapsed(&self, since: Duration) -> Duration {
        self.monotonic().saturating_sub(since)
    }
}

/// What a reader is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The inputs: committed records, from where it is told to and from no other place.
    Inputs,
    /// Tables and marks: committed records, followed as they come.
    Followed,
    /// What is there already: it hears soon that there is no more.
    Section {
        /// Committed records alone.
        committed_only: bool,
    },
}

/// What the group decided. It has to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebalance {
    /// These partitions are ours, too.
    Assigned(Vec<Partition>),
    /// These are not ours any more.
    Revoked {
        /// Which.
        partitions: Vec<Partition>,
        /// The group did not wait for us.
        lost: bool,
    },
}

/// A member of a group, under a stable slot. It reads nothing.
pub trait Member {
    /// What fences a transaction's offsets.
    type Metadata;

    /// Wants these topics from now on.
    fn subscribe(&self, topics: &[&str]) -> Result<(), ClientError>;
    /// Lets the client speak: of rebalances, which then wait, and of what went wrong.
    fn poll(&self) -> Option<ClientError>;
    /// Whether the slot was joined once more, so that this member is of no use any more.
    fn is_fenced(&self) -> bool;
    /// The next rebalance that waits.
    fn next(&self) -> Option<Rebalance>;
    /// Answers a rebalance.
    fn answer(&self, assigned: bool) -> Result<(), ClientError>;
    /// What fences offsets: the generation of the last rebalance that [`next`](Self::next) told of; none before the first.
    fn metadata(&self) -> Option<Self::Metadata>;
    /// Asks under which id the group knows the slot at present: another one each time that it is joined anew. None where it
    /// knows none; waits up to `timeout`.
    fn known_as(&self, timeout: Duration) -> Result<Option<String>, ClientError>;
    /// Asks for the group's stable offset of a partition; waits up to `timeout`.
    fn committed(&self, topic: &str, partition: Partition, timeout: Duration) -> Result<Option<i64>, ClientError>;
    /// From now on it answers rebalances by itself.
    fn answer_alone(&self);
    /// Leaves the group.
    fn leave(&self);
}

/// Where to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The topic, in full.
    pub topic: &'a str,
    /// Its partition.
    pub partition: Partition,
    /// From where on.
    pub from: Start,
}

/// From where on to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The log's beginning.
    Beginning,
    /// This offset.
    Offset(i64),
    /// What comes from now on.
    End,
}

/// What a reader heard.
#[derive(Debug)]
pub enum Polled<R> {
    /// A record.
    Record(R),
    /// There is no more of this partition for now.
    End(Partition),
    /// It has nothing to say.
    Nothing,
}

/// A reader outside of groups.
pub trait Reader {
    /// A record in the client's buffers.
    type Record<'r>: Record
    where
        Self: 'r;

    /// Reads these places and nothing else.
    fn read(&self, places: &[Place<'_>]) -> Result<(), ClientError>;
    /// Reads these as well.
    fn read_also(&self, places: &[Place<'_>]) -> Result<(), ClientError>;
    /// Reads these no more; what was fetched of them is dropped.
    fn leave(&self, places: &[(&str, Partition)]) -> Result<(), ClientError>;
    /// Reads nothing any more.
    fn leave_all(&self) -> Result<(), ClientError>;
    /// What came next, waiting at most so long.
    fn poll(&self, wait: Duration) -> Result<Polled<Self::Record<'_>>, ClientError>;
    /// How far what it reads was handed out, past what is no record: (topic, partition, next offset). What was not heard of
    /// since it was begun is left out.
    fn positions(&self) -> Result<Vec<(String, Partition, i64)>, ClientError>;
    /// Where a partition begins and ends, as this reader sees it.
    fn watermarks(&self, topic: &str, partition: Partition, timeout: Duration) -> Result<(i64, i64), ClientError>;
    /// The first offset whose record is of this time or later; none where there is no such record.
    fn offset_at(
        &self,
        topic: &str,
        partition: Partition,
        time: Timestamp,
        timeout: Duration,
    ) -> Result<Option<i64>, ClientError>;
    /// The cluster's id, if it answers.
    fn cluster_id(&self, timeout: Duration) -> Option<String>;
    /// The client ids of a group's members.
    fn members(&self, group_id: &str, timeout: Duration) -> Result<Vec<String>, ClientError>;
}

/// A record in a client's buffers.
pub trait Record {
    /// Its headers.
    type Headers<'h>: RecordHeaders
    where
        Self: 'h;

    /// Its topic.
    fn topic(&self) -> &str;
    /// Its partition.
    fn partition(&self) -> Partition;
    /// Its offset.
    fn offset(&self) -> i64;
    /// Its time.
    fn timestamp(&self) -> Timestamp;
    /// Whether the broker wrote down that time, when it got the record.
    fn is_broker_time(&self) -> bool;
    /// Its key.
    fn key(&self) -> Option<&[u8]>;
    /// Its value; none is a tombstone.
    fn value(&self) -> Option<&[u8]>;
    /// The first header of that name.
    fn header(&self, name: &str) -> Option<&[u8]>;
    /// All of them; none where it has none.
    fn headers(&self) -> Option<Self::Headers<'_>>;
}

/// A record to write.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The topic, in full.
    pub topic: &'a str,
    /// The partition; by the key where there is none.
    pub partition: Option<Partition>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers: name and value.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// What became of the records of a transaction.
#[derive(Debug, Default)]
pub struct Deliveries {
    /// By topic and partition: the offset written last; −1 where the broker did not say.
    pub last: Vec<(String, HashMap<Partition, i64>)>,
    /// The first that was not written, and of which topic and partition.
    pub failure: Option<(ClientError, String, Partition)>,
    /// The broker's time when it took the last record whose time it writes down itself.
    pub broker_time: Option<Timestamp>,
}

impl Deliveries {
    /// A record was written there, after those told before; −1 where the broker did not say at which offset.
    pub fn written(&mut self, topic: &str, partition: Partition, offset: i64) {
        let index = self.last.iter().position(|(name, _)| name == topic);
        let index = index.unwrap_or_else(|| {
            self.last.push((topic.to_owned(), HashMap::new()));
            self.last.len() - 1
        });
        self.last[index].1.insert(partition, offset.max(-1));
    }
}

/// A transactional producer.
pub trait Producer {
    /// What fences a transaction's offsets.
    type Metadata;

    /// Ends whatever its predecessor under the same id had open, and fences it; waits up to `timeout`.
    fn init(&self, timeout: Duration) -> Result<(), ClientError>;
    /// Begins a transaction.
    fn begin(&self) -> Result<(), ClientError>;
    /// Hands a record to the client; [`ErrorKind::BufferFull`] where it has no room.
    fn send(&self, record: &Outgoing<'_>) -> Result<(), ClientError>;
    /// Lets the client tell what was delivered, waiting at most so long.
    fn poll(&self, wait: Duration);
    /// How many records were sent, and are neither delivered nor given up.
    fn in_flight(&self) -> usize;
    /// What was delivered since it was last cleared.
    fn deliveries(&self) -> MutexGuard<'_, Deliveries>;
    /// The group's offsets become part of the transaction; waits up to `timeout`, and calls `meanwhile` until then, which
    /// says whether there may be more for it to do.
    fn send_offsets(
        &self,
        topic: &str,
        offsets: &[(Partition, i64)],
        group: &Self::Metadata,
        timeout: Duration,
        meanwhile: &mut dyn FnMut() -> bool,
    ) -> Result<(), ClientError>;
    /// Commits; waits up to `timeout`, and calls `meanwhile` until then, as above. Called again after a retriable error it
    /// goes on with the same request.
    fn commit(&self, timeout: Duration, meanwhile: &mut dyn FnMut() -> bool) -> Result<(), ClientError>;
    /// Aborts: gives up what the client still has, and waits up to `timeout` until what is under way was told (which takes a
    /// [`poll`](Self::poll)) and the broker has answered. Called again after a retriable error it goes on.
    fn abort(&self, timeout: Duration) -> Result<(), ClientError>;
}

/// What a client said that went wrong.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct ClientError {
    /// In the client's words.
    pub text: String,
    /// Whether the same may succeed later.
    pub passing: bool,
    /// What of it somebody does something about.
    pub kind: ErrorKind,
}

/// What of a failed call somebody does something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nothing.
    Other,
    /// The member was not polled for too long, and the group goes on without it.
    PollExceeded,
    /// The log does not have that offset.
    NoSuchOffset,
    /// The client has no room until the broker has acknowledged more.
    BufferFull,
    /// The record itself can't be written, now or later.
    BadRecord,
    /// A transactional call failed.
    Transaction {
        /// The producer is of no use any more.
        fatal: bool,
        /// The transaction has to be aborted; then the producer goes on.
        requires_abort: bool,
        /// The same call again is safe.
        retriable: bool,
    },
}

impl ClientError {
    /// Something that passes.
    pub fn passing(text: impl Into<String>) -> Self {
        Self { text: text.into(), passing: true, kind: ErrorKind::Other }
    }

    /// Nobody answered in time.
    pub fn timed_out() -> Self {
        Self::passing("nothing was heard in time")
    }

    /// Whether the same transactional call again is safe.
    pub fn is_retriable(&self) -> bool {
        matches!(self.kind, ErrorKind::Transaction { retriable: true, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_last_record_lies_is_not_known_from_those_before_it() {
        let mut deliveries = Deliveries::default();
        for (offset, known) in [(7, 7), (-1001, -1), (9, 9)] {
            deliveries.written("t", 0, offset);
            assert_eq!(deliveries.last, [("t".to_owned(), HashMap::from([(0, known)]))]);
        }
    }
}
