//! The real parts, and an installation of its own on them for every run, so that no run finds another's records.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use kafka::Registry;
use rdkafka::message::BorrowedMessage;
use schemas::Schemas;
use testkit::{KafkaBroker, KafkaOptions, Process, Redis, SchemaRegistry, free_port};
use tests::installation::State;
use tests::{root, vuelve};

use super::kafka_clients::KafkaClients;

/// What the door takes events for, and the shop that it stands for.
pub(crate) const WRITE_KEY: &str = "a-write-key-of-this-benchmark";
pub(crate) const SHOP: &str = "bench";

/// How long a service may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// Apache Kafka as in production, a schema registry and Redis.
#[derive(Debug)]
pub(crate) struct Parts {
    kafka: KafkaBroker,
    registry: SchemaRegistry,
    redis: Redis,
    clients: KafkaClients,
    folder: tempfile::TempDir,
    config: PathBuf,
    door: u16,
}

impl Parts {
    /// Starts them all.
    pub(crate) fn start(partitions: i32) -> anyhow::Result<Self> {
        let kafka = KafkaBroker::start_with(&KafkaOptions { heap_mb: 1_024, full_speed: true, ..Default::default() })?;
        let (registry, redis) = (SchemaRegistry::start()?, Redis::start()?);
        let clients = KafkaClients::new(&kafka.bootstrap_servers(), partitions);
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("vuelve.toml");
        let parts = Self { kafka, registry, redis, clients, folder, config, door: free_port()? };
        parts.write_config(partitions)?;
        Ok(parts)
    }

    /// What is not said here is as it is by default.
    fn write_config(&self, partitions: i32) -> anyhow::Result<()> {
        let secret = |name: &str, text: &str| -> anyhow::Result<String> {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text)?;
            Ok(path.display().to_string())
        };
        let text = format!(
            "[installation]\npartitions = {partitions}\n\
             [kafka]\nbootstrap_servers = [\"{}\"]\nregistry_url = \"{}\"\ncommit_interval = \"100ms\"\n\
             [store]\nkind = \"memory\"\nurl = \"{}\"\n\
             [links]\nkeys_file = \"{}\"\naddress_secret_file = \"{}\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n[grpc]\nlisten = \"127.0.0.1:0\"\n\
             [ingestion.door]\nlisten = \"127.0.0.1:{}\"\n\
             [[ingestion.door.write_keys]]\nid = \"{SHOP}\"\nshop = \"{SHOP}\"\nkey_file = \"{}\"\n",
            self.kafka.bootstrap_servers(),
            self.registry.url(),
            self.redis.url(),
            secret("link-keys", &format!("k1:{}\n", "0123456789abcdef".repeat(4)))?,
            secret("address-secret", &"fedcba9876543210".repeat(4))?,
            self.door,
            secret("write-key", WRITE_KEY)?,
        );
        std::fs::write(&self.config, text).with_context(|| self.config.display().to_string())
    }

    /// A new installation: its topics are there, and its schemas are registered.
    pub(crate) fn installation(&self, prefix: &str) -> anyhow::Result<Installation<'_>> {
        let installation = Installation { parts: self, prefix: prefix.to_owned(), schemas: Schemas::new() };
        installation.command(&["topics", "create"])?;
        Registry::new(&self.registry.url(), PATIENCE).bind(prefix, &installation.schemas, false)?;
        Ok(installation)
    }

    /// The configuration of every process, but for the prefix.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    pub(crate) fn redis(&self) -> &Redis {
        &self.redis
    }

    /// What Redis says that its data takes, in bytes.
    pub(crate) fn used_memory(&self) -> anyhow::Result<u64> {
        let mut connection = TcpStream::connect(("127.0.0.1", self.redis.port()))?;
        connection.write_all(b"INFO memory\r\nQUIT\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        let line = answer.lines().find_map(|line| line.strip_prefix("used_memory:")).context("no used_memory")?;
        Ok(line.trim().parse()?)
    }

    pub(crate) fn clients(&self) -> &KafkaClients {
        &self.clients
    }

    pub(crate) fn broker_pid(&self) -> anyhow::Result<u32> {
        self.kafka.process().pid().context("the broker has ended")
    }

    pub(crate) fn door_port(&self) -> u16 {
        self.door
    }

    pub(crate) fn wait_for_door(&self, process: &Process) -> anyhow::Result<()> {
        process.wait_ready(PATIENCE, "open the door", || TcpStream::connect(("127.0.0.1", self.door)).is_ok())?;
        Ok(())
    }
}

/// Topics under a prefix of their own, and the services that work on them.
pub(crate) struct Installation<'a> {
    parts: &'a Parts,
    prefix: String,
    schemas: Schemas,
}

impl Installation<'_> {
    /// Runs a command of the tool to its end.
    pub(crate) fn command(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let output = Command::new(vuelve())
            .args(arguments)
            .arg("--config")
            .arg(&self.parts.config)
            .args(["--set", &self.prefix_setting()])
            .current_dir(root())
            .output()
            .context("vuelve can't be run: build it with `cargo build --release -p vuelve`")?;
        let words = arguments.join(" ");
        ensure!(output.status.success(), "vuelve {words}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Starts a process that runs a service.
    pub(crate) fn run(&self, service: &str, settings: &[&str]) -> anyhow::Result<Process> {
        let process = Process::spec(format!("vuelve-{service}"), vuelve())
            .args(["run", service, "--config"])
            .arg(&self.parts.config)
            .args(["--set", &self.prefix_setting()])
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            .dir(root())
            .log(self.log(service))
            .start()?;
        Ok(process)
    }

    pub(crate) fn topic(&self, dataset: &str) -> String {
        schemas::topic_name(&self.prefix, dataset)
    }

    /// The group of a service's workers.
    pub(crate) fn group(&self, service: &str) -> String {
        format!("{}.{service}", self.prefix)
    }

    /// What is written under which schema id.
    pub(crate) fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// Tells every committed record of a dataset.
    pub(crate) fn read_all(
        &self,
        dataset: &str,
        tell: impl FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.parts.clients.read_all(&self.topic(dataset), tell)
    }

    /// The end of each partition of a dataset.
    pub(crate) fn ends(&self, dataset: &str) -> anyhow::Result<Vec<i64>> {
        self.parts.clients.ends(&self.topic(dataset))
    }

    pub(crate) fn has_no_dead_letters(&self) -> anyhow::Result<()> {
        let mut letters = 0_u64;
        self.read_all("platform.deadletters", |_| {
            letters += 1;
            Ok(())
        })?;
        ensure!(letters == 0, "no score: {letters} records went to the dead letters");
        Ok(())
    }

    /// Deletes its topics, and what Redis has of it: a broker that holds many is another one.
    pub(crate) fn remove(self) -> anyhow::Result<()> {
        self.remove_with(&[])
    }

    /// The same, with topics that the installation has besides.
    pub(crate) fn remove_with(self, datasets: &[&str]) -> anyhow::Result<()> {
        self.parts.redis.flush()?;
        let topics = schemas::topics(&self.prefix, 1).into_iter().map(|topic| topic.name);
        let topics: Vec<String> = topics.chain(datasets.iter().map(|dataset| self.topic(dataset))).collect();
        self.parts.clients.delete(topics.iter().map(String::as_str))
    }

    /// Where a process of this installation writes what it says.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.parts.folder.path().join(format!("{}-{name}.log", self.prefix))
    }

    pub(crate) fn prefix_setting(&self) -> String {
        format!("installation.prefix={}", self.prefix)
    }
}

/// Lets a process drain and end.
pub(crate) fn stop(process: &Process) -> anyhow::Result<()> {
    let status = process.term(PATIENCE)?;
    ensure!(status.success(), process.error(format!("ended with {status}")));
    Ok(())
}

/// The setting that names a store.
pub(crate) fn store_setting(state: State) -> &'static str {
    match state {
        State::Memory => "store.kind=memory",
        State::Redis => "store.kind=redis",
    }
}
