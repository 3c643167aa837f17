use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueHint};
use domain::Timestamp;
use runtime::config::KafkaOptions;
use vuelve::customers;
use vuelve::terminal::{print, tell};

use super::Global;
use super::run::installation;

/// The customers: who they are, as segmentation knows them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve customers export --out customers.csv   A row for each customer with an order.
  vuelve customers export --out - | head        The same, to look at.")]
pub(crate) struct CustomersCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Export(Export),
}

/// Writes a table of the customers (CSV, by customer id): recency, frequency, monetary value, segments, and what each did in the
/// last days.
///
/// It holds what segmentation has counted by then; who has no order is not in it. A customer who bought in several currencies
/// has a row for each. Recency is whole days since the last order; `monetary_minor` is orders less refunds, in the
/// currency's smallest unit; segments are joined by `;`. What is said of the last 1 and 7 days counts in clock hours, of 30,
/// 90 and 365 in days, both UTC.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve customers export --out customers.csv                         As of now.
  vuelve customers export --at 2026-12-01T00:00Z --out december.csv   As of then, if nothing more happens until then.
  vuelve customers export --out - | head                              To look at.

A time before what was counted of any customer is refused: `vuelve replay --as-of` tells it of recorded events.")]
struct Export {
    /// As of when: RFC 3339, or `now`.
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = super::time_or_now)]
    at: Timestamp,
    /// The file, or - for standard output. One from before is replaced once the new one is whole.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: PathBuf,
}

impl CustomersCommand {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let What::Export(export) = self.what;
        export.run(global)
    }
}

impl Export {
    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.load()?;
        let installation = installation(&config)?;
        let timeout = config.get::<KafkaOptions>().request_timeout.as_std();
        tokio::runtime::Runtime::new()?.block_on(installation.check(false, timeout, timeout))?;
        let customers = customers::Customers::read(&installation, self.at, timeout)?;
        if self.out == Path::new("-") {
            let mut text = Vec::new();
            customers.write(&mut text)?;
            print(&String::from_utf8(text)?)?;
        } else {
            customers.write_to(&self.out)?;
            tell(&format!("{}: {} rows\n", self.out.display(), customers.len()));
        }
        Ok(ExitCode::SUCCESS)
    }
}
