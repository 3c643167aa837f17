//! A reader outside of groups, and its records.

use std::time::Duration;

use domain::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::groups::GroupInfo;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use stream::Partition;

use crate::clients::{Logged, offset_at, reassign, settle, unassign, watermarks};
use crate::dead_letters::HeadersOf;
use crate::port::{ClientError, Place, Polled, Reader, Record, Start};

/// A reader outside of groups.
pub struct LogReader(pub(super) BaseConsumer<Logged>);

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogReader").finish_non_exhaustive()
    }
}

impl Reader for LogReader {
    type Record<'r> = BorrowedMessage<'r>;

    fn read(&self, places: &[Place<'_>]) -> Result<(), ClientError> {
        Ok(reassign(&self.0, &list(places)?)?)
    }

    fn read_also(&self, places: &[Place<'_>]) -> Result<(), ClientError> {
        Ok(self.0.incremental_assign(&list(places)?)?)
    }

    fn leave(&self, places: &[(&str, Partition)]) -> Result<(), ClientError> {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in places {
            list.add_partition(topic, *partition);
        }
        self.0.incremental_unassign(&list)?;
        settle(&self.0);
        Ok(())
    }

    fn leave_all(&self) -> Result<(), ClientError> {
        Ok(unassign(&self.0)?)
    }

    fn poll(&self, wait: Duration) -> Result<Polled<BorrowedMessage<'_>>, ClientError> {
        self.0.context().bearings.find_again(self.0.client());
        match self.0.poll(wait) {
            None => Ok(Polled::Nothing),
            Some(Ok(message)) => Ok(Polled::Record(message)),
            Some(Err(KafkaError::PartitionEOF(partition))) => Ok(Polled::End(partition)),
            Some(Err(error)) => Err(error.into()),
        }
    }

    fn positions(&self) -> Result<Vec<(String, Partition, i64)>, ClientError> {
        let list = self.0.position()?;
        let known = list.elements().into_iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some((element.topic().to_owned(), element.partition(), offset)),
            _ => None,
        });
        Ok(known.collect())
    }

    fn watermarks(&self, topic: &str, partition: Partition, timeout: Duration) -> Result<(i64, i64), ClientError> {
        Ok(watermarks(&self.0, topic, partition, timeout)?)
    }

    fn offset_at(
        &self,
        topic: &str,
        partition: Partition,
        time: Timestamp,
        timeout: Duration,
    ) -> Result<Option<i64>, ClientError> {
        Ok(offset_at(&self.0, topic, partition, time, timeout)?)
    }

    fn cluster_id(&self, timeout: Duration) -> Option<String> {
        self.0.client().fetch_cluster_id(timeout)
    }

    fn members(&self, group_id: &str, timeout: Duration) -> Result<Vec<String>, ClientError> {
        let groups = self.0.fetch_group_list(Some(group_id), timeout)?;
        let members = groups.groups().iter().flat_map(GroupInfo::members);
        Ok(members.map(|member| member.client_id().to_owned()).collect())
    }
}

fn list(places: &[Place<'_>]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for place in places {
        let from = match place.from {
            Start::Beginning => Offset::Beginning,
            Start::Offset(offset) => Offset::Offset(offset),
            Start::End => Offset::End,
        };
        list.add_partition_offset(place.topic, place.partition, from)?;
    }
    Ok(list)
}

impl Record for BorrowedMessage<'_> {
    type Headers<'h>
        = HeadersOf<'h>
    where
        Self: 'h;

    fn topic(&self) -> &str {
        Message::topic(self)
    }

    fn partition(&self) -> Partition {
        Message::partition(self)
    }

    fn offset(&self) -> i64 {
        Message::offset(self)
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(Message::timestamp(self).to_millis().unwrap_or_default())
    }

    fn is_broker_time(&self) -> bool {
        matches!(Message::timestamp(self), rdkafka::Timestamp::LogAppendTime(_))
    }

    fn key(&self) -> Option<&[u8]> {
        Message::key(self)
    }

    fn value(&self) -> Option<&[u8]> {
        self.payload()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        Message::headers(self)?.iter().find(|header| header.key == name)?.value
    }

    fn headers(&self) -> Option<HeadersOf<'_>> {
        Message::headers(self).map(HeadersOf)
    }
}
