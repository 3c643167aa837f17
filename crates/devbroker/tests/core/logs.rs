//! Appending, finding, retaining.

use bytes::Bytes;
use devbroker::core::log::{Isolation, TimestampQuery};
use devbroker::core::records::{BatchBuilder, ProducerStamp};
use devbroker::core::{CoreConfig, ErrorCode, FetchWish};

use crate::support::{EVERYTHING, Producer, at, committed, core, put, read, values, with_topic};

#[test]
fn a_record_comes_back_as_it_was_sent() {
    let mut core = core();
    let batch = BatchBuilder::new()
        .record_with_headers(Some(b"k"), Some(b"v"), 5, &[("h", b"x")])
        .record(None, None, 9)
        .build(None);
    core.produce(&at(0), &batch, 100).unwrap();
    let seen = read(&core, &at(0), 0, Isolation::ReadUncommitted);
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].offset, seen[0].timestamp_ms, seen[0].headers.len()), (0, 5, 1));
    assert_eq!((seen[1].offset, seen[1].timestamp_ms, seen[1].key.clone(), seen[1].value.clone()), (1, 9, None, None));
}

#[test]
fn a_damaged_batch_is_refused_and_nothing_is_stored() {
    let mut core = core();
    let good = BatchBuilder::new().record(Some(b"k"), Some(b"v"), 5).build(None);
    for (broken, expected) in [
        (good.slice(..good.len() - 1), ErrorCode::CorruptMessage),
        (flipped(&good, good.len() - 2), ErrorCode::CorruptMessage),
        (flipped(&good, 16), ErrorCode::UnsupportedForMessageFormat),
        (Bytes::new(), ErrorCode::CorruptMessage),
        ([&good[..], &good[..]].concat().into(), ErrorCode::CorruptMessage),
    ] {
        assert_eq!(core.produce(&at(0), &broken, 1).unwrap_err().code, expected);
    }
    assert_eq!(core.log(&at(0)).unwrap().end_offset(), 0);
    assert_eq!(core.used_bytes(), 0);
}

fn flipped(batch: &Bytes, index: usize) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[index] ^= 0xff;
    bytes.into()
}

#[test]
fn a_batch_sent_twice_is_stored_once_and_answered_with_its_first_offset() {
    let mut core = core();
    let mut producer = Producer::idempotent(&mut core);
    producer.send(&mut core, 0, "a", 1).unwrap();
    let first = producer.send(&mut core, 0, "b", 2).unwrap();
    producer.sequences.insert(at(0), 1);
    let again = producer.send(&mut core, 0, "b", 3).unwrap();
    assert_eq!((again.base_offset, again.duplicate), (first.base_offset, true));
    assert_eq!(committed(&core, 0), ["a", "b"]);
}

#[test]
fn a_batch_older_than_the_last_five_is_a_duplicate_without_offset_and_a_gap_is_refused() {
    let mut core = core();
    let mut producer = Producer::idempotent(&mut core);
    for value in ["0", "1", "2", "3", "4", "5", "6"] {
        producer.send(&mut core, 0, value, 1).unwrap();
    }
    producer.sequences.insert(at(0), 0);
    assert_eq!(producer.send(&mut core, 0, "0", 2), Err(ErrorCode::DuplicateSequenceNumber));
    producer.sequences.insert(at(0), 8);
    assert_eq!(producer.send(&mut core, 0, "8", 2), Err(ErrorCode::OutOfOrderSequenceNumber));
    producer.sequences.insert(at(0), 7);
    assert!(producer.send(&mut core, 0, "7", 2).is_ok());
}

#[test]
fn a_batch_that_is_partly_new_is_refused_rather_than_taken_for_a_duplicate() {
    let mut core = core();
    let mut producer = Producer::idempotent(&mut core);
    for value in ["0", "1", "2"] {
        producer.send(&mut core, 0, value, 1).unwrap();
    }
    let stamp = ProducerStamp { id: producer.identity.id, epoch: 0, sequence: 2, transactional: false };
    let batch = BatchBuilder::new().record(None, Some(b"2"), 1).record(None, Some(b"3"), 1).build(Some(stamp));
    assert_eq!(core.produce(&at(0), &batch, 1).unwrap_err().code, ErrorCode::OutOfOrderSequenceNumber);
}

#[test]
fn sequence_numbers_wrap_to_zero() {
    let mut core = core();
    let mut producer = Producer::idempotent(&mut core);
    producer.sequences.insert(at(0), i32::MAX);
    producer.send(&mut core, 0, "last", 1).unwrap();
    producer.send(&mut core, 0, "first again", 1).unwrap();
    assert_eq!(committed(&core, 0), ["last", "first again"]);
}

#[test]
fn log_append_time_overrides_the_producers_and_says_so() {
    let mut core = with_topic(CoreConfig::default(), &[("message.timestamp.type", "LogAppendTime")]);
    let batch = BatchBuilder::new().record(None, Some(b"v"), 5).build(None);
    assert_eq!(core.produce(&at(0), &batch, 777).unwrap().log_append_time_ms, 777);
    let wish = FetchWish { at: at(0), offset: 0, max_bytes: EVERYTHING };
    let stored = core.fetch(&[wish], EVERYTHING, Isolation::ReadUncommitted).remove(0).unwrap().batches.remove(0);
    let header = devbroker::core::batch::read_header(&stored).unwrap();
    assert!(header.is_log_append_time());
    assert_eq!(u32::from_be_bytes(stored[17..21].try_into().unwrap()), crc32c::crc32c(&stored[21..]));
    assert_eq!(read(&core, &at(0), 0, Isolation::ReadUncommitted)[0].timestamp_ms, 777);
}

#[test]
fn offsets_are_found_by_time_inside_a_batch() {
    let mut core = core();
    let batch =
        BatchBuilder::new().record(None, Some(b"a"), 10).record(None, Some(b"b"), 30).record(None, Some(b"c"), 20);
    core.produce(&at(0), &batch.build(None), 1).unwrap();
    let log = core.log(&at(0)).unwrap();
    let found = |query| log.offset_for(query, Isolation::ReadUncommitted);
    assert_eq!(found(TimestampQuery::AtOrAfter(11)), Some((1, 30)));
    assert_eq!(found(TimestampQuery::AtOrAfter(31)), None);
    assert_eq!(found(TimestampQuery::MaxTimestamp), Some((1, 30)));
    assert_eq!(found(TimestampQuery::Earliest), Some((0, -1)));
    assert_eq!(found(TimestampQuery::Latest), Some((3, -1)));
}

#[test]
fn a_fetch_keeps_to_its_size_but_always_moves() {
    let mut core = core();
    for value in ["a", "b", "c"] {
        put(&mut core, "k", Some(value), 1);
    }
    let fetch = |max_bytes| {
        let wish = FetchWish { at: at(0), offset: 0, max_bytes: EVERYTHING };
        core.fetch(&[wish], max_bytes, Isolation::ReadUncommitted).remove(0).unwrap().batches.len()
    };
    assert_eq!((fetch(1), fetch(150), fetch(EVERYTHING)), (1, 2, 3));
    let beyond = FetchWish { at: at(0), offset: 4, max_bytes: EVERYTHING };
    let results = core.fetch(&[beyond], EVERYTHING, Isolation::ReadUncommitted);
    assert_eq!(results[0], Err(ErrorCode::OffsetOutOfRange));
}

#[test]
fn old_records_go_by_time_but_not_those_of_an_open_transaction() {
    let mut core = with_topic(CoreConfig::default(), &[("retention.ms", "1000")]);
    put(&mut core, "k", Some("old"), 0);
    let mut open = Producer::transactional(&mut core, "tx", 0);
    open.send(&mut core, 0, "old and open", 0).unwrap();
    put(&mut core, "k", Some("new"), 5_000);
    core.keep_house(5_500);
    assert_eq!(core.log(&at(0)).unwrap().log_start_offset(), 1);
    open.end(&mut core, true, 5_600).unwrap();
    core.keep_house(5_600);
    assert_eq!(committed(&core, 0), ["new"]);
}

#[test]
fn old_records_go_by_size_and_at_least_the_limit_stays() {
    let mut core = with_topic(CoreConfig::default(), &[("retention.bytes", "200")]);
    for _ in 0..10 {
        put(&mut core, "k", Some("some value"), 0);
    }
    core.keep_house(1);
    let kept = committed(&core, 0).len();
    assert_eq!(kept, 3, "three batches of 80 bytes are the fewest that hold 200");
}

#[test]
fn deleted_records_free_memory_and_reading_below_them_is_out_of_range() {
    let mut core = core();
    for value in ["a", "b", "c"] {
        put(&mut core, "k", Some(value), 1);
    }
    let before = core.used_bytes();
    assert_eq!(core.delete_records(&at(0), 2), Ok(2));
    assert_eq!(core.used_bytes(), before / 3);
    assert_eq!(values(&read(&core, &at(0), 2, Isolation::ReadCommitted)), ["c"]);
    let below = FetchWish { at: at(0), offset: 0, max_bytes: EVERYTHING };
    assert_eq!(core.fetch(&[below], EVERYTHING, Isolation::ReadCommitted)[0], Err(ErrorCode::OffsetOutOfRange));
    assert_eq!(core.delete_records(&at(0), 9), Err(ErrorCode::OffsetOutOfRange));
    assert_eq!(core.delete_records(&at(0), -1), Ok(3));
    assert_eq!(core.used_bytes(), 0);
}
