//! Where a partition's records are: by time, by leader epoch; and deleting the first of them.

use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
};

use super::fetch::isolation;
use super::{Caller, LEADER_EPOCH, code, name};
use crate::core::ErrorCode;
use crate::core::log::TimestampQuery;
use crate::core::topics::{Name, TopicPartition};

pub(super) fn list_offsets(caller: &Caller<'_>, request: &ListOffsetsRequest) -> ListOffsetsResponse {
    let isolation = isolation(request.isolation_level);
    caller.shared.with_core(|core, _| {
        let topics = request.topics.iter().map(|topic| {
            let topic_name = name(&topic.name.0);
            let partitions = topic.partitions.iter().map(|partition| {
                let at = TopicPartition::new(Name::clone(&topic_name), partition.partition_index);
                let found = query(partition.timestamp)
                    .and_then(|query| core.log(&at).map(|log| log.offset_for(query, isolation).unwrap_or((-1, -1))));
                let response = ListOffsetsPartitionResponse::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(code(&found));
                let Ok((offset, timestamp)) = found else { return response };
                let response = response.with_offset(offset).with_timestamp(timestamp);
                if caller.version >= 4 && offset >= 0 { response.with_leader_epoch(LEADER_EPOCH) } else { response }
            });
            ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
        });
        ListOffsetsResponse::default().with_topics(topics.collect())
    })
}

fn query(timestamp: i64) -> Result<TimestampQuery, ErrorCode> {
    match timestamp {
        -1 => Ok(TimestampQuery::Latest),
        -2 => Ok(TimestampQuery::Earliest),
        -3 => Ok(TimestampQuery::MaxTimestamp),
        timestamp if timestamp >= 0 => Ok(TimestampQuery::AtOrAfter(timestamp)),
        _ => Err(ErrorCode::InvalidRequest),
    }
}

pub(super) fn offset_for_leader_epoch(
    caller: &Caller<'_>,
    request: &OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    caller.shared.with_core(|core, _| {
        let topics = request.topics.iter().map(|topic| {
            let topic_name = name(&topic.topic.0);
            let partitions = topic.partitions.iter().map(|partition| {
                let at = TopicPartition::new(Name::clone(&topic_name), partition.partition);
                let end = core.log(&at).map(crate::core::log::PartitionLog::end_offset);
                let response =
                    EpochEndOffset::default().with_partition(partition.partition).with_error_code(code(&end));
                match end {
                    Ok(end) if partition.leader_epoch == LEADER_EPOCH => {
                        response.with_leader_epoch(LEADER_EPOCH).with_end_offset(end)
                    }
                    _ => response,
                }
            });
            OffsetForLeaderTopicResult::default().with_topic(topic.topic.clone()).with_partitions(partitions.collect())
        });
        OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
    })
}

pub(super) fn delete_records(caller: &Caller<'_>, request: &DeleteRecordsRequest) -> DeleteRecordsResponse {
    caller.shared.with_core(|core, _| {
        let topics = request.topics.iter().map(|topic| {
            let topic_name = name(&topic.name.0);
            let partitions = topic.partitions.iter().map(|partition| {
                let at = TopicPartition::new(Name::clone(&topic_name), partition.partition_index);
                let start = core.delete_records(&at, partition.offset);
                DeleteRecordsPartitionResult::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(code(&start))
                    .with_low_watermark(start.unwrap_or(-1))
            });
            DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
        });
        DeleteRecordsResponse::default().with_topics(topics.collect())
    })
}
