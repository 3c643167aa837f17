//! `vuelve replay`: a recorded clickstream through the whole pipeline, over HTTP and Kafka, with its own time.
//!
//! Wanted properties:
//! - nothing is special about it but time: the same services, the same records;
//! - the result depends on the file and the definitions only, not on how fast or on how many partitions it ran;
//! - each event keeps its own date, or is refused with its line;
//! - what is wrong is told before anything is sent, and where there is a summary, the whole result is there;
//! - a table of the customers as of T holds what happened before T and nothing else, and is there only with the whole result;
//!   the boundaries of its quintiles are those of all customers as of T, and stand beside it.

mod course;
mod invoices;
mod moving;
mod open_messages;
mod quiet;
mod report;
mod send;
mod source;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use definitions::Definitions;
use domain::{HumanDuration, Timestamp};

use course::Course;
pub(crate) use moving::{JOURNEYS, Move, time_of};
pub(crate) use open_messages::OpenMessages;
pub use report::Summary;
pub(crate) use send::Sender;
pub use source::Format;
use source::{Extent, Source};

use crate::hosting::Installation;
use crate::{customers, definition_topic, folders, quintiles, written};

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
    /// Until when time is moved; none for 30 days after the last event, or the last of `as_of` if that is later.
    pub until: Option<Timestamp>,
    /// The times as of which there is to be a table of the customers.
    pub as_of: Vec<Timestamp>,
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
    pub fn prepare(mut self) -> anyhow::Result<Prepared> {
        self.as_of.sort_unstable();
        self.as_of.dedup();
        if let (Some(until), Some(last)) = (self.until, self.as_of.last()) {
            let (until_shown, last_shown) = (written::time(until), written::time(*last));
            ensure!(*last <= until, "--as-of {last_shown} lies after --until {until_shown}");
        }
        let definitions = folders::load(&self.definitions)?;
        let file = std::fs::metadata(&self.file).with_context(|| self.file.display().to_string())?;
        // A pipe can be read only once: what is wrong with what it brings is told on the way.
        if file.is_file() || file.is_dir() {
            let (mut source, mut found) = (self.open()?, Extent::default());
            for end in self.as_of.iter().copied().map(Some).chain([None]) {
                while let Some(call) = source.next_of(end)? {
                    found.add(call.at);
                }
                self.check_begun(end, found, &source)?;
            }
            self.end(found)?;
        }
        report::check_folder(&self.out, &self.tables())?;
        Ok(Prepared { replay: self, definitions })
    }

    fn open(&self) -> anyhow::Result<Source> {
        Source::open(&self.file, self.format, self.synthetic_addresses)
    }

    /// The names of the tables, and of the boundaries beside them.
    fn tables(&self) -> Vec<String> {
        self.as_of.iter().flat_map(|at| [customers::file_name(*at), quintiles::file_name(*at)]).collect()
    }

    /// Something happened before a time as of which there is to be a table.
    fn check_begun(&self, end: Option<Timestamp>, found: Extent, source: &Source) -> anyhow::Result<()> {
        if let (Some(end), Some(first)) = (end, source.ahead())
            && found.events == 0
        {
            let (file, end, first) = (self.file.display(), written::time(end), written::time(first));
            anyhow::bail!(
                "--as-of {end} does not lie after the first event of {file}, which is dated {first}: nothing had happened before"
            );
        }
        Ok(())
    }

    /// Until when time is moved.
    fn end(&self, sent: Extent) -> anyhow::Result<Timestamp> {
        let file = self.file.display();
        ensure!(sent.events > 0, "{file}: there is no event in it");
        let last = self.as_of.last().copied().unwrap_or(Timestamp::MIN);
        let until = self.until.unwrap_or_else(|| last.max(sent.last_at + AFTERWARDS));
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

        let (place, sender) = (installation.clone(), Sender::new(door, write_key));
        let (out, as_of, tokio) = (replay.out.clone(), replay.as_of.clone(), tokio::runtime::Handle::current());
        let mut course = tokio::task::spawn_blocking(move || Course::begin(replay, &place, sender, tokio)).await??;
        let mut tables = Vec::with_capacity(2 * as_of.len());
        for at in as_of {
            let (learnt, table);
            (course, learnt, table) = tokio::task::spawn_blocking(move || course.table(at)).await??;
            let (name, mut draft) = (quintiles::file_name(at), report::draft(&out)?);
            draft.write_all(quintiles::json(&learnt)?.as_bytes()).with_context(|| name.clone())?;
            tables.push((name, draft));
            let (name, mut draft) = (customers::file_name(at), report::draft(&out)?);
            table.write(&mut draft).with_context(|| name.clone())?;
            tables.push((name, draft));
        }
        let report = tokio::task::spawn_blocking(move || course.finish(began)).await??;
        // Not on another thread: that would go on writing when this is dropped.
        report.write(&out, tables)?;
        Ok(report.summary)
    }
}
