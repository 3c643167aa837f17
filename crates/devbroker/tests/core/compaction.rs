//! Compaction.

use devbroker::core::batch::{self, HeaderParts};
use devbroker::core::log::Isolation;
use devbroker::core::records::BatchBuilder;
use devbroker::core::{Core, CoreConfig, ErrorCode};

use crate::support::{Producer, at, committed, put, read, with_topic};

fn compacted(settings: &[(&str, &str)]) -> Core {
    let config = CoreConfig { compaction_min_dirty_bytes: 0, ..CoreConfig::default() };
    let mut all = vec![("cleanup.policy", "compact"), ("delete.retention.ms", "1000")];
    all.extend(settings);
    with_topic(config, &all)
}

#[test]
fn the_newest_value_of_each_key_stays_at_its_offset() {
    let mut core = compacted(&[]);
    for (key, value) in [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("b", "2"), ("z", "end")] {
        put(&mut core, key, Some(value), 0);
    }
    core.keep_house(1);
    let kept = read(&core, &at(0), 0, Isolation::ReadCommitted);
    let offsets: Vec<i64> = kept.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [2, 3, 4, 5]);
    assert_eq!(core.log(&at(0)).unwrap().end_offset(), 6);
    assert_eq!(core.log(&at(0)).unwrap().log_start_offset(), 0);
}

#[test]
fn a_batch_loses_only_the_records_that_were_replaced_and_keeps_a_right_checksum() {
    let mut core = compacted(&[]);
    let batch = BatchBuilder::new().record(Some(b"a"), Some(b"old"), 1).record(Some(b"b"), Some(b"kept"), 2).record(
        Some(b"a"),
        Some(b"new"),
        3,
    );
    core.produce(&at(0), &batch.build(None), 0).unwrap();
    put(&mut core, "z", Some("end"), 0);
    core.keep_house(1);
    let kept = read(&core, &at(0), 0, Isolation::ReadCommitted);
    let seen: Vec<(i64, i64)> = kept.iter().map(|record| (record.offset, record.timestamp_ms)).collect();
    assert_eq!(seen, [(1, 2), (2, 3), (3, 0)]);
    let wish = devbroker::core::FetchWish { at: at(0), offset: 0, max_bytes: 1 << 20 };
    let bytes = core.fetch(&[wish], 1 << 20, Isolation::ReadCommitted).remove(0).unwrap().batches.remove(0);
    assert_eq!(u32::from_be_bytes(bytes[17..21].try_into().unwrap()), crc32c::crc32c(&bytes[21..]));
}

#[test]
fn a_tombstone_outlives_its_value_by_the_delete_retention() {
    let mut core = compacted(&[]);
    put(&mut core, "a", Some("1"), 0);
    put(&mut core, "a", None, 0);
    put(&mut core, "z", Some("end"), 0);
    core.keep_house(100);
    assert_eq!(committed(&core, 0), ["-", "end"]);
    core.keep_house(1_099);
    assert_eq!(committed(&core, 0), ["-", "end"]);
    core.keep_house(1_100);
    assert_eq!(committed(&core, 0), ["end"]);
}

#[test]
fn aborted_records_replace_nothing_and_go_with_their_marker_in_time() {
    let mut core = compacted(&[]);
    put(&mut core, "k", Some("committed"), 0);
    let mut producer = Producer::transactional(&mut core, "tx", 0);
    producer.send(&mut core, 0, "aborted", 0).unwrap();
    producer.end(&mut core, false, 0).unwrap();
    put(&mut core, "z", Some("end"), 0);
    core.keep_house(1);
    assert_eq!(committed(&core, 0), ["committed", "end"]);
    let uncommitted = read(&core, &at(0), 0, Isolation::ReadUncommitted);
    assert_eq!(uncommitted.len(), 2, "the aborted record is gone");
    let before = core.used_bytes();
    core.keep_house(2_000);
    assert!(core.used_bytes() < before, "the marker went, too");
    assert_eq!(committed(&core, 0), ["committed", "end"]);
}

#[test]
fn what_an_open_transaction_may_still_undo_is_left_alone() {
    let mut core = compacted(&[]);
    put(&mut core, "k", Some("before"), 0);
    put(&mut core, "y", Some("y"), 0);
    let mut producer = Producer::transactional(&mut core, "tx", 0);
    producer.send(&mut core, 0, "open", 0).unwrap();
    put(&mut core, "z", Some("end"), 0);
    core.keep_house(1);
    assert_eq!(committed(&core, 0), ["before", "y"]);
    producer.end(&mut core, true, 2).unwrap();
    core.keep_house(3);
    assert_eq!(committed(&core, 0), ["y", "open", "end"]);
}

#[test]
fn young_records_are_left_alone() {
    let mut core = compacted(&[("min.compaction.lag.ms", "500")]);
    for value in ["1", "2", "3"] {
        put(&mut core, "k", Some(value), 0);
    }
    core.keep_house(499);
    assert_eq!(committed(&core, 0).len(), 3);
    core.keep_house(500);
    assert_eq!(committed(&core, 0), ["2", "3"], "the last batch is never touched, so one more stays");
}

#[test]
fn a_compacted_topic_takes_no_record_without_a_key() {
    let mut core = compacted(&[]);
    let batch = BatchBuilder::new().record(None, Some(b"v"), 0).build(None);
    let refusal = core.produce(&at(0), &batch, 0).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::InvalidRecord);
    assert!(refusal.message.contains("without a key"), "{refusal}");
}

#[test]
fn lz4_batches_are_compacted_and_other_codecs_left_alone() {
    let mut core = compacted(&[]);
    let plain =
        BatchBuilder::new().record(Some(b"a"), Some(b"old"), 0).record(Some(b"b"), Some(b"kept"), 0).build(None);
    let packed = {
        use std::io::Write;
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(&plain[batch::HEADER_BYTES..]).unwrap();
        encoder.finish().unwrap()
    };
    for (attributes, body) in [(3, packed), (1, b"gzip, as far as the broker knows".to_vec())] {
        let parts = HeaderParts {
            base_offset: 0,
            last_offset_delta: 1,
            attributes,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 2,
        };
        core.produce(&at(0), &batch::write(&parts, &body), 0).unwrap();
    }
    put(&mut core, "a", Some("new"), 0);
    put(&mut core, "z", Some("end"), 0);
    core.keep_house(1);
    let wish = devbroker::core::FetchWish { at: at(0), offset: 0, max_bytes: 1 << 20 };
    let batches = core.fetch(&[wish], 1 << 20, Isolation::ReadCommitted).remove(0).unwrap().batches;
    let counts: Vec<i32> = batches.iter().map(|bytes| batch::read_header(bytes).unwrap().record_count).collect();
    assert_eq!(counts, [1, 2, 1, 1]);
}
