//! Producers and their transactions.

use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, ProducerId, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};

use super::groups::committed;
use super::{Caller, by_topic, code, name, optional_name, text};
use crate::core::ErrorCode;
use crate::core::groups::CommitCheck;
use crate::core::topics::{Name, TopicPartition};
use crate::core::transactions::ProducerIdentity;

/// Clients from before KIP-588 know a fenced producer only by its epoch.
fn fenced_as<T>(result: Result<T, ErrorCode>, new_since: i16, version: i16) -> Result<T, ErrorCode> {
    result.map_err(|error| match error {
        ErrorCode::ProducerFenced if version < new_since => ErrorCode::InvalidProducerEpoch,
        other => other,
    })
}

pub(super) fn init_producer_id(caller: &Caller<'_>, request: &InitProducerIdRequest) -> InitProducerIdResponse {
    let claimed = (caller.version >= 3 && request.producer_id.0 >= 0)
        .then_some(ProducerIdentity { id: request.producer_id.0, epoch: request.producer_epoch });
    let id = request.transactional_id.as_ref().map(|id| id.as_str());
    let timeout_ms = i64::from(request.transaction_timeout_ms);
    let result = caller.shared.with_core(|core, now_ms| core.init_producer_id(id, timeout_ms, claimed, now_ms));
    match fenced_as(result, 4, caller.version) {
        Ok(producer) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch),
        Err(error) => InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1),
    }
}

pub(super) fn add_partitions(caller: &Caller<'_>, request: &AddPartitionsToTxnRequest) -> AddPartitionsToTxnResponse {
    let producer =
        ProducerIdentity { id: request.v3_and_below_producer_id.0, epoch: request.v3_and_below_producer_epoch };
    let mut partitions = Vec::new();
    for topic in &request.v3_and_below_topics {
        let topic_name = name(&topic.name.0);
        partitions.extend(topic.partitions.iter().map(|index| TopicPartition::new(Name::clone(&topic_name), *index)));
    }
    let id = request.v3_and_below_transactional_id.as_str();
    let results =
        caller.shared.with_core(|core, now_ms| core.add_partitions_to_transaction(id, producer, &partitions, now_ms));
    let results = results.into_iter().map(|result| fenced_as(result, 2, caller.version));
    let topics = by_topic(partitions.into_iter().zip(results)).into_iter().map(|(topic, results)| {
        let results = results.into_iter().map(|(index, result)| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(index)
                .with_partition_error_code(code(&result))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(text(&topic).into())
            .with_results_by_partition(results.collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics.collect())
}

pub(super) fn add_offsets(caller: &Caller<'_>, request: &AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse {
    let producer = ProducerIdentity { id: request.producer_id.0, epoch: request.producer_epoch };
    let result = caller.shared.with_core(|core, now_ms| {
        core.add_offsets_to_transaction(&request.transactional_id, producer, &request.group_id, now_ms)
    });
    AddOffsetsToTxnResponse::default().with_error_code(code(&fenced_as(result, 2, caller.version)))
}

pub(super) fn commit_offsets(caller: &Caller<'_>, request: &TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
    let producer = ProducerIdentity { id: request.producer_id.0, epoch: request.producer_epoch };
    let check = if caller.version >= 3 {
        CommitCheck {
            member_id: name(&request.member_id),
            instance_id: optional_name(request.group_instance_id.as_ref()),
            generation: request.generation_id,
        }
    } else {
        CommitCheck::none()
    };
    let topics = request.topics.iter().map(|topic| {
        let offsets = topic.partitions.iter().map(|partition| {
            let metadata = optional_name(partition.committed_metadata.as_ref());
            (partition.partition_index, partition.committed_offset, partition.committed_leader_epoch, metadata)
        });
        (name(&topic.name.0), offsets.collect())
    });
    let offsets = committed(topics);
    let (id, group) = (request.transactional_id.as_str(), request.group_id.as_str());
    let results = caller.shared.with_core(|core, now_ms| {
        let (known, unknown): (Vec<_>, Vec<_>) = offsets.into_iter().partition(|(at, _)| core.log(at).is_ok());
        let result = core.commit_offsets_in_transaction(id, producer, group, &check, &known, now_ms);
        let known = known.into_iter().map(|(at, _)| (at, code(&result)));
        let missing = unknown.into_iter().map(|(at, _)| (at, ErrorCode::UnknownTopicOrPartition.code()));
        known.chain(missing).collect::<Vec<_>>()
    });
    let topics = by_topic(results).into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(index, error_code)| {
            TxnOffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(error_code)
        });
        TxnOffsetCommitResponseTopic::default().with_name(text(&topic).into()).with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

pub(super) fn end(caller: &Caller<'_>, request: &EndTxnRequest) -> EndTxnResponse {
    let producer = ProducerIdentity { id: request.producer_id.0, epoch: request.producer_epoch };
    let result = caller
        .shared
        .with_core(|core, now_ms| core.end_transaction(&request.transactional_id, producer, request.committed, now_ms));
    EndTxnResponse::default().with_error_code(code(&fenced_as(result, 2, caller.version)))
}
