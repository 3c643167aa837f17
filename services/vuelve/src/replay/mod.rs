//! `vuelve replay`: a recorded clickstream through the whole pipeline, over HTTP and Kafka, with its own time.
//!
//! Wanted properties:
//! - nothing is special about it but time: the same services, the same records;
//! - the result depends on the file and the definitions only, not on how fast or on how many partitions it ran;
//! - each event keeps its own date, or is refused with its line;
//! - what is wrong is told before anything is sent, and where there is a summary, the whole result is there.

mod moving;
mod open_messages;
mod quiet;
mod report;
mod send;
mod source;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use definitions::Definitions;
use domain::{HumanDuration, Timestamp};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

pub(crate) use moving::{Move, time_of_journeys};
pub(crate) use open_messages::OpenMessages;
use report::Report;
pub use report::Summary;
pub(crate) use send::Sender;
pub use source::Format;
use source::{Extent, Source};

use crate::hosting::Installation;
use crate::{definition_topic, folders, written};

/// What to replay.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The recorded clickstream.
    pub file: PathBuf,
    /// How it is written.
    pub format: Format,
    /// The folder of definitions.
    pub definitions: PathBuf,
    /// Where the result goes.
    pub out: PathBuf,
    /// Until when time is moved; none for 30 days after the last event.
    pub until: Option<Timestamp>,
    /// Gives every customer an address at example.com.
    pub synthetic_addresses: bool,
    /// How long nothing may move before it gives up.
    pub timeout: Duration,
}

/// How long after the last event time goes on, where nothing else is said.
const AFTERWARDS: HumanDuration = HumanDuration::from_hours(30 * 24);

/// A replay with which nothing is wrong that can be known before it runs.
#[derive(Debug)]
pub struct Prepared {
    replay: Replay,
    definitions: Definitions,
}

impl Replay {
    /// Looks through all that is given, before anything is sent or moved.
    pub fn prepare(self) -> anyhow::Result<Prepared> {
        let definitions = folders::load(&self.definitions)?;
        let file = std::fs::metadata(&self.file).with_context(|| self.file.display().to_string())?;
        // A pipe can be read only once: what is wrong with what it brings is told on the way.
        if file.is_file() || file.is_dir() {
            let (mut source, mut found) = (self.open()?, Extent::default());
            while let Some(call) = source.next()? {
                found.add(call.at);
            }
            self.end(found)?;
        }
        report::check_folder(&self.out)?;
        Ok(Prepared { replay: self, definitions })
    }

    fn open(&self) -> anyhow::Result<Source> {
        Source::open(&self.file, self.format, self.synthetic_addresses)
    }

    /// Until when time is moved.
    fn end(&self, sent: Extent) -> anyhow::Result<Timestamp> {
        let file = self.file.display();
        ensure!(sent.events > 0, "{file}: there is no event in it");
        let until = self.until.unwrap_or(sent.last_at + AFTERWARDS);
        let (end, first) = (written::time(until), written::time(sent.first_at));
        ensure!(until >= sent.first_at, "--until {end} lies before the first event of {file}, which is dated {first}");
        Ok(until)
    }
}

impl Prepared {
    /// Sends, waits, moves time, collects. The services run elsewhere, or on the same host. Who drops this ends it: then there
    /// is no result.
    pub async fn run(self, installation: &Installation, door: &str, write_key: &str) -> anyhow::Result<Summary> {
        let began = Instant::now();
        let Self { replay, definitions } = self;
        let timeout = replay.timeout;
        let records = definition_topic::records(&definitions, 0);
        let offset = definition_topic::write(installation, &records, timeout).await?;
        let place = installation.clone();
        let services = definition_topic::followers(&records);
        let wait = move || definition_topic::wait_until_in_force(&place, &services, offset, timeout);
        tokio::task::spawn_blocking(wait).await??;

        let bar = progress_bar();
        let (this, door, write_key, sending) = (replay.clone(), door.to_owned(), write_key.to_owned(), bar.clone());
        let send = move || send::send(&mut this.open()?, &door, &write_key, &sending);
        let sent = tokio::task::spawn_blocking(send).await??;
        let until = replay.end(sent)?;

        let tokio = tokio::runtime::Handle::current();
        let (place, waiting) = (installation.clone(), bar.clone());
        let collect = move || -> anyhow::Result<Report> {
            let mut watch = quiet::Watch::begin(&place, timeout)?;
            let show = |left: u64| waiting.set_message(format!("{left} records to go"));
            watch.until_processed(show)?;
            waiting.set_message("moving time");
            tokio.block_on(watch.advance(until, show))?;
            watch.until_all_have_outcomes(|left| waiting.set_message(format!("{left} messages to go")))?;
            watch.until_processed(show)?;
            let summary = Summary { events: sent.events, until: written::time(until), ..Summary::default() };
            let summary = Summary { seconds: began.elapsed().as_secs_f64(), ..summary };
            Report::collect(&place, summary, timeout)
        };
        let report = tokio::task::spawn_blocking(collect).await??;
        // Not on another thread: that would go on writing when this is dropped.
        report.write(&replay.out)?;
        Ok(report.summary)
    }
}

fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {human_pos} events sent ({per_sec}) {msg}");
    ProgressBar::no_length()
        .with_finish(ProgressFinish::AndClear)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
