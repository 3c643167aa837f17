//! Settings of topics, and the few of the broker that tools ask for.

use std::collections::BTreeMap;

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as IncrementalResponse;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Caller, NODE_ID, text};
use crate::core::topic_config::{Setting, TopicConfig};
use crate::core::topics::Refusal;
use crate::core::{Core, ErrorCode};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Where a value comes from. librdkafka crashes on a number that it doesn't know, so it is always one of these.
pub(super) fn source(setting: &Setting) -> i8 {
    const TOPIC_CONFIG: i8 = 1;
    const DEFAULT_CONFIG: i8 = 5;
    if setting.is_default { DEFAULT_CONFIG } else { TOPIC_CONFIG }
}

pub(super) fn describe(caller: &Caller<'_>, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
    caller.shared.with_core(|core, _| {
        let results = request.resources.iter().map(|resource| {
            let response = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            match settings(core, resource) {
                Ok(settings) => response.with_configs(settings.iter().map(described).collect()),
                Err(refusal) => {
                    response.with_error_code(refusal.code.code()).with_error_message(Some(text(&refusal.message)))
                }
            }
        });
        DescribeConfigsResponse::default().with_results(results.collect())
    })
}

fn settings(core: &Core, resource: &DescribeConfigsResource) -> Result<Vec<Setting>, Refusal> {
    let mut settings = match resource.resource_type {
        TOPIC => {
            let missing = || {
                let message = format!("The topic '{}' does not exist.", resource.resource_name);
                Refusal { code: ErrorCode::UnknownTopicOrPartition, message }
            };
            core.topic(&resource.resource_name).ok_or_else(missing)?.config.settings()
        }
        BROKER if resource.resource_name.as_str() == NODE_ID.to_string() => broker_settings(core),
        other => return Err(unknown_resource(other, &resource.resource_name)),
    };
    if let Some(keys) = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty()) {
        settings.retain(|setting| keys.iter().any(|key| key.as_str() == setting.name));
    }
    Ok(settings)
}

fn unknown_resource(kind: i8, name: &str) -> Refusal {
    let message = format!(
        "Only topics (type {TOPIC}) and the broker '{NODE_ID}' (type {BROKER}) have settings here, not '{name}' (type {kind})."
    );
    Refusal { code: ErrorCode::InvalidRequest, message }
}

fn broker_settings(core: &Core) -> Vec<Setting> {
    let config = core.config();
    let settings = [
        ("auto.create.topics.enable", config.auto_create_topics.to_string()),
        ("group.initial.rebalance.delay.ms", config.initial_rebalance_delay_ms.to_string()),
        ("group.max.session.timeout.ms", config.max_session_timeout_ms.to_string()),
        ("group.min.session.timeout.ms", config.min_session_timeout_ms.to_string()),
        ("num.partitions", config.default_partitions.to_string()),
        ("transaction.max.timeout.ms", config.max_transaction_timeout_ms.to_string()),
    ];
    settings.map(|(name, value)| Setting { name, value, is_default: true }).into()
}

fn described(setting: &Setting) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult::default()
        .with_name(text(setting.name))
        .with_value(Some(text(&setting.value)))
        .with_config_source(source(setting))
}

/// Replaces all settings of a resource.
pub(super) fn alter(caller: &Caller<'_>, request: &AlterConfigsRequest) -> AlterConfigsResponse {
    caller.shared.with_core(|core, _| {
        let responses = request.resources.iter().map(|resource| {
            let given = resource.configs.iter();
            let overrides: BTreeMap<String, String> = given
                .filter_map(|config| config.value.as_ref().map(|value| (config.name.to_string(), value.to_string())))
                .collect();
            let result =
                change(core, resource.resource_type, &resource.resource_name, request.validate_only, |_| Ok(overrides));
            let response = AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            match result {
                Ok(()) => response,
                Err(refusal) => {
                    response.with_error_code(refusal.code.code()).with_error_message(Some(text(&refusal.message)))
                }
            }
        });
        AlterConfigsResponse::default().with_responses(responses.collect())
    })
}

/// Sets, deletes, appends or subtracts single settings.
pub(super) fn alter_incrementally(
    caller: &Caller<'_>,
    request: &IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    caller.shared.with_core(|core, _| {
        let responses = request.resources.iter().map(|resource| {
            let edit = |config: &TopicConfig| {
                let mut overrides = config.overrides().clone();
                for edit in &resource.configs {
                    apply(&mut overrides, &edit.name, edit.config_operation, edit.value.as_ref())?;
                }
                Ok(overrides)
            };
            let result = change(core, resource.resource_type, &resource.resource_name, request.validate_only, edit);
            let response = IncrementalResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            match result {
                Ok(()) => response,
                Err(refusal) => {
                    response.with_error_code(refusal.code.code()).with_error_message(Some(text(&refusal.message)))
                }
            }
        });
        IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
    })
}

fn change(
    core: &mut Core,
    kind: i8,
    name: &str,
    validate_only: bool,
    edit: impl FnOnce(&TopicConfig) -> Result<BTreeMap<String, String>, String>,
) -> Result<(), Refusal> {
    if kind != TOPIC {
        return Err(unknown_resource(kind, name));
    }
    core.alter_topic_config(name, validate_only, edit)
}

fn apply(
    overrides: &mut BTreeMap<String, String>,
    name: &StrBytes,
    operation: i8,
    value: Option<&StrBytes>,
) -> Result<(), String> {
    let given = value.map(StrBytes::as_str);
    let listed = |overrides: &BTreeMap<String, String>| -> Vec<String> {
        let present = overrides.get(name.as_str()).map(String::as_str).unwrap_or_default();
        present.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
    };
    let given_items = || given.unwrap_or_default().split(',').map(str::to_owned);
    match (operation, given) {
        (0, Some(value)) => drop(overrides.insert(name.to_string(), value.to_owned())),
        (1, _) => drop(overrides.remove(name.as_str())),
        (2, Some(_)) => {
            let mut items = listed(overrides);
            items.extend(given_items());
            items.dedup();
            overrides.insert(name.to_string(), items.join(","));
        }
        (3, Some(_)) => {
            let removed: Vec<String> = given_items().collect();
            let mut items = listed(overrides);
            items.retain(|item| !removed.contains(item));
            overrides.insert(name.to_string(), items.join(","));
        }
        _ => return Err(format!("topic config {name}: operation {operation} needs a value or is unknown")),
    }
    Ok(())
}
