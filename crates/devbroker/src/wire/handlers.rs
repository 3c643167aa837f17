//! One function for each request: wire types in, a call of the core, wire types out.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::{ApiVersionsRequest, RequestKind, ResponseKind};
use kafka_protocol::protocol::StrBytes;

use super::fetch_answer::FetchAnswer;
use super::{Shared, versions};
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
    /// A response that the codec encodes.
    Plain(Box<ResponseKind>),
    /// A fetch, encoded by hand.
    Fetch(FetchAnswer),
    /// Nothing (`acks=0`).
    None,
    /// The request is not handled here.
    Unknown,
}

impl<T: Into<ResponseKind>> From<T> for Answer {
    fn from(response: T) -> Self {
        Self::Plain(Box::new(response.into()))
    }
}

pub(super) async fn handle(caller: &Caller<'_>, request: RequestKind) -> Answer {
    match request {
        RequestKind::ApiVersions(request) => api_versions(caller, &request),
        RequestKind::Produce(request) => produce::produce(caller, request).await,
        RequestKind::Fetch(request) => fetch::fetch(caller, &request).await,
        RequestKind::ListOffsets(request) => offsets::list_offsets(caller, &request).into(),
        RequestKind::OffsetForLeaderEpoch(request) => offsets::offset_for_leader_epoch(caller, &request).into(),
        RequestKind::DeleteRecords(request) => offsets::delete_records(caller, &request).into(),
        RequestKind::Metadata(request) => metadata::metadata(caller, &request).into(),
        RequestKind::FindCoordinator(request) => metadata::find_coordinator(caller, &request).into(),
        RequestKind::DescribeCluster(request) => metadata::describe_cluster(caller, &request).into(),
        RequestKind::JoinGroup(request) => groups::join(caller, &request).await.into(),
        RequestKind::SyncGroup(request) => groups::sync(caller, &request).await.into(),
        RequestKind::Heartbeat(request) => groups::heartbeat(caller, &request).into(),
        RequestKind::LeaveGroup(request) => groups::leave(caller, &request).into(),
        RequestKind::OffsetCommit(request) => groups::commit_offsets(caller, &request).into(),
        RequestKind::OffsetFetch(request) => groups::fetch_offsets(caller, &request).into(),
        RequestKind::OffsetDelete(request) => groups::delete_offsets(caller, &request).into(),
        RequestKind::DescribeGroups(request) => listings::describe_groups(caller, &request).into(),
        RequestKind::ListGroups(request) => listings::list_groups(caller, &request).into(),
        RequestKind::DeleteGroups(request) => listings::delete_groups(caller, &request).into(),
        RequestKind::ListTransactions(request) => listings::list_transactions(caller, &request).into(),
        RequestKind::DescribeTransactions(request) => listings::describe_transactions(caller, &request).into(),
        RequestKind::DescribeProducers(request) => listings::describe_producers(caller, &request).into(),
        RequestKind::InitProducerId(request) => transactions::init_producer_id(caller, &request).into(),
        RequestKind::AddPartitionsToTxn(request) => transactions::add_partitions(caller, &request).into(),
        RequestKind::AddOffsetsToTxn(request) => transactions::add_offsets(caller, &request).into(),
        RequestKind::TxnOffsetCommit(request) => transactions::commit_offsets(caller, &request).into(),
        RequestKind::EndTxn(request) => transactions::end(caller, &request).into(),
        RequestKind::CreateTopics(request) => admin::create_topics(caller, &request).into(),
        RequestKind::DeleteTopics(request) => admin::delete_topics(caller, &request).into(),
        RequestKind::CreatePartitions(request) => admin::create_partitions(caller, &request).into(),
        RequestKind::DescribeConfigs(request) => configs::describe(caller, &request).into(),
        RequestKind::AlterConfigs(request) => configs::alter(caller, &request).into(),
        RequestKind::IncrementalAlterConfigs(request) => configs::alter_incrementally(caller, &request).into(),
        _ => Answer::Unknown,
    }
}

fn api_versions(_caller: &Caller<'_>, _request: &ApiVersionsRequest) -> Answer {
    versions::advertised(0).into()
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
