use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use domain::HumanDuration;
use vuelve::embedded::Embedded;

use super::Global;

/// Opens a shop to look at: all services in this process, invented customers, and a mailbox page.
///
/// The customers browse, fill carts, leave them, buy, or come back when they are reminded. Everything goes the way that it
/// goes in production, over HTTP and Kafka's protocol, but on the embedded broker, with the state in memory, and with
/// messages that land in a mailbox page instead of leaving. The shop's time goes faster than ours, so that the reminder of
/// three days later comes within minutes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve demo                                   Then open http://127.0.0.1:8080 in a browser.
  vuelve demo --speed 600 --customers 100       More customers, and more time to watch them.
  vuelve demo --definitions journeys            With my own journeys instead of the preset `basic`.
  vuelve demo --until-messages 10               End by itself once ten messages have come.")]
pub(crate) struct Demo {
    /// Where the pages are.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// How many times as fast as ours the shop's time goes; 1800 makes an hour 2 s.
    #[arg(long, default_value_t = 1_800, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    speed: u32,
    /// How many customers the shop has.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    customers: u32,
    /// Chooses who does what: the same seed, the same customers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The folder of definitions; the preset `basic` without it.
    #[arg(long, value_name = "DIR")]
    definitions: Option<std::path::PathBuf>,
    /// Ends by itself after so long, such as 30s.
    #[arg(long = "for", value_name = "DURATION")]
    run_for: Option<HumanDuration>,
    /// Ends by itself once so many messages have come.
    #[arg(long, value_name = "COUNT")]
    until_messages: Option<u64>,
}

/// The embedded broker keeps the whole demo in memory.
const MEMORY_LIMIT_BYTES: usize = 1 << 30;
const PARTITIONS: u32 = 4;

impl Demo {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let began = Instant::now();
        let pages = TcpListener::bind(self.listen)
            .with_context(|| format!("{} can't be opened: name another address with --listen", self.listen))?;
        pages.set_nonblocking(true)?;
        let demo = vuelve::demo::Demo {
            seed: self.seed,
            customers: self.customers,
            speed: self.speed,
            definitions: self.definitions,
            run_for: self.run_for.map(HumanDuration::as_std),
            until_messages: self.until_messages,
        };
        let mut flags = vec![
            // Time is the shop's own: the demo moves it.
            "installation.mode=replay".to_owned(),
            // Each step of that time waits for the commits.
            "kafka.commit_interval=10ms".to_owned(),
            "telemetry.log_format=text".to_owned(),
            "telemetry.log_filter=warn".to_owned(),
        ];
        flags.extend(global.set.iter().cloned());
        let tokio = tokio::runtime::Runtime::new()?;
        let embedded = tokio.block_on(Embedded::start(MEMORY_LIMIT_BYTES, PARTITIONS, flags))?;
        let exit = runtime::launch(&embedded.config, "vuelve demo", async |host| {
            let pages = tokio::net::TcpListener::from_std(pages)?;
            demo.add(host, &embedded.config, &embedded, pages, began).await
        });
        tokio.block_on(embedded.broker.shutdown());
        exit.map(ExitCode::from)
    }
}
