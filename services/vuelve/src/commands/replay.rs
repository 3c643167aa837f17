use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use domain::{HumanDuration, Timestamp};
use runtime::config::{Config, InstallationOptions, KafkaOptions};
use runtime::host::{Exit, Signal};
use vuelve::embedded::Embedded;
use vuelve::hosting::Installation;
use vuelve::replay::{Format, Summary};
use vuelve::services::{self, ServiceName};
use vuelve::terminal::{print, tell};

use super::Global;

/// Sends a recorded clickstream through the whole pipeline and writes what would have been sent, to whom and when.
///
/// The services are the real ones, over HTTP and Kafka; only time is moved by this command: it stands still until all is
/// processed, then goes on to the end. Without --attach everything runs in this process, on the embedded broker. The
/// result does not depend on how fast it went or on how many partitions there are. Each event keeps its own date: a file
/// with one before 1990, or still to come, is refused with its line. A signal ends it; then there is no result.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve replay --file events.jsonl --format segment-jsonl --definitions journeys --out result
  vuelve replay --file events.csv.gz --format retailrocket --definitions presets/basic --out result
  vuelve replay --file invoices.csv.gz --format online-retail --definitions presets/basic --out result \\
      --as-of 2011-06-09T00:00Z --as-of 2011-12-10T00:00Z
      Also who the customers were then: result/customers-2011-06-09.csv and result/customers-2011-12-10.csv.
  vuelve replay … --attach http://127.0.0.1:8080 --write-key-file key --config replay.toml
      On services that run elsewhere, in an installation of its own prefix with installation.mode = \"replay\".

Writes DIR/messages.csv (a row for every decision, also those not to send) and DIR/summary.json; for each --as-of also
DIR/customers-DATE.csv (customers-DATETHHMMSSZ.csv where it is not midnight UTC): `vuelve customers export --help` says what
stands in it.")]
pub(crate) struct Replay {
    /// The recorded clickstream; gzip or plain.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// How it is written.
    #[arg(long, value_enum)]
    format: Format,
    /// The folder of definitions.
    #[arg(long, value_name = "DIR")]
    definitions: PathBuf,
    /// Where the result goes; made if it is not there. A result from before is replaced once the new one is whole.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Until when time is moved (RFC 3339); else for 30 days after the last event.
    #[arg(long, value_name = "TIME")]
    until: Option<jiff::Timestamp>,
    /// Writes who the customers are by what happened before this time (RFC 3339, the seconds may be missing); can be
    /// repeated. Events have to lie in the file before all that happened after it.
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    as_of: Vec<Timestamp>,
    /// Gives every customer an address at example.com.
    #[arg(long)]
    synthetic_addresses: bool,
    /// The door of services that run elsewhere.
    #[arg(long, value_name = "URL", requires = "write_key_file")]
    attach: Option<String>,
    /// The file with the write key for that door.
    #[arg(long, value_name = "FILE")]
    write_key_file: Option<PathBuf>,
    /// Partitions of the embedded broker's topics.
    #[arg(long, default_value_t = 4)]
    partitions: u32,
    /// How long nothing may move before the replay gives up.
    #[arg(long, default_value = "2m")]
    patience: HumanDuration,
}

/// The embedded broker keeps the whole replay in memory.
const MEMORY_LIMIT_BYTES: usize = 4 << 30;

/// A replay that did not come to its end, because the process was ended.
#[derive(Debug, thiserror::Error)]
#[error("the replay was ended{} before it was through; no result was written", by(.0))]
pub(crate) struct Interrupted(pub(crate) Exit);

fn by(exit: &Exit) -> String {
    exit.signal().map_or_else(String::new, |signal| format!(" by {}", signal.name()))
}

impl Interrupted {
    /// Its exit code. What was asked for was not done, so also an orderly end by a signal is not well.
    pub(crate) fn code(&self) -> u8 {
        self.0.signal().map_or(self.0.code(), Signal::exit_code)
    }
}

impl Replay {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let replay = vuelve::replay::Replay {
            file: self.file.clone(),
            format: self.format,
            definitions: self.definitions.clone(),
            out: self.out.clone(),
            until: self.until.map(|until| Timestamp::from_millis(until.as_millisecond())),
            as_of: self.as_of.clone(),
            synthetic_addresses: self.synthetic_addresses,
            timeout: self.patience.as_std(),
        };
        let summary = match &self.attach {
            Some(door) => self.attached(replay, door, &global.load()?)?,
            None => self.embedded(replay, global)?,
        };
        print(&(serde_json::to_string_pretty(&summary)? + "\n"))?;
        if !summary.dead_letters.is_empty() {
            let reasons = summary.dead_letters.iter().map(|(reason, count)| format!("{reason}: {count}"));
            let reasons = reasons.collect::<Vec<_>>().join(", ");
            tell(&format!(
                "vuelve: not everything could be processed, and what could not is no part of this ({reasons})\n"
            ));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn attached(&self, replay: vuelve::replay::Replay, door: &str, config: &Config) -> anyhow::Result<Summary> {
        let write_key = super::write_key(self.write_key_file.as_ref().context("--write-key-file is missing")?)?;
        let installation = Installation::of(config, "replay");
        anyhow::ensure!(
            installation.replay,
            "installation.mode is not `replay`: time can't be moved in a live installation"
        );
        let (replay, patience) = (replay.prepare()?, self.patience.as_std());
        let tokio = tokio::runtime::Runtime::new()?;
        tokio.block_on(async {
            let timeout = config.get::<KafkaOptions>().request_timeout.as_std();
            installation.check(false, timeout, patience).await?;
            replay.run(&installation, door, &write_key).await
        })
    }

    fn embedded(&self, replay: vuelve::replay::Replay, global: &Global) -> anyhow::Result<Summary> {
        let mut flags = vec![
            "installation.mode=replay".to_owned(),
            "telemetry.log_format=text".to_owned(),
            "telemetry.log_filter=warn".to_owned(),
        ];
        flags.extend(global.set.iter().cloned());
        let replay = replay.prepare()?;
        let tokio = tokio::runtime::Runtime::new()?;
        let embedded = tokio.block_on(Embedded::start(MEMORY_LIMIT_BYTES, self.partitions, flags))?;
        let (tell, told) = std::sync::mpsc::channel();
        let (write_key, config) = (embedded.write_key.clone(), &embedded.config);
        let exit = runtime::launch(config, "vuelve replay", async |host| {
            let slot = config.get::<InstallationOptions>().slot.resolve("").map_err(anyhow::Error::msg)?;
            let installation = Installation::of(config, &slot.to_string());
            installation.create(1, Duration::from_secs(10)).await?;
            let door = services::add(host, config, &installation, &ServiceName::ALL, None).await?;
            let door = format!("http://{}", door.context("the door did not open")?);
            host.main("the replay", |stop| async move {
                tokio::select! {
                    // A failure is told by the command: the host has nothing to add to it.
                    summary = replay.run(&installation, &door, &write_key) => drop(tell.send(summary)),
                    () = stop.stopped() => {}
                }
                Ok(())
            });
            Ok(())
        })?;
        tokio.block_on(embedded.broker.shutdown());
        told.try_recv().unwrap_or_else(|_| Err(Interrupted(exit).into()))
    }
}
