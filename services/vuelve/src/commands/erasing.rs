use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use domain::{HumanDuration, Timestamp};
use ingestion::ids::MAX_ID_BYTES;
use runtime::config::{Config, KafkaOptions};
use schemas::PrivacyRequest;
use vuelve::erasure::{self, Book};
use vuelve::hosting::{Installation, Sections};
use vuelve::terminal::{print, tell};
use vuelve::written;

use super::Global;
use super::run::installation;

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Asks for a customer to be erased, with all devices on which she was recognised: her profile, segments, runs and waiting
/// messages end, and nothing that happened until now is let in again, however late it is told.
///
/// What it ends is gone from the states at once, from the changelogs when they are next compacted, and from topics of events when
/// their retention is over; `vuelve customers erasures` tells how far that is. Which messages she had, and a hash of an address
/// that must not be written to, stay.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve customers erase 17850             By the shop's id, or that of a device.
  vuelve customers erase ana@example.com   By an address that is used as an id: it is hashed as the door hashes it.
  vuelve customers erase 17850 --wait      Return when no service knows her any more.
  vuelve customers erase --all-of main     Every customer of the shop `main`.")]
pub(super) struct Erase {
    /// The customer's id.
    #[arg(value_name = "CUSTOMER", required_unless_present = "all_of", conflicts_with = "all_of")]
    customer: Option<String>,
    /// Every customer whose shop is this one.
    #[arg(long, value_name = "SHOP")]
    all_of: Option<String>,
    /// The shop that asks, for the record.
    #[arg(long, default_value = "", conflicts_with = "all_of")]
    shop: String,
    /// Returns when no service knows her any more; fails if that takes too long.
    #[arg(long)]
    wait: bool,
    /// How long to wait at most.
    #[arg(long, value_name = "TIME", default_value = "5m", requires = "wait")]
    patience: HumanDuration,
}

/// Lists who asked to be erased, or for a copy of her data, and how far that is: the earliest first.
///
/// A request is open until nothing of hers is left in any place, or until her data was given out
/// (`vuelve customers data --request`).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve customers erasures --open          What is still to do?
  vuelve customers erasures --format json   One JSON object a line, with every place of each receipt.")]
pub(super) struct Erasures {
    /// Only those that are open.
    #[arg(long)]
    open: bool,
    /// How they are written.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The id of a customer as the services have it: one that is an address is hashed.
pub(super) fn customer_id(text: &str, config: &Config) -> anyhow::Result<String> {
    let id = erasure::customer_id(text, || Sections::address_secret(config))?;
    id.with_context(|| format!("`{}` names nobody: an id has 1 to {MAX_ID_BYTES} bytes", text.trim()))
}

impl Erase {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.load()?;
        let customer = self.customer.as_deref().map(|text| customer_id(text, &config)).transpose()?;
        for (option, shop) in [("--shop", Some(&self.shop)), ("--all-of", self.all_of.as_ref())] {
            let problem = shop.and_then(|shop| erasure::check_shop(shop).err());
            anyhow::ensure!(problem.is_none(), "{option} {}", problem.unwrap_or_default());
        }
        anyhow::ensure!(
            self.all_of.as_ref().is_none_or(|shop| !shop.trim().is_empty() && shop.trim() == shop),
            "--all-of names no shop: it is empty, or has blanks around it"
        );
        let installation = installation(&config)?;
        let timeout = config.get::<KafkaOptions>().request_timeout.as_std();
        let now = Timestamp::from_millis(jiff::Timestamp::now().as_millisecond());
        let tokio = tokio::runtime::Runtime::new()?;
        tokio.block_on(installation.check(false, timeout, timeout))?;
        let request = match (&customer, &self.all_of) {
            (Some(id), _) => tokio.block_on(erasure::ask(&installation, id, &self.shop, now, timeout))?,
            (None, Some(shop)) => tokio.block_on(erasure::ask_for_shop(&installation, shop, now, timeout))?,
            (None, None) => anyhow::bail!("say a customer, or --all-of a shop"),
        };
        let by = written::time(erasure::through_by(&request));
        tell(&format!("asked for, as {}; nothing is left by {by}\n", request.request_id));
        if self.wait {
            wait_until_forgotten(&installation, &request, self.patience.as_std(), timeout)?;
            tell("no service knows her any more\n");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn wait_until_forgotten(
    installation: &Installation,
    request: &PrivacyRequest,
    patience: Duration,
    timeout: Duration,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    let about = request.customer_id.as_deref().unwrap_or(&request.shop);
    loop {
        let book = Book::read(installation, timeout)?;
        let progress = book.find(&request.request_id, Some(about)).context("the request is not there any more")?;
        if progress.forgotten.is_some() {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "after {patience:?} services still may know her: is a process that runs segmentation up, and does it say why not?"
        );
        std::thread::sleep(LOOK_EVERY);
    }
}

impl Erasures {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.load()?;
        let installation = installation(&config)?;
        let timeout = config.get::<KafkaOptions>().request_timeout.as_std();
        tokio::runtime::Runtime::new()?.block_on(installation.check(false, timeout, timeout))?;
        let book = Book::read(&installation, timeout)?;
        let all = book.all();
        let shown: Vec<_> =
            all.iter().filter(|progress| !self.open || progress.is_open()).map(erasure::Shown::of).collect();
        let text = match self.format {
            Format::Text => erasure::table(&shown),
            Format::Json => {
                let lines = shown.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
                lines.into_iter().map(|line| line + "\n").collect()
            }
        };
        print(&text)?;
        if book.unreadable > 0 {
            tell(&format!("vuelve: {} requests or receipts could not be read\n", book.unreadable));
        }
        Ok(ExitCode::SUCCESS)
    }
}
