//! How the parts of an installation are put together: one place for the demo, a replay and production.
//!
//! Wanted properties:
//! - a service knows nothing of this: it is handed its log, its store and its settings;
//! - every part starts with what it needs checked (topics, schemas, store), or says what is missing and what to do; what the
//!   configuration itself names (keys, secrets, a mail server) is looked at before anything is bound.

mod admitting;
mod channels;
mod chore;
mod door;
mod erasing;
mod learning;
mod lookups;
mod needs;
mod report;
mod sections;
mod shell;
mod worker;

use std::time::Duration;

use anyhow::Context;
use kafka::{Cluster, KafkaFailure, NewRecord, Registry, Topics};
use runtime::config::{Config, InstallationOptions, KafkaOptions, Mode};
use schemas::Schemas;

pub use channels::{channel, messaging_settings};
pub use door::{DoorAddresses, add_door};
pub use lookups::{Views, add_lookups};
pub use needs::Need;
pub use sections::{Fault, LinkOptions, Sections, layout};
pub use shell::{Channel, SideEffects};
pub use worker::{add_journeys, add_messaging, add_resolver, add_segmentation};

/// Where an installation lives, checked.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The cluster.
    pub cluster: Cluster,
    /// The schema registry.
    pub registry: Registry,
    /// What is written under which schema id.
    pub schemas: Schemas,
    /// Whether time is moved by the replay tool.
    pub replay: bool,
    /// The slot of this process's instances.
    pub slot: String,
}

impl Installation {
    /// From the configuration; nothing is asked of the broker yet.
    pub fn of(config: &Config, slot: &str) -> Self {
        let installation: &InstallationOptions = config.get();
        let kafka: &KafkaOptions = config.get();
        let servers: Vec<&str> = kafka.bootstrap_servers.iter().map(runtime::config::HostPort::as_str).collect();
        let properties = kafka.properties.expose().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let registry = Registry::new(kafka.registry_url.as_str(), kafka.request_timeout.as_std());
        Self {
            cluster: Cluster {
                bootstrap_servers: servers.join(","),
                prefix: installation.prefix.as_str().to_owned(),
                partitions: installation.partitions.get(),
                security: properties.collect(),
                transaction_timeout: kafka.transaction_timeout.as_std(),
                session_timeout: kafka.session_timeout.as_std(),
            },
            registry: match (&kafka.registry_user, &kafka.registry_password) {
                (Some(user), Some(password)) => registry.with_login(user, password.expose()),
                _ => registry,
            },
            schemas: Schemas::new(),
            replay: installation.mode == Mode::Replay,
            slot: slot.to_owned(),
        }
    }

    /// The topics are there with the right number of partitions, and the schemas are bound. Waits for a broker or registry
    /// that is not up yet, up to `patience`.
    pub async fn check(&self, register: bool, timeout: Duration, patience: Duration) -> anyhow::Result<()> {
        let this = self.clone();
        let check = move || -> anyhow::Result<()> {
            let deadline = std::time::Instant::now() + patience;
            loop {
                match this.check_once(register, timeout) {
                    Err(failure) if failure.is_passing() && std::time::Instant::now() < deadline => {
                        tracing::warn!(error = %failure, "waiting for the broker and the registry");
                        std::thread::sleep(Duration::from_millis(500));
                    }
                    result => return result.context("the installation is not ready"),
                }
            }
        };
        tokio::task::spawn_blocking(check).await?
    }

    fn check_once(&self, register: bool, timeout: Duration) -> Result<(), kafka::KafkaFailure> {
        Topics::new(&self.cluster, timeout).check()?;
        self.registry.bind(&self.cluster.prefix, &self.schemas, register)?;
        Ok(())
    }

    /// Reads a record's value by its writer's schema, which is fetched if it is new here. None where it is no such record;
    /// an error only where the registry does not answer.
    pub fn decode<T: schemas::Contract>(&self, value: &[u8]) -> Result<Option<T>, kafka::RegistryError> {
        match self.learn(value) {
            Err(error) if error.is_passing() => Err(error),
            // A schema that nobody knows makes the record unreadable.
            Ok(()) | Err(_) => Ok(self.schemas.decode(value).ok()),
        }
    }

    /// The same where nothing may be missing: what can't be read is an error.
    pub fn read<T: schemas::Contract>(&self, value: &[u8]) -> anyhow::Result<T> {
        self.learn(value)?;
        Ok(self.schemas.decode(value)?)
    }

    /// A record of a dataset under a key, to be appended; without a value it ends what was under the key. Without a partition it
    /// comes on that of its key.
    pub fn record<T: schemas::Contract>(
        &self,
        dataset: &str,
        partition: Option<i32>,
        key: impl Into<Vec<u8>>,
        value: Option<&T>,
    ) -> Result<NewRecord, schemas::EncodeError> {
        let mut bytes = Vec::new();
        if let Some(value) = value {
            self.schemas.encode(dataset, value, &mut bytes)?;
        }
        Ok(NewRecord {
            topic: self.cluster.topic(dataset).into(),
            partition,
            key: Some(key.into()),
            value: value.map(|_| bytes.into()),
            headers: [].into(),
        })
    }

    /// Appends, in one transaction, what `decide` says, as [`kafka::append_alone`] does; returns how many records that were. It
    /// blocks.
    pub(crate) fn append_alone(
        &self,
        id: &str,
        timeout: Duration,
        decide: impl FnOnce() -> anyhow::Result<Vec<NewRecord>>,
    ) -> anyhow::Result<usize> {
        let mut failure = None;
        let written = kafka::append_alone(&self.cluster, id, timeout, || {
            decide().map_err(|error| {
                let said = KafkaFailure::Installation(format!("{error:#}"));
                failure = Some(error);
                said
            })
        });
        failure.map_or_else(|| Ok(written?), Err)
    }

    /// Fetches the writer's schema of a value, if it is new here.
    pub(crate) fn learn(&self, value: &[u8]) -> Result<(), kafka::RegistryError> {
        self.schemas.missing(value).map_or(Ok(()), |id| self.registry.learn(&self.schemas, id))
    }

    /// Creates what is missing: topics, and the schemas in the registry. Returns the topics that were created.
    pub async fn create(&self, replication: i32, timeout: Duration) -> anyhow::Result<Vec<String>> {
        let created = Topics::new(&self.cluster, timeout).create(replication).await?;
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.registry.bind(&this.cluster.prefix, &this.schemas, true)).await??;
        Ok(created)
    }
}
