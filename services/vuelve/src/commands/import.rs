use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueHint};
use domain::Currency;
use ingestion::mapping::past::Kind;
use vuelve::hosting::{self, Need};
use vuelve::import::{self, End, Format, Summary};
use vuelve::terminal::{print, tell};

use super::Global;
use super::run::installation;

/// Imports past data: orders, customers or events from a file, straight onto the topic that the door writes.
///
/// Each row goes through the door's mapping and gets a message id made of what it is, so that a row that is sent twice is
/// recognised. How far it came is kept beside the file: the same command goes on where a kill left off, and does nothing where
/// all is done. What is imported is marked as history and opens no journey, unless --open-journeys is given. Rows that can't be
/// taken are reported beside the file with their line and the reason; then it ends with 4.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("what").required(true).args(["orders", "customers", "events"]),
    after_help = "\
Examples:
  vuelve import --orders orders.csv --shop main --currency EUR --dry-run --show 3   What would become of it?
  vuelve import --orders export.csv --mapping columns.yaml --time-zone Europe/Madrid
  vuelve import --customers customers.parquet
  vuelve import --events calls.jsonl.gz --limit-rate 2000                           Calls of the tracking API, one a line.

Columns that are known (others become properties, or traits of customers; --mapping says in CEL what is which):
  orders     order_id time customer_id anonymous_id email currency total revenue subtotal shipping tax discount coupon event
             phone first_name last_name locale time_zone consent cart_id checkout_id affiliation, and a row for each line, one
             after another: product_id sku product_name category brand variant quantity price product_url item.…
  customers  customer_id email phone first_name last_name locale time_zone consent time anonymous_id
  events     time type event customer_id anonymous_id message_id name previous_id group_id consent properties.… traits.… context.…"
)]
pub(crate) struct Import {
    /// Orders: a row each, or a row for each line of an order.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    orders: Option<PathBuf>,
    /// Customers: a row each.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    customers: Option<PathBuf>,
    /// Events: calls of the tracking API (JSONL), or a row each.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    events: Option<PathBuf>,
    /// How the file is written; by default as its name says (.csv, .tsv, .jsonl, .parquet; the first three also with .gz).
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Which columns the rows have (YAML, values in CEL over `row`).
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// What stands between the fields of CSV: one character, or `tab`.
    #[arg(long, value_name = "C", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// The time zone of times that name none, such as Europe/Madrid; without it such rows are rejected.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Amounts are written 1.234,50.
    #[arg(long)]
    decimal_comma: bool,
    /// The shop; by default that of the configuration's write keys, if they have one in common.
    #[arg(long, value_name = "NAME")]
    shop: Option<String>,
    /// The currency of amounts that name none; by default that of the shop's write keys.
    #[arg(long, value_name = "CODE", value_parser = super::currency)]
    currency: Option<Currency>,
    /// What the events say that they come from. Message ids depend on it.
    #[arg(long, value_name = "NAME", default_value = "import")]
    source: String,
    /// Does not mark the events as history: they may open journeys, as far as `journeys.late_limit` lets what happened then.
    #[arg(long)]
    open_journeys: bool,
    /// Looks at every row and reports, and sends nothing.
    #[arg(long)]
    dry_run: bool,
    /// Writes the first N events as they are stored, one JSON object a line.
    #[arg(long, value_name = "N", default_value_t = 0)]
    show: usize,
    /// Sends no more than N rows a second.
    #[arg(long, value_name = "N")]
    limit_rate: Option<NonZeroU32>,
    /// Where it is kept how far it came [default: FILE.vuelve-progress].
    #[arg(long, value_name = "FILE")]
    progress: Option<PathBuf>,
    /// Where rejected rows are reported [default: FILE.rejected.jsonl, of a dry run
    /// FILE.dry-run.rejected.jsonl].
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

/// Rows were rejected; all others were taken.
const REJECTED: u8 = 4;

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        _ if matches!(text, "tab" | "\\t") => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        _ => Err("one character is expected, such as ; or `tab`".to_owned()),
    }
}

impl Import {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let mut layout = hosting::layout();
        if !self.dry_run {
            layout = layout.check(|config, findings| Need::AddressSecret.check(config, findings));
        }
        let config = global.load_as(&layout)?;
        let is_dry = self.dry_run;
        let import = self.import();
        let show = |event: &_| print(&(serde_json::to_string(event)? + "\n"));
        let summary = import.run(&config, &installation(&config)?, &show)?;
        tell_summary(&summary, &import, is_dry)?;
        Ok(match summary.end {
            End::Stopped(signal) => ExitCode::from(signal.exit_code()),
            _ if summary.counts.rejected > 0 => ExitCode::from(REJECTED),
            _ => ExitCode::SUCCESS,
        })
    }

    fn import(self) -> import::Import {
        let (kind, file) = match (self.orders, self.customers, self.events) {
            (Some(file), _, _) => (Kind::Orders, file),
            (_, Some(file), _) => (Kind::Customers, file),
            (_, _, file) => (Kind::Events, file.unwrap_or_default()),
        };
        let name = file.to_string_lossy().to_ascii_lowercase();
        let is_tabs = || [".tsv", ".tsv.gz"].iter().any(|ending| name.ends_with(ending));
        let delimiter = self.delimiter.unwrap_or_else(|| if is_tabs() { b'\t' } else { b',' });
        import::Import {
            file,
            kind,
            format: self.format,
            mapping: self.mapping,
            delimiter,
            time_zone: self.time_zone,
            decimal_comma: self.decimal_comma,
            shop: self.shop,
            currency: self.currency,
            source: self.source,
            open_journeys: self.open_journeys,
            dry_run: self.dry_run,
            show: self.show,
            rows_a_second: self.limit_rate,
            progress: self.progress,
            rejects: self.rejects,
        }
    }
}

fn tell_summary(summary: &Summary, import: &import::Import, is_dry: bool) -> anyhow::Result<()> {
    let (counts, file) = (summary.counts, import.file.display());
    match &summary.end {
        End::WasWhole(progress) => tell(&format!(
            "{file}: it was imported before, and nothing was sent now; mended rows go as a file of their own (without {} all is sent \
             again, and what was sent more than 24 hours ago counts twice, as does what lies more than 4,096 events of its customer \
             back)\n",
            progress.display()
        )),
        End::Stopped(signal) => {
            let what_next = if is_dry { "not all of it was looked at" } else { "the same command goes on from here" };
            tell(&format!("{file}: ended by {}; {what_next}\n", signal.name()));
        }
        End::Whole => {}
    }
    let sent = if is_dry { "would be sent; nothing was" } else { "sent" };
    print(&format!(
        "{} rows: {} events {sent}, of {} rows; {} passed over, {} rejected\n",
        counts.rows, counts.events, counts.taken, counts.passed_over, counts.rejected
    ))?;
    if counts.rejected > 0 {
        tell(&format!("{}: the rejected rows, each with its {} and why\n", summary.rejects.display(), summary.unit));
    }
    Ok(())
}
