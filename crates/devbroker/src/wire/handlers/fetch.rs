//! Fetching, waiting where there is too little yet.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::FetchRequest;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Caller, LEADER_EPOCH};
use crate::core::log::Isolation;
use crate::core::topics::{Name, TopicPartition};
use crate::core::{Core, ErrorCode, FetchWish};
use crate::wire::fetch_answer::{FetchAnswer, PartitionAnswer, TopicAnswer};

/// A fetch waits at most so long, whatever the client says.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// One asked topic: its answer so far, and for each of its partitions the wish, or the error that it ends with.
struct Asked {
    name: String,
    id: u128,
    partitions: Vec<(i32, Result<FetchWish, ErrorCode>)>,
}

pub(super) async fn fetch(caller: &Caller<'_>, request: &FetchRequest) -> FetchAnswer {
    let asked = caller.shared.with_core(|core, _| resolve(core, request, caller.version));
    let all: Vec<&Result<FetchWish, ErrorCode>> =
        asked.iter().flat_map(|topic| &topic.partitions).map(|(_, wish)| wish).collect();
    let wishes: Vec<FetchWish> = all.iter().filter_map(|wish| wish.as_ref().ok()).cloned().collect();
    let partitions: Vec<TopicPartition> = wishes.iter().map(|wish| wish.at.clone()).collect();
    let isolation = isolation(request.isolation_level);
    let max_bytes = size(request.max_bytes).min(caller.shared.limits.fetch_bytes);
    let min_bytes = size(request.min_bytes).min(max_bytes);
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(LONGEST_WAIT);
    let deadline = Instant::now() + wait;
    let mut over = wishes.len() < all.len() || wait.is_zero();
    let bell = Arc::new(Notify::new());
    let mut results = loop {
        let read = |core: &Core| {
            let due = over || core.fetch_is_due(&wishes, min_bytes, isolation);
            due.then(|| core.fetch(&wishes, max_bytes, isolation))
        };
        if let Some(results) = caller.shared.read_or_watch(&partitions, &bell, read) {
            break results.into_iter();
        }
        over = tokio::time::timeout_at(deadline, bell.notified()).await.is_err();
        caller.shared.unwatch(&partitions, &bell);
    };
    let topics = asked.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|(partition, wish)| {
            let result = wish.and_then(|_| results.next().unwrap_or(Err(ErrorCode::UnknownServerError)));
            PartitionAnswer { partition, result }
        });
        TopicAnswer { name: topic.name, id: topic.id, partitions: partitions.collect() }
    });
    FetchAnswer { error_code: 0, topics: topics.collect() }
}

/// Names and ids, and which partitions there are.
fn resolve(core: &Core, request: &FetchRequest, version: i16) -> Vec<Asked> {
    let by_id = version >= 13;
    let topics = request.topics.iter().map(|topic| {
        let id = topic.topic_id.as_u128();
        let found = if by_id { core.topic_by_id(id) } else { core.topic(&topic.topic) };
        let missing = if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
        let partitions = topic.partitions.iter().map(|partition| {
            let exists = |topic: &&crate::core::topics::Topic| {
                usize::try_from(partition.partition).is_ok_and(|index| index < topic.partitions.len())
            };
            let wish = match found {
                None => Err(missing),
                Some(topic) if !exists(&topic) => Err(ErrorCode::UnknownTopicOrPartition),
                Some(_) if partition.current_leader_epoch > LEADER_EPOCH => Err(ErrorCode::UnknownLeaderEpoch),
                Some(topic) => Ok(FetchWish {
                    at: TopicPartition::new(Name::clone(&topic.name), partition.partition),
                    offset: partition.fetch_offset,
                    max_bytes: size(partition.partition_max_bytes),
                }),
            };
            (partition.partition, wish)
        });
        Asked { name: topic.topic.to_string(), id, partitions: partitions.collect() }
    });
    topics.collect()
}

pub(super) fn isolation(level: i8) -> Isolation {
    if level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted }
}

fn size(bytes: i32) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}
