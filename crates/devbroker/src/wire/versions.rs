//! Which requests are understood, in which versions.

use kafka_protocol::messages::ApiKey;
use kafka_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};

/// Api, lowest and highest version that is handled.
const SUPPORTED: [(ApiKey, i16, i16); 33] = [
    // Below 3 is refused when it comes. It is advertised because older librdkafka takes a higher minimum as "no
    // compression" (KAFKA-18659); Apache Kafka 4 does the same.
    (ApiKey::Produce, 0, 11),
    (ApiKey::Fetch, 4, 16),
    (ApiKey::ListOffsets, 1, 7),
    (ApiKey::Metadata, 0, 13),
    (ApiKey::OffsetCommit, 2, 9),
    (ApiKey::OffsetFetch, 1, 9),
    (ApiKey::FindCoordinator, 0, 5),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 6),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 5),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    // From 4 on it is for brokers among themselves.
    (ApiKey::AddPartitionsToTxn, 0, 3),
    (ApiKey::AddOffsetsToTxn, 0, 4),
    // EndTxn and TxnOffsetCommit 5 belong to the new transaction protocol (KIP-890), which is not offered.
    (ApiKey::EndTxn, 0, 4),
    (ApiKey::TxnOffsetCommit, 0, 4),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::DescribeCluster, 0, 1),
    (ApiKey::DescribeProducers, 0, 0),
    (ApiKey::DescribeTransactions, 0, 0),
    (ApiKey::ListTransactions, 0, 1),
    (ApiKey::OffsetDelete, 0, 0),
];

/// Is this version of a request handled?
pub(crate) fn supports(api: ApiKey, version: i16) -> bool {
    let lowest_handled = |api, lowest| if api == ApiKey::Produce { 3 } else { lowest };
    SUPPORTED
        .iter()
        .any(|(key, lowest, highest)| *key == api && (lowest_handled(*key, *lowest)..=*highest).contains(&version))
}

/// The answer to `ApiVersions`.
pub(crate) fn advertised(error_code: i16) -> ApiVersionsResponse {
    let keys = SUPPORTED.iter().map(|(key, lowest, highest)| {
        ApiVersion::default().with_api_key(*key as i16).with_min_version(*lowest).with_max_version(*highest)
    });
    ApiVersionsResponse::default().with_error_code(error_code).with_api_keys(keys.collect())
}
