//! Groups, transactions and producers as an operator sees them.

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::list_transactions_response::TransactionState as ListedTransaction;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, DescribeProducersRequest,
    DescribeProducersResponse, DescribeTransactionsRequest, DescribeTransactionsResponse, ListGroupsRequest,
    ListGroupsResponse, ListTransactionsRequest, ListTransactionsResponse, TransactionalId,
};

use super::{Caller, by_topic, code, name, text};
use crate::core::groups::Group;
use crate::core::topics::{Name, TopicPartition};
use crate::core::transactions::{Transaction, TransactionState as State};
use crate::core::{Core, ErrorCode};

pub(super) fn describe_groups(caller: &Caller<'_>, request: &DescribeGroupsRequest) -> DescribeGroupsResponse {
    caller.shared.with_core(|core, _| {
        let groups = request.groups.iter().map(|id| {
            let described = DescribedGroup::default().with_group_id(id.clone());
            match core.group(id) {
                Some(group) => describe_group(described, group, caller.version),
                None if caller.version >= 6 => described
                    .with_error_code(ErrorCode::GroupIdNotFound.code())
                    .with_error_message(Some(text("There is no such group.")))
                    .with_group_state(text("Dead")),
                None => described.with_group_state(text("Dead")),
            }
        });
        DescribeGroupsResponse::default().with_groups(groups.collect())
    })
}

fn describe_group(described: DescribedGroup, group: &Group, version: i16) -> DescribedGroup {
    let protocol = group.protocol.as_deref().unwrap_or_default();
    let members = group.members().map(|(id, member)| {
        let described = DescribedGroupMember::default()
            .with_member_id(text(id))
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.client_host))
            .with_member_metadata(member.metadata(protocol))
            .with_member_assignment(member.assignment.clone());
        if version >= 4 { described.with_group_instance_id(member.instance_id.as_deref().map(text)) } else { described }
    });
    described
        .with_group_state(text(group.state.as_str()))
        .with_protocol_type(text(group.protocol_type.as_deref().unwrap_or_default()))
        .with_protocol_data(text(protocol))
        .with_members(members.collect())
}

pub(super) fn list_groups(caller: &Caller<'_>, request: &ListGroupsRequest) -> ListGroupsResponse {
    let matches = |filter: &[kafka_protocol::protocol::StrBytes], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    caller.shared.with_core(|core, _| {
        let groups = core
            .groups()
            .filter(|(_, group)| matches(&request.states_filter, group.state.as_str()))
            .filter(|_| matches(&request.types_filter, "classic"))
            .map(|(id, group)| {
                let listed = ListedGroup::default()
                    .with_group_id(text(id).into())
                    .with_protocol_type(text(group.protocol_type.as_deref().unwrap_or_default()));
                let listed =
                    if caller.version >= 4 { listed.with_group_state(text(group.state.as_str())) } else { listed };
                if caller.version >= 5 { listed.with_group_type(text("classic")) } else { listed }
            });
        ListGroupsResponse::default().with_groups(groups.collect())
    })
}

pub(super) fn delete_groups(caller: &Caller<'_>, request: &DeleteGroupsRequest) -> DeleteGroupsResponse {
    caller.shared.with_core(|core, _| {
        let results = request.groups_names.iter().map(|id| {
            let result = core.delete_group(id);
            DeletableGroupResult::default().with_group_id(id.clone()).with_error_code(code(&result))
        });
        DeleteGroupsResponse::default().with_results(results.collect())
    })
}

pub(super) fn list_transactions(caller: &Caller<'_>, request: &ListTransactionsRequest) -> ListTransactionsResponse {
    let states = [
        State::Empty,
        State::Ongoing,
        State::PrepareCommit,
        State::PrepareAbort,
        State::CompleteCommit,
        State::CompleteAbort,
    ];
    let unknown =
        request.state_filters.iter().filter(|wanted| !states.iter().any(|state| state.as_str() == wanted.as_str()));
    let wanted = |transaction: &Transaction, now_ms: i64| {
        let state = request.state_filters.is_empty()
            || request.state_filters.iter().any(|wanted| wanted.as_str() == transaction.state.as_str());
        let producer = request.producer_id_filters.is_empty()
            || request.producer_id_filters.iter().any(|wanted| wanted.0 == transaction.producer.id);
        let lasts_ms = if transaction.state == State::Ongoing { now_ms - transaction.started_ms } else { -1 };
        state && producer && (request.duration_filter < 0 || lasts_ms > request.duration_filter)
    };
    let listed = caller.shared.with_core(|core, now_ms| {
        let chosen = core.transactions().filter(|(_, transaction)| wanted(transaction, now_ms));
        let listed = chosen.map(|(id, transaction)| {
            ListedTransaction::default()
                .with_transactional_id(text(id).into())
                .with_producer_id(transaction.producer.id.into())
                .with_transaction_state(text(transaction.state.as_str()))
        });
        listed.collect()
    });
    ListTransactionsResponse::default()
        .with_unknown_state_filters(unknown.cloned().collect())
        .with_transaction_states(listed)
}

pub(super) fn describe_transactions(
    caller: &Caller<'_>,
    request: &DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    caller.shared.with_core(|core, _| {
        let described = request.transactional_ids.iter().map(|id| describe_transaction(core, id));
        DescribeTransactionsResponse::default().with_transaction_states(described.collect())
    })
}

fn describe_transaction(core: &Core, id: &TransactionalId) -> TransactionState {
    let described = TransactionState::default().with_transactional_id(id.clone());
    let Some(transaction) = core.transaction(id) else {
        return described.with_error_code(ErrorCode::TransactionalIdNotFound.code());
    };
    let partitions = transaction.partitions.iter().map(|at| (at.clone(), ()));
    let topics = by_topic(partitions).into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(partition, ())| partition);
        TopicData::default().with_topic(text(&topic).into()).with_partitions(partitions.collect())
    });
    let ongoing = transaction.state == State::Ongoing;
    described
        .with_transaction_state(text(transaction.state.as_str()))
        .with_transaction_timeout_ms(i32::try_from(transaction.timeout_ms).unwrap_or(i32::MAX))
        .with_transaction_start_time_ms(if ongoing { transaction.started_ms } else { -1 })
        .with_producer_id(transaction.producer.id.into())
        .with_producer_epoch(transaction.producer.epoch)
        .with_topics(topics.collect())
}

pub(super) fn describe_producers(caller: &Caller<'_>, request: &DescribeProducersRequest) -> DescribeProducersResponse {
    caller.shared.with_core(|core, _| {
        let topics = request.topics.iter().map(|topic| {
            let topic_name = name(&topic.name.0);
            let partitions = topic.partition_indexes.iter().map(|index| {
                let at = TopicPartition::new(Name::clone(&topic_name), *index);
                let response = PartitionResponse::default().with_partition_index(*index);
                match core.log(&at) {
                    Err(error) => response.with_error_code(error.code()),
                    Ok(log) => response.with_active_producers(log.active_producers().map(state).collect()),
                }
            });
            TopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
        });
        DescribeProducersResponse::default().with_topics(topics.collect())
    })
}

fn state(producer: crate::core::log::ActiveProducer) -> ProducerState {
    ProducerState::default()
        .with_producer_id(producer.id.into())
        .with_producer_epoch(i32::from(producer.epoch))
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.last_seen_ms)
        .with_coordinator_epoch(0)
        .with_current_txn_start_offset(producer.open_since.unwrap_or(-1))
}
