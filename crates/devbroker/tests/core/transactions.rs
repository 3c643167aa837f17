//! Transactions: what is hidden, who is fenced.

use devbroker::core::groups::{CommitCheck, CommittedOffset};
use devbroker::core::log::Isolation;
use devbroker::core::transactions::TransactionState;
use devbroker::core::{Core, CoreConfig, ErrorCode};

use crate::support::{Producer, at, committed, core, put, read, values, with_topic};

#[test]
fn committed_records_are_seen_aborted_ones_never() {
    let mut core = core();
    let mut producer = Producer::transactional(&mut core, "tx", 0);
    for (value, commit) in [("a", true), ("b", false), ("c", true)] {
        producer.send(&mut core, 0, value, 1).unwrap();
        producer.end(&mut core, commit, 2).unwrap();
    }
    assert_eq!(committed(&core, 0), ["a", "c"]);
    assert_eq!(values(&read(&core, &at(0), 0, Isolation::ReadUncommitted)), ["a", "b", "c"]);
}

#[test]
fn an_open_transaction_holds_back_what_comes_after_it() {
    let mut core = core();
    let mut open = Producer::transactional(&mut core, "tx", 0);
    put(&mut core, "k", Some("before"), 0);
    open.send(&mut core, 0, "open", 1).unwrap();
    put(&mut core, "k", Some("after"), 2);
    assert_eq!(core.log(&at(0)).unwrap().last_stable_offset(), 1);
    assert_eq!(committed(&core, 0), ["before"]);
    assert_eq!(core.log(&at(0)).unwrap().end_offset(), 3);
    open.end(&mut core, false, 3).unwrap();
    assert_eq!(committed(&core, 0), ["before", "after"]);
}

#[test]
fn initialising_an_id_again_ends_its_transaction_and_fences_the_one_before() {
    let mut core = core();
    let mut dead = Producer::transactional(&mut core, "slot", 0);
    dead.send(&mut core, 0, "never seen", 1).unwrap();
    let mut successor = Producer::transactional(&mut core, "slot", 2);
    assert_eq!(successor.identity.id, dead.identity.id);
    assert!(successor.identity.epoch > dead.identity.epoch);
    assert_eq!(dead.send_bare(&mut core, &at(0), "zombie", 3), Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(dead.send_bare(&mut core, &at(1), "zombie", 3), Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(dead.send(&mut core, 0, "zombie", 3), Err(ErrorCode::ProducerFenced));
    assert_eq!(dead.end(&mut core, true, 3), Err(ErrorCode::ProducerFenced));
    successor.send(&mut core, 0, "mine", 4).unwrap();
    successor.end(&mut core, true, 5).unwrap();
    assert_eq!(committed(&core, 0), ["mine"]);
}

#[test]
fn an_overdue_transaction_is_aborted_and_its_producer_fenced() {
    let mut core = core();
    let mut slow = Producer::transactional(&mut core, "tx", 0);
    slow.send(&mut core, 0, "late", 1_000).unwrap();
    assert_eq!(core.next_transaction_deadline_ms(), Some(11_000));
    core.tick(10_999);
    assert_eq!(core.transaction("tx").unwrap().state, TransactionState::Ongoing);
    core.tick(11_000);
    assert_eq!(core.transaction("tx").unwrap().state, TransactionState::CompleteAbort);
    assert_eq!(core.log(&at(0)).unwrap().last_stable_offset(), 2);
    assert_eq!(slow.end(&mut core, true, 11_001), Err(ErrorCode::ProducerFenced));
    assert_eq!(committed(&core, 0), Vec::<String>::new());
}

#[test]
fn the_end_of_a_transaction_may_be_asked_for_twice_but_not_changed() {
    let mut core = core();
    let mut producer = Producer::transactional(&mut core, "tx", 0);
    assert_eq!(producer.end(&mut core, true, 0), Err(ErrorCode::InvalidTxnState));
    producer.send(&mut core, 0, "a", 1).unwrap();
    producer.end(&mut core, true, 2).unwrap();
    let end = core.log(&at(0)).unwrap().end_offset();
    assert_eq!(producer.end(&mut core, true, 3), Ok(()));
    assert_eq!(producer.end(&mut core, false, 3), Err(ErrorCode::InvalidTxnState));
    assert_eq!(core.log(&at(0)).unwrap().end_offset(), end, "no second marker");
}

#[test]
fn a_batch_outside_a_transaction_is_refused() {
    let mut core = core();
    let mut producer = Producer::transactional(&mut core, "tx", 0);
    assert_eq!(producer.send_bare(&mut core, &at(0), "a", 1), Err(ErrorCode::InvalidTxnState));
    producer.send(&mut core, 0, "a", 1).unwrap();
    assert_eq!(producer.send_bare(&mut core, &at(1), "b", 1), Err(ErrorCode::InvalidTxnState));
    producer.end(&mut core, true, 2).unwrap();
    assert_eq!(producer.send_bare(&mut core, &at(0), "a", 3), Err(ErrorCode::InvalidTxnState));
}

#[test]
fn an_unknown_partition_adds_none_of_them() {
    let mut core = core();
    let producer = Producer::transactional(&mut core, "tx", 0);
    let results = core.add_partitions_to_transaction("tx", producer.identity, &[at(0), at(9)], 1);
    assert_eq!(results, [Err(ErrorCode::OperationNotAttempted), Err(ErrorCode::UnknownTopicOrPartition)]);
    assert_eq!(core.transaction("tx").unwrap().state, TransactionState::Empty);
}

#[test]
fn an_exhausted_epoch_goes_on_under_a_new_producer_id() {
    let mut core = core();
    let mut producer = Producer::transactional(&mut core, "tx", 0);
    let first_id = producer.identity.id;
    while producer.identity.id == first_id {
        assert!(producer.identity.epoch < i16::MAX, "the last epoch is never given out");
        producer = Producer::transactional(&mut core, "tx", 0);
    }
    assert_eq!(producer.identity.epoch, 0);
    producer.send(&mut core, 0, "after", 1).unwrap();
    producer.end(&mut core, true, 2).unwrap();
    assert_eq!(committed(&core, 0), ["after"]);
}

#[test]
fn a_producer_may_raise_its_own_epoch_and_ask_again_but_not_raise_anothers() {
    let mut core = core();
    let producer = Producer::transactional(&mut core, "tx", 0);
    let raised = core.init_producer_id(Some("tx"), 10_000, Some(producer.identity), 1).unwrap();
    assert_eq!(raised.epoch, producer.identity.epoch + 1);
    assert_eq!(core.init_producer_id(Some("tx"), 10_000, Some(producer.identity), 2), Ok(raised));
    core.init_producer_id(Some("tx"), 10_000, None, 3).unwrap();
    assert_eq!(core.init_producer_id(Some("tx"), 10_000, Some(raised), 4), Err(ErrorCode::ProducerFenced));
}

#[test]
fn with_late_markers_an_id_is_busy_until_the_last_has_landed() {
    let mut core = with_topic(CoreConfig { marker_delay_ms: 1_000, ..CoreConfig::default() }, &[]);
    let mut producer = Producer::transactional(&mut core, "tx", 0);
    producer.send(&mut core, 0, "a", 1).unwrap();
    producer.send(&mut core, 1, "b", 1).unwrap();
    producer.end(&mut core, true, 2).unwrap();
    assert_eq!(core.transaction("tx").unwrap().state, TransactionState::PrepareCommit);
    assert_eq!(producer.send(&mut core, 0, "c", 3), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(core.init_producer_id(Some("tx"), 10_000, None, 3), Err(ErrorCode::ConcurrentTransactions));
    let visible = |core: &Core| (committed(core, 0).len(), committed(core, 1).len());
    let one_of_two = (3..1_002).any(|now_ms| {
        core.tick(now_ms);
        matches!(visible(&core), (1, 0) | (0, 1))
    });
    assert!(one_of_two, "the markers landed together");
    core.tick(1_002);
    assert_eq!(visible(&core), (1, 1));
    producer.send(&mut core, 0, "c", 1_003).unwrap();
}

#[test]
fn offsets_of_a_transaction_wait_for_its_end() {
    let mut core = core();
    let producer = Producer::transactional(&mut core, "tx", 0);
    let offset = CommittedOffset { offset: 7, leader_epoch: -1, metadata: None };
    let offsets = [(at(0), offset.clone())];
    let none = CommitCheck::none();
    let commit = |core: &mut Core| core.commit_offsets_in_transaction("tx", producer.identity, "g", &none, &offsets, 1);
    assert_eq!(commit(&mut core), Err(ErrorCode::InvalidTxnState), "the group was not added");
    for end_with_commit in [false, true] {
        core.add_offsets_to_transaction("tx", producer.identity, "g", 1).unwrap();
        commit(&mut core).unwrap();
        assert_eq!(core.committed_offset("g", &at(0), true), Err(ErrorCode::UnstableOffsetCommit));
        assert_eq!(core.committed_offset("g", &at(0), false), Ok(None));
        assert_eq!(core.committed_offset("g", &at(1), true), Ok(None));
        producer.end(&mut core, end_with_commit, 2).unwrap();
        let expected = end_with_commit.then_some(&offset);
        assert_eq!(core.committed_offset("g", &at(0), true), Ok(expected));
    }
}
