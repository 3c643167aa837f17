//! Transactions.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::support::{Broker, PATIENCE, deliver, poll_until, send, value};

#[test]
fn a_read_committed_reader_sees_committed_records_only() {
    let broker = Broker::start();
    broker.create_topic("t", 2, &[]);
    let producer = broker.transactional("tx");
    for (round, commit) in [(0, true), (1, false), (2, true), (3, false)] {
        producer.begin_transaction().unwrap();
        for partition in 0..2 {
            send(&producer, "t", partition, "k", &format!("{round}"));
        }
        deliver(&producer);
        if commit {
            producer.commit_transaction(PATIENCE).unwrap();
        } else {
            producer.abort_transaction(PATIENCE).unwrap();
        }
    }
    let mut committed = broker.read_to_end("t", 2, "read_committed");
    committed.sort();
    assert_eq!(committed, ["0", "0", "2", "2"]);
    assert_eq!(broker.read_to_end("t", 2, "read_uncommitted").len(), 8);
}

#[test]
fn an_open_transaction_hides_what_comes_after_it_until_its_id_is_initialised_again() {
    let broker = Broker::start();
    broker.create_topic("t", 1, &[]);
    let dead = broker.transactional("slot-1");
    dead.begin_transaction().unwrap();
    send(&dead, "t", 0, "k", "never to be seen");
    deliver(&dead);
    let other = broker.producer(&[]);
    send(&other, "t", 0, "k", "behind it");
    deliver(&other);
    assert_eq!(broker.read_to_end("t", 1, "read_committed"), Vec::<String>::new());
    let reader = broker.reader("t", 1, "read_uncommitted");
    assert_eq!(reader.fetch_watermarks("t", 0, PATIENCE).unwrap().1, 2, "a read_uncommitted reader is told the end");
    let successor = broker.transactional("slot-1");
    assert_eq!(broker.read_to_end("t", 1, "read_committed"), ["behind it"]);
    // The one before is fenced, for good.
    send(&dead, "t", 0, "k", "too late");
    let outcome = dead.commit_transaction(PATIENCE);
    assert!(
        matches!(&outcome, Err(KafkaError::Transaction(error)) if error.is_fatal() || error.txn_requires_abort()),
        "{outcome:?}"
    );
    successor.begin_transaction().unwrap();
    send(&successor, "t", 0, "k", "mine");
    successor.commit_transaction(PATIENCE).unwrap();
    assert_eq!(broker.read_to_end("t", 1, "read_committed"), ["behind it", "mine"]);
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
    let broker = Broker::start();
    broker.create_topic("t", 1, &[]);
    let slow = broker.producer(&[("transactional.id", "slow"), ("transaction.timeout.ms", "1000")]);
    slow.init_transactions(PATIENCE).unwrap();
    slow.begin_transaction().unwrap();
    send(&slow, "t", 0, "k", "forgotten");
    deliver(&slow);
    let other = broker.producer(&[]);
    send(&other, "t", 0, "k", "waits");
    deliver(&other);
    let consumer = broker.reader("t", 1, "read_committed");
    let settings = [("enable.partition.eof", "false")];
    drop(consumer);
    let consumer: BaseConsumer = broker.group_config("reader", &settings).create().unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset("t", 0, Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    poll_until(&[&consumer], "the record behind the forgotten transaction", |_, message| {
        message.is_some_and(|message| value(message) == "waits")
    });
    assert!(slow.commit_transaction(PATIENCE).is_err());
}

#[test]
fn offsets_are_committed_with_the_transaction_or_not_at_all() {
    let broker = Broker::start();
    broker.create_topic("in", 1, &[]);
    broker.create_topic("out", 1, &[]);
    let source = broker.producer(&[]);
    for number in 0..10 {
        send(&source, "in", 0, "k", &number.to_string());
    }
    deliver(&source);
    let consumer: BaseConsumer = broker.group_config("workers", &[]).create().unwrap();
    consumer.subscribe(&["in"]).unwrap();
    let producer = broker.transactional("worker-1");
    for commit in [false, true] {
        let mut seen = 0;
        producer.begin_transaction().unwrap();
        poll_until(&[&consumer], "ten records", |_, message| {
            if let Some(message) = message {
                send(&producer, "out", 0, "k", &value(message));
                seen += 1;
            }
            seen == 10
        });
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset("in", 0, Offset::Offset(10)).unwrap();
        let metadata = consumer.group_metadata().unwrap();
        producer.send_offsets_to_transaction(&offsets, &metadata, PATIENCE).unwrap();
        deliver(&producer);
        if commit {
            producer.commit_transaction(PATIENCE).unwrap();
        } else {
            producer.abort_transaction(PATIENCE).unwrap();
        }
        let mut asked = TopicPartitionList::new();
        asked.add_partition("in", 0);
        let stored = consumer.committed_offsets(asked, PATIENCE).unwrap();
        let expected = if commit { Offset::Offset(10) } else { Offset::Invalid };
        assert_eq!(stored.elements()[0].offset(), expected);
        if !commit {
            let mut rewind = TopicPartitionList::new();
            rewind.add_partition_offset("in", 0, Offset::Offset(0)).unwrap();
            consumer.seek_partitions(rewind, PATIENCE).unwrap();
        }
    }
    assert_eq!(broker.read_to_end("out", 1, "read_committed").len(), 10);
    assert_eq!(broker.read_to_end("out", 1, "read_uncommitted").len(), 20);
}

#[test]
fn a_member_of_an_older_generation_commits_no_offsets() {
    let broker = Broker::start();
    broker.create_topic("in", 2, &[]);
    let first: BaseConsumer = broker.group_config("workers", &[]).create().unwrap();
    first.subscribe(&["in"]).unwrap();
    poll_until(&[&first], "the first member has both", |_, _| first.assignment().unwrap().count() == 2);
    let old = first.group_metadata().unwrap();
    let second: BaseConsumer = broker.group_config("workers", &[]).create().unwrap();
    second.subscribe(&["in"]).unwrap();
    poll_until(&[&first, &second], "each has one", |_, _| {
        first.assignment().unwrap().count() == 1 && second.assignment().unwrap().count() == 1
    });
    let producer = broker.transactional("worker-1");
    producer.begin_transaction().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("in", 0, Offset::Offset(1)).unwrap();
    let outcome = producer.send_offsets_to_transaction(&offsets, &old, PATIENCE);
    let Err(KafkaError::Transaction(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.code(), RDKafkaErrorCode::IllegalGeneration);
    assert!(error.txn_requires_abort());
    producer.abort_transaction(PATIENCE).unwrap();
}
