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
/// Who has no order is not in it. A customer who bought in several currencies
/// has a row for each. Recency is whole days since the last order; `monetary_minor` is orders less refunds, in the
/// currency's smallest unit; segments are joined by `;`. What is said of the last 1 and 7 days counts in clock hours, of 30,
/// 90 and 365 in days, both UTC.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve customers export --out customers.csv                         As of now.
  vuelve customers export --at 2026-12-01T00:00Z --out december.csv   By what happened before then.
  vuelve customers export --out - | head                              To look at.

A time is refused if anything that happened then or later is counted already: a state does not say what was before it. It is
said on standard error if segments are those of a later time, since time alone may change them, or if time has not come so
far. Of recorded events `vuelve replay --as-of` makes exact tables as of any time.")]
struct Export {
    /// By what happened before this time (RFC 3339), or `now`: by all that was counted (in a replay, as of the time that it
    /// stands at).
    #[arg(long, value_name = "TIME", default_value = "now")]
    at: At,
    /// The file, or - for standard output. One from before is replaced once the new one is whole.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Now,
    Time(Timestamp),
}

impl std::str::FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "now" { Ok(Self::Now) } else { super::time(text).map(Self::Time) }
    }
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
        let at = match self.at {
            At::Now => None,
            At::Time(at) => Some(at),
        };
        let customers = customers::Customers::read(&installation, at, timeout)?;
        if let Some(doubt) = &customers.doubt {
            tell(&format!("vuelve: {doubt}\n"));
        }
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
