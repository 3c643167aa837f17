//! The port's clients on librdkafka: what runs in production.

mod errors;
mod member;
mod producer;
mod reader;

use std::time::{Duration, Instant};

use domain::BootTime;

use crate::clients::{Cluster, create};
use crate::port::{Clients, Reading};
use crate::{KafkaFailure, time};

pub use member::GroupMember;
pub use producer::TransactionalProducer;
pub use reader::LogReader;

/// Makes librdkafka's clients of one cluster, and reads the machine's clocks.
#[derive(Clone, Debug)]
pub struct Librdkafka {
    cluster: Cluster,
    began: Instant,
}

impl Librdkafka {
    /// For a cluster.
    #[allow(clippy::disallowed_methods, reason = "the driver owns time and hands it to the worker")]
    pub fn new(cluster: &Cluster) -> Self {
        Self { cluster: cluster.clone(), began: Instant::now() }
    }
}

impl Clients for Librdkafka {
    type Member = GroupMember;
    type Reader = LogReader;
    type Producer = TransactionalProducer;

    fn member(&self, group_id: &str, slot_id: &str, primary: &str) -> Result<GroupMember, KafkaFailure> {
        GroupMember::new(&self.cluster.group_consumer(group_id, slot_id), group_id, slot_id, primary)
    }

    fn reader(&self, client_id: &str, reading: Reading) -> Result<LogReader, KafkaFailure> {
        let (config, what) = match reading {
            Reading::Inputs => (self.cluster.input_reader(client_id), "the inputs' reader"),
            Reading::Followed => (self.cluster.table_reader(client_id), "the table reader"),
            Reading::Section { committed_only } => {
                (self.cluster.section_reader(client_id, committed_only), "the changelog reader")
            }
        };
        Ok(LogReader(create(&config, what)?))
    }

    fn producer(&self, transactional_id: &str) -> Result<TransactionalProducer, KafkaFailure> {
        TransactionalProducer::new(&self.cluster.transactional_producer(transactional_id))
    }

    fn now_ms(&self) -> i64 {
        time::now_ms()
    }

    fn boot_time(&self) -> BootTime {
        time::boot_time()
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }

    fn pause(&self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn unique_name(&self) -> String {
        uuid::Uuid::new_v4().simple().to_string()
    }
}
