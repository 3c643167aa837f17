//! `vuelve replay`: a recorded clickstream through the whole pipeline, over HTTP and Kafka, with its own time.
//!
//! Wanted properties:
//! - nothing is special about it but time: the same services, the same records;
//! - the result depends on the file and the definitions only, not on how fast or on how many partitions it ran.

mod moving;
mod open_messages;
mod quiet;
mod report;
mod send;
mod source;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use domain::{HumanDuration, Timestamp};
use indicatif::{ProgressBar, ProgressStyle};

pub(crate) use moving::{Move, time_of_journeys};
pub(crate) use open_messages::OpenMessages;
pub use report::Summary;
pub(crate) use send::Sender;
pub use source::Format;
use source::Source;

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

impl Replay {
    /// Sends, waits, moves time, collects. The services run elsewhere, or on the same host.
    pub async fn run(&self, installation: &Installation, door: &str, write_key: &str) -> anyhow::Result<Summary> {
        let began = Instant::now();
        let definitions = folders::load(&self.definitions)?;
        std::fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
        let records = definition_topic::records(&definitions, 0);
        let offset = definition_topic::write(installation, &records, self.timeout).await?;
        let (this, place) = (self.clone(), installation.clone());
        let wait = move || definition_topic::wait_until_in_force(&place, offset, this.timeout);
        tokio::task::spawn_blocking(wait).await??;

        let bar = progress_bar();
        let (this, door, write_key, sending) = (self.clone(), door.to_owned(), write_key.to_owned(), bar.clone());
        let sent = tokio::task::spawn_blocking(move || {
            let mut source = Source::open(&this.file, this.format, this.synthetic_addresses)?;
            send::send(&mut source, &door, &write_key, &sending)
        })
        .await??;
        anyhow::ensure!(sent.events > 0, "{}: there is no event in it", self.file.display());
        let until = self.until.unwrap_or(sent.last_at + AFTERWARDS);

        let tokio = tokio::runtime::Handle::current();
        let (this, place, waiting) = (self.clone(), installation.clone(), bar.clone());
        let summary = tokio::task::spawn_blocking(move || -> anyhow::Result<Summary> {
            let mut watch = quiet::Watch::begin(&place, this.timeout)?;
            let show = |left: u64| waiting.set_message(format!("{left} records to go"));
            watch.until_processed(show)?;
            waiting.set_message("moving time");
            tokio.block_on(watch.advance(until, show))?;
            watch.until_all_have_outcomes(|left| waiting.set_message(format!("{left} messages to go")))?;
            watch.until_processed(show)?;
            let summary = Summary { events: sent.events, until: written::time(until), ..Summary::default() };
            let summary = Summary { seconds: began.elapsed().as_secs_f64(), ..summary };
            report::write(&place, &this.out, summary, this.timeout)
        })
        .await??;
        bar.finish_and_clear();
        Ok(summary)
    }
}

fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {human_pos} events sent ({per_sec}) {msg}");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
