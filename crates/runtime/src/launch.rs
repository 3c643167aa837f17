//! A process's life in one function: telemetry, ports, parts, run, flush.

use opentelemetry::global;

use crate::admin::{Admin, bind};
use crate::config::{AdminOptions, Config, HostOptions, InstallationOptions, TelemetryOptions};
use crate::host::{Exit, Host, Signals, StopToken};
use crate::metrics::observe_process;
use crate::readiness::Readiness;
use crate::telemetry::{Identity, Telemetry};

/// Runs what `build` adds to the host until a signal or a failure ends it, and tells how it ended.
///
/// `service` is what traces and logs call this process. `build` runs within the async runtime, after telemetry started
/// and before any part does; what it binds or refuses there ends the process before anything was processed.
pub fn launch<F>(config: &Config, service: &str, build: F) -> anyhow::Result<Exit>
where
    F: AsyncFnOnce(&mut Host) -> anyhow::Result<()>,
{
    let slot = config.get::<InstallationOptions>().slot.resolve(&host_name()).map_err(anyhow::Error::msg)?;
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("vuelve").build()?;
    let identity = Identity { service: service.to_owned(), instance: slot.to_string() };
    let telemetry = {
        // Exporting traces needs the runtime around it.
        let _context = tokio.enter();
        Telemetry::start(config.get::<TelemetryOptions>(), &identity)?
    };
    let exit = tokio.block_on(run(config, &telemetry, build));
    if !matches!(exit, Ok(Exit::Forced(_))) {
        telemetry.flush();
    }
    // Threads that did not end in time must not hold up the end.
    tokio.shutdown_background();
    exit
}

async fn run<F>(config: &Config, telemetry: &Telemetry, build: F) -> anyhow::Result<Exit>
where
    F: AsyncFnOnce(&mut Host) -> anyhow::Result<()>,
{
    let mut signals = Signals::of_this_process()?;
    let readiness = Readiness::new();
    observe_process(&global::meter("vuelve.runtime"), &readiness);
    let listener = bind("admin.listen", config.get::<AdminOptions>().listen).await?;
    let admin = Admin::new(listener, readiness.clone(), telemetry.metrics_page());
    tracing::info!(address = %admin.address()?, "the admin port is open");

    let mut host = Host::new(config.get::<HostOptions>(), readiness.clone());
    // Who asks before all is built, which may wait for a broker for long, hears that this process lives and is not ready.
    let built = readiness.condition("the parts");
    built.not_met("they are being put together");
    let end_of_admin = StopToken::new();
    let mut serving = tokio::spawn(admin.serve(end_of_admin.clone()));
    host.observer("admin", |stop| async move {
        tokio::select! {
            ended = &mut serving => ended?,
            () = stop.stopped() => {
                end_of_admin.stop();
                serving.await?
            }
        }
    });
    tokio::select! {
        result = build(&mut host) => result?,
        // It may wait for a broker for long; nothing was started, so there is nothing to drain.
        signal = signals.next() => {
            tracing::info!(reason = signal.name(), "ended before it began");
            return Ok(Exit::Drained(Some(signal)));
        }
    }
    built.withdraw();
    Ok(host.run(signals).await)
}

/// The host's name as the kernel has it; empty if it can't be read.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}
