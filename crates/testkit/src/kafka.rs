//! A real Apache Kafka: one node, broker and controller in one process (`KRaft`), with its data in a directory that
//! outlives a kill.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Context as _, Result};
use crate::parts::maven::{self, JavaPart};
use crate::process::ProcessSpec;
use crate::proxy::TcpProxy;
use crate::watchdog::Scratch;
use crate::{Process, free_port};

/// It takes about 3 s on an idle machine; a busy one is given its time.
const START: Duration = Duration::from_secs(90);
const STOP: Duration = Duration::from_mins(1);
const HALT: Duration = Duration::from_secs(20);
const TOOL: Duration = Duration::from_mins(1);
const STARTED: &str = "Kafka Server started";
const MAIN: &str = "kafka.Kafka";

/// What Kafka needs for tests, beside its addresses and directories: one replica, few partitions of its own topics,
/// short times. Each line can be overridden by [`KafkaOptions::properties`].
const PROPERTIES: &[(&str, &str)] = &[
    ("auto.create.topics.enable", "false"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "4"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "4"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("share.coordinator.state.topic.num.partitions", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    // The default of 6,000 refuses the short sessions that kill tests want.
    ("group.min.session.timeout.ms", "1000"),
    // The default of 10,000 lets a dead worker's transaction linger.
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000"),
    ("log.retention.check.interval.ms", "1000"),
    ("log.cleaner.backoff.ms", "1000"),
    // The default of 128 MiB is half of a test broker's heap.
    ("log.cleaner.dedupe.buffer.size", "16777216"),
    // After a kill the controller remembers the broker's old life, and refuses the new one, until this has passed. A lone
    // broker that is suspended for longer answers with a cluster without brokers, and librdkafka then gives up all that it
    // knew (2.12, issues 5301, 5456 and 5511): so it is longer than a busy machine suspends one, or a test that is not about
    // this.
    ("broker.session.timeout.ms", "12000"),
    ("broker.heartbeat.interval.ms", "200"),
];

/// How a [`KafkaBroker`] is to be set up.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// Java's heap in MiB.
    pub heap_mb: u32,
    /// Further settings, each a name and a value, as in `server.properties`; they override the defaults.
    pub properties: Vec<(String, String)>,
    /// For measurements: Java compiles as in production, which costs a slow start. Tests do with the quick compiler.
    pub full_speed: bool,
    /// Gives it a second address through a [`TcpProxy`]; see [`KafkaBroker::proxy`].
    pub proxied: bool,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self { heap_mb: 512, properties: Vec::new(), full_speed: false, proxied: false }
    }
}

impl KafkaOptions {
    /// Adds a setting.
    #[must_use]
    pub fn property(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.properties.push((name.to_owned(), value.to_string()));
        self
    }
}

/// An Apache Kafka on free ports.
#[derive(Debug)]
pub struct KafkaBroker {
    process: Process,
    part: JavaPart,
    addresses: Addresses,
    proxy: Option<TcpProxy>,
    scratch: Scratch,
}

#[derive(Clone, Copy, Debug)]
struct Addresses {
    clients: u16,
    controller: u16,
    /// The broker's own port behind the proxy, and the proxy's.
    proxied: Option<(u16, u16)>,
}

impl KafkaBroker {
    /// An empty one with the defaults.
    pub fn start() -> Result<Self> {
        Self::start_with(&KafkaOptions::default())
    }

    /// An empty one set up as `options` say.
    pub fn start_with(options: &KafkaOptions) -> Result<Self> {
        let part = maven::kafka()?;
        let scratch = Scratch::new("kafka")?;
        let (proxy, proxied) = if options.proxied {
            let port = free_port()?;
            let proxy = TcpProxy::start(port)?;
            let public = proxy.port();
            (Some(proxy), Some((port, public)))
        } else {
            (None, None)
        };
        let addresses = Addresses { clients: free_port()?, controller: free_port()?, proxied };
        let data = scratch.path().join("data");
        lay_out(&part, &data)?;
        let properties = scratch.path().join("server.properties");
        write(&properties, &server_properties(addresses, &data, &options.properties))?;
        let spec = broker(part.java("kafka")?, &part, options, scratch.path())?
            .arg(&properties)
            .log(scratch.path().join("log"));
        let broker = Self { process: spec.start()?, part, addresses, proxy, scratch };
        broker.wait_ready()?;
        Ok(broker)
    }

    /// `127.0.0.1:PORT`, for `bootstrap.servers`.
    pub fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.addresses.clients)
    }

    /// The same broker through [`KafkaBroker::proxy`]: a client that begins here stays on the proxy.
    ///
    /// # Panics
    /// If it was not started with [`KafkaOptions::proxied`].
    pub fn proxied_bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.proxy().port())
    }

    /// The proxy before the broker, to be cut, slowed or stalled.
    ///
    /// # Panics
    /// If it was not started with [`KafkaOptions::proxied`].
    pub fn proxy(&self) -> &TcpProxy {
        self.proxy.as_ref().expect("the broker was started with KafkaOptions { proxied: true, .. }")
    }

    /// SIGKILL.
    pub fn kill9(&self) -> Result<()> {
        self.process.kill9()
    }

    /// SIGTERM, and waits until it has shut down in order.
    pub fn stop(&self) -> Result<()> {
        self.process.term(STOP).map(drop)
    }

    /// Starts it again on the same port with the same data; kills it first if it runs.
    pub fn restart(&self) -> Result<()> {
        self.process.restart()?;
        self.wait_ready()
    }

    /// SIGSTOP: connections stay open, nothing is answered.
    pub fn pause(&self) -> Result<()> {
        self.process.pause()
    }

    /// SIGCONT after [`KafkaBroker::pause`].
    pub fn resume(&self) -> Result<()> {
        self.process.resume()
    }

    /// Its disk is full: nothing that it writes goes beyond the first `bytes` of a file any more. It halts on the first write
    /// that fails; one that hangs while it halts is killed, as its operator would. [`KafkaBroker::restart`] finds room again.
    ///
    /// A limit on its files and no real disk: that takes no privileges, and Kafka sees the same failed writes.
    pub fn fill_disk(&self, bytes: u64) -> Result<()> {
        self.process.limit_files(Some(bytes))?;
        let _halted = self.process.wait(HALT);
        self.process.kill9()
    }

    /// The directory with its logs (the data).
    pub fn data_dir(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// What it has written since its latest start.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its process, to look at.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Runs one of Kafka's own command line tools (a class such as `org.apache.kafka.tools.TopicCommand`) on it, and
    /// gives what it printed. `--bootstrap-server` is added. Slow: a Java process each time.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> Result<String> {
        let log = self.scratch.path().join(format!("{class}.log"));
        let tool = self
            .part
            .java(class)?
            .env("CLASSPATH", self.part.class_path()?)
            .args(QUICK_JAVA)
            .args(["-Xmx128m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", class])
            .args(["--bootstrap-server", &self.bootstrap_servers()])
            .args(arguments)
            .log(log)
            .start()?;
        tool.wait_for_success(TOOL)?;
        Ok(tool.log())
    }

    fn wait_ready(&self) -> Result<()> {
        self.process.wait_for_log(STARTED, START)
    }
}

/// Short-lived and small Java processes start sooner so.
const QUICK_JAVA: [&str; 2] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];

/// One that is killed leaves its temporary files, native libraries, in `scratch`.
fn broker(java: ProcessSpec, part: &JavaPart, options: &KafkaOptions, scratch: &Path) -> Result<ProcessSpec> {
    let java = if options.full_speed { java.arg("-XX:+UseG1GC") } else { java.args(QUICK_JAVA) };
    Ok(java
        .env("CLASSPATH", part.class_path()?)
        .args([format!("-Xmx{}m", options.heap_mb), format!("-Djava.io.tmpdir={}", scratch.display())])
        .args(["-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS"])
        .arg(MAIN))
}

fn server_properties(addresses: Addresses, data: &Path, further: &[(String, String)]) -> String {
    let Addresses { clients, controller, proxied } = addresses;
    let (own, public) = match proxied {
        Some((own, public)) => (format!("PROXIED://127.0.0.1:{own},"), format!(",PROXIED://127.0.0.1:{public}")),
        None => Default::default(),
    };
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         inter.broker.listener.name=PLAINTEXT\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         listeners=PLAINTEXT://127.0.0.1:{clients},{own}CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{clients}{public}\n\
         log.dirs={}\n",
        data.display()
    );
    // Of a name that comes twice, Java takes the later.
    let defaults = PROPERTIES.iter().copied();
    let further = further.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in defaults.chain(further) {
        for part in [name, "=", value, "\n"] {
            text.push_str(part);
        }
    }
    text
}

/// Formats a metadata directory once for all brokers, and runs one to archive the classes that it loads.
pub(crate) fn prepare(part: &JavaPart) -> Result<()> {
    let scratch = Scratch::new("kafka")?;
    let formatted = part.directory().join(FORMATTED);
    let addresses = Addresses { clients: free_port()?, controller: free_port()?, proxied: None };
    let properties = scratch.path().join("server.properties");
    let log = scratch.path().join("log");

    write(&properties, &server_properties(addresses, &formatted, &[]))?;
    part.java("formatting kafka")?
        .env("CLASSPATH", part.class_path()?)
        .args(["kafka.tools.StorageTool", "format", "-t", &cluster_id()?, "-c"])
        .arg(&properties)
        .log(&log)
        .start()?
        .wait_for_success(TOOL)?;

    let data = scratch.path().join("data");
    lay_out(part, &data)?;
    write(&properties, &server_properties(addresses, &data, &[]))?;
    let java = part.archiving_java("archiving kafka's classes")?;
    let once = broker(java, part, &KafkaOptions::default(), scratch.path())?.arg(&properties).log(&log).start()?;
    once.wait_for_log(STARTED, START)?;
    once.term(STOP).map(drop)
}

const FORMATTED: &str = "formatted";
const META: &str = "meta.properties";

/// A data directory as `StorageTool format` would make it, for a cluster of its own.
fn lay_out(part: &JavaPart, data: &Path) -> Result<()> {
    let formatted = part.directory().join(FORMATTED);
    let doing = || format!("could not lay out {}", data.display());
    std::fs::create_dir_all(data).context("kafka", doing)?;
    for entry in std::fs::read_dir(&formatted).context("kafka", doing)? {
        let entry = entry.context("kafka", doing)?;
        std::fs::copy(entry.path(), data.join(entry.file_name())).context("kafka", doing)?;
    }
    let meta = std::fs::read_to_string(formatted.join(META)).context("kafka", doing)?;
    let cluster = format!("cluster.id={}", cluster_id()?);
    let others = meta.lines().filter(|line| !line.starts_with("cluster.id="));
    let lines: Vec<&str> = others.chain([cluster.as_str()]).collect();
    write(&data.join(META), &lines.join("\n"))
}

/// 22 characters, as Kafka's own ids have.
fn cluster_id() -> Result<String> {
    use std::io::Read as _;
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("kafka", || "could not make a cluster id".into())?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes))[..22].to_owned())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).context("kafka", || format!("could not write {}", path.display()))
}
