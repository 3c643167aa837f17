//! Consumer groups.

use std::collections::BTreeSet;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::support::{Broker, PATIENCE, deliver, poll_until, send, value};

fn partitions(consumer: &BaseConsumer) -> BTreeSet<i32> {
    consumer
        .assignment()
        .unwrap()
        .elements()
        .iter()
        .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition)
        .collect()
}

fn share_all(members: &[&BaseConsumer], count: usize) -> bool {
    let sets: Vec<BTreeSet<i32>> = members.iter().map(|member| partitions(member)).collect();
    let union: BTreeSet<i32> = sets.iter().flatten().copied().collect();
    let total: usize = sets.iter().map(BTreeSet::len).sum();
    sets.iter().all(|set| !set.is_empty()) && union.len() == count && total == count
}

#[test]
fn members_share_the_partitions_as_they_come_and_go() {
    for strategy in ["cooperative-sticky", "range"] {
        let broker = Broker::start();
        broker.create_topic("t", 6, &[]);
        let settings = [("partition.assignment.strategy", strategy)];
        let config = broker.group_config("g", &settings);
        let first: BaseConsumer = config.create().unwrap();
        first.subscribe(&["t"]).unwrap();
        poll_until(&[&first], "one member has all", |_, _| share_all(&[&first], 6));
        let second: BaseConsumer = config.create().unwrap();
        second.subscribe(&["t"]).unwrap();
        let third: BaseConsumer = config.create().unwrap();
        third.subscribe(&["t"]).unwrap();
        poll_until(&[&first, &second, &third], "three members share", |_, _| share_all(&[&first, &second, &third], 6));
        second.unsubscribe();
        drop(second);
        poll_until(&[&first, &third], "two are left", |_, _| share_all(&[&first, &third], 6));
    }
}

#[test]
fn a_group_goes_on_where_it_stopped() {
    let broker = Broker::start();
    broker.create_topic("t", 1, &[]);
    let producer = broker.producer(&[]);
    for number in 0..10 {
        send(&producer, "t", 0, "k", &number.to_string());
    }
    deliver(&producer);
    let mut seen = Vec::new();
    for round in 1..=2 {
        let consumer: BaseConsumer = broker.group_config("g", &[]).create().unwrap();
        consumer.subscribe(&["t"]).unwrap();
        poll_until(&[&consumer], "five records", |_, message| {
            seen.extend(message.map(value));
            seen.len() == round * 5
        });
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset("t", 0, Offset::Offset(round as i64 * 5)).unwrap();
        consumer.commit(&offsets, CommitMode::Sync).unwrap();
    }
    assert_eq!(seen, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_second_member_with_the_same_instance_id_fences_the_first() {
    let broker = Broker::start();
    broker.create_topic("t", 2, &[]);
    let config = broker.group_config("g", &[("group.instance.id", "slot-1")]);
    let first: BaseConsumer = config.create().unwrap();
    first.subscribe(&["t"]).unwrap();
    poll_until(&[&first], "the first has all", |_, _| partitions(&first).len() == 2);
    let second: BaseConsumer = config.create().unwrap();
    second.subscribe(&["t"]).unwrap();
    poll_until(&[&second], "the second has all", |_, _| partitions(&second).len() == 2);
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        assert!(std::time::Instant::now() < deadline, "the first member was never fenced");
        match first.poll(std::time::Duration::from_millis(20)) {
            Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::FencedInstanceId) => break,
            Some(Err(KafkaError::MessageConsumptionFatal(_))) => break,
            Some(Err(error)) => panic!("{error}"),
            _ => {}
        }
    }
    assert_eq!(partitions(&second).len(), 2);
}

#[test]
fn a_session_time_out_below_the_minimum_is_refused() {
    let broker = Broker::start();
    broker.create_topic("t", 1, &[]);
    let consumer: BaseConsumer = broker.group_config("g", &[("session.timeout.ms", "500")]).create().unwrap();
    consumer.subscribe(&["t"]).unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        assert!(std::time::Instant::now() < deadline, "the session time-out was taken");
        match consumer.poll(std::time::Duration::from_millis(20)) {
            Some(Err(error)) => {
                assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::InvalidSessionTimeout));
                break;
            }
            _ => assert_eq!(partitions(&consumer).len(), 0),
        }
    }
}
