use std::cell::Cell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use definitions::{Change, Kind, changes, suggestion};
use domain::HumanDuration;
use indicatif::{ProgressBar, ProgressStyle};
use runtime::config::{Config, KafkaOptions};
use schemas::{Definition, DefinitionStatus};
use vuelve::definition_topic::{self, InForce};
use vuelve::folders::{self, LoadError};
use vuelve::hosting::Installation;
use vuelve::terminal::{print, tell};

use super::Global;
use super::run::installation;

/// Puts a folder of definitions in force. Runs go on with the version that they began with, so a version of a journey that is
/// in force can't come to say something else.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve apply presets/basic            Check the folder and put it in force.
  vuelve apply . --wait                 Return when every partition works by it.
  vuelve apply . --judged               Return when all customers were judged by its segments.")]
pub(crate) struct Apply {
    /// The folder; it is checked first, as `vuelve check` does.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    wait: Wait,
    /// Returns when, beyond that, every customer who is there was judged by it, and shows how many are left; gives up where nothing
    /// moves for the patience.
    #[arg(long)]
    judged: bool,
}

/// Waiting until a definition is in force.
#[derive(Debug, Args)]
pub(super) struct Wait {
    /// Returns when every partition of every service works by it.
    #[arg(long)]
    wait: bool,
    /// How long to wait at most.
    #[arg(long, default_value = "1m")]
    patience: HumanDuration,
}

/// What an operator says of a journey.
#[derive(Debug, Args)]
pub(crate) struct Control {
    /// The journey.
    #[arg(value_name = "JOURNEY")]
    journey: String,
    #[command(flatten)]
    wait: Wait,
}

impl Apply {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.load()?;
        let definitions = folders::load(&self.directory)?;
        let place = Place::reach(&config)?;
        let changes = changes(&definitions, &|key| place.in_force.body(key)).map_err(LoadError::Wrong)?;
        let records = definition_topic::records(&definitions, now_ms());
        let changed = records.iter().zip(&changes).filter(|(_, (_, change))| *change != Change::None);
        let changed: Vec<Definition> = changed.map(|(record, _)| record.clone()).collect();
        let offset = place.write(&changed, &records, &self.wait)?;
        if self.judged {
            let bar = Judging::new();
            let patience = self.wait.patience.as_std();
            definition_topic::wait_until_judged(&place.installation, offset, patience, |left| bar.show(left))?;
            bar.end();
        }
        let as_they_were = changes.len() - changed.len();
        print(&format!("{} definitions written, {as_they_were} are as they were\n", changed.len()))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Control {
    /// Writes that the journey is paused, active again, or stopped.
    pub(crate) fn run(self, global: &Global, status: DefinitionStatus) -> anyhow::Result<ExitCode> {
        let config = global.load()?;
        let place = Place::reach(&config)?;
        self.check(&place.in_force)?;
        let at = now_ms();
        let record = Definition {
            kind: Kind::Control.name().to_owned(),
            name: self.journey,
            // Control records are numbered and the highest rules: seconds since 1970 rise by themselves.
            version: i32::try_from(at / 1000).unwrap_or(i32::MAX),
            status,
            applied_at: at,
            ..Definition::default()
        };
        let records = std::slice::from_ref(&record);
        place.write(records, records, &self.wait)?;
        print(&format!("{} is {}\n", record.name, format!("{status:?}").to_lowercase()))?;
        Ok(ExitCode::SUCCESS)
    }

    /// A word about a journey that nobody applied would be heard by nobody.
    fn check(&self, in_force: &InForce) -> anyhow::Result<()> {
        let journeys = in_force.journeys();
        if journeys.contains(self.journey.as_str()) {
            return Ok(());
        }
        Err(there_is_no("journey", &self.journey, journeys))
    }
}

/// The error about a name that is not in force, with the known one that it is most like.
pub(super) fn there_is_no<'n>(what: &str, name: &str, known: impl IntoIterator<Item = &'n str>) -> anyhow::Error {
    let help = suggestion(name, known).map_or_else(String::new, |help| format!("; {help}"));
    anyhow::anyhow!("there is no {what} `{name}`{help}")
}

/// An installation that answers, and what is in force there.
pub(super) struct Place {
    installation: Installation,
    timeout: Duration,
    tokio: tokio::runtime::Runtime,
    pub(super) in_force: InForce,
}

impl Place {
    pub(super) fn reach(config: &Config) -> anyhow::Result<Self> {
        let kafka: &KafkaOptions = config.get();
        let (installation, timeout) = (installation(config)?, kafka.request_timeout.as_std());
        let tokio = tokio::runtime::Runtime::new()?;
        tokio.block_on(installation.check(kafka.auto_register, timeout, timeout))?;
        let in_force = InForce::read(&installation, timeout)?;
        Ok(Self { installation, timeout, tokio, in_force })
    }

    /// Writes these. Whoever follows those that they are `of` is waited for, also where there is nothing to write.
    /// Returns the offset behind the last of them.
    pub(super) fn write(&self, records: &[Definition], of: &[Definition], wait: &Wait) -> anyhow::Result<i64> {
        let written = definition_topic::write(&self.installation, records, self.timeout);
        let offset = self.tokio.block_on(written)?.max(self.in_force.offset);
        if wait.wait {
            let services = definition_topic::followers(of);
            definition_topic::wait_until_in_force(&self.installation, &services, offset, wait.patience.as_std())?;
        }
        Ok(offset)
    }
}

/// Shows how many customers are still to be judged: as a bar, or where nobody watches, line by line.
struct Judging {
    bar: ProgressBar,
    most: Cell<u64>,
    told_at: Cell<Instant>,
}

impl Judging {
    const TELL_EVERY: Duration = Duration::from_secs(5);

    fn new() -> Self {
        let style = ProgressStyle::with_template("{bar:40} {pos} of {len} customers judged, {eta} to go");
        let bar = ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, most: Cell::new(0), told_at: Cell::new(Instant::now()) }
    }

    fn show(&self, left: u64) {
        let most = self.most.get().max(left);
        self.most.set(most);
        self.bar.set_length(most);
        self.bar.set_position(most - left);
        if self.bar.is_hidden() && self.told_at.get().elapsed() >= Self::TELL_EVERY {
            self.told_at.set(Instant::now());
            tell(&format!("{left} customers are still to be judged\n"));
        }
    }

    fn end(self) {
        self.bar.finish_and_clear();
    }
}

pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
