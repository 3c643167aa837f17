//! How clients are made: one place for every setting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::Timestamp;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::KafkaFailure;
use crate::bearings::{Bearings, STATISTICS_INTERVAL_MS};
use crate::port::Polled;

/// After a question that was not answered.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// The largest record that is sent: what any producer could write to a topic, and the headers of a dead letter.
pub const MAX_RECORD_BYTES: usize = (1 << 20) + (64 << 10);

/// Where the cluster is and how it is spoken to.
#[derive(Clone)]
pub struct Cluster {
    /// `host:port`, comma-separated.
    pub bootstrap_servers: String,
    /// Leads topics, group ids and transactional ids.
    pub prefix: String,
    /// The number of partitions of every customer topic.
    pub partitions: i32,
    /// Further settings: transport, identity, tuning. What exactly-once rests on is set after them.
    pub security: BTreeMap<String, String>,
    /// A dead process's open transaction is ended by the broker after this.
    pub transaction_timeout: Duration,
    /// A dead process's partitions are given away after this.
    pub session_timeout: Duration,
}

/// Without the security settings, which may hold secrets.
impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("prefix", &self.prefix)
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// The topic of a data set.
    pub fn topic(&self, dataset: &str) -> String {
        schemas::topic_name(&self.prefix, dataset)
    }

    fn base(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", client_id)
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("topic.metadata.propagation.max.ms", "10000")
            .set_log_level(RDKafkaLogLevel::Warning);
        for (key, value) in &self.security {
            config.set(key, value);
        }
        // Only who is polled all the time is asked for them.
        config.set("statistics.interval.ms", "0");
        config
    }

    /// A producer that writes each record once, in order: for whoever has no inputs.
    pub(crate) fn idempotent_producer(&self, client_id: &str, delivery_timeout: Duration) -> ClientConfig {
        let mut config = self.base(client_id);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // A broker that does not know the producer yet takes whatever sequence number comes first. Where the first batch of
            // a new partition is refused for the moment and the second is taken, the first is a duplicate to the broker when
            // it comes again, and librdkafka calls it delivered: it is lost. One at a time, none overtakes another.
            .set("max.in.flight.requests.per.connection", "1")
            .set("partitioner", "murmur2_random")
            .set("compression.type", "lz4")
            .set("linger.ms", "2")
            .set("queue.buffering.max.kbytes", "65536")
            .set("message.max.bytes", MAX_RECORD_BYTES.to_string())
            .set("message.timeout.ms", delivery_timeout.as_millis().to_string());
        config
    }

    pub(crate) fn transactional_producer(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.idempotent_producer(transactional_id, self.transaction_timeout);
        config
            .set("transactional.id", transactional_id)
            // A worker writes to partitions that have been led for a while, and a commit waits for all of them: there several.
            .set("max.in.flight.requests.per.connection", "5")
            .set("transaction.timeout.ms", self.transaction_timeout.as_millis().to_string())
            // A transaction that begins while the last one's markers are still written is asked to come again; that is soon.
            .set("retry.backoff.ms", "20")
            .set("retry.backoff.max.ms", "200")
            .set("linger.ms", "0")
            .set("queue.buffering.max.messages", "1000000");
        config
    }

    /// A member of a service's group: a stable slot. It reads nothing.
    pub(crate) fn group_consumer(&self, group_id: &str, slot_id: &str) -> ClientConfig {
        let mut config = self.base(slot_id);
        config
            .set("group.id", group_id)
            .set("group.instance.id", slot_id)
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("statistics.interval.ms", STATISTICS_INTERVAL_MS)
            .set("session.timeout.ms", self.session_timeout.as_millis().to_string())
            .set("heartbeat.interval.ms", (self.session_timeout.as_millis() / 4).to_string())
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error");
        config
    }

    /// Reads a service's inputs, from where it is told to.
    pub(crate) fn input_reader(&self, client_id: &str) -> ClientConfig {
        let mut config = self.reader(client_id, true);
        config
            .set("auto.offset.reset", "error")
            .set("statistics.interval.ms", STATISTICS_INTERVAL_MS)
            .set("fetch.wait.max.ms", "100")
            .set("queued.min.messages", "20000")
            // With a full queue it looks again so soon, instead of after a second.
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.max.bytes", "8388608")
            .set("queued.max.messages.kbytes", "16384");
        config
    }

    /// A reader of tables and marks, which follows them.
    pub(crate) fn table_reader(&self, client_id: &str) -> ClientConfig {
        let mut config = self.reader(client_id, true);
        config.set("statistics.interval.ms", STATISTICS_INTERVAL_MS);
        config
    }

    /// A reader that belongs to no group and is told what to read.
    pub(crate) fn reader(&self, client_id: &str, committed_only: bool) -> ClientConfig {
        let mut config = self.base(client_id);
        config
            .set("group.id", format!("{client_id}-reader"))
            .set("isolation.level", if committed_only { "read_committed" } else { "read_uncommitted" })
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", "50")
            .set("fetch.error.backoff.ms", "50");
        config
    }

    /// A reader of what is there already: it hears soon that there is no more.
    pub(crate) fn section_reader(&self, client_id: &str, committed_only: bool) -> ClientConfig {
        let mut config = self.reader(client_id, committed_only);
        config.set("fetch.wait.max.ms", "5");
        config
    }

    pub(crate) fn admin(&self, client_id: &str) -> ClientConfig {
        self.base(client_id)
    }
}

/// Makes a client, or says which one could not be made.
pub(crate) fn create<T: FromClientConfigAndContext<Logged>>(
    config: &ClientConfig,
    what: &str,
) -> Result<T, KafkaFailure> {
    create_with(config, Logged::of(config), what)
}

/// The same with a context that does more.
pub(crate) fn create_with<C: ClientContext, T: FromClientConfigAndContext<C>>(
    config: &ClientConfig,
    context: C,
    what: &str,
) -> Result<T, KafkaFailure> {
    config
        .create_with_context(context)
        .map_err(|source| KafkaFailure::Refused { what: what.to_owned(), source: source.into() })
}

/// Asks again what failed in passing until `timeout` is over: a broker that starts anew, or a topic that was made just now,
/// answers in a while.
pub(crate) fn ask<T>(
    timeout: Duration,
    mut question: impl FnMut() -> Result<T, KafkaFailure>,
) -> Result<T, KafkaFailure> {
    let deadline = Instant::now() + timeout;
    loop {
        match question() {
            Err(failure) if failure.is_passing() && Instant::now() < deadline => std::thread::sleep(ASK_AGAIN),
            answer => return answer,
        }
    }
}

/// Where a partition begins and ends, as this reader sees it.
pub(crate) fn watermarks(
    reader: &BaseConsumer<Logged>,
    topic: &str,
    partition: i32,
    timeout: Duration,
) -> KafkaResult<(i64, i64)> {
    ask_leader(reader, topic, timeout, || reader.fetch_watermarks(topic, partition, timeout))
}

/// The first offset of a partition whose record is of this time or later; none where there is no such record.
pub(crate) fn offset_at(
    reader: &BaseConsumer<Logged>,
    topic: &str,
    partition: i32,
    time: Timestamp,
    timeout: Duration,
) -> KafkaResult<Option<i64>> {
    let found = ask_leader(reader, topic, timeout, || {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(topic, partition, Offset::Offset(time.as_millis().max(0)))?;
        reader.offsets_for_times(asked, timeout)
    })?;
    Ok(match found.elements().first().map(TopicPartitionListElem::offset) {
        Some(Offset::Offset(offset)) => Some(offset),
        _ => None,
    })
}

/// Asks the leader of a partition. A broker that starts says of its partitions that nobody leads them, and the client goes by
/// that for as long as it keeps metadata, which is minutes, without asking again: so where it knows no leader, it is told to.
fn ask_leader<T>(
    reader: &BaseConsumer<Logged>,
    topic: &str,
    timeout: Duration,
    question: impl Fn() -> KafkaResult<T>,
) -> KafkaResult<T> {
    let answer = match question() {
        Err(error) if error.rdkafka_error_code().is_some_and(is_about_leaders) => {
            reader.fetch_metadata(Some(topic), timeout).and_then(|_| question())
        }
        answer => answer,
    };
    let bearings = &reader.context().bearings;
    match &answer {
        Ok(_) => bearings.answered(),
        Err(error) if is_about_the_network(error) => bearings.tell(reader.client()),
        Err(_) => {}
    }
    answer
}

/// Whether nobody has answered.
pub(crate) fn is_about_the_network(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::BrokerTransportFailure | Code::OperationTimedOut | Code::AllBrokersDown))
}

fn is_about_leaders(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
    )
}

/// What a reader hears within `wait`. A broker that is away is no failure of the reader's, which goes on by itself: what
/// does not come is for the caller's deadline.
pub(crate) fn poll(reader: &BaseConsumer<Logged>, wait: Duration) -> KafkaResult<Polled<BorrowedMessage<'_>>> {
    match reader.poll(wait) {
        None => Ok(Polled::Nothing),
        Some(Ok(message)) => Ok(Polled::Record(message)),
        Some(Err(KafkaError::PartitionEOF(partition))) => Ok(Polled::End(partition)),
        Some(Err(error)) if KafkaFailure::of("", error.clone()).is_passing() => {
            tracing::debug!(%error, "a reader waits");
            Ok(Polled::Nothing)
        }
        Some(Err(error)) => Err(error),
    }
}

/// Reads these partitions from these offsets, and nothing else.
pub(crate) fn reassign(reader: &BaseConsumer<Logged>, list: &TopicPartitionList) -> KafkaResult<()> {
    unassign(reader)?;
    reader.assign(list)
}

/// Reads nothing any more.
pub(crate) fn unassign(reader: &BaseConsumer<Logged>) -> KafkaResult<()> {
    reader.unassign()?;
    settle(reader);
    Ok(())
}

/// Waits until what was unassigned has stopped. The client stops behind the call, and a second change that overtakes the
/// first ends the process by an assertion (librdkafka 2.12, `rd_kafka_assignment_partition_stopped`). Its main thread serves
/// calls in order: it asks for the stop before it answers the first question here, and has heard of it before the second.
pub(crate) fn settle(reader: &BaseConsumer<Logged>) {
    for _ in 0..2 {
        if let Err(error) = reader.assignment() {
            tracing::debug!(%error, "asking for the assignment");
        }
    }
}

/// Passes librdkafka's own log to ours, and finds the cluster again.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) bearings: Arc<Bearings>,
}

impl Logged {
    /// For a client with this configuration.
    pub(crate) fn of(config: &ClientConfig) -> Self {
        Self { bearings: Arc::new(Bearings::of(config)) }
    }
}

impl ClientContext for Logged {
    fn stats_raw(&self, statistics: &[u8]) {
        self.bearings.heard(statistics);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client error");
    }
}

pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::warn!(facility, message, "kafka client");
        }
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => tracing::info!(facility, message, "kafka client"),
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => tracing::debug!(facility, message, "kafka client"),
    }
}

impl ConsumerContext for Logged {}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by it")]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn a_partition_that_is_led_again_is_asked_though_the_client_had_heard_that_nobody_leads_it() {
        let (topic, timeout) = ("t", Duration::from_secs(5));
        let brokers = MockCluster::new(1).unwrap();
        brokers.create_topic(topic, 1, 1).unwrap();
        let cluster = Cluster {
            bootstrap_servers: brokers.bootstrap_servers(),
            prefix: "test".to_owned(),
            partitions: 1,
            security: BTreeMap::new(),
            transaction_timeout: timeout,
            session_timeout: timeout,
        };
        let reader: BaseConsumer<Logged> = create(&cluster.reader("test", false), "a reader").unwrap();
        brokers.partition_leader(topic, 0, None).unwrap();
        watermarks(&reader, topic, 0, timeout).unwrap_err();
        brokers.partition_leader(topic, 0, Some(1)).unwrap();
        assert_eq!(
            ask(timeout, || watermarks(&reader, topic, 0, timeout).map_err(|error| KafkaFailure::of("", error)))
                .unwrap(),
            (0, 0)
        );
    }
}
