use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use definitions::Kind;
use domain::HumanDuration;
use runtime::config::{Config, KafkaOptions};
use schemas::{Definition, DefinitionStatus};
use vuelve::{definition_topic, folders};

use super::Global;
use super::run::installation;

/// Puts a folder of definitions in force. Runs go on with the version that they began with.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve apply presets/basic            Check the folder and put it in force.
  vuelve apply . --wait                 Return when every partition works by it.")]
pub(crate) struct Apply {
    /// The folder; it is checked first, as `vuelve check` does.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    wait: Wait,
}

/// Waiting until a definition is in force.
#[derive(Debug, Args)]
struct Wait {
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
        let records = definition_topic::records(&definitions, now_ms());
        write(&config, &records, &self.wait)?;
        super::print(&format!("{} definitions written\n", records.len()))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Control {
    /// Writes that the journey is paused, active again, or stopped.
    pub(crate) fn run(self, global: &Global, status: DefinitionStatus) -> anyhow::Result<ExitCode> {
        let config = global.load()?;
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
        write(&config, std::slice::from_ref(&record), &self.wait)?;
        super::print(&format!("{} is {}\n", record.name, format!("{status:?}").to_lowercase()))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn write(config: &Config, records: &[Definition], wait: &Wait) -> anyhow::Result<()> {
    let kafka: &KafkaOptions = config.get();
    let (installation, timeout) = (installation(config)?, kafka.request_timeout.as_std());
    let tokio = tokio::runtime::Runtime::new()?;
    let offset = tokio.block_on(async {
        installation.check(kafka.auto_register, timeout, timeout).await?;
        definition_topic::write(&installation, records, timeout).await
    })?;
    if wait.wait {
        definition_topic::wait_until_in_force(&installation, offset, wait.patience.as_std())?;
    }
    Ok(())
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
