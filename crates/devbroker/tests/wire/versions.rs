//! Every version that is advertised is answered in a form that the codec of that version reads.

use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource as IncrementalResource, AlterableConfig,
};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use uuid::Uuid;

use crate::support::{Broker, deliver, send};

struct Wire {
    stream: TcpStream,
    topic_id: Uuid,
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Wire {
    /// Sends a request in one version and reads the answer in that version, to its last byte.
    fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let mut frame = BytesMut::new();
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(5)
            .with_client_id(Some(text("test")));
        header.encode(&mut frame, R::header_version(version)).unwrap();
        request.encode(&mut frame, version).unwrap_or_else(|error| panic!("api {} v{version}: {error}", R::KEY));
        self.stream.write_all(&[&(frame.len() as i32).to_be_bytes()[..], &frame].concat()).unwrap();
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap_or_else(|error| panic!("api {} v{version}: {error}", R::KEY));
        let mut answer = vec![0; i32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut answer).unwrap();
        let mut answer = Bytes::from(answer);
        let header_version = if R::KEY == 18 { 0 } else { R::Response::header_version(version) };
        let header = ResponseHeader::decode(&mut answer, header_version).unwrap();
        assert_eq!(header.correlation_id, 5);
        let response = R::Response::decode(&mut answer, version).unwrap();
        assert_eq!(answer.remaining(), 0, "api {} v{version} says more than it should", R::KEY);
        response
    }

    fn call_all(&mut self, api: ApiKey, version: i16) {
        let topic = || TopicName(text("t"));
        let group = || GroupId(text("g"));
        match api {
            ApiKey::ApiVersions => {
                let request = ApiVersionsRequest::default();
                let request = if version >= 3 {
                    request.with_client_software_name(text("x")).with_client_software_version(text("1"))
                } else {
                    request
                };
                assert_eq!(self.call(&request, version).error_code, 0);
            }
            ApiKey::Produce => {
                let batch = devbroker::core::records::BatchBuilder::new().record(Some(b"k"), Some(b"v"), 1).build(None);
                let partitions = [0, 99]
                    .map(|index| PartitionProduceData::default().with_index(index).with_records(Some(batch.clone())));
                let data = TopicProduceData::default().with_name(topic()).with_partition_data(partitions.into());
                let request =
                    ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000).with_topic_data(vec![data]);
                let response = self.call(&request, version);
                let partitions = &response.responses[0].partition_responses;
                assert_eq!((partitions[0].error_code, partitions[1].error_code), (0, 3));
            }
            ApiKey::Fetch => {
                let partitions = [0, 99]
                    .map(|index| FetchPartition::default().with_partition(index).with_partition_max_bytes(1 << 20));
                let wanted = FetchTopic::default().with_partitions(partitions.into());
                let wanted =
                    if version >= 13 { wanted.with_topic_id(self.topic_id) } else { wanted.with_topic(topic()) };
                let request = FetchRequest::default()
                    .with_max_wait_ms(1)
                    .with_max_bytes(1 << 20)
                    .with_isolation_level(1)
                    .with_topics(vec![wanted]);
                let response = self.call(&request, version);
                let partitions = &response.responses[0].partitions;
                assert_eq!((partitions[0].error_code, partitions[1].error_code), (0, 3));
                assert!(!partitions[0].records.as_ref().unwrap().is_empty());
            }
            ApiKey::ListOffsets => {
                let partitions =
                    [0, 99].map(|index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(-2));
                let wanted = ListOffsetsTopic::default().with_name(topic()).with_partitions(partitions.into());
                let response = self.call(&ListOffsetsRequest::default().with_topics(vec![wanted]), version);
                assert_eq!(
                    (response.topics[0].partitions[0].error_code, response.topics[0].partitions[0].offset),
                    (0, 0)
                );
                assert_eq!(response.topics[0].partitions[1].error_code, 3);
            }
            ApiKey::Metadata => {
                let mut wanted = ["t", "no"]
                    .map(|name| MetadataRequestTopic::default().with_name(Some(TopicName(text(name)))))
                    .to_vec();
                if version >= 12 {
                    wanted.push(MetadataRequestTopic::default().with_name(None).with_topic_id(self.topic_id));
                    wanted.push(MetadataRequestTopic::default().with_name(None).with_topic_id(Uuid::from_u128(1)));
                }
                let response = self.call(&MetadataRequest::default().with_topics(Some(wanted)), version);
                let errors: Vec<i16> = response.topics.iter().map(|topic| topic.error_code).collect();
                assert_eq!(errors, if version >= 12 { vec![0, 3, 0, 100] } else { vec![0, 3] });
                let all = MetadataRequest::default().with_topics(if version == 0 { Some(Vec::new()) } else { None });
                assert!(!self.call(&all, version).topics.is_empty());
            }
            ApiKey::OffsetCommit => {
                let partitions = [0, 99].map(|index| {
                    OffsetCommitRequestPartition::default().with_partition_index(index).with_committed_offset(3)
                });
                let offsets = OffsetCommitRequestTopic::default().with_name(topic()).with_partitions(partitions.into());
                let request = OffsetCommitRequest::default().with_group_id(group()).with_topics(vec![offsets]);
                let response = self.call(&request, version);
                let errors: Vec<i16> = response.topics[0].partitions.iter().map(|p| p.error_code).collect();
                assert_eq!(errors, [0, 3]);
            }
            ApiKey::OffsetFetch if version >= 8 => {
                let wanted = OffsetFetchRequestTopics::default().with_name(topic()).with_partition_indexes(vec![0, 1]);
                let named = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![wanted]));
                let all = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(None);
                let request = OffsetFetchRequest::default().with_groups(vec![named, all]).with_require_stable(true);
                let response = self.call(&request, version);
                assert_eq!(response.groups[0].topics[0].partitions.len(), 2);
                assert_eq!(response.groups[0].topics[0].partitions[0].committed_offset, 3);
                assert_eq!(response.groups[1].topics[0].partitions.len(), 1);
            }
            ApiKey::OffsetFetch => {
                let wanted = OffsetFetchRequestTopic::default().with_name(topic()).with_partition_indexes(vec![0, 1]);
                let request = OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![wanted]));
                let request = if version >= 7 { request.with_require_stable(true) } else { request };
                let response = self.call(&request, version);
                assert_eq!(response.topics[0].partitions[0].committed_offset, 3);
                assert_eq!(response.topics[0].partitions[1].committed_offset, -1);
            }
            ApiKey::FindCoordinator => {
                let request = FindCoordinatorRequest::default();
                let request = if version >= 4 {
                    request.with_coordinator_keys(vec![text("g"), text("h")])
                } else {
                    request.with_key(text("g"))
                };
                let response = self.call(&request, version);
                assert_eq!(response.coordinators.len(), if version >= 4 { 2 } else { 0 });
            }
            ApiKey::JoinGroup => self.join_sync_beat_and_leave(version),
            // These come with JoinGroup, in their own highest version; here they meet nobody.
            ApiKey::SyncGroup => {
                let request = SyncGroupRequest::default().with_group_id(GroupId(text("nobody")));
                assert_eq!(self.call(&request, version).error_code, 25);
            }
            ApiKey::Heartbeat => {
                let request = HeartbeatRequest::default().with_group_id(GroupId(text("nobody")));
                assert_eq!(self.call(&request, version).error_code, 25);
            }
            ApiKey::LeaveGroup => {
                let request = LeaveGroupRequest::default().with_group_id(GroupId(text("nobody")));
                let request = if version >= 3 {
                    request.with_members(vec![MemberIdentity::default().with_member_id(text("m"))])
                } else {
                    request.with_member_id(text("m"))
                };
                let response = self.call(&request, version);
                let error = if version >= 3 { response.members[0].error_code } else { response.error_code };
                assert_eq!(error, 25);
            }
            ApiKey::DescribeGroups => {
                let request = DescribeGroupsRequest::default().with_groups(vec![group(), GroupId(text("no"))]);
                let response = self.call(&request, version);
                assert_eq!(response.groups[0].error_code, 0);
                assert_eq!(response.groups[1].group_state.as_str(), "Dead");
            }
            ApiKey::ListGroups => {
                assert!(!self.call(&ListGroupsRequest::default(), version).groups.is_empty());
            }
            ApiKey::DeleteGroups => {
                let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text("no"))]);
                assert_eq!(self.call(&request, version).results[0].error_code, 69);
            }
            ApiKey::OffsetDelete => {
                let partition = OffsetDeleteRequestPartition::default();
                let offsets = OffsetDeleteRequestTopic::default().with_name(topic()).with_partitions(vec![partition]);
                let request = OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![offsets]);
                assert_eq!(self.call(&request, version).topics[0].partitions[0].error_code, 0);
            }
            ApiKey::CreateTopics => {
                let good = CreatableTopic::default()
                    .with_name(TopicName(text(&format!("made-by-{version}"))))
                    .with_num_partitions(1)
                    .with_replication_factor(1);
                let bad =
                    CreatableTopic::default().with_name(topic()).with_num_partitions(1).with_replication_factor(1);
                let response = self.call(&CreateTopicsRequest::default().with_topics(vec![good, bad]), version);
                assert_eq!((response.topics[0].error_code, response.topics[1].error_code), (0, 36));
            }
            ApiKey::CreatePartitions => {
                let grown = CreatePartitionsTopic::default().with_name(topic()).with_count(1).with_assignments(None);
                let request = CreatePartitionsRequest::default().with_topics(vec![grown]);
                assert_eq!(self.call(&request, version).results[0].error_code, 37);
            }
            ApiKey::DeleteTopics => {
                let request = DeleteTopicsRequest::default();
                let request = if version >= 6 {
                    let by_name = DeleteTopicState::default().with_name(Some(TopicName(text("no"))));
                    let by_id = DeleteTopicState::default().with_name(None).with_topic_id(Uuid::from_u128(1));
                    request.with_topics(vec![by_name, by_id])
                } else {
                    request.with_topic_names(vec![TopicName(text("no"))])
                };
                assert_eq!(self.call(&request, version).responses[0].error_code, 3);
            }
            ApiKey::DeleteRecords => {
                let partitions = [0, 99].map(|index| DeleteRecordsPartition::default().with_partition_index(index));
                let wanted = DeleteRecordsTopic::default().with_name(topic()).with_partitions(partitions.into());
                let response = self.call(&DeleteRecordsRequest::default().with_topics(vec![wanted]), version);
                let errors: Vec<i16> = response.topics[0].partitions.iter().map(|p| p.error_code).collect();
                assert_eq!(errors, [0, 3]);
            }
            ApiKey::OffsetForLeaderEpoch => {
                let partition = OffsetForLeaderPartition::default().with_partition(0).with_leader_epoch(0);
                let wanted = OffsetForLeaderTopic::default().with_topic(topic()).with_partitions(vec![partition]);
                let response = self.call(&OffsetForLeaderEpochRequest::default().with_topics(vec![wanted]), version);
                assert!(response.topics[0].partitions[0].end_offset > 0);
            }
            ApiKey::InitProducerId => self.transaction(version),
            ApiKey::AddPartitionsToTxn => {
                let wanted = AddPartitionsToTxnTopic::default().with_name(topic()).with_partitions(vec![0]);
                let request = AddPartitionsToTxnRequest::default()
                    .with_v3_and_below_transactional_id(TransactionalId(text("no")))
                    .with_v3_and_below_topics(vec![wanted]);
                let response = self.call(&request, version);
                let topics = &response.results_by_topic_v3_and_below;
                assert_eq!(topics[0].results_by_partition[0].partition_error_code, 49);
            }
            ApiKey::AddOffsetsToTxn => {
                let id = TransactionalId(text("no"));
                let request = AddOffsetsToTxnRequest::default().with_transactional_id(id).with_group_id(group());
                assert_eq!(self.call(&request, version).error_code, 49);
            }
            ApiKey::EndTxn => {
                let request = EndTxnRequest::default().with_transactional_id(TransactionalId(text("no")));
                assert_eq!(self.call(&request, version).error_code, 49);
            }
            ApiKey::TxnOffsetCommit => {
                let partition = TxnOffsetCommitRequestPartition::default();
                let offsets =
                    TxnOffsetCommitRequestTopic::default().with_name(topic()).with_partitions(vec![partition]);
                let request = TxnOffsetCommitRequest::default()
                    .with_transactional_id(TransactionalId(text("no")))
                    .with_group_id(group())
                    .with_topics(vec![offsets]);
                assert_eq!(self.call(&request, version).topics[0].partitions[0].error_code, 49);
            }
            ApiKey::DescribeConfigs => {
                let resources = [(2, "t"), (2, "no"), (4, "1"), (8, "x")].map(|(kind, name)| {
                    DescribeConfigsResource::default()
                        .with_resource_type(kind)
                        .with_resource_name(text(name))
                        .with_configuration_keys(None)
                });
                let response = self.call(&DescribeConfigsRequest::default().with_resources(resources.into()), version);
                let errors: Vec<i16> = response.results.iter().map(|result| result.error_code).collect();
                assert_eq!(errors, [0, 3, 0, 42]);
                let sources =
                    response.results.iter().flat_map(|result| &result.configs).map(|config| config.config_source);
                assert!(sources.into_iter().all(|source| source == 1 || source == 5), "rdkafka crashes on others");
            }
            ApiKey::AlterConfigs => {
                let resource = AlterConfigsResource::default().with_resource_type(2).with_resource_name(text("no"));
                let response = self.call(&AlterConfigsRequest::default().with_resources(vec![resource]), version);
                assert_eq!(response.responses[0].error_code, 3);
            }
            ApiKey::IncrementalAlterConfigs => {
                let set = |name: &str| AlterableConfig::default().with_name(text(name)).with_value(Some(text("5")));
                let resources = ["retention.ms", "nonsense"].map(|name| {
                    IncrementalResource::default()
                        .with_resource_type(2)
                        .with_resource_name(text("t"))
                        .with_configs(vec![set(name)])
                });
                let request =
                    IncrementalAlterConfigsRequest::default().with_resources(resources.into()).with_validate_only(true);
                let response = self.call(&request, version);
                assert_eq!((response.responses[0].error_code, response.responses[1].error_code), (0, 40));
            }
            ApiKey::DescribeCluster => {
                assert_eq!(self.call(&DescribeClusterRequest::default(), version).brokers.len(), 1);
            }
            ApiKey::DescribeProducers => {
                let wanted = TopicRequest::default().with_name(topic()).with_partition_indexes(vec![0, 99]);
                let response = self.call(&DescribeProducersRequest::default().with_topics(vec![wanted]), version);
                let errors: Vec<i16> = response.topics[0].partitions.iter().map(|p| p.error_code).collect();
                assert_eq!(errors, [0, 3]);
            }
            ApiKey::DescribeTransactions => {
                let ids = vec![TransactionalId(text("tx")), TransactionalId(text("no"))];
                let response = self.call(&DescribeTransactionsRequest::default().with_transactional_ids(ids), version);
                let errors: Vec<i16> = response.transaction_states.iter().map(|state| state.error_code).collect();
                assert_eq!(errors, [0, 105]);
            }
            ApiKey::ListTransactions => {
                assert!(!self.call(&ListTransactionsRequest::default(), version).transaction_states.is_empty());
            }
            other => panic!("{other:?} is advertised and not tried here"),
        }
    }

    fn join_sync_beat_and_leave(&mut self, version: i16) {
        let group = || GroupId(text(&format!("joined-by-{version}")));
        let protocol =
            JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from_static(b"m"));
        let mut request = JoinGroupRequest::default()
            .with_group_id(group())
            .with_session_timeout_ms(10_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        if version >= 1 {
            request = request.with_rebalance_timeout_ms(10_000);
        }
        let mut joined = self.call(&request, version);
        if version >= 4 {
            assert_eq!(joined.error_code, 79);
            joined = self.call(&request.with_member_id(joined.member_id.clone()), version);
        }
        assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (0, 1, 1));
        assert_eq!(joined.protocol_name.as_deref(), Some("range"));
        let given = sync_group_request::SyncGroupRequestAssignment::default()
            .with_member_id(joined.member_id.clone())
            .with_assignment(Bytes::from_static(b"a"));
        let sync = SyncGroupRequest::default()
            .with_group_id(group())
            .with_generation_id(1)
            .with_member_id(joined.member_id.clone())
            .with_assignments(vec![given]);
        for sync_version in 0..=5 {
            assert_eq!(self.call(&sync, sync_version).assignment, Bytes::from_static(b"a"));
        }
        let beat =
            HeartbeatRequest::default().with_group_id(group()).with_generation_id(1).with_member_id(joined.member_id);
        for beat_version in 0..=4 {
            assert_eq!(self.call(&beat, beat_version).error_code, 0);
        }
        for describe_version in 0..=6 {
            let describe = DescribeGroupsRequest::default().with_groups(vec![group()]);
            assert_eq!(self.call(&describe, describe_version).groups[0].members.len(), 1);
        }
    }

    fn transaction(&mut self, version: i16) {
        let id = || TransactionalId(text("tx"));
        let init =
            InitProducerIdRequest::default().with_transactional_id(Some(id())).with_transaction_timeout_ms(10_000);
        let producer = self.call(&init, version);
        assert_eq!(producer.error_code, 0);
        if version >= 3 {
            let stranger = init.with_producer_id(producer.producer_id).with_producer_epoch(i16::MAX);
            assert_eq!(self.call(&stranger, version).error_code, if version >= 4 { 90 } else { 47 });
        }
        let wanted = AddPartitionsToTxnTopic::default().with_name(TopicName(text("t"))).with_partitions(vec![0]);
        let add = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id())
            .with_v3_and_below_producer_id(producer.producer_id)
            .with_v3_and_below_producer_epoch(producer.producer_epoch)
            .with_v3_and_below_topics(vec![wanted]);
        let added = self.call(&add, 3);
        assert_eq!(added.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code, 0);
        let end = EndTxnRequest::default()
            .with_transactional_id(id())
            .with_producer_id(producer.producer_id)
            .with_producer_epoch(producer.producer_epoch)
            .with_committed(version % 2 == 0);
        assert_eq!(self.call(&end, 4).error_code, 0);
    }
}

#[test]
fn every_advertised_version_is_answered_in_its_own_form() {
    let broker = Broker::start();
    broker.create_topic("t", 2, &[]);
    let producer = broker.producer(&[]);
    send(&producer, "t", 0, "k", "v");
    deliver(&producer);
    let stream = TcpStream::connect(&broker.servers).unwrap();
    let mut wire = Wire { stream, topic_id: Uuid::nil() };
    let topics = Some(vec![MetadataRequestTopic::default().with_name(Some(TopicName(text("t"))))]);
    wire.topic_id = wire.call(&MetadataRequest::default().with_topics(topics), 12).topics[0].topic_id;
    assert!(!wire.topic_id.is_nil());
    let mut advertised = wire.call(&ApiVersionsRequest::default(), 0).api_keys;
    // What looks at groups, offsets and transactions comes after what makes them.
    let makes_something = |key: i16| [0, 8, 11, 22].contains(&key);
    advertised.sort_by_key(|api| !makes_something(api.api_key));
    for api in advertised {
        let key = ApiKey::try_from(api.api_key).unwrap();
        let lowest = if key == ApiKey::Produce { 3 } else { api.min_version };
        for version in lowest..=api.max_version {
            wire.call_all(key, version);
        }
    }
}
