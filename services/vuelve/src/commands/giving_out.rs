use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueHint};
use indicatif::{ProgressBar, ProgressStyle};
use runtime::config::KafkaOptions;
use vuelve::erasure::{self, Held};
use vuelve::terminal::{print, tell};

use super::Global;
use super::erasing::customer_id;
use super::run::installation;

/// Writes everything that is held about a customer (JSON), as the law gives her a right to: what each service keeps under each of
/// her ids, and every record of hers that the topics still hold.
///
/// The file says what it can't hold. It is for its owner alone to read, and one that is there is not replaced. Ends with 1 if
/// nothing is known of her.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vuelve customers data 17850 --out 17850.json                  By the shop's id.
  vuelve customers data 17850 --out 17850.json --request gdpr-7 She asked for it by this request: it is fulfilled by this.
  vuelve customers data 17850 --out - | jq .ids                 To look at.")]
pub(super) struct Data {
    /// The customer's id.
    #[arg(value_name = "CUSTOMER")]
    customer: String,
    /// The file, or - for standard output.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: PathBuf,
    /// The request that it fulfils (`vuelve customers erasures`): a receipt says so.
    #[arg(long, value_name = "REQUEST_ID")]
    request: Option<String>,
}

impl Data {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let config = global.load()?;
        let id = customer_id(&self.customer, &config)?;
        let installation = installation(&config)?;
        let timeout = config.get::<KafkaOptions>().request_timeout.as_std();
        tokio::runtime::Runtime::new()?.block_on(installation.check(false, timeout, timeout))?;
        let to_screen = self.out == Path::new("-");
        anyhow::ensure!(
            to_screen || !self.out.exists(),
            "{} is there already, and is not replaced",
            self.out.display()
        );
        if let Some(request) = &self.request {
            erasure::check_asked(&installation, request, &id, timeout)?;
        }
        let style = ProgressStyle::with_template("{spinner} reading {msg} {bar:30} {percent} %");
        let bar = ProgressBar::new(100).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let request = self.request.as_deref();
        let held = Held::read(&installation, &id, request, timeout, &mut |dataset, percent| {
            if bar.message() != dataset {
                bar.set_message(dataset.to_owned());
            }
            bar.set_position(percent);
        });
        bar.finish_and_clear();
        let held = held?;
        anyhow::ensure!(!held.is_empty(), "nothing is known of `{id}`");
        if to_screen {
            print(&held.json()?)?;
        } else {
            held.write_to(&self.out)?;
            tell(&format!("{}: {} records\n", self.out.display(), held.records()));
        }
        if let Some(request) = &self.request {
            erasure::say_given_out(&installation, request, &held, timeout)?;
            tell(&format!("request {request} is fulfilled\n"));
        }
        Ok(ExitCode::SUCCESS)
    }
}
