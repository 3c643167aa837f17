//! The topics of an installation: created and checked from `schemas/topics.yaml`.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;
use schemas::TopicSpec;

use crate::KafkaFailure;
use crate::clients::{Cluster, Logged, create};

/// The topics of one installation on one cluster.
#[derive(Debug)]
pub struct Topics {
    cluster: Cluster,
    timeout: Duration,
}

/// A topic as it should be, and as it is.
#[derive(Clone, Debug)]
pub struct TopicState {
    /// As `topics.yaml` has it.
    pub spec: TopicSpec,
    /// How many partitions it has on the broker; none where it does not exist.
    pub partitions: Option<u32>,
}

impl Topics {
    /// For an installation; each call to the broker gives up after `timeout`.
    pub fn new(cluster: &Cluster, timeout: Duration) -> Self {
        Self { cluster: cluster.clone(), timeout }
    }

    /// All topics, in the order of the file.
    pub fn list(&self) -> Result<Vec<TopicState>, KafkaFailure> {
        let reader: BaseConsumer<Logged> = create(&self.cluster.reader("vuelve-topics", true), "a reader")?;
        let metadata = reader
            .fetch_metadata(None, self.timeout)
            .map_err(|source| KafkaFailure::of("reading the cluster's topics", source))?;
        let specs = schemas::topics(&self.cluster.prefix, self.cluster.partitions.unsigned_abs());
        let states = specs.into_iter().map(|spec| {
            let found =
                metadata.topics().iter().find(|topic| topic.name() == spec.name && !topic.partitions().is_empty());
            TopicState { partitions: found.map(|topic| topic.partitions().len() as u32), spec }
        });
        Ok(states.collect())
    }

    /// Creates the topics that are missing. Returns their names. What exists with another number of partitions is an
    /// error: the number is fixed when an installation is created.
    pub async fn create(&self, replication: i32) -> Result<Vec<String>, KafkaFailure> {
        let missing: Vec<TopicSpec> =
            self.check_partitions()?.into_iter().filter(|state| state.partitions.is_none()).map(|s| s.spec).collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let admin: AdminClient<Logged> = create(&self.cluster.admin("vuelve-topics"), "the admin client")?;
        let new: Vec<NewTopic<'_>> = missing
            .iter()
            .map(|spec| {
                let mut topic =
                    NewTopic::new(&spec.name, spec.partition_count as i32, TopicReplication::Fixed(replication));
                for (key, value) in &spec.config {
                    topic = topic.set(key, value);
                }
                topic
            })
            .collect();
        let options = AdminOptions::new().operation_timeout(Some(self.timeout)).request_timeout(Some(self.timeout));
        let results =
            admin.create_topics(&new, &options).await.map_err(|source| KafkaFailure::of("creating topics", source))?;
        let mut created = Vec::new();
        for result in results {
            match result {
                Ok(name) => created.push(name),
                // Another process was quicker.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => {
                    return Err(KafkaFailure::Installation(format!("the broker refuses to create {name}: {code}")));
                }
            }
        }
        self.wait_until_all_are_there().await?;
        Ok(created)
    }

    /// All topics exist with the installation's number of partitions; says which do not.
    pub fn check(&self) -> Result<(), KafkaFailure> {
        let missing: Vec<String> = self
            .check_partitions()?
            .into_iter()
            .filter(|state| state.partitions.is_none())
            .map(|state| state.spec.name)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(KafkaFailure::Installation(format!(
            "these topics do not exist: {}; run `vuelve topics create`",
            missing.join(", ")
        )))
    }

    fn check_partitions(&self) -> Result<Vec<TopicState>, KafkaFailure> {
        let states = self.list()?;
        let wrong: Vec<String> = states
            .iter()
            .filter_map(|state| {
                let found = state.partitions.filter(|found| *found != state.spec.partition_count)?;
                Some(format!("{} has {found} partitions, not {}", state.spec.name, state.spec.partition_count))
            })
            .collect();
        if wrong.is_empty() {
            return Ok(states);
        }
        Err(KafkaFailure::Installation(format!(
            "{}: the number of partitions is fixed when an installation is created; set installation.partitions to what \
             it was created with",
            wrong.join("; ")
        )))
    }

    /// A topic that was just created is not known everywhere at once.
    async fn wait_until_all_are_there(&self) -> Result<(), KafkaFailure> {
        let deadline = tokio::time::Instant::now() + self.timeout;
        loop {
            match self.check() {
                Ok(()) => return Ok(()),
                Err(failure) if tokio::time::Instant::now() >= deadline => return Err(failure),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}
