use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kafka::{Appender, LetterHead, REDRIVES_HEADER, redrive_record};

use super::Letter;
use crate::hosting::Installation;

/// What came back so often is not sent again with others: only where it is named.
pub const MAX_REDRIVES: u32 = 3;

/// How long the door may take for one event.
const DOOR_DEADLINE: Duration = Duration::from_secs(30);

/// The door that takes events again, and under which key. The key says whose they are, so it takes those alone that came
/// in under it: another shop's would become this one's.
#[derive(Clone)]
pub struct Door {
    source: String,
    agent: ureq::Agent,
    url: String,
    authorization: String,
}

/// Without the key.
impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("url", &self.url).field("source", &self.source).finish_non_exhaustive()
    }
}

impl Door {
    /// The door at a URL such as `http://127.0.0.1:8080`, for the events of `source`, the id of `write_key`.
    pub fn new(url: &str, source: &str, write_key: &str) -> Self {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{write_key}:")));
        Self {
            source: source.to_owned(),
            agent: kafka::http_client(DOOR_DEADLINE),
            url: url.trim_end_matches('/').to_owned(),
            authorization,
        }
    }

    /// Posts an event where it came in before; one of a batch as a batch of its own.
    fn post(&self, head: &LetterHead, value: &[u8]) -> anyhow::Result<()> {
        let event = std::str::from_utf8(value).context("its value is no text")?;
        let is_batch = head.topic.ends_with("/batch") || head.topic.ends_with("/b");
        let body = if is_batch { format!(r#"{{"batch":[{event}]}}"#) } else { event.to_owned() };
        let answer = self
            .agent
            .post(format!("{}{}", self.url, head.topic))
            .content_type("application/json")
            .header("authorization", &self.authorization)
            .header(REDRIVES_HEADER, (head.redrives + 1).to_string())
            .send(body);
        let mut answer = answer.with_context(|| format!("the door at {} does not answer", self.url))?;
        let status = answer.status().as_u16();
        if status == 200 {
            return Ok(());
        }
        let told: String = answer.body_mut().read_to_string().unwrap_or_default().chars().take(300).collect();
        bail!("the door at {} refuses it ({status}): {told}", self.url)
    }
}

/// What becomes of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redriven {
    /// It goes, or went, onto its topic.
    Topic(String),
    /// It goes, or went, through the door by this path.
    Door(String),
    /// It stays where it is, and why.
    Left(String),
    /// It stays where it is: it came in under the write key of this id, and goes back under no other.
    Others(String),
}

/// Sends letters again, or tells what it would do.
#[derive(Debug)]
pub struct Redriver {
    topics: Vec<String>,
    door: Option<Door>,
    appender: Option<Appender>,
}

impl Redriver {
    /// With `appender` it sends; without, it only tells. Without `door` the events of the door are left.
    pub fn new(installation: &Installation, door: Option<Door>, appender: Option<Appender>) -> Self {
        let specs = schemas::topics(&installation.cluster.prefix, installation.cluster.partitions.unsigned_abs());
        Self { topics: specs.into_iter().map(|spec| spec.name).collect(), door, appender }
    }

    /// Sends a letter again; `named` where an operator asked for this very one. An error is a broker or a door that does
    /// not take it.
    pub async fn redrive(&self, letter: &Letter, named: bool) -> anyhow::Result<Redriven> {
        let Some(head) = &letter.head else {
            return Ok(Redriven::Left("its headers do not say where it came from".to_owned()));
        };
        if head.redrives >= MAX_REDRIVES && !named {
            return Ok(Redriven::Left(format!(
                "it was sent again {} times and came back each time; mend the cause ({}), then name it: --partition {} \
                 --offset {}",
                head.redrives, head.reason, letter.record.partition, letter.record.offset
            )));
        }
        if head.source.is_some() {
            self.through_the_door(letter, head).await
        } else {
            self.onto_its_topic(letter, head).await
        }
    }

    async fn onto_its_topic(&self, letter: &Letter, head: &LetterHead) -> anyhow::Result<Redriven> {
        if head.left_out {
            return Ok(Redriven::Left(format!(
                "the record was too large to be put aside; {} has it on partition {} at offset {} as long as it keeps records",
                head.topic, head.partition, head.offset
            )));
        }
        let Some(record) = redrive_record(&letter.record) else {
            return Ok(Redriven::Left("its headers do not say where it came from".to_owned()));
        };
        if !self.topics.iter().any(|topic| **topic == *record.topic) {
            return Ok(Redriven::Left(format!("{} is no topic of this installation", record.topic)));
        }
        if let Some(appender) = &self.appender {
            appender.append(std::slice::from_ref(&record)).await?;
        }
        Ok(Redriven::Topic(record.topic.to_string()))
    }

    async fn through_the_door(&self, letter: &Letter, head: &LetterHead) -> anyhow::Result<Redriven> {
        let path = head.topic.clone();
        if path.starts_with("/webhooks/") {
            return Ok(Redriven::Left(format!(
                "it came in at `{path}`, which takes only what its platform has signed: have the platform send it again"
            )));
        }
        if !path.starts_with("/v1/") {
            return Ok(Redriven::Left(format!("`{path}` is no path of the door")));
        }
        let Some(door) = &self.door else {
            let source = head.source.as_deref().unwrap_or_default();
            return Ok(Redriven::Left(format!(
                "it is an event of the door (write key `{source}`) and goes back through it: give --door URL, \
                 --source {source} and --write-key-file FILE"
            )));
        };
        if let Some(source) = head.source.as_ref().filter(|source| **source != door.source) {
            return Ok(Redriven::Others(source.clone()));
        }
        if self.appender.is_some() {
            let (door, head) = (door.clone(), head.clone());
            let value = letter.record.value.clone().unwrap_or_default();
            tokio::task::spawn_blocking(move || door.post(&head, &value)).await??;
        }
        Ok(Redriven::Door(path))
    }
}
