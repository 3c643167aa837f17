//! The codec's bytes are the measure.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction as WireAborted, FetchResponse, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::protocol::{Encodable, StrBytes};
use uuid::Uuid;

use super::*;
use crate::core::log::AbortedTransaction;

fn fetched(batches: &[&'static [u8]], aborted: Option<Vec<AbortedTransaction>>) -> Fetched {
    Fetched {
        batches: batches.iter().map(|batch| Bytes::from_static(batch)).collect(),
        size_bytes: batches.iter().map(|batch| batch.len()).sum(),
        aborted,
        high_watermark: 300,
        last_stable_offset: 200,
        log_start_offset: 100,
    }
}

fn by_the_codec(answer: &FetchAnswer, version: i16) -> Bytes {
    let topics = answer.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| match &partition.result {
            Err(error) => PartitionData::default()
                .with_partition_index(partition.partition)
                .with_error_code(error.code())
                .with_high_watermark(-1)
                .with_aborted_transactions(None),
            Ok(fetched) => PartitionData::default()
                .with_partition_index(partition.partition)
                .with_high_watermark(fetched.high_watermark)
                .with_last_stable_offset(fetched.last_stable_offset)
                .with_log_start_offset(fetched.log_start_offset)
                .with_aborted_transactions(fetched.aborted.as_ref().map(|aborted| {
                    let wire = |aborted: &AbortedTransaction| {
                        WireAborted::default()
                            .with_producer_id(aborted.producer_id.into())
                            .with_first_offset(aborted.first_offset)
                    };
                    aborted.iter().map(wire).collect()
                }))
                .with_records(Some(fetched.batches.concat().into())),
        });
        FetchableTopicResponse::default()
            .with_topic(StrBytes::from_string(topic.name.clone()).into())
            .with_topic_id(Uuid::from_u128(topic.id))
            .with_partitions(partitions.collect())
    });
    let response = FetchResponse::default().with_error_code(answer.error_code).with_responses(topics.collect());
    let mut bytes = BytesMut::new();
    response.encode(&mut bytes, version).unwrap();
    bytes.freeze()
}

#[test]
fn every_version_is_written_as_the_codec_writes_it() {
    const LONG: &[u8] = &[7; 5_000];
    let aborted = vec![AbortedTransaction { producer_id: 9, first_offset: 110, last_offset: 120 }];
    let partitions = vec![
        PartitionAnswer { partition: 0, result: Ok(fetched(&[b"first", LONG], Some(aborted))) },
        PartitionAnswer { partition: 1, result: Ok(fetched(&[], Some(Vec::new()))) },
        PartitionAnswer { partition: 2, result: Ok(fetched(&[b"x"], None)) },
        PartitionAnswer { partition: 3, result: Err(ErrorCode::OffsetOutOfRange) },
    ];
    let answer = FetchAnswer {
        error_code: 0,
        topics: vec![
            TopicAnswer { name: "orders".into(), id: 42, partitions },
            TopicAnswer { name: "empty".into(), id: 43, partitions: Vec::new() },
        ],
    };
    for version in 4..=16 {
        let mut ours = encode(&answer, version);
        let length = ours.len();
        assert_eq!(ours.copy_to_bytes(length), by_the_codec(&answer, version), "version {version}");
    }
}
