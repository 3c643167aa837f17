use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Subcommand, ValueHint};
use domain::Timestamp;
use runtime::config::KafkaOptions;
use vuelve::terminal::{print, tell};
use vuelve::{customers, quintiles};

use super::Global;
use super::erasing::{Erase, Erasures};
use super::giving_out::Data;
use super::run::installation;

/// The customers: who they are, as segmentation knows them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve customers export --out customers.csv   A row for each customer with an order.
  vuelve customers export --out - | head        The same, to look at.
  vuelve customers learn-quintiles              Who is among the best fifth, from now on?
  vuelve customers erase 17850                  Nobody knows this one any more.
  vuelve customers erasures                     Who asked to be erased, and how far is it?
  vuelve customers data 17850 --out 17850.json  All that is held about this one, for herself.")]
pub(crate) struct CustomersCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Export(Export),
    LearnQuintiles(LearnQuintiles),
    Erase(Erase),
    Erasures(Erasures),
    Data(Data),
}

/// Writes a table of the customers (CSV, by customer id): recency, frequency, monetary value, segments, quintiles, and what each
/// did in the last days.
///
/// Who has no order is not in it. A customer who bought in several currencies
/// has a row for each. Recency is whole days since the last order; `monetary_minor` is orders less refunds, in the
/// currency's smallest unit; segments are joined by `;`. Quintiles are by the boundaries that are published, that of monetary
/// value in the row of the currency that she ordered in most often; empty before there are any. What is said of the last 1 and 7 days counts in clock hours, of 30,
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

impl At {
    const fn time(self) -> Option<Timestamp> {
        match self {
            Self::Now => None,
            Self::Time(at) => Some(at),
        }
    }
}

impl std::str::FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "now" { Ok(Self::Now) } else { super::time(text).map(Self::Time) }
    }
}

impl CustomersCommand {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Export(export) => export.run(global),
            What::LearnQuintiles(learn) => learn.run(global),
            What::Erase(erase) => erase.run(global),
            What::Erasures(erasures) => erasures.run(global),
            What::Data(data) => data.run(global),
        }
    }
}

/// Learns how all customers with an order fall into fifths by recency, frequency and monetary value, and publishes the
/// boundaries: from then on segments judge by them.
///
/// Segmentation does so by itself (`segmentation.quintiles_every`), but on a replay. Everybody is judged anew, as of that
/// moment. Fewer than five customers have no quintiles: then nothing is published, and it fails.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve customers learn-quintiles                         By all that was counted, as of now.
  vuelve customers learn-quintiles --at 2026-12-01T00:00Z  By what happened before then, if nothing later is counted yet.")]
struct LearnQuintiles {
    /// By what happened before this time (RFC 3339), or `now`: by all that was counted (in a replay, as of the time that it
    /// stands at).
    #[arg(long, value_name = "TIME", default_value = "now")]
    at: At,
}

impl LearnQuintiles {
    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.load()?;
        let installation = installation(&config)?;
        let timeout = config.get::<KafkaOptions>().request_timeout.as_std();
        let tokio = tokio::runtime::Runtime::new()?;
        tokio.block_on(installation.check(false, timeout, timeout))?;
        let began = Instant::now();
        let learnt = quintiles::learn(&installation, self.at.time(), timeout, &|| true)?;
        tokio.block_on(quintiles::publish(&installation, &learnt, timeout))?;
        print(&quintiles::json(&learnt)?)?;
        tell(&format!("learnt from {} customers in {:.1} s\n", learnt.customers, began.elapsed().as_secs_f64()));
        Ok(ExitCode::SUCCESS)
    }
}

impl Export {
    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.load()?;
        let installation = installation(&config)?;
        let timeout = config.get::<KafkaOptions>().request_timeout.as_std();
        tokio::runtime::Runtime::new()?.block_on(installation.check(false, timeout, timeout))?;
        let customers = customers::Customers::read(&installation, self.at.time(), timeout)?;
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
