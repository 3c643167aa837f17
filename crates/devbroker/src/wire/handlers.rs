//! One function for each request: wire types in, a call of the core, wire types out.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::rope::Rope;
use super::{Shared, fetch_answer, versions};
use crate::core::ErrorCode;
use crate::core::topics::{Name, TopicPartition};

mod admin;
mod configs;
mod fetch;
mod groups;
mod listings;
mod metadata;
mod offsets;
mod produce;
mod transactions;

/// The only broker's id.
const NODE_ID: i32 = 1;
/// The only epoch that a partition's leader ever has.
const LEADER_EPOCH: i32 = 0;

/// Who asks.
pub(super) struct Caller<'a> {
    pub(super) shared: &'a Arc<Shared>,
    /// Where the client connects from.
    pub(super) host: &'a str,
    /// What the client calls itself.
    pub(super) client_id: &'a str,
    /// The request's version.
    pub(super) version: i16,
}

/// What is answered.
pub(super) enum Answer {
    /// This body.
    Body(Rope),
    /// Nothing (`acks=0`).
    Nothing,
}

/// Decodes a request, has it handled, encodes the answer. Each message is named here rather than in the codec's one
/// enum of all of them, which would have every message compiled, and most are never used.
pub(super) async fn handle(caller: &Caller<'_>, api: ApiKey, request: Bytes) -> io::Result<Answer> {
    match api {
        ApiKey::ApiVersions => answer(caller, request, |_, _: &ApiVersionsRequest| versions::advertised(0)),
        ApiKey::Produce => match produce::produce(caller, &decode(caller, request)?).await {
            Some(response) => encode(caller, &response),
            None => Ok(Answer::Nothing),
        },
        ApiKey::Fetch => {
            let fetched = fetch::fetch(caller, &decode(caller, request)?).await;
            Ok(Answer::Body(fetch_answer::encode(&fetched, caller.version)))
        }
        ApiKey::JoinGroup => encode(caller, &groups::join(caller, &decode(caller, request)?).await),
        ApiKey::SyncGroup => encode(caller, &groups::sync(caller, &decode(caller, request)?).await),
        ApiKey::ListOffsets => answer(caller, request, offsets::list_offsets),
        ApiKey::OffsetForLeaderEpoch => answer(caller, request, offsets::offset_for_leader_epoch),
        ApiKey::DeleteRecords => answer(caller, request, offsets::delete_records),
        ApiKey::Metadata => answer(caller, request, metadata::metadata),
        ApiKey::FindCoordinator => answer(caller, request, metadata::find_coordinator),
        ApiKey::DescribeCluster => answer(caller, request, metadata::describe_cluster),
        ApiKey::Heartbeat => answer(caller, request, groups::heartbeat),
        ApiKey::LeaveGroup => answer(caller, request, groups::leave),
        ApiKey::OffsetCommit => answer(caller, request, groups::commit_offsets),
        ApiKey::OffsetFetch => answer(caller, request, groups::fetch_offsets),
        ApiKey::OffsetDelete => answer(caller, request, groups::delete_offsets),
        ApiKey::DescribeGroups => answer(caller, request, listings::describe_groups),
        ApiKey::ListGroups => answer(caller, request, listings::list_groups),
        ApiKey::DeleteGroups => answer(caller, request, listings::delete_groups),
        ApiKey::ListTransactions => answer(caller, request, listings::list_transactions),
        ApiKey::DescribeTransactions => answer(caller, request, listings::describe_transactions),
        ApiKey::DescribeProducers => answer(caller, request, listings::describe_producers),
        ApiKey::InitProducerId => answer(caller, request, transactions::init_producer_id),
        ApiKey::AddPartitionsToTxn => answer(caller, request, transactions::add_partitions),
        ApiKey::AddOffsetsToTxn => answer(caller, request, transactions::add_offsets),
        ApiKey::TxnOffsetCommit => answer(caller, request, transactions::commit_offsets),
        ApiKey::EndTxn => answer(caller, request, transactions::end),
        ApiKey::CreateTopics => answer(caller, request, admin::create_topics),
        ApiKey::DeleteTopics => answer(caller, request, admin::delete_topics),
        ApiKey::CreatePartitions => answer(caller, request, admin::create_partitions),
        ApiKey::DescribeConfigs => answer(caller, request, configs::describe),
        ApiKey::AlterConfigs => answer(caller, request, configs::alter),
        ApiKey::IncrementalAlterConfigs => answer(caller, request, configs::alter_incrementally),
        _ => Err(unreadable(format!("{api:?} is not handled"))),
    }
}

fn answer<Q: Decodable, R: Encodable>(
    caller: &Caller<'_>,
    request: Bytes,
    handler: impl FnOnce(&Caller<'_>, &Q) -> R,
) -> io::Result<Answer> {
    encode(caller, &handler(caller, &decode(caller, request)?))
}

fn decode<Q: Decodable>(caller: &Caller<'_>, mut request: Bytes) -> io::Result<Q> {
    Q::decode(&mut request, caller.version).map_err(|error| unreadable(error.to_string()))
}

fn encode<R: Encodable>(caller: &Caller<'_>, response: &R) -> io::Result<Answer> {
    let mut body = BytesMut::new();
    response.encode(&mut body, caller.version).map_err(|error| {
        tracing::error!(%error, version = caller.version, "an answer can't be encoded");
        unreadable(error.to_string())
    })?;
    Ok(Answer::Body(Rope::from(body.freeze())))
}

/// What can't be read ends its connection.
pub(super) fn unreadable(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Kafka's number for the outcome; 0 is success.
fn code<T>(result: &Result<T, ErrorCode>) -> i16 {
    result.as_ref().err().map_or(0, ErrorCode::code)
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn name(text: &StrBytes) -> Name {
    Name::from(text.as_str())
}

fn optional_name(text: Option<&StrBytes>) -> Option<Name> {
    text.map(name)
}

/// Groups flat partition results by topic, in the order of the topics.
fn by_topic<T>(partitions: impl IntoIterator<Item = (TopicPartition, T)>) -> BTreeMap<Name, Vec<(i32, T)>> {
    let mut topics: BTreeMap<Name, Vec<(i32, T)>> = BTreeMap::new();
    for (at, value) in partitions {
        topics.entry(at.topic).or_default().push((at.partition, value));
    }
    topics
}
