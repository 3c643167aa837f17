//! Creating, growing and deleting topics.

use std::collections::BTreeMap;

use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, TopicName,
};
use uuid::Uuid;

use super::configs::source;
use super::{Caller, text};
use crate::core::topics::Refusal;
use crate::core::{Core, ErrorCode};

pub(super) fn create_topics(caller: &Caller<'_>, request: &CreateTopicsRequest) -> CreateTopicsResponse {
    caller.shared.with_core(|core, _| {
        let topics = request.topics.iter().map(|topic| {
            let result = create(core, topic, request.validate_only);
            let response = CreatableTopicResult::default().with_name(topic.name.clone());
            match result {
                Ok(()) => created(core, &topic.name, response, caller.version),
                Err(refusal) => response
                    .with_error_code(refusal.code.code())
                    .with_error_message(Some(text(&refusal.message)))
                    .with_configs(None),
            }
        });
        CreateTopicsResponse::default().with_topics(topics.collect())
    })
}

fn create(core: &mut Core, topic: &CreatableTopic, validate_only: bool) -> Result<(), Refusal> {
    let partitions = match (topic.assignments.len(), topic.num_partitions) {
        (0, -1) => None,
        (0, count) => Some(count),
        (assigned, _) => Some(i32::try_from(assigned).unwrap_or(i32::MAX)),
    };
    if topic.assignments.is_empty() && !matches!(topic.replication_factor, -1 | 1) {
        let message =
            format!("Replication factor {} is larger than 1, the number of brokers.", topic.replication_factor);
        return Err(Refusal { code: ErrorCode::InvalidReplicationFactor, message });
    }
    let set = |config: &kafka_protocol::messages::create_topics_request::CreatableTopicConfig| {
        config.value.as_ref().map(|value| (config.name.to_string(), value.to_string()))
    };
    let overrides: BTreeMap<String, String> = topic.configs.iter().filter_map(set).collect();
    core.create_topic(&topic.name, partitions, overrides, validate_only).map(drop)
}

fn created(core: &Core, name: &str, response: CreatableTopicResult, version: i16) -> CreatableTopicResult {
    let Some(topic) = core.topic(name).filter(|_| version >= 5) else { return response };
    let configs = topic.config.settings().into_iter().map(|setting| {
        CreatableTopicConfigs::default()
            .with_name(text(setting.name))
            .with_value(Some(text(&setting.value)))
            .with_config_source(source(&setting))
    });
    let response = response
        .with_num_partitions(topic.partitions.len() as i32)
        .with_replication_factor(1)
        .with_configs(Some(configs.collect()));
    if version >= 7 { response.with_topic_id(Uuid::from_u128(topic.id)) } else { response }
}

pub(super) fn delete_topics(caller: &Caller<'_>, request: &DeleteTopicsRequest) -> DeleteTopicsResponse {
    caller.shared.with_core(|core, _| {
        let responses = if caller.version >= 6 {
            let states = request.topics.iter();
            states.map(|topic| delete(core, topic.name.as_ref(), topic.topic_id, caller.version)).collect()
        } else {
            let names = request.topic_names.iter();
            names.map(|name| delete(core, Some(name), Uuid::nil(), caller.version)).collect()
        };
        DeleteTopicsResponse::default().with_responses(responses)
    })
}

fn delete(core: &mut Core, name: Option<&TopicName>, id: Uuid, version: i16) -> DeletableTopicResult {
    let found = match name {
        Some(name) => Some(name.clone()),
        None => core.topic_by_id(id.as_u128()).map(|topic| TopicName(text(&topic.name))),
    };
    let deleted = match &found {
        Some(name) => core.delete_topic(name),
        None => Err(Refusal { code: ErrorCode::UnknownTopicId, message: "There is no topic of this id.".into() }),
    };
    let response = DeletableTopicResult::default().with_name(found.or_else(|| (version < 6).then(TopicName::default)));
    match deleted {
        Ok(topic) if version >= 6 => response.with_topic_id(Uuid::from_u128(topic.id)),
        Ok(_) => response,
        Err(refusal) => {
            let response = response.with_error_code(refusal.code.code());
            if version >= 5 { response.with_error_message(Some(text(&refusal.message))) } else { response }
        }
    }
}

pub(super) fn create_partitions(caller: &Caller<'_>, request: &CreatePartitionsRequest) -> CreatePartitionsResponse {
    caller.shared.with_core(|core, _| {
        let results = request.topics.iter().map(|topic| {
            let result = core.create_partitions(&topic.name, topic.count, request.validate_only);
            let response = CreatePartitionsTopicResult::default().with_name(topic.name.clone());
            match result {
                Ok(()) => response,
                Err(refusal) => {
                    response.with_error_code(refusal.code.code()).with_error_message(Some(text(&refusal.message)))
                }
            }
        });
        CreatePartitionsResponse::default().with_results(results.collect())
    })
}
