//! An installation on real parts, with each service as a process of its own.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use testkit::clients::{TopicRecord, ends, produce_raw, read_latest_with_bytes, read_topic, read_topic_raw};
use testkit::{KafkaBroker, KafkaOptions, Process, Redis, SchemaRegistry, SmtpSink, free_port};

use crate::{root, vuelve, write_definitions};

/// Where the state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In Redis.
    Redis,
    /// In each process.
    Memory,
}

/// Real Kafka, registry and Redis, and the configuration that points at them.
#[derive(Debug)]
pub struct Installation {
    /// Apache Kafka; also through a proxy, for who is to be slowed or cut off.
    pub kafka: KafkaBroker,
    /// The schema registry.
    pub registry: SchemaRegistry,
    /// Redis.
    pub redis: Option<Redis>,
    folder: tempfile::TempDir,
    config: PathBuf,
    door: u16,
}

/// Of each customer topic.
pub const PARTITIONS: i32 = 4;
/// What the door takes events for.
pub const WRITE_KEY: &str = "a-write-key-of-this-test-only";

/// The configuration that sends to a mail server of a test.
pub fn smtp_sections(sink: &SmtpSink) -> String {
    format!(
        "[messaging.smtp]\nhost = \"127.0.0.1\"\nport = {}\nsecurity = \"none\"\nfrom = \"hello@shop.example.com\"\n\
         rate_per_second = 400\nmax_concurrent = 32\n",
        sink.port()
    )
}

/// How long a service may take to be ready, on a busy machine.
const READY: Duration = Duration::from_mins(1);
/// How long somebody else's client may take.
const COMMAND: Duration = Duration::from_mins(2);

/// A dataset's topic.
pub fn topic(dataset: &str) -> String {
    format!("vuelve.{dataset}.v1")
}

impl Installation {
    /// Starts the parts and creates the topics; `mode` is live or replay.
    pub fn start(mode: &str, state: State) -> anyhow::Result<Self> {
        Self::start_with(mode, state, "")
    }

    /// The same, with more configuration: sections of their own (TOML).
    pub fn start_with(mode: &str, state: State, more: &str) -> anyhow::Result<Self> {
        let kafka = KafkaBroker::start_with(&KafkaOptions { proxied: true, ..KafkaOptions::default() })?;
        let registry = SchemaRegistry::start()?;
        let redis = if state == State::Redis { Some(Redis::start()?) } else { None };
        let folder = tempfile::tempdir()?;
        let door = free_port()?;
        let write = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            let path = folder.path().join(name);
            std::fs::write(&path, text)?;
            Ok(path)
        };
        let write_key = write("write-key", WRITE_KEY)?;
        let link_keys = write("link-keys", &format!("k1:{}\n", "0123456789abcdef".repeat(4)))?;
        let addresses = write("address-secret", &"fedcba9876543210".repeat(4))?;
        let store = redis.as_ref().map_or_else(
            || "kind = \"memory\"".to_owned(),
            |redis| format!("kind = \"redis\"\nurl = \"{}\"", redis.url()),
        );
        let text = format!(
            "[installation]\npartitions = {PARTITIONS}\nmode = \"{mode}\"\n\
             [kafka]\nbootstrap_servers = [\"{}\"]\nregistry_url = \"{}\"\nsession_timeout = \"3s\"\ntransaction_timeout = \"8s\"\n\
             [store]\n{store}\n\
             [links]\nkeys_file = \"{}\"\naddress_secret_file = \"{}\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n[grpc]\nlisten = \"127.0.0.1:0\"\n\
             [telemetry]\nlog_format = \"text\"\n[host]\nstall_limit = \"48s\"\n\
             [ingestion.door]\nlisten = \"127.0.0.1:{door}\"\n\
             [[ingestion.door.write_keys]]\nid = \"test\"\nshop = \"test\"\nkey_file = \"{}\"\n{more}",
            kafka.bootstrap_servers(),
            registry.url(),
            link_keys.display(),
            addresses.display(),
            write_key.display(),
        );
        let config = write("vuelve.toml", &text)?;
        let installation = Self { kafka, registry, redis, folder, config, door };
        installation.command(&["topics", "create"])?;
        Ok(installation)
    }

    /// A shop that runs: one process of each service, live, with Redis and this mail server, and a cart recovery that reminds
    /// after each of these waits. The processes: door, resolver, journeys, messaging, segmentation.
    pub fn start_shop(mail: &SmtpSink, waits: &[&str]) -> anyhow::Result<(Self, Vec<Process>)> {
        let sections = smtp_sections(mail) + "[messaging]\nclaim_deadline = \"2s\"\n";
        let installation = Self::start_with("live", State::Redis, &sections)?;
        let services = installation.run_each(&["door", "resolver", "journeys", "messaging", "segmentation"], 0..1)?;
        installation.wait_for_door(&services[0])?;
        installation.apply(waits)?;
        Ok((installation, services))
    }

    /// Puts a cart recovery in force that reminds after each of these waits; returns when every partition works by it.
    pub fn apply(&self, waits: &[&str]) -> anyhow::Result<()> {
        let folder = self.folder.path().join("definitions");
        std::fs::create_dir_all(&folder)?;
        write_definitions(&folder, waits)?;
        self.command(&["apply", &folder.display().to_string(), "--wait"])?;
        Ok(())
    }

    /// Runs a command of the tool to its end.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(vuelve())
            .args(arguments)
            .arg("--config")
            .arg(&self.config)
            .current_dir(root())
            .output()
            .context("vuelve can't be run: build it with `cargo build -p vuelve`")?;
        ensure!(
            output.status.success(),
            "vuelve {}: {}\n{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a command of the tool.
    pub fn start_command(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Process> {
        let process = Process::spec(name, vuelve()).args(arguments).arg("--config").arg(&self.config);
        Ok(process.dir(root()).log(self.folder.path().join(format!("{name}.log"))).start()?)
    }

    /// Starts a process that runs these services in a slot.
    pub fn run(&self, services: &[&str], slot: u32) -> anyhow::Result<Process> {
        self.run_with(services, slot, &[])
    }

    /// The same with settings that go before those of the configuration.
    pub fn run_with(&self, services: &[&str], slot: u32, settings: &[String]) -> anyhow::Result<Process> {
        let name = format!("vuelve-{}-{slot}", services.join("-").trim_start_matches('-'));
        let log = self.folder.path().join(format!("{name}.log"));
        let process = Process::spec(&name, vuelve())
            .arg("run")
            .args(services)
            .arg("--config")
            .arg(&self.config)
            .args(["--set", &format!("installation.slot={slot}")])
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            // What is traced is seen soon.
            .env("OTEL_BSP_SCHEDULE_DELAY", "200")
            .dir(root())
            .log(log)
            .start()?;
        Ok(process)
    }

    /// Starts a door that keeps calls in this folder while the broker is away; its admin port is `admin`.
    pub fn run_door_with_spool(&self, spool: &Path, admin: u16) -> anyhow::Result<Process> {
        let settings = [
            format!("ingestion.door.spool.directory={}", spool.display()),
            "ingestion.door.spool.after=200ms".to_owned(),
            format!("admin.listen=127.0.0.1:{admin}"),
        ];
        self.run_with(&["door"], 0, &settings)
    }

    /// Posts JSON to the door; the error is the answer, if it is not 200.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], json: &str) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.door))?;
        stream.set_read_timeout(Some(READY))?;
        let headers = headers.iter().flat_map(|(name, value)| [*name, ": ", *value, "\r\n"]).collect::<String>();
        write!(
            stream,
            "POST {path}?writeKey={WRITE_KEY} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n{json}",
            json.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "{path} answers {answer}");
        Ok(())
    }

    /// Where the door is.
    pub fn door(&self) -> String {
        format!("http://127.0.0.1:{}", self.door)
    }

    /// Waits until the door answers.
    pub fn wait_for_door(&self, process: &Process) -> anyhow::Result<()> {
        process.wait_ready(READY, "open the door", || TcpStream::connect(("127.0.0.1", self.door)).is_ok())?;
        Ok(())
    }

    /// Starts a process for each of these services and slots.
    pub fn run_each(&self, services: &[&str], slots: std::ops::Range<u32>) -> anyhow::Result<Vec<Process>> {
        let each = slots.flat_map(|slot| services.iter().map(move |service| (*service, slot)));
        each.map(|(service, slot)| self.run(&[service], slot)).collect()
    }

    /// How many bytes of a dataset the broker has on its disk.
    pub fn written(&self, dataset: &str) -> u64 {
        let topic = topic(dataset) + "-";
        let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten();
        let of_topic = |entry: &std::fs::DirEntry| {
            let name = entry.file_name();
            let partition = name.to_str().and_then(|name| name.strip_prefix(&topic));
            partition.is_some_and(|partition| partition.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let folders = entries(&self.kafka.data_dir()).filter(of_topic);
        let files = folders.flat_map(|folder| entries(&folder.path()).collect::<Vec<_>>());
        let logs = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
        logs.filter_map(|log| log.metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    /// Waits until so many bytes of a dataset are written.
    pub fn wait_until_written(&self, dataset: &str, bytes: u64) -> anyhow::Result<()> {
        let what = format!("{bytes} bytes of {dataset}");
        testkit::wait_until(Duration::from_mins(3), &what, || (self.written(dataset) >= bytes).then_some(()))?;
        Ok(())
    }

    /// All records of a dataset, as confluent-kafka reads them.
    pub fn records(&self, dataset: &str) -> anyhow::Result<Vec<TopicRecord>> {
        Ok(read_topic(&self.kafka.bootstrap_servers(), &self.registry.url(), &topic(dataset), COMMAND)?)
    }

    /// All records of a dataset with their values in base64, as they are.
    pub fn raw_records(&self, dataset: &str) -> anyhow::Result<Vec<TopicRecord>> {
        Ok(read_topic_raw(&self.kafka.bootstrap_servers(), &topic(dataset), COMMAND)?)
    }

    /// The last record of each key of a dataset, with their values both as confluent-kafka reads them and as they are.
    pub fn latest_with_bytes(&self, dataset: &str) -> anyhow::Result<Vec<TopicRecord>> {
        Ok(read_latest_with_bytes(&self.kafka.bootstrap_servers(), &self.registry.url(), &topic(dataset), COMMAND)?)
    }

    /// Where the partitions of these datasets end, by topic and partition.
    pub fn ends(&self, datasets: &[&str]) -> anyhow::Result<BTreeMap<(String, i32), i64>> {
        let topics: Vec<String> = datasets.iter().map(|dataset| topic(dataset)).collect();
        Ok(ends(&self.kafka.bootstrap_servers(), &topics, PARTITIONS, COMMAND)?)
    }

    /// Writes bytes of any kind to a dataset, as somebody else's producer might.
    pub fn produce(&self, dataset: &str, key: &str, headers: &[(&str, &str)], value: &[u8]) -> anyhow::Result<()> {
        produce_raw(&self.kafka.bootstrap_servers(), &topic(dataset), key, headers, value, COMMAND)?;
        Ok(())
    }

    /// Replays a clickstream on the services that run; returns the folder with the result.
    pub fn replay(&self, file: &Path, name: &str) -> anyhow::Result<PathBuf> {
        self.replay_as("retailrocket", file, name)
    }

    /// The same for a clickstream that is written in another way.
    pub fn replay_as(&self, format: &str, file: &Path, name: &str) -> anyhow::Result<PathBuf> {
        self.replay_with(format, file, name, &["--synthetic-addresses"])
    }

    /// The same with more arguments.
    pub fn replay_with(&self, format: &str, file: &Path, name: &str, more: &[&str]) -> anyhow::Result<PathBuf> {
        let out = self.folder.path().join(name);
        let key = self.folder.path().join("write-key");
        let (file, out_folder, key, door) = (file.display(), out.display(), key.display(), self.door());
        let arguments = [
            ["--file", &file.to_string()],
            ["--format", format],
            ["--definitions", "presets/basic"],
            ["--out", &out_folder.to_string()],
            ["--attach", &door],
            ["--write-key-file", &key.to_string()],
        ];
        self.command(&[&["replay"], arguments.as_flattened(), more].concat())?;
        Ok(out)
    }
}

/// A test that fails shows what its services said last.
impl Drop for Installation {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let entries = std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten();
        for log in entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "log")) {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("---- the end of {} ----", log.display());
            eprintln!("{}", lines[lines.len().saturating_sub(LAST_LINES)..].join("\n"));
        }
    }
}

const LAST_LINES: usize = 40;
