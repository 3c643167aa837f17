use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use runtime::config::{Config, InstallationOptions, KafkaOptions, StoreKind, StoreOptions};
use vuelve::hosting::Installation;
use vuelve::services::{self, ServiceName};

use super::Global;

/// Runs services in this process until SIGTERM, SIGINT or SIGHUP; then drains them and ends.
///
/// Each service is made to run as a process of its own; --all runs every one of them in this process, with the state in
/// memory, rebuilt from the changelogs at the start. Topics and schemas have to be there: `vuelve topics create`.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("which").required(true).args(["services", "all"]),
    after_help = "\
Examples:
  vuelve run door --config vuelve.toml            The HTTP side of ingestion.
  vuelve run resolver journeys                    Two services in one process.
  vuelve run journeys --set installation.slot=1   A second instance: its own slot.
  vuelve run --all                                Everything in one process, without Redis."
)]
pub(crate) struct Run {
    /// Which services.
    #[arg(value_enum, value_name = "SERVICE")]
    services: Vec<ServiceName>,
    /// All of them, with the state in memory.
    #[arg(long)]
    all: bool,
}

/// How long the broker and the registry may take to come up.
const PATIENCE: Duration = Duration::from_mins(1);

impl Run {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let services = if self.all { ServiceName::ALL.to_vec() } else { self.services };
        let config = global.load_as(&services::layout(&services).check(move |config, findings| {
            if self.all && config.get::<StoreOptions>().kind != StoreKind::Memory {
                let problem =
                    "--all keeps the state in memory: set it to memory (going on with Redis later needs no migration)";
                findings.add("store.kind", problem);
            }
        }))?;
        let name = match &services[..] {
            [service] => format!("vuelve-{}", service.word()),
            _ => "vuelve".to_owned(),
        };
        runtime::launch(&config, &name, async |host| {
            let installation = installation(&config)?;
            let kafka: &KafkaOptions = config.get();
            installation.check(kafka.auto_register, kafka.request_timeout.as_std(), PATIENCE).await?;
            services::add(host, &config, &installation, &services, None).await?;
            Ok(())
        })
        .map(ExitCode::from)
    }
}

/// The installation that the configuration names, in this process's slot.
pub(crate) fn installation(config: &Config) -> anyhow::Result<Installation> {
    let host_name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let slot = config.get::<InstallationOptions>().slot.resolve(host_name.trim()).map_err(anyhow::Error::msg)?;
    Ok(Installation::of(config, &slot.to_string()))
}
