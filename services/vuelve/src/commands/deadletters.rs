use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use domain::{HumanDuration, Timestamp};
use kafka::Appender;
use runtime::config::KafkaOptions;
use serde_json::json;
use vuelve::hosting::Installation;
use vuelve::letters::{self, Door, Filter, Letter, Redriven, Redriver};
use vuelve::terminal::print;
use vuelve::written;

use super::Global;
use super::run::installation;

/// Dead letters: what could not be processed, and why; and sending it again once the cause is mended.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve deadletters list --since 2h                    What was put aside lately, and why.
  vuelve deadletters list --topic storefront.received --format json
  vuelve deadletters redrive --partition 3 --offset 17  What would be done with this one?
  vuelve deadletters redrive --all --since 2h --yes     Send all of the last two hours again.")]
pub(crate) struct DeadLetters {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    List(List),
    Redrive(Redrive),
}

/// Which letters.
#[derive(Debug, Args)]
struct Wanted {
    /// Those of this topic (`storefront.received`, or the name in full), or of this path of the door (`/v1/batch`).
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Those with this reason, such as `malformed`.
    #[arg(long, value_name = "WORD")]
    reason: Option<String>,
    /// Those put aside since a time (RFC 3339), or for so long (`2h`).
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
}

/// Lists the newest letters, the oldest of them first: place, where from, why, size, when.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve deadletters list                               The newest 20.
  vuelve deadletters list --limit 200 --reason no_id    The newest 200 events without any id.
  vuelve deadletters list --format json | jq -r .value  One JSON object a line; key and value in base64.")]
struct List {
    #[command(flatten)]
    wanted: Wanted,
    /// How many at most.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// How they are written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Sends letters again: a record onto its topic with its bytes, key and headers, an event of the door through the door.
///
/// Without --yes it only tells what it would do. The letters stay where they are; a message that was processed before is
/// recognised by its id. How often a letter was sent again is counted in its header `vuelve-redrives`; one that came back
/// three times is left by --all, and goes only where it is named. Ends with 1 if any was left.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("which").required(true).args(["offset", "all"]),
    after_help = "\
Examples:
  vuelve deadletters redrive --partition 3 --offset 17               What would be done with this one?
  vuelve deadletters redrive --partition 3 --offset 17 --yes         Do it.
  vuelve deadletters redrive --all --topic messaging.requests --yes  All of one topic.
  vuelve deadletters redrive --all --topic /v1/batch --yes \
    --door http://127.0.0.1:8080 --source web --write-key-file key           Events of the write key `web`."
)]
struct Redrive {
    /// The letter at this offset.
    #[arg(long, value_name = "O", requires = "partition", conflicts_with_all = ["topic", "reason", "since"])]
    offset: Option<i64>,
    /// Of this partition.
    #[arg(long, value_name = "P", requires = "offset")]
    partition: Option<i32>,
    /// All of them, or all that --topic, --reason and --since take.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    wanted: Wanted,
    /// Sends; without it nothing is done.
    #[arg(long)]
    yes: bool,
    /// The door, for events that came in through it.
    #[arg(long, value_name = "URL", requires_all = ["source", "write_key_file"])]
    door: Option<String>,
    /// The write key's id: only events that came in under it go through the door, the others are left.
    #[arg(long, value_name = "ID", requires = "door")]
    source: Option<String>,
    /// The file with that write key.
    #[arg(long, value_name = "FILE", requires = "door")]
    write_key_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl DeadLetters {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.load()?;
        let installation = installation(&config)?;
        let timeout = config.get::<KafkaOptions>().request_timeout.as_std();
        match self.what {
            What::List(list) => list.run(&installation, timeout),
            What::Redrive(redrive) => redrive.run(&installation, timeout),
        }
    }
}

impl Wanted {
    fn filter(self) -> Filter {
        Filter { topic: self.topic, reason: self.reason, since: self.since }
    }
}

impl List {
    fn run(self, installation: &Installation, timeout: Duration) -> anyhow::Result<ExitCode> {
        let (filter, limit) = (self.wanted.filter(), usize::from(self.limit));
        let json = self.format == Format::Json;
        let (letters, count) = letters::newest(installation, &filter, limit, json, timeout)?;
        for letter in &letters {
            print(&if json { format!("{}\n", as_json(letter)) } else { as_text(letter) })?;
        }
        if !json {
            let more = if count > letters.len() as u64 { "; the newest are shown" } else { "" };
            print(&format!("{count} dead letters{more}\n"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Redrive {
    fn run(self, installation: &Installation, timeout: Duration) -> anyhow::Result<ExitCode> {
        let door = match (&self.door, &self.source, &self.write_key_file) {
            (Some(url), Some(source), Some(path)) => Some(Door::new(url, source, &super::write_key(path)?)),
            _ => None,
        };
        let tokio = tokio::runtime::Runtime::new()?;
        // The appender's tasks live on the runtime.
        let _guard = tokio.enter();
        let appender = self.yes.then(|| Appender::new(&installation.cluster, "vuelve-redrive", timeout)).transpose()?;
        let redriver = Redriver::new(installation, door, appender);
        let mut sums = Sums { sends: self.yes, ..Sums::default() };
        let mut one = |letter: &Letter, named: bool| -> anyhow::Result<()> {
            let result = tokio.block_on(redriver.redrive(letter, named));
            let done = result.with_context(|| format!("{} could not be sent again", letter.place()))?;
            sums.tell(letter, &done)
        };
        let mut failure = None;
        match (self.partition, self.offset) {
            (Some(partition), Some(offset)) => {
                let letter = letters::at(installation, partition, offset, timeout)?;
                let letter = letter.with_context(|| {
                    format!("there is no dead letter at partition {partition}, offset {offset}; `vuelve deadletters list` shows them")
                })?;
                one(&letter, true)?;
            }
            _ => letters::each(installation, &self.wanted.filter(), timeout, |letter| {
                failure = one(&letter, false).err();
                failure.is_none()
            })?,
        }
        sums.finish()?;
        match failure {
            Some(failure) => Err(failure.context("stopped: the letters after it were not sent again")),
            None => Ok(if sums.left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        }
    }
}

/// What was done, or would be.
#[derive(Debug, Default)]
struct Sums {
    sends: bool,
    sent: u64,
    left: u64,
    /// Of those left, the events of other write keys, by its id.
    others: BTreeMap<String, u64>,
}

impl Sums {
    fn tell(&mut self, letter: &Letter, done: &Redriven) -> anyhow::Result<()> {
        let before = letter.head.as_ref().map_or(0, |head| head.redrives);
        let (verb, place) = (if self.sends { "sent" } else { "would be sent" }, letter.place());
        let round = if before > 0 {
            format!(
                " (it came back {} before)",
                if before == 1 { "once".to_owned() } else { format!("{before} times") }
            )
        } else {
            String::new()
        };
        let line = match done {
            Redriven::Topic(topic) => format!("{place} {verb} to {topic}{round}\n"),
            Redriven::Door(path) => format!("{place} {verb} through the door by {path}{round}\n"),
            Redriven::Left(why) => format!("{place} is left: {why}\n"),
            Redriven::Others(source) => format!("{place} is left: it came in under the write key `{source}`\n"),
        };
        match done {
            Redriven::Topic(_) | Redriven::Door(_) => self.sent += 1,
            Redriven::Left(_) => self.left += 1,
            Redriven::Others(source) => {
                self.left += 1;
                *self.others.entry(source.clone()).or_default() += 1;
            }
        }
        print(&line)
    }

    fn finish(&self) -> anyhow::Result<()> {
        let what = if self.sends { "sent again" } else { "would be sent again; nothing was done (--yes does it)" };
        print(&format!("{} {what}, {} left\n", self.sent, self.left))?;
        for (source, count) in &self.others {
            print(&format!(
                "{count} of those left came in under the write key `{source}`: give --source {source} and the file with its key\n"
            ))?;
        }
        Ok(())
    }
}

fn as_text(letter: &Letter) -> String {
    let when = written::time(letter.record.timestamp);
    let Some(head) = &letter.head else {
        return format!(
            "{}  {when}  {} B: its headers do not say where it came from\n",
            letter.place(),
            letter.size_bytes
        );
    };
    let from = match &head.source {
        Some(source) => format!("the door's {}, event {} of its call, write key {source}", head.topic, head.offset),
        None => format!("{}[{}]@{}", head.topic, head.partition, head.offset),
    };
    let again = if head.redrives == 0 { String::new() } else { format!("; sent again {} times", head.redrives) };
    format!(
        "{}  {when}  {} B  from {from}\n    {}: {} (by {}{again})\n",
        letter.place(),
        letter.size_bytes,
        head.reason,
        head.detail,
        head.refused_by,
    )
}

fn as_json(letter: &Letter) -> serde_json::Value {
    let record = &letter.record;
    let base64 = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
    let head = letter.head.as_ref();
    json!({
        "partition": record.partition,
        "offset": record.offset,
        "at": written::time(record.timestamp),
        "size_bytes": letter.size_bytes,
        "original_topic": head.map(|head| &head.topic),
        "original_partition": head.map(|head| head.partition),
        "original_offset": head.map(|head| head.offset),
        "refused_by": head.map(|head| &head.refused_by),
        "reason": head.map(|head| &head.reason),
        "detail": head.map(|head| &head.detail),
        "source": head.and_then(|head| head.source.as_ref()),
        "redrives": head.map_or(0, |head| head.redrives),
        "key": base64(&record.key),
        "value": base64(&record.value),
    })
}

/// A time as RFC 3339 has it, or a duration before now.
fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = text.parse::<HumanDuration>() {
        let ago = i64::try_from(ago.as_std().as_millis()).unwrap_or(i64::MAX);
        return Ok(Timestamp::from_millis(jiff::Timestamp::now().as_millisecond().saturating_sub(ago)));
    }
    let at: jiff::Timestamp = text.parse().map_err(|_| {
        format!("`{text}` is neither a duration (`2h`) nor a time as RFC 3339 has it (`2026-01-31T12:00:00Z`)")
    })?;
    Ok(Timestamp::from_millis(at.as_millisecond()))
}
