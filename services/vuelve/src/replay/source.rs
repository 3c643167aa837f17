//! Recorded clickstreams, read line by line as calls of Segment's API.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use domain::Timestamp;
use jiff::Timestamp as Instant;
use serde_json::{Value, json};

use super::invoices::Invoices;
use crate::written::{self, rfc3339};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// `customer_id,product_id,unix_seconds,event` with `view`, `cart` and `buy`, without quotes; a header line; gzip or plain.
    Retailrocket,
    /// One call of Segment's API a line, as JSON with `type`, `timestamp`, ids; gzip or plain.
    SegmentJsonl,
    /// Lines of invoices, `InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country` in GBP and UTC: an
    /// order an invoice, a refund where its number begins with C; a header line; gzip or plain.
    OnlineRetail,
}

/// A call to send.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// Who it is about: keeps her calls in order.
    pub(super) customer: String,
    /// When it happened.
    pub(super) at: Timestamp,
    /// The line at which it begins in the file.
    pub(super) line: u64,
    /// The call as the API takes it.
    pub(super) json: String,
}

/// How many events there are, and when they happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) events: u64,
    pub(super) first_at: Timestamp,
    pub(super) last_at: Timestamp,
}

impl Default for Extent {
    fn default() -> Self {
        Self { events: 0, first_at: Timestamp::MAX, last_at: Timestamp::MIN }
    }
}

impl Extent {
    /// One more event.
    pub(super) fn add(&mut self, at: Timestamp) {
        self.events += 1;
        self.first_at = self.first_at.min(at);
        self.last_at = self.last_at.max(at);
    }
}

/// Longer lines are no event.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// The calls of a file.
pub(super) struct Source {
    lines: Box<dyn BufRead + Send>,
    path: PathBuf,
    line: u64,
    format: Format,
    invoices: Invoices,
    synthetic_addresses: bool,
    /// Nothing has happened after it.
    present: Timestamp,
    /// The first call from behind the last time that was asked for.
    ahead: Option<Call>,
    /// The last time that was asked for, where something from after it was read.
    passed: Option<Timestamp>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("path", &self.path).field("line", &self.line).finish_non_exhaustive()
    }
}

impl Source {
    /// Opens a file. `synthetic_addresses` gives every customer an address at example.com.
    pub(super) fn open(path: &Path, format: Format, synthetic_addresses: bool) -> anyhow::Result<Self> {
        let mut file = BufReader::new(File::open(path).with_context(|| path.display().to_string())?);
        let gzip = file.fill_buf().with_context(|| path.display().to_string())?.starts_with(&[0x1f, 0x8b]);
        let lines: Box<dyn BufRead + Send> =
            if gzip { Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(file))) } else { Box::new(file) };
        let present = Timestamp::from_millis(Instant::now().as_millisecond());
        Ok(Self {
            lines,
            path: path.to_owned(),
            line: 0,
            format,
            invoices: Invoices::new(present),
            synthetic_addresses,
            present,
            ahead: None,
            passed: None,
        })
    }

    /// The next call of what happened before `end`; none where the next is from then or later, or at the end of the file.
    /// Once none was given, a call from before `end` is an error.
    pub(super) fn next_of(&mut self, end: Option<Timestamp>) -> anyhow::Result<Option<Call>> {
        let call = self.next()?;
        let Some(end) = end.filter(|end| call.as_ref().is_some_and(|call| call.at >= *end)) else { return Ok(call) };
        self.ahead = call;
        self.passed = Some(end);
        Ok(None)
    }

    /// When the first of those happened that `next_of` held back.
    pub(super) fn ahead(&self) -> Option<Timestamp> {
        self.ahead.as_ref().map(|call| call.at)
    }

    fn next(&mut self) -> anyhow::Result<Option<Call>> {
        if let Some(call) = self.ahead.take() {
            return Ok(Some(call));
        }
        let call = match self.format {
            Format::OnlineRetail => self.next_invoice(),
            Format::Retailrocket | Format::SegmentJsonl => self.next_line(),
        };
        let call = call.with_context(|| format!("{}:{}", self.path.display(), self.line))?;
        if let (Some(call), Some(passed)) = (&call, self.passed)
            && call.at < passed
        {
            bail!(
                "{}:{}: the event is dated {}, and one from {} or later came before it; where a time is given as --as-of, what \
                 happened before it has to lie before what happened later",
                self.path.display(),
                call.line,
                written::time(call.at),
                written::time(passed),
            );
        }
        Ok(call)
    }

    fn next_invoice(&mut self) -> anyhow::Result<Option<Call>> {
        let call = self.invoices.next(&mut self.lines, self.synthetic_addresses);
        self.line = self.invoices.line;
        call
    }

    fn next_line(&mut self) -> anyhow::Result<Option<Call>> {
        loop {
            self.line += 1;
            let mut line = String::new();
            let read = self.lines.by_ref().take(MAX_LINE_BYTES).read_line(&mut line)?;
            if read == 0 {
                return Ok(None);
            }
            ensure!((read as u64) < MAX_LINE_BYTES, "the line is longer than {MAX_LINE_BYTES} bytes");
            // Some programs begin a file with a byte-order mark.
            let line = line.trim_start_matches('\u{feff}').trim();
            let is_header = self.line == 1 && self.format == Format::Retailrocket && line.starts_with("customer_id");
            if line.is_empty() || is_header {
                continue;
            }
            let call = if self.format == Format::Retailrocket { self.retailrocket(line) } else { self.segment(line) };
            return call.map(Some);
        }
    }

    fn retailrocket(&self, line: &str) -> anyhow::Result<Call> {
        const FIELDS: &str = "four fields without quotes are expected, customer_id,product_id,unix_seconds,event";
        ensure!(!line.contains('"'), "a quote stands here; {FIELDS}");
        let fields: Vec<&str> = line.split(',').collect();
        let [customer, product, seconds, event] = fields[..] else { bail!("{FIELDS}, not {}", fields.len()) };
        let seconds: i64 = seconds.parse().with_context(|| format!("`{seconds}` is no number of seconds"))?;
        let at = dated(Timestamp::from_seconds(seconds), self.present)?;
        let name = match event {
            "view" => "Product Viewed",
            "cart" => "Product Added",
            "buy" => "Order Completed",
            other => bail!("`{other}` is no event: view, cart and buy are"),
        };
        let properties = match event {
            "buy" => json!({ "products": [{ "product_id": product }] }),
            _ => json!({ "product_id": product }),
        };
        let mut call = json!({
            "type": "track",
            "event": name,
            "userId": customer,
            "messageId": format!("replay-{}", self.line),
            "timestamp": rfc3339(at)?,
            "properties": properties,
        });
        if self.synthetic_addresses {
            call["context"] = json!({ "traits": { "email": format!("customer-{customer}@example.com") } });
        }
        Ok(Call { customer: customer.to_owned(), at, line: self.line, json: call.to_string() })
    }

    fn segment(&self, line: &str) -> anyhow::Result<Call> {
        let mut call: Value = serde_json::from_str(line).context("the line is no JSON")?;
        let text = |name: &str| call.get(name).and_then(Value::as_str).map(str::to_owned);
        let customer =
            text("anonymousId").or_else(|| text("userId")).context("the call has neither userId nor anonymousId")?;
        let at = text("timestamp")
            .or_else(|| text("originalTimestamp"))
            .context("the call has no timestamp: a text is expected, as RFC 3339 has it")?;
        let at: Instant = at.parse().with_context(|| format!("`{at}` is no time as RFC 3339 has it"))?;
        // What happened long ago was sent then: the door must not correct it by today's clock.
        for field in ["sentAt", "receivedAt", "originalTimestamp"] {
            if let Some(object) = call.as_object_mut() {
                object.remove(field);
            }
        }
        let at = dated(Timestamp::from_millis(at.as_millisecond()), self.present)?;
        call["timestamp"] = Value::String(rfc3339(at)?);
        Ok(Call { customer, at, line: self.line, json: call.to_string() })
    }
}

/// The door gives an event that it can't believe today's date, and a replay would then tell of what never was.
pub(super) fn dated(at: Timestamp, present: Timestamp) -> anyhow::Result<Timestamp> {
    let (earliest, dated) = (ingestion::EARLIEST, written::time(at));
    let what_to_do = "correct the date, or leave the line out";
    ensure!(
        at >= earliest,
        "the event is dated {dated}: before {} only clocks that were never set are; {what_to_do}",
        written::time(earliest),
    );
    ensure!(at <= present, "the event is dated {dated}, which is still to come; {what_to_do}");
    Ok(at)
}
