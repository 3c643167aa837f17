use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use domain::{HumanDuration, Timestamp};
use runtime::config::{Config, InstallationOptions, KafkaOptions};
use vuelve::embedded::Embedded;
use vuelve::hosting::Installation;
use vuelve::replay::{Format, Summary};
use vuelve::services::{self, ServiceName};

use super::Global;

/// Sends a recorded clickstream through the whole pipeline and writes what would have been sent, to whom and when.
///
/// The services are the real ones, over HTTP and Kafka; only time is moved by this command: it stands still until all is
/// processed, then goes on to the end. Without --attach everything runs in this process, on the embedded broker. The
/// result does not depend on how fast it went or on how many partitions there are.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve replay --file events.jsonl --format segment-jsonl --definitions journeys --out result
  vuelve replay --file events.csv.gz --format retailrocket --definitions presets/basic --out result
  vuelve replay … --attach http://127.0.0.1:8080 --write-key-file key --config replay.toml
      On services that run elsewhere, in an installation of its own prefix with installation.mode = \"replay\".

Writes DIR/messages.csv (a row for every decision, also those not to send) and DIR/summary.json.")]
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
    /// Where the result goes; made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Until when time is moved (RFC 3339); else for 30 days after the last event.
    #[arg(long, value_name = "TIME")]
    until: Option<jiff::Timestamp>,
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

impl Replay {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let replay = vuelve::replay::Replay {
            file: self.file.clone(),
            format: self.format,
            definitions: self.definitions.clone(),
            out: self.out.clone(),
            until: self.until.map(|until| Timestamp::from_millis(until.as_millisecond())),
            synthetic_addresses: self.synthetic_addresses,
            timeout: self.patience.as_std(),
        };
        let summary = match &self.attach {
            Some(door) => self.attached(&replay, door, &global.load()?)?,
            None => self.embedded(replay, global)?,
        };
        println!("{}", serde_json::to_string_pretty(&summary)?);
        Ok(ExitCode::SUCCESS)
    }

    fn attached(&self, replay: &vuelve::replay::Replay, door: &str, config: &Config) -> anyhow::Result<Summary> {
        let path = self.write_key_file.as_ref().context("--write-key-file is missing")?;
        let write_key = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let installation = Installation::of(config, "replay");
        anyhow::ensure!(
            installation.replay,
            "installation.mode is not `replay`: time can't be moved in a live installation"
        );
        let tokio = tokio::runtime::Runtime::new()?;
        tokio.block_on(async {
            let timeout = config.get::<KafkaOptions>().request_timeout.as_std();
            installation.check(false, timeout, replay.timeout).await?;
            replay.run(&installation, door, write_key.trim()).await
        })
    }

    fn embedded(&self, replay: vuelve::replay::Replay, global: &Global) -> anyhow::Result<Summary> {
        let mut flags = vec![
            "installation.mode=replay".to_owned(),
            "telemetry.log_format=text".to_owned(),
            "telemetry.log_filter=warn".to_owned(),
        ];
        flags.extend(global.set.iter().cloned());
        let tokio = tokio::runtime::Runtime::new()?;
        let embedded = tokio.block_on(Embedded::start(MEMORY_LIMIT_BYTES, self.partitions, flags))?;
        let result = Arc::new(OnceLock::new());
        let (told, write_key, config) = (Arc::clone(&result), embedded.write_key.clone(), &embedded.config);
        runtime::launch(config, "vuelve replay", async |host| {
            let slot = config.get::<InstallationOptions>().slot.resolve("").map_err(anyhow::Error::msg)?;
            let installation = Installation::of(config, &slot.to_string());
            installation.create(1, Duration::from_secs(10)).await?;
            let door = services::add(host, config, &installation, &ServiceName::ALL, None).await?;
            let door = format!("http://{}", door.context("the door did not open")?);
            host.main("the replay", |_stop| async move {
                let summary = replay.run(&installation, &door, &write_key).await;
                let failure = summary.as_ref().err().map(|error| anyhow::anyhow!("{error:#}"));
                let _ = told.set(summary);
                failure.map_or(Ok(()), Err)
            });
            Ok(())
        })?;
        tokio.block_on(embedded.broker.shutdown());
        match Arc::into_inner(result).and_then(OnceLock::into_inner) {
            Some(summary) => summary,
            None => anyhow::bail!("the replay was ended before it was through"),
        }
    }
}
