//! Which topics there are and who leads them: always this broker.

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, FindCoordinatorRequest, FindCoordinatorResponse,
    MetadataRequest, MetadataResponse, TopicName,
};
use uuid::Uuid;

use super::{Caller, LEADER_EPOCH, NODE_ID, text};
use crate::core::topics::Topic;
use crate::core::{Core, ErrorCode};

pub(super) fn metadata(caller: &Caller<'_>, request: &MetadataRequest) -> MetadataResponse {
    let version = caller.version;
    // Version 0 says "all" with an empty list, later ones with none at all.
    let wanted = request.topics.as_ref().filter(|topics| version > 0 || !topics.is_empty());
    let may_create = request.allow_auto_topic_creation || version < 4;
    let topics = caller.shared.with_core(|core, _| match wanted {
        None => core.topics().map(|topic| describe(topic, version)).collect(),
        Some(wanted) => wanted.iter().map(|topic| look_up(core, topic, may_create, version)).collect(),
    });
    let broker = MetadataResponseBroker::default()
        .with_node_id(BrokerId(NODE_ID))
        .with_host(text(&caller.shared.host))
        .with_port(i32::from(caller.shared.port));
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(text(&caller.shared.cluster_id)))
        .with_controller_id(BrokerId(NODE_ID))
        .with_topics(topics)
}

fn look_up(core: &mut Core, wanted: &MetadataRequestTopic, may_create: bool, version: i16) -> MetadataResponseTopic {
    let Some(name) = &wanted.name else {
        return match core.topic_by_id(wanted.topic_id.as_u128()) {
            Some(topic) => describe(topic, version),
            None => MetadataResponseTopic::default()
                .with_name((version < 12).then(TopicName::default))
                .with_topic_id(wanted.topic_id)
                .with_error_code(ErrorCode::UnknownTopicId.code()),
        };
    };
    let mut error = ErrorCode::UnknownTopicOrPartition;
    let created = (core.topic(name).is_none() && may_create).then(|| core.auto_create_topic(name));
    if let Some(Err(refusal)) = created {
        error = refusal.code;
    }
    match core.topic(name) {
        Some(topic) => describe(topic, version),
        None => MetadataResponseTopic::default().with_name(Some(name.clone())).with_error_code(error.code()),
    }
}

fn describe(topic: &Topic, version: i16) -> MetadataResponseTopic {
    let partitions = (0..topic.partitions.len() as i32).map(|index| {
        let partition = MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(NODE_ID))
            .with_replica_nodes(vec![BrokerId(NODE_ID)])
            .with_isr_nodes(vec![BrokerId(NODE_ID)]);
        if version >= 7 { partition.with_leader_epoch(LEADER_EPOCH) } else { partition }
    });
    let described = MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(&topic.name))))
        .with_partitions(partitions.collect());
    if version >= 10 { described.with_topic_id(Uuid::from_u128(topic.id)) } else { described }
}

pub(super) fn find_coordinator(caller: &Caller<'_>, request: &FindCoordinatorRequest) -> FindCoordinatorResponse {
    // 0 is a group, 1 a transactional id.
    let known = matches!(request.key_type, 0 | 1);
    let error_code = if known { 0 } else { ErrorCode::InvalidRequest.code() };
    let (host, port) = (text(&caller.shared.host), i32::from(caller.shared.port));
    if caller.version < 4 {
        return FindCoordinatorResponse::default()
            .with_error_code(error_code)
            .with_node_id(BrokerId(NODE_ID))
            .with_host(host)
            .with_port(port);
    }
    let coordinators = request.coordinator_keys.iter().map(|key| {
        Coordinator::default()
            .with_key(key.clone())
            .with_error_code(error_code)
            .with_node_id(BrokerId(NODE_ID))
            .with_host(host.clone())
            .with_port(port)
    });
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}

pub(super) fn describe_cluster(caller: &Caller<'_>, _request: &DescribeClusterRequest) -> DescribeClusterResponse {
    let broker = DescribeClusterBroker::default()
        .with_broker_id(BrokerId(NODE_ID))
        .with_host(text(&caller.shared.host))
        .with_port(i32::from(caller.shared.port));
    DescribeClusterResponse::default()
        .with_cluster_id(text(&caller.shared.cluster_id))
        .with_controller_id(BrokerId(NODE_ID))
        .with_brokers(vec![broker])
}
