//! What is bounded, and what is said when a bound is met.

use std::collections::BTreeMap;

use devbroker::core::records::BatchBuilder;
use devbroker::core::{CoreConfig, ErrorCode};

use crate::support::{Producer, at, committed, put, with_topic};

#[test]
fn a_full_broker_refuses_with_a_reason_and_takes_again_once_there_is_room() {
    let mut core = with_topic(CoreConfig { memory_limit_bytes: 1_000, ..CoreConfig::default() }, &[]);
    let batch = BatchBuilder::new().record(Some(b"k"), Some(&[0; 100]), 0).build(None);
    let refusal = loop {
        match core.produce(&at(0), &batch, 0) {
            Ok(_) => {}
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal.code, ErrorCode::PolicyViolation);
    assert!(refusal.message.contains("memory_limit_bytes (1000)"), "{refusal}");
    assert!(core.used_bytes() <= 1_000 + 400);
    core.delete_records(&at(0), -1).unwrap();
    core.produce(&at(0), &batch, 1).unwrap();
}

#[test]
fn a_full_broker_compacts_at_once_whatever_the_settings_say() {
    let config = CoreConfig { memory_limit_bytes: 3_000, ..CoreConfig::default() };
    let mut core = with_topic(config, &[("cleanup.policy", "compact")]);
    core.tick(0);
    let batch = BatchBuilder::new().record(Some(b"k"), Some(&[0; 100]), 0).build(None);
    while core.produce(&at(0), &batch, 1).is_ok() {}
    let before = core.used_bytes();
    core.tick(300);
    assert!(core.used_bytes() < before / 4, "{} of {before} bytes are left", core.used_bytes());
    core.produce(&at(0), &batch, 301).unwrap();
}

#[test]
fn a_transaction_can_be_ended_on_a_full_broker() {
    let mut core = with_topic(CoreConfig { memory_limit_bytes: 600, ..CoreConfig::default() }, &[]);
    let mut producer = Producer::transactional(&mut core, "tx", 0);
    producer.send(&mut core, 0, "in time", 0).unwrap();
    while producer.send(&mut core, 1, "more", 0).is_ok() {}
    producer.end(&mut core, true, 1).unwrap();
    assert_eq!(committed(&core, 0), ["in time"]);
}

#[test]
fn a_batch_larger_than_the_topic_allows_is_refused_by_name() {
    let mut core = with_topic(CoreConfig::default(), &[("max.message.bytes", "100")]);
    let batch = BatchBuilder::new().record(Some(b"k"), Some(&[0; 100]), 0).build(None);
    let refusal = core.produce(&at(0), &batch, 0).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::MessageTooLarge);
    assert!(refusal.message.contains("max.message.bytes of topic 't' is 100"), "{refusal}");
}

#[test]
fn a_topic_with_a_bad_name_or_setting_is_refused_with_a_sentence_that_names_it() {
    let mut core = with_topic(CoreConfig { max_partitions: 10, ..CoreConfig::default() }, &[]);
    let set = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    for (name, partitions, settings, code, part) in [
        ("a b", 1, BTreeMap::new(), ErrorCode::InvalidTopicException, "'a b' is illegal"),
        ("t", 1, BTreeMap::new(), ErrorCode::TopicAlreadyExists, "already exists"),
        ("n", 0, BTreeMap::new(), ErrorCode::InvalidPartitions, "larger than 0"),
        ("n", 9, BTreeMap::new(), ErrorCode::PolicyViolation, "its limit is 10"),
        ("n", 1, set("retention.ms", "soon"), ErrorCode::InvalidConfig, "`soon` for topic config retention.ms"),
        ("n", 1, set("cleanup.policy", "shred"), ErrorCode::InvalidConfig, "`shred`"),
        ("n", 1, set("retentoin.ms", "1"), ErrorCode::InvalidConfig, "unknown topic config name: retentoin.ms"),
    ] {
        let refusal = core.create_topic(name, Some(partitions), settings, false).unwrap_err();
        assert_eq!(refusal.code, code);
        assert!(refusal.message.contains(part), "{refusal}");
    }
    core.create_topic("checked", Some(1), BTreeMap::new(), true).unwrap();
    assert!(core.topic("checked").is_none(), "validate_only creates nothing");
}

#[test]
fn memory_is_counted_to_the_byte_through_everything() {
    let mut core = with_topic(
        CoreConfig { compaction_min_dirty_bytes: 0, ..CoreConfig::default() },
        &[("cleanup.policy", "compact")],
    );
    for number in 0..50 {
        put(&mut core, &format!("k{}", number % 3), Some("v"), number);
    }
    let mut producer = Producer::transactional(&mut core, "tx", 0);
    producer.send(&mut core, 1, "x", 1).unwrap();
    producer.end(&mut core, false, 2).unwrap();
    let counted = |core: &devbroker::core::Core| -> usize {
        core.topics().flat_map(|topic| &topic.partitions).map(devbroker::core::log::PartitionLog::cost_bytes).sum()
    };
    assert_eq!(core.used_bytes(), counted(&core));
    core.keep_house(100);
    assert_eq!(core.used_bytes(), counted(&core));
    core.delete_topic("t").unwrap();
    assert_eq!(core.used_bytes(), 0);
}
