//! What fences a transaction's offsets, on a real broker.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::time::Duration;

use kafka::port::{Clients as _, Member, Producer, Rebalance};
use kafka::{Cluster, Librdkafka};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use testkit::{KafkaBroker, wait_until};

const GROUP: &str = "fencing";
const TOPIC: &str = "inputs";
const LIMIT: Duration = Duration::from_mins(1);

fn make_topic(bootstrap_servers: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap_servers).create().unwrap();
    let topic = NewTopic::new(TOPIC, 2, TopicReplication::Fixed(1));
    let made = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(admin.create_topics([&topic], &AdminOptions::new().request_timeout(Some(LIMIT))));
    assert_eq!(made.unwrap(), [Ok(TOPIC.to_owned())]);
}

/// A member that is never closed: the client may wait for ever for the answer to a rebalance that comes while it closes
/// (librdkafka 2.12, `incremental_unassign` after the group's handler has ended).
struct InTest<M: Member>(ManuallyDrop<M>);

impl<M: Member> InTest<M> {
    /// Lets the client speak until a rebalance waits, takes it, does this, and answers.
    fn take(&self, meanwhile: impl FnOnce()) -> Rebalance {
        let rebalance = wait_until(LIMIT, "a rebalance", || {
            self.0.poll();
            self.0.next()
        })
        .unwrap();
        meanwhile();
        self.0.answer(matches!(rebalance, Rebalance::Assigned(_))).unwrap();
        rebalance
    }

    /// Whether the broker takes offsets of partition 0 under what the member says of its generation.
    fn commits(&self, producer: &impl Producer<Metadata = M::Metadata>) -> bool {
        producer.begin().unwrap();
        let group = self.0.metadata().unwrap();
        let taken = producer.send_offsets(TOPIC, &[(0, 0)], &group, LIMIT, &mut || false).is_ok();
        if taken { producer.commit(LIMIT, &mut || false) } else { producer.abort(LIMIT) }.unwrap();
        taken
    }
}

/// The client of a member joins each generation by itself, whether or not the member hears of it. So what is another's by now
/// must not be committed with a generation that nobody here has heard of.
#[test]
fn offsets_are_refused_under_a_generation_that_went_by_while_the_loop_did_not_listen() {
    let broker = KafkaBroker::start().unwrap();
    make_topic(&broker.bootstrap_servers());
    let cluster = Cluster {
        bootstrap_servers: broker.bootstrap_servers(),
        prefix: "test".to_owned(),
        partitions: 2,
        security: BTreeMap::new(),
        transaction_timeout: LIMIT,
        session_timeout: Duration::from_secs(6),
    };
    let clients = Librdkafka::new(&cluster);
    let producer = clients.producer("fencing.0").unwrap();
    producer.init(LIMIT).unwrap();

    let member = |slot| {
        let member = clients.member(GROUP, slot, TOPIC).unwrap();
        member.subscribe(&[TOPIC]).unwrap();
        InTest(ManuallyDrop::new(member))
    };
    let first = member("fencing.0");
    assert!(first.0.metadata().is_none(), "before the first rebalance there is no generation");
    assert_eq!(first.take(|| {}), Rebalance::Assigned(vec![0, 1]));
    assert!(first.commits(&producer));

    // The second one is told what it has, which is nothing yet, once the first one's client has joined the next generation.
    let second = member("fencing.1");
    assert_eq!(second.take(|| {}), Rebalance::Assigned(vec![]));
    assert!(!first.commits(&producer), "its loop has not heard of the second generation");

    // Once it has heard of it, it commits what it has, and gives back.
    let mut committed = false;
    let rebalance = first.take(|| committed = first.commits(&producer));
    assert!(
        matches!(&rebalance, Rebalance::Revoked { partitions, lost: false } if partitions.len() == 1),
        "{rebalance:?}"
    );
    assert!(committed);

    // The group knows it under the same id all the while, and under another once its slot was joined anew.
    let known_as = |member: &InTest<_>| Member::known_as(&*member.0, LIMIT).unwrap();
    let before = known_as(&first);
    assert!(before.is_some() && before != known_as(&second));
    first.take(|| {});
    assert_eq!(known_as(&first), before);
    let anew = member("fencing.0");
    anew.take(|| {});
    assert!(known_as(&anew).is_some_and(|id| Some(id) != before));
}
