//! Group membership and offsets.

use bytes::Bytes;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, SyncGroupRequest,
    SyncGroupResponse,
};

use super::{Caller, code, name, optional_name, text};
use crate::core::ErrorCode;
use crate::core::groups::{CommitCheck, CommittedOffset, GroupReply, JoinReply, JoinRequest, SyncReply, SyncRequest};
use crate::core::topics::{Name, TopicPartition};

mod fetch_offsets;

pub(super) use fetch_offsets::fetch_offsets;

pub(super) async fn join(caller: &Caller<'_>, request: &JoinGroupRequest) -> JoinGroupResponse {
    let session_timeout_ms = i64::from(request.session_timeout_ms);
    let join = JoinRequest {
        group: name(&request.group_id.0),
        member_id: name(&request.member_id),
        instance_id: optional_name(request.group_instance_id.as_ref()),
        client_id: caller.client_id.into(),
        client_host: caller.host.into(),
        session_timeout_ms,
        rebalance_timeout_ms: if caller.version >= 1 {
            i64::from(request.rebalance_timeout_ms)
        } else {
            session_timeout_ms
        },
        protocol_type: name(&request.protocol_type),
        protocols: request.protocols.iter().map(|known| (name(&known.name), own(&known.metadata))).collect(),
        id_required: caller.version >= 4,
        may_skip_assignment: caller.version >= 9,
    };
    let reply = match caller.shared.with_core_step(|core, now_ms| core.join_group(&join, now_ms)) {
        Ok(reply) => Some(reply),
        Err(receiver) => match receiver.await {
            Ok(GroupReply::Join(reply)) => Some(reply),
            _ => None,
        },
    };
    match reply {
        Some(reply) => joined(reply, caller.version),
        None => JoinGroupResponse::default()
            .with_error_code(ErrorCode::CoordinatorNotAvailable.code())
            .with_protocol_name(Some(text(""))),
    }
}

fn joined(reply: JoinReply, version: i16) -> JoinGroupResponse {
    let members = reply.members.into_iter().map(|member| {
        let joined = JoinGroupResponseMember::default().with_member_id(text(&member.id)).with_metadata(member.metadata);
        if version >= 5 { joined.with_group_instance_id(member.instance_id.as_deref().map(text)) } else { joined }
    });
    let protocol = reply.protocol.as_deref().map(text);
    let response = JoinGroupResponse::default()
        .with_error_code(reply.error.map_or(0, |error| error.code()))
        .with_generation_id(reply.generation)
        // Before version 7 a missing assignor was an empty name.
        .with_protocol_name(if version >= 7 { protocol } else { Some(protocol.unwrap_or_default()) })
        .with_leader(text(&reply.leader))
        .with_member_id(text(&reply.member_id))
        .with_members(members.collect());
    let response =
        if version >= 7 { response.with_protocol_type(reply.protocol_type.as_deref().map(text)) } else { response };
    if version >= 9 { response.with_skip_assignment(reply.skip_assignment) } else { response }
}

pub(super) async fn sync(caller: &Caller<'_>, request: &SyncGroupRequest) -> SyncGroupResponse {
    let sync = SyncRequest {
        group: name(&request.group_id.0),
        member_id: name(&request.member_id),
        instance_id: optional_name(request.group_instance_id.as_ref()),
        generation: request.generation_id,
        protocol_type: optional_name(request.protocol_type.as_ref()),
        protocol: optional_name(request.protocol_name.as_ref()),
        assignments: request.assignments.iter().map(|given| (name(&given.member_id), own(&given.assignment))).collect(),
    };
    let reply = match caller.shared.with_core_step(|core, now_ms| core.sync_group(&sync, now_ms)) {
        Ok(reply) => Some(reply),
        Err(receiver) => match receiver.await {
            Ok(GroupReply::Sync(reply)) => Some(reply),
            _ => None,
        },
    };
    match reply {
        Some(reply) => synced(reply, caller.version),
        None => SyncGroupResponse::default().with_error_code(ErrorCode::CoordinatorNotAvailable.code()),
    }
}

fn synced(reply: SyncReply, version: i16) -> SyncGroupResponse {
    let response = SyncGroupResponse::default()
        .with_error_code(reply.error.map_or(0, |error| error.code()))
        .with_assignment(reply.assignment);
    if version < 5 {
        return response;
    }
    response
        .with_protocol_type(reply.protocol_type.as_deref().map(text))
        .with_protocol_name(reply.protocol.as_deref().map(text))
}

pub(super) fn heartbeat(caller: &Caller<'_>, request: &HeartbeatRequest) -> HeartbeatResponse {
    let instance_id = request.group_instance_id.as_deref();
    let result = caller.shared.with_core(|core, now_ms| {
        core.heartbeat(&request.group_id, &request.member_id, instance_id, request.generation_id, now_ms)
    });
    HeartbeatResponse::default().with_error_code(code(&result))
}

pub(super) fn leave(caller: &Caller<'_>, request: &LeaveGroupRequest) -> LeaveGroupResponse {
    caller.shared.with_core(|core, now_ms| {
        let group = &request.group_id;
        if caller.version < 3 {
            let result = core.leave_group(group, &request.member_id, None, now_ms);
            return LeaveGroupResponse::default().with_error_code(code(&result));
        }
        let members = request.members.iter().map(|member| {
            let result = core.leave_group(group, &member.member_id, member.group_instance_id.as_deref(), now_ms);
            MemberResponse::default()
                .with_member_id(member.member_id.clone())
                .with_group_instance_id(member.group_instance_id.clone())
                .with_error_code(code(&result))
        });
        LeaveGroupResponse::default().with_members(members.collect())
    })
}

pub(super) fn commit_offsets(caller: &Caller<'_>, request: &OffsetCommitRequest) -> OffsetCommitResponse {
    let check = CommitCheck {
        member_id: name(&request.member_id),
        instance_id: optional_name(request.group_instance_id.as_ref()),
        generation: request.generation_id_or_member_epoch,
    };
    let topics = request.topics.iter().map(|topic| {
        let offsets = topic.partitions.iter().map(|partition| {
            let metadata = optional_name(partition.committed_metadata.as_ref());
            (partition.partition_index, partition.committed_offset, partition.committed_leader_epoch, metadata)
        });
        (name(&topic.name.0), offsets.collect())
    });
    let offsets = committed(topics);
    let results = caller.shared.with_core(|core, now_ms| {
        let (known, unknown): (Vec<_>, Vec<_>) = offsets.into_iter().partition(|(at, _)| core.log(at).is_ok());
        let result = core.commit_offsets(&request.group_id, &check, &known, now_ms);
        let known = known.into_iter().map(|(at, _)| (at, code(&result)));
        let missing = unknown.into_iter().map(|(at, _)| (at, ErrorCode::UnknownTopicOrPartition.code()));
        known.chain(missing).collect::<Vec<_>>()
    });
    let topics = super::by_topic(results).into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(index, error_code)| {
            OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(error_code)
        });
        OffsetCommitResponseTopic::default().with_name(text(&topic).into()).with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

/// Partition, offset, leader epoch, metadata.
type WireOffset = (i32, i64, i32, Option<Name>);

/// Offsets to commit, from either kind of commit request.
pub(super) fn committed(
    topics: impl Iterator<Item = (Name, Vec<WireOffset>)>,
) -> Vec<(TopicPartition, CommittedOffset)> {
    let mut offsets = Vec::new();
    for (topic, partitions) in topics {
        for (partition, offset, leader_epoch, metadata) in partitions {
            let at = TopicPartition::new(Name::clone(&topic), partition);
            offsets.push((at, CommittedOffset { offset, leader_epoch, metadata }));
        }
    }
    offsets
}

pub(super) fn delete_offsets(caller: &Caller<'_>, request: &OffsetDeleteRequest) -> OffsetDeleteResponse {
    caller.shared.with_core(|core, _| {
        if core.group(&request.group_id).is_none() {
            return OffsetDeleteResponse::default().with_error_code(ErrorCode::GroupIdNotFound.code());
        }
        let topics = request.topics.iter().map(|topic| {
            let topic_name = name(&topic.name.0);
            let partitions = topic.partitions.iter().map(|partition| {
                let at = TopicPartition::new(Name::clone(&topic_name), partition.partition_index);
                let result = core.delete_offset(&request.group_id, &at);
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(partition.partition_index)
                    .with_error_code(code(&result))
            });
            OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
        });
        OffsetDeleteResponse::default().with_topics(topics.collect())
    })
}

/// A copy of its own: a slice would keep the whole request in memory.
fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
