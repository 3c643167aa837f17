//! Official client libraries, run unmodified: Segment's and `RudderStack`'s SDKs send, confluent-kafka reads; and kcat.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Context as _, Result};
use crate::parts::{debian, node_dir, python};
use crate::watchdog::Scratch;
use crate::{Error, Process};

/// A script may take this long to begin, on a busy machine.
const SCRIPT_START: Duration = Duration::from_secs(30);

/// An official SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// `PyPI`: `segment-analytics-python`.
    SegmentPython,
    /// npm: `@segment/analytics-node`.
    SegmentNode,
    /// `PyPI`: `rudder-sdk-python`.
    RudderPython,
    /// npm: `@rudderstack/rudder-sdk-node`.
    RudderNode,
}

impl Sdk {
    /// All of them.
    pub const ALL: [Sdk; 4] = [Sdk::SegmentPython, Sdk::SegmentNode, Sdk::RudderPython, Sdk::RudderNode];

    fn script(self) -> &'static str {
        match self {
            Sdk::SegmentPython => "segment_python.py",
            Sdk::SegmentNode => "segment_node.mjs",
            Sdk::RudderPython => "rudder_python.py",
            Sdk::RudderNode => "rudder_node.mjs",
        }
    }

    /// Sends the calls in `calls` (a JSON object a line: `type`, `userId`, `anonymousId`, `event`, `name`,
    /// `properties`, `traits`, `groupId`, `previousId`, `context`, `timestamp`, `messageId`) to `host`, a URL such as
    /// `http://127.0.0.1:8080`, flushes, and is an error if the SDK reported one.
    pub fn send(self, host: &str, write_key: &str, calls: &Path, limit: Duration) -> Result<()> {
        let script = script(self.script());
        let (program, environment) = match self {
            Sdk::SegmentPython | Sdk::RudderPython => (python()?, None),
            Sdk::SegmentNode | Sdk::RudderNode => (debian::program("node")?, Some(("NODE_PARTS", node_dir()?))),
        };
        let mut spec = Process::spec(self.script(), program)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(script)
            .args([host, write_key])
            .arg(calls);
        if let Some((name, value)) = environment {
            spec = spec.env(name, value);
        }
        spec.start()?.wait_for_success(limit)
    }
}

/// A record as confluent-kafka read it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct TopicRecord {
    /// The key, if there is one and it is text.
    pub key: Option<String>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Its headers in their order, values as text (bytes that are no UTF-8 replaced).
    pub headers: Vec<(String, Option<String>)>,
    /// The value as JSON (dates and times in RFC 3339, bytes in base64); null for an erasure.
    pub value: serde_json::Value,
    /// The value as it is, in base64, where that was asked for; none for an erasure.
    #[serde(default)]
    pub bytes: Option<String>,
}

/// Reads all committed records of a topic from its beginning to its end, with confluent-kafka's Avro deserializer and
/// the registry; one record that can't be read is an error.
pub fn read_topic(bootstrap_servers: &str, registry: &str, topic: &str, limit: Duration) -> Result<Vec<TopicRecord>> {
    read(bootstrap_servers, topic, limit, &[registry, topic])
}

/// As [`read_topic`], but only the last record of each key and partition, with each value also as it is.
pub fn read_latest_with_bytes(
    bootstrap_servers: &str,
    registry: &str,
    topic: &str,
    limit: Duration,
) -> Result<Vec<TopicRecord>> {
    read(bootstrap_servers, topic, limit, &[registry, topic, "--latest", "--bytes"])
}

/// Where each partition of these topics ends, by topic and partition; open transactions count.
pub fn ends(
    bootstrap_servers: &str,
    topics: &[String],
    partitions: i32,
    limit: Duration,
) -> Result<BTreeMap<(String, i32), i64>> {
    // A time of -1 asks for the end.
    let each = topics.iter().flat_map(|topic| (0..partitions).map(move |partition| format!("{topic}:{partition}:-1")));
    let questions: Vec<String> = each.flat_map(|place| ["-t".to_owned(), place]).collect();
    let arguments: Vec<&str> = ["-Q"].into_iter().chain(questions.iter().map(String::as_str)).collect();
    let answer = kcat(bootstrap_servers, &arguments, limit)?;
    // topic [0] offset 12, and between such lines, after a `%`, what the client has to say.
    let line = |line: &str| {
        let [topic, partition, "offset", offset] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        let partition = partition.trim_matches(['[', ']']).parse().ok()?;
        Some(((topic.to_owned(), partition), offset.parse().ok()?))
    };
    let ends = answer.lines().filter(|text| !text.trim().is_empty() && !text.starts_with('%'));
    ends.map(|text| line(text).ok_or_else(|| Error::new("kcat", format!("answers {text:?}")))).collect()
}

/// As [`read_topic`], for topics whose values need not be Avro (dead letters): the value is its bytes in base64.
pub fn read_topic_raw(bootstrap_servers: &str, topic: &str, limit: Duration) -> Result<Vec<TopicRecord>> {
    read(bootstrap_servers, topic, limit, &["-", topic, "--raw"])
}

fn read(bootstrap_servers: &str, topic: &str, limit: Duration, arguments: &[&str]) -> Result<Vec<TopicRecord>> {
    let scratch = Scratch::new("read-topic")?;
    let records = scratch.path().join("records.jsonl");
    Process::spec("read_topic.py", python()?)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(script("read_topic.py"))
        .arg(bootstrap_servers)
        .args(arguments)
        .args(["--timeout", &limit.as_secs_f64().to_string(), "--output"])
        .arg(&records)
        .start()?
        // The script keeps the limit itself, and says more than we could.
        .wait_for_success(limit + SCRIPT_START)?;
    let text = std::fs::read_to_string(&records).context(topic, || "its records could not be read back".into())?;
    text.lines()
        .map(|line| serde_json::from_str(line).map_err(|error| Error::new(topic, format!("{error} in {line}"))))
        .collect()
}

/// Somebody else's producer of Avro: confluent-kafka with its serializer, well or badly set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct AvroWriter<'a> {
    /// Settings of the client, by name, such as `partitioner`.
    pub settings: &'a [(&'a str, &'a str)],
    /// The writer's schema, which it registers; else the latest that is registered.
    pub schema: Option<&'a str>,
    /// The subject under which it does so; else the topic's.
    pub subject: Option<&'a str>,
}

impl AvroWriter<'_> {
    /// Writes records, each with `value` (Avro) or `bytes` (base64, as they are) or neither, `key`, `headers` and
    /// `partition`; between them `{"do": "begin"}`, `"commit"` and `"abort"`. What the broker refuses is an error.
    pub fn write(
        &self,
        bootstrap_servers: &str,
        registry: &str,
        topic: &str,
        records: &[serde_json::Value],
        limit: Duration,
    ) -> Result<()> {
        let scratch = Scratch::new("write-avro")?;
        let file = |name: &str, text: String| -> Result<PathBuf> {
            let path = scratch.path().join(name);
            std::fs::write(&path, text).context(topic, || format!("{name} could not be laid down"))?;
            Ok(path)
        };
        let lines = records.iter().map(|record| record.to_string() + "\n").collect();
        let mut writer = Process::spec("write_avro.py", python()?)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(script("write_avro.py"))
            .args([bootstrap_servers, registry, topic])
            .arg(file("records.jsonl", lines)?)
            .args(self.settings.iter().flat_map(|(name, value)| ["--set".to_owned(), format!("{name}={value}")]))
            .args(self.subject.iter().flat_map(|subject| ["--subject", subject]));
        if let Some(schema) = self.schema {
            writer = writer.arg("--schema").arg(file("schema.avsc", schema.to_owned())?);
        }
        writer.start()?.wait_for_success(limit)
    }
}

/// Runs kcat to its end and gives what it printed.
pub fn kcat(bootstrap_servers: &str, arguments: &[&str], limit: Duration) -> Result<String> {
    let kcat = Process::spec("kcat", debian::program("kcat")?).args(["-b", bootstrap_servers, "-q"]).args(arguments);
    let kcat = kcat.start()?;
    kcat.wait_for_success(limit)?;
    Ok(kcat.log())
}

/// Writes one record, bytes of any kind as they are, on the partition that Java's partitioner gives its key.
pub fn produce_raw(
    bootstrap_servers: &str,
    topic: &str,
    key: &str,
    headers: &[(&str, &str)],
    value: &[u8],
    limit: Duration,
) -> Result<()> {
    let scratch = Scratch::new("produce-raw")?;
    let file = scratch.path().join("value");
    std::fs::write(&file, value).context(topic, || "its record could not be laid down".into())?;
    let file = file.display().to_string();
    let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut arguments =
        vec!["-P", "-X", "partitioner=murmur2_random", "-X", "message.max.bytes=1100000", "-t", topic, "-k", key];
    arguments.extend(headers.iter().flat_map(|header| ["-H", header]));
    arguments.push(&file);
    kcat(bootstrap_servers, &arguments, limit).map(drop)
}

/// Runs schemathesis against what serves this description, with a write key; returns its report. What it found is an error.
/// It makes the same calls in each run, as far as it gets in `most`.
pub fn schemathesis(description: &str, write_key: &str, arguments: &[&str], most: Duration) -> Result<String> {
    // It keeps what it found in the folder that it runs in, and would begin with that the next time.
    let scratch = Scratch::new("schemathesis")?;
    let run = Process::spec("schemathesis", python()?)
        .dir(scratch.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(script("schemathesis.toml"))
        .args(["run", description, "--no-color"])
        .args(["--checks", "all", "--continue-on-failure", "--seed", "1", "--generation-deterministic"])
        .args(["--auth", &format!("{write_key}:"), "--max-time", &most.as_secs().to_string()])
        .args(arguments)
        .start()?;
    // What it found is said long before its last lines.
    let ended = run.wait_for_success(most + SCRIPT_START);
    ended.map_err(|error| Error::new("schemathesis", format!("{error}: {}", run.log())))?;
    Ok(run.log())
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}
