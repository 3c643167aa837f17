//! Producing, with back-pressure when memory runs short.

use std::time::Duration;

use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::ProduceResponse;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use tokio::time::Instant;

use super::{Caller, name, text};
use crate::core::ErrorCode;
use crate::core::log::Appended;
use crate::core::topics::{Refusal, TopicPartition};

/// A producer waits at most so long for memory before it is refused.
const WAIT_FOR_ROOM: Duration = Duration::from_secs(5);
/// From this part of the memory limit on, each request is slowed down.
const CROWDED: f64 = 0.9;
/// How slow a request is at the limit.
const SLOWEST: Duration = Duration::from_millis(200);

type Outcome = Result<Appended, Refusal>;

/// `None` where no answer is wanted (`acks=0`).
pub(super) async fn produce(caller: &Caller<'_>, request: &ProduceRequest) -> Option<ProduceResponse> {
    if ![-1, 0, 1].contains(&request.acks) {
        return Some(refuse_all(request, ErrorCode::InvalidRequiredAcks));
    }
    let patience = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)).min(WAIT_FOR_ROOM);
    let deadline = Instant::now() + patience;
    let crowd = caller.shared.with_core(|core, _| core.used_bytes() as f64 / core.config().memory_limit_bytes as f64);
    if crowd > CROWDED {
        tokio::time::sleep(SLOWEST.mul_f64(((crowd - CROWDED) / (1.0 - CROWDED)).min(1.0))).await;
    }
    let mut outcomes: Vec<Option<Outcome>> = Vec::new();
    loop {
        let room = caller.shared.room.notified();
        append_all(caller, request, &mut outcomes);
        let refused = outcomes.iter().flatten().any(is_full);
        if !refused {
            break;
        }
        if tokio::time::timeout_at(deadline, room).await.is_err() {
            tracing::error!("a batch was refused: this in-memory broker reached its memory limit");
            break;
        }
        for outcome in outcomes.iter_mut().filter(|outcome| outcome.as_ref().is_some_and(is_full)) {
            *outcome = None;
        }
    }
    (request.acks != 0).then(|| respond(caller, request, outcomes))
}

fn is_full(outcome: &Outcome) -> bool {
    outcome.as_ref().is_err_and(|refusal| refusal.code == ErrorCode::PolicyViolation)
}

/// Appends what has no outcome yet, all under one lock.
fn append_all(caller: &Caller<'_>, request: &ProduceRequest, outcomes: &mut Vec<Option<Outcome>>) {
    caller.shared.with_core(|core, now_ms| {
        let mut index = 0;
        for topic in &request.topic_data {
            let topic_name = name(&topic.name.0);
            for partition in &topic.partition_data {
                if outcomes.len() == index {
                    outcomes.push(None);
                }
                if outcomes[index].is_none() {
                    let at = TopicPartition::new(topic_name.clone(), partition.index);
                    let records = partition.records.clone().unwrap_or_default();
                    outcomes[index] = Some(core.produce(&at, &records, now_ms));
                }
                index += 1;
            }
        }
    });
}

fn respond(caller: &Caller<'_>, request: &ProduceRequest, outcomes: Vec<Option<Outcome>>) -> ProduceResponse {
    let mut outcomes = outcomes.into_iter().flatten();
    let topics = request.topic_data.iter().map(|topic| {
        let partitions = topic.partition_data.iter().map(|partition| {
            let response = PartitionProduceResponse::default().with_index(partition.index);
            match outcomes.next() {
                Some(Ok(appended)) => response
                    .with_base_offset(appended.base_offset)
                    .with_log_append_time_ms(appended.log_append_time_ms)
                    .with_log_start_offset(0),
                Some(Err(refusal)) => refuse(response, &refusal, caller.version),
                None => response.with_error_code(ErrorCode::UnknownServerError.code()).with_base_offset(-1),
            }
        });
        answer_for(&topic.name, partitions.collect())
    });
    ProduceResponse::default().with_responses(topics.collect())
}

fn refuse(response: PartitionProduceResponse, refusal: &Refusal, version: i16) -> PartitionProduceResponse {
    let refused = response.with_error_code(refusal.code.code()).with_base_offset(-1);
    if version < 8 || refusal.message.is_empty() {
        return refused;
    }
    refused.with_error_message(Some(text(&refusal.message)))
}

fn refuse_all(request: &ProduceRequest, error: ErrorCode) -> ProduceResponse {
    let topics = request.topic_data.iter().map(|topic| {
        let refused = |index| {
            PartitionProduceResponse::default().with_index(index).with_error_code(error.code()).with_base_offset(-1)
        };
        answer_for(&topic.name, topic.partition_data.iter().map(|partition| refused(partition.index)).collect())
    });
    ProduceResponse::default().with_responses(topics.collect())
}

fn answer_for(name: &TopicName, partitions: Vec<PartitionProduceResponse>) -> TopicProduceResponse {
    TopicProduceResponse::default().with_name(name.clone()).with_partition_responses(partitions)
}
