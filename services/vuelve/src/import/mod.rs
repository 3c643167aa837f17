//! `vuelve import`: past data from a file, straight onto the topic that the door writes.
//!
//! Wanted properties:
//! - what a row becomes is decided by the same mapping as at the door, and by nothing else than the row and the settings: sent
//!   twice, it has the same message id;
//! - how far it came is kept only once the broker has everything before it, so a kill at any moment loses nothing;
//! - every row ends as taken, passed over or rejected with its number, and the sums match;
//! - memory is bounded, whatever the file holds; what is wrong with the settings is told before anything is sent.

pub(crate) mod csv_rows;
mod input;
mod jsonl_rows;
mod meter;
mod parquet_rows;
mod progress;
mod rejects;
mod rows;
mod send;
mod settings;
mod stopping;
mod units;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use domain::Timestamp;
use ingestion::mapping::past::Kind;
use ingestion::mapping::{Envelope, Scope, Source};
use kafka::Appender;
use runtime::config::{Config, KafkaOptions};
use runtime::host::Signal;
use schemas::StorefrontEvent;

pub use progress::Counts;
pub use rows::Format;

use crate::hosting::Installation;
use crate::terminal::tell;

use csv_rows::CsvRows;
use input::Input;
use jsonl_rows::JsonlRows;
use parquet_rows::ParquetRows;
use progress::{Progress, ProgressFile};
use rejects::Rejects;
use rows::{Place, Rows};
use send::{Sending, Target};
use settings::Read;
use stopping::Stopping;
use units::Units;

/// How long the broker may take for a batch before the import ends; it is gone on with by the same command.
const PATIENCE: Duration = Duration::from_mins(2);

/// What to import.
#[derive(Clone, Debug)]
pub struct Import {
    /// The file.
    pub file: PathBuf,
    /// What its rows are.
    pub kind: Kind,
    /// How it is written; none for what its name says.
    pub format: Option<Format>,
    /// What says which columns its rows have (YAML).
    pub mapping: Option<PathBuf>,
    /// What stands between fields of CSV.
    pub delimiter: u8,
    /// The time zone of times that name none (IANA).
    pub time_zone: Option<String>,
    /// Amounts are written `1.234,50`.
    pub decimal_comma: bool,
    /// The shop; none for that of the configuration's write keys.
    pub shop: Option<String>,
    /// The currency of amounts that name none; none for that of the shop's write keys.
    pub currency: Option<domain::Currency>,
    /// What the events say that they come from; a part of their message ids.
    pub source: String,
    /// The events are not marked as an import, so they may open journeys.
    pub open_journeys: bool,
    /// Nothing is sent, and no progress kept.
    pub dry_run: bool,
    /// So many of the first events are shown.
    pub show: usize,
    /// No more rows a second.
    pub rows_a_second: Option<NonZeroU32>,
    /// Where it is kept how far it came; none for beside the file.
    pub progress: Option<PathBuf>,
    /// Where the report of rejected rows goes; none for beside the file.
    pub rejects: Option<PathBuf>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What became of the rows, all runs together.
    pub counts: Counts,
    /// What a row's number is called: its line, or its row.
    pub unit: &'static str,
    /// The report of rejected rows, if there are any.
    pub rejects: PathBuf,
    /// How it ended.
    pub end: End,
}

/// How an import ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// All rows are done.
    Whole,
    /// All rows were done before; this is the progress file that says so.
    WasWhole(PathBuf),
    /// By a signal, before all rows were done.
    Stopped(Signal),
}

/// An opened file.
struct Opened {
    rows: Box<dyn Rows>,
    /// The columns, if the file has any before its first row.
    columns: Option<Vec<String>>,
    /// How many rows there are, if that is known.
    total_rows: Option<u64>,
}

impl Import {
    /// Imports, or looks what would be imported. `show` gets the first events.
    pub fn run(
        &self,
        config: &Config,
        installation: &Installation,
        show: &dyn Fn(&StorefrontEvent) -> anyhow::Result<()>,
    ) -> anyhow::Result<Summary> {
        let input = Input::open(&self.file)?;
        let read = self.read(config)?;
        let progress_file = ProgressFile(self.progress.clone().unwrap_or_else(|| self.beside(".vuelve-progress")));
        // What a real import has reported is not a dry run's to write over.
        let ending = if self.dry_run { ".dry-run.rejected.jsonl" } else { ".rejected.jsonl" };
        let rejects_path = self.rejects.clone().unwrap_or_else(|| self.beside(ending));
        ensure!(
            rejects_path != self.file && progress_file.0 != self.file,
            "{}: it would be written over",
            self.file.display()
        );
        let unit = if read.format == Format::Parquet { "row" } else { "line" };
        let mut progress = Progress::begin(input.digest.clone(), self.settings(&read, installation));
        if !self.dry_run {
            progress = progress_file.load(progress)?;
        }
        let mut summary = Summary { counts: progress.counts, unit, rejects: rejects_path.clone(), end: End::Whole };
        if progress.finished {
            return Ok(Summary { end: End::WasWhole(progress_file.0), ..summary });
        }
        let opened = self.open(&input, &read, progress.place)?;
        if let Some(columns) = &opened.columns {
            self.check_columns(&read, columns)?;
        }
        let tokio = tokio::runtime::Runtime::new()?;
        let target = if self.dry_run { None } else { Some(target(config, installation, &tokio, progress_file)?) };
        let rejects = Rejects::open(&rejects_path, progress.rejects_bytes)?;
        let stopping = Stopping::listen(&tokio)?;
        let share = |place: Place| match opened.total_rows {
            Some(total) => place.row as f64 / total.max(1) as f64,
            None => input.share(),
        };
        let sending = Sending {
            target,
            shown: self.show,
            show,
            rows_a_second: self.rows_a_second,
            rejects,
            unit,
            progress,
            share: &share,
            stopping: &stopping,
            unchanged: &|| input.check_unchanged(),
        };
        let source = Source { id: &self.source, shop: &read.shop, currency: read.currency, scope: Scope::Server };
        let envelope =
            Envelope { received_at: now(), source, traceparent: None, address_secret: &read.secret, random: 0 };
        let units = Units::new(opened.rows, self.terms(&read), envelope, now);
        let (counts, is_all) = sending.run(&tokio, units)?;
        summary.counts = counts;
        if let (false, Some(signal)) = (is_all, stopping.signal()) {
            summary.end = End::Stopped(signal);
        }
        Ok(summary)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.file.clone().into_os_string();
        name.push(ending);
        name.into()
    }

    fn open(&self, input: &Input, read: &Read, from: Place) -> anyhow::Result<Opened> {
        Ok(match read.format {
            Format::Csv => {
                let (rows, columns) = CsvRows::open(input, self.delimiter, from)?;
                Opened { rows: Box::new(rows), columns: Some(columns), total_rows: None }
            }
            Format::Jsonl => Opened { rows: Box::new(JsonlRows::open(input, from)?), columns: None, total_rows: None },
            Format::Parquet => {
                let (rows, columns, total) = ParquetRows::open(input, from)?;
                Opened { rows: Box::new(rows), columns: Some(columns), total_rows: Some(total) }
            }
        })
    }

    /// Where no mapping says what the columns are, they have to have the names that are known.
    fn check_columns(&self, read: &Read, columns: &[String]) -> anyhow::Result<()> {
        if read.mapping.is_some() {
            return Ok(());
        }
        let (file, has) = (self.file.display(), |name: &str| columns.iter().any(|column| column == name));
        for names in self.kind.needs() {
            let told = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
            ensure!(
                names.iter().any(|name| has(name)),
                "{file}: there is no column {told}, only {}; name the columns so, or say by --mapping which is which",
                columns.join(", ")
            );
        }
        let names = self.kind.names();
        let others: Vec<&str> = columns.iter().map(String::as_str).filter(|column| !names.has(column)).collect();
        if !others.is_empty() {
            let become_what = if self.kind == Kind::Customers { "traits" } else { "properties" };
            tell(&format!(
                "{file}: these columns mean nothing by themselves and become {become_what}: {}\n",
                others.join(", ")
            ));
        }
        Ok(())
    }
}

fn target(
    config: &Config,
    installation: &Installation,
    tokio: &tokio::runtime::Runtime,
    progress: ProgressFile,
) -> anyhow::Result<Target> {
    let kafka: &KafkaOptions = config.get();
    let timeout = kafka.request_timeout.as_std();
    tokio.block_on(installation.check(kafka.auto_register, timeout, timeout))?;
    // Its tasks live on the runtime.
    let _context = tokio.enter();
    let appender = Appender::new(&installation.cluster, "vuelve-import", PATIENCE)?;
    let topic = installation.cluster.topic(ingestion::RECEIVED);
    Ok(Target { appender, schemas: installation.schemas.clone(), topic: topic.into(), progress })
}

fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}
