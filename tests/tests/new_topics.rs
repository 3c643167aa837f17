//! What is acknowledged lies in the log, also on a topic that was created a moment before.
//!
//! A broker says who leads a new partition a little before it takes records there. A batch that comes too early is refused for the
//! moment; if the next one is taken before it comes again, the broker holds it for a duplicate, and the client library would
//! call it delivered.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka::{Appender, Cluster, NewRecord};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use testkit::KafkaBroker;

const SOON: Duration = Duration::from_secs(30);
const PARTITIONS: i32 = 32;
const TOPICS: usize = 25;
const RECORDS: usize = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_on_a_topic_that_was_just_created_is_there() {
    let broker = KafkaBroker::start().unwrap();
    let cluster = Cluster {
        bootstrap_servers: broker.bootstrap_servers(),
        prefix: "vuelve".to_owned(),
        partitions: PARTITIONS,
        security: BTreeMap::new(),
        transaction_timeout: SOON,
        session_timeout: SOON,
    };
    let client = || {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", broker.bootstrap_servers());
        config
    };
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let reader: BaseConsumer = client().create().unwrap();
    for number in 0..TOPICS {
        let topic = format!("new-{number}");
        // A producer that the broker does not know, either.
        let appender = Appender::new(&cluster, "test", SOON).unwrap();
        let creating = {
            let new = NewTopic::new(&topic, PARTITIONS, TopicReplication::Fixed(1));
            let created = admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
            created.into_iter().all(|result| result.is_ok())
        };
        assert!(creating);
        let name: Arc<str> = topic.as_str().into();
        let calls = (0..RECORDS).map(|record| {
            let (appender, name) = (appender.clone(), Arc::clone(&name));
            tokio::spawn(async move {
                // One after the other, so that each partition gets several batches.
                tokio::time::sleep(Duration::from_micros(250 * record as u64)).await;
                let key = Some(format!("k{record}").into_bytes());
                let new = NewRecord { topic: name, partition: None, key, value: Some("v".into()), headers: [].into() };
                appender.append(&[new]).await
            })
        });
        let mut acknowledged = 0;
        for call in calls.collect::<Vec<_>>() {
            acknowledged += i64::from(call.await.unwrap().is_ok());
        }
        let end = |partition| reader.fetch_watermarks(&topic, partition, SOON).unwrap().1;
        let stored: i64 = (0..PARTITIONS).map(end).sum();
        assert_eq!((acknowledged, stored), (RECORDS as i64, RECORDS as i64), "topic {number}");
    }
}
