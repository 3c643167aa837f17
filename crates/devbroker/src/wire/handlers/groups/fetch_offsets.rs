//! Offsets of one group or, from version 8 on, of several.

use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};

use crate::core::Core;
use crate::core::topics::{Name, TopicPartition};
use crate::wire::handlers::{Caller, by_topic, code, name, text};

/// What is answered for a partition.
struct Found {
    offset: i64,
    leader_epoch: i32,
    metadata: Option<Name>,
    error_code: i16,
}

pub(in crate::wire::handlers) fn fetch_offsets(
    caller: &Caller<'_>,
    request: &OffsetFetchRequest,
) -> OffsetFetchResponse {
    let stable = request.require_stable && caller.version >= 7;
    caller.shared.with_core(|core, _| {
        if caller.version < 8 {
            let wanted = request.topics.as_ref().map(|topics| {
                topics.iter().flat_map(|topic| partitions(&name(&topic.name.0), &topic.partition_indexes)).collect()
            });
            return one_group(core, &request.group_id, wanted, stable, caller.version);
        }
        let groups = request.groups.iter().map(|group| {
            let wanted = group.topics.as_ref().map(|topics| {
                topics.iter().flat_map(|topic| partitions(&name(&topic.name.0), &topic.partition_indexes)).collect()
            });
            let topics = by_topic(find(core, &group.group_id, wanted, stable)).into_iter().map(|(topic, found)| {
                let found = found.into_iter().map(|(index, found)| {
                    OffsetFetchResponsePartitions::default()
                        .with_partition_index(index)
                        .with_committed_offset(found.offset)
                        .with_committed_leader_epoch(found.leader_epoch)
                        .with_metadata(found.metadata.as_deref().map(text))
                        .with_error_code(found.error_code)
                });
                OffsetFetchResponseTopics::default().with_name(text(&topic).into()).with_partitions(found.collect())
            });
            OffsetFetchResponseGroup::default().with_group_id(group.group_id.clone()).with_topics(topics.collect())
        });
        OffsetFetchResponse::default().with_groups(groups.collect())
    })
}

fn one_group(
    core: &Core,
    group: &str,
    wanted: Option<Vec<TopicPartition>>,
    stable: bool,
    version: i16,
) -> OffsetFetchResponse {
    let topics = by_topic(find(core, group, wanted, stable)).into_iter().map(|(topic, found)| {
        let found = found.into_iter().map(|(index, found)| {
            let response = OffsetFetchResponsePartition::default()
                .with_partition_index(index)
                .with_committed_offset(found.offset)
                .with_metadata(found.metadata.as_deref().map(text))
                .with_error_code(found.error_code);
            if version >= 5 { response.with_committed_leader_epoch(found.leader_epoch) } else { response }
        });
        OffsetFetchResponseTopic::default().with_name(text(&topic).into()).with_partitions(found.collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

fn partitions(topic: &Name, indexes: &[i32]) -> Vec<TopicPartition> {
    indexes.iter().map(|index| TopicPartition::new(Name::clone(topic), *index)).collect()
}

/// `wanted` is none for all that the group has.
fn find(core: &Core, group: &str, wanted: Option<Vec<TopicPartition>>, stable: bool) -> Vec<(TopicPartition, Found)> {
    let wanted = wanted.unwrap_or_else(|| core.offset_partitions(group));
    wanted
        .into_iter()
        .map(|at| {
            let committed = core.committed_offset(group, &at, stable);
            let error_code = code(&committed);
            let committed = committed.ok().flatten();
            let found = Found {
                offset: committed.map_or(-1, |committed| committed.offset),
                leader_epoch: committed.map_or(-1, |committed| committed.leader_epoch),
                metadata: Some(committed.and_then(|committed| committed.metadata.clone()).unwrap_or_else(|| "".into())),
                error_code,
            };
            (at, found)
        })
        .collect()
}
