//! The lines of a shop's invoices as orders and refunds: the format `online-retail`.
//!
//! Wanted properties:
//! - an invoice is one call, at the time of its first line, whatever lies between its lines; calls come in the order of the
//!   first lines;
//! - amounts are exact: a line's total is rounded half away from zero to pence, as the door rounds;
//! - memory is bounded by how far the lines of an invoice lie apart, and by the number of invoices, which has a limit;
//! - what can't be told for certain is refused with its line, and never left out.

use std::collections::{HashSet, VecDeque};
use std::io::BufRead;

use anyhow::{Context, bail, ensure};
use domain::{Currency, Money, Timestamp};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

use super::source::{Call, dated};
use crate::import::csv_rows::{Split, split};
use crate::written::rfc3339;

const COLUMNS: [&str; 8] =
    ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"];
const CURRENCY: &str = "GBP";
/// Longer rows are no line of an invoice.
const MAX_ROW_BYTES: usize = 64 * 1024;
/// An invoice is whole once so many lines of others have come after its last.
const MAX_APART: u64 = 1_000;
/// So many invoices may wait for one whose lines keep coming.
const MAX_OPEN: usize = 10_000;
/// Of each invoice that was sent sixteen bytes are remembered, so that one that goes on is noticed.
const MAX_INVOICES: usize = 2_000_000;
/// The door takes calls of 32 KiB, and some invoices have hundreds of lines.
const MAX_PRODUCTS: usize = 50;
const MAX_PRODUCTS_BYTES: usize = 16 * 1024;

/// The invoices of a file, read line by line.
#[derive(Debug)]
pub(super) struct Invoices {
    /// The line at which the row begins that was read last.
    pub(super) line: u64,
    next_line: u64,
    rows: u64,
    ended: bool,
    /// Those that may go on, by their first lines.
    open: VecDeque<Invoice>,
    /// Hashes of the numbers of those that were given away.
    given: HashSet<u128>,
    /// Nothing has happened after it.
    present: Timestamp,
}

#[derive(Debug)]
struct Invoice {
    number: String,
    customer: String,
    at: Timestamp,
    first_line: u64,
    last_row: u64,
    total_minor: i64,
    products: Vec<Value>,
    products_bytes: usize,
}

/// A row that belongs to a customer.
struct Line {
    number: String,
    customer: String,
    at: Timestamp,
    total_minor: i64,
    product: Value,
}

impl Invoices {
    pub(super) fn new(present: Timestamp) -> Self {
        Self { line: 1, next_line: 1, rows: 0, ended: false, open: VecDeque::new(), given: HashSet::new(), present }
    }

    /// The next invoice as a call; none at the end.
    pub(super) fn next(&mut self, text: &mut impl BufRead, synthetic_addresses: bool) -> anyhow::Result<Option<Call>> {
        loop {
            let is_whole = |first: &Invoice| self.ended || self.rows - first.last_row > MAX_APART;
            if self.open.front().is_some_and(is_whole)
                && let Some(invoice) = self.open.pop_front()
            {
                self.line = invoice.first_line;
                ensure!(self.given.len() < MAX_INVOICES, "there are more than {MAX_INVOICES} invoices; split the file");
                self.given.insert(xxh3_128(invoice.number.as_bytes()));
                return invoice.call(synthetic_addresses).map(Some);
            }
            if self.ended {
                return Ok(None);
            }
            self.read(text)?;
        }
    }

    /// Reads one row.
    fn read(&mut self, text: &mut impl BufRead) -> anyhow::Result<()> {
        self.line = self.next_line;
        let row = split(text, b',', MAX_ROW_BYTES)?;
        if self.line == 1 {
            return self.header(row.as_ref());
        }
        let Some(row) = row else {
            self.ended = true;
            return Ok(());
        };
        self.next_line += row.line_ends;
        if row.raw.trim_ascii().is_empty() {
            return Ok(());
        }
        self.rows += 1;
        match line(&row, self.present)? {
            Some(line) => self.add(line),
            None => Ok(()),
        }
    }

    fn header(&mut self, row: Option<&Split>) -> anyhow::Result<()> {
        let names = row.map(|row| fields(row).unwrap_or_default()).unwrap_or_default();
        // Some programs begin a file with a byte-order mark.
        let is_named = |(found, wanted): (&&str, &&str)| found.trim_start_matches('\u{feff}').trim() == *wanted;
        ensure!(
            names.len() == COLUMNS.len() && names.iter().zip(&COLUMNS).all(is_named),
            "the names of the columns are expected here: {}",
            COLUMNS.join(",")
        );
        self.next_line += row.map_or(1, |row| row.line_ends.max(1));
        Ok(())
    }

    fn add(&mut self, line: Line) -> anyhow::Result<()> {
        let Line { number, customer, at, total_minor, product } = line;
        // The newest first: lines of an invoice mostly follow one another.
        let place = self.open.iter().rposition(|invoice| invoice.number == number);
        let invoice = if let Some(place) = place {
            &mut self.open[place]
        } else {
            ensure!(
                !self.given.contains(&xxh3_128(number.as_bytes())),
                "invoice {number} goes on here, more than {MAX_APART} lines after its last: put the lines of an invoice together"
            );
            ensure!(
                self.open.len() < MAX_OPEN,
                "{MAX_OPEN} invoices have begun since {} did, and it still goes on: put the lines of an invoice together",
                self.open.front().map_or("", |first| &first.number)
            );
            let first = Invoice::begun(number, customer.clone(), at, self.line);
            self.open.push_back(first);
            let place = self.open.len() - 1;
            &mut self.open[place]
        };
        ensure!(
            invoice.customer == customer,
            "invoice {} is customer {customer}'s here, and {}'s in line {}",
            invoice.number,
            invoice.customer,
            invoice.first_line
        );
        invoice.last_row = self.rows;
        let total = invoice.total_minor.checked_add(total_minor);
        invoice.total_minor = total.with_context(|| format!("the total of invoice {} is too large", invoice.number))?;
        let bytes = product.to_string().len();
        if invoice.products.len() < MAX_PRODUCTS && invoice.products_bytes + bytes <= MAX_PRODUCTS_BYTES {
            invoice.products.push(product);
            invoice.products_bytes += bytes;
        }
        Ok(())
    }
}

impl Invoice {
    fn begun(number: String, customer: String, at: Timestamp, first_line: u64) -> Self {
        Self { number, customer, at, first_line, last_row: 0, total_minor: 0, products: Vec::new(), products_bytes: 0 }
    }

    fn call(self, synthetic_addresses: bool) -> anyhow::Result<Call> {
        let Self { number, customer, at, first_line, total_minor, products, .. } = self;
        let is_refund = is_refund(&number);
        // Of what was taken back, what the customer gets.
        let total_minor = if is_refund { total_minor.saturating_neg() } else { total_minor };
        ensure!(
            !is_refund || total_minor >= 0,
            "cancellation {number} takes nothing back: it comes to {} more to pay",
            decimal(-total_minor)
        );
        let mut call = json!({
            "type": "track",
            "event": if is_refund { "Order Refunded" } else { "Order Completed" },
            "userId": customer,
            "messageId": format!("replay-{first_line}"),
            "timestamp": rfc3339(at)?,
            "properties": {
                "order_id": number,
                "currency": CURRENCY,
                "total": decimal(total_minor),
                "products": products,
            },
        });
        if synthetic_addresses {
            call["context"] = json!({ "traits": { "email": format!("customer-{customer}@example.com") } });
        }
        Ok(Call { customer, at, line: first_line, json: call.to_string() })
    }
}

/// Invoices that cancel, in whole or in part, have a number that begins so.
fn is_refund(number: &str) -> bool {
    number.starts_with('C')
}

fn fields(row: &Split) -> anyhow::Result<Vec<&str>> {
    ensure!(!row.endless, "the row that begins here has no end within {MAX_ROW_BYTES} bytes; is a quote not closed?");
    ensure!(!row.unclosed, "a quote that begins in this row is not closed until the end of the file");
    ensure!(row.stray.is_none(), "behind a quote that closes something else stands than a comma");
    let text = |field| std::str::from_utf8(field).context("the row is no UTF-8");
    row.fields.iter().map(|field| text(field)).collect()
}

/// A row as a line of an invoice; none where it belongs to no customer.
fn line(row: &Split, present: Timestamp) -> anyhow::Result<Option<Line>> {
    let fields = fields(row)?;
    let [number, product, name, quantity, date, price, customer, _] = fields[..] else {
        bail!("eight fields are expected, {}, not {}", COLUMNS.join(","), fields.len());
    };
    // Whoever wrote the file had its customers as fractions.
    let customer = customer.trim();
    let customer = customer.strip_suffix(".0").unwrap_or(customer);
    if customer.is_empty() {
        return Ok(None);
    }
    let number = number.trim();
    ensure!(!number.is_empty(), "the line names no invoice");
    let at: DateTime = date.trim().parse().with_context(|| format!("`{date}` is no date and time"))?;
    let at = TimeZone::UTC.to_timestamp(at).with_context(|| format!("`{date}` is no date and time"))?;
    let at = dated(Timestamp::from_millis(at.as_millisecond()), present)?;
    let count: i64 = quantity.trim().parse().with_context(|| format!("`{quantity}` is no quantity"))?;
    let total_minor =
        times(count, price.trim()).with_context(|| format!("{quantity} times `{price}` is no amount of money"))?;
    let taken = if is_refund(number) { count.checked_neg() } else { Some(count) };
    let product =
        json!({ "product_id": product.trim(), "name": name.trim(), "quantity": taken, "price": price.trim() });
    Ok(Some(Line { number: number.to_owned(), customer: customer.to_owned(), at, total_minor, product }))
}

/// So many at this price, in pence. The one rounding is the last step, and is the door's.
fn times(count: i64, price: &str) -> Option<i64> {
    let (sign, digits) = price.strip_prefix('-').map_or((1, price), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = !whole.is_empty() && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    let unscaled: i128 = format!("{whole}{fraction}").parse().ok().filter(|_| is_number)?;
    let exact = unscaled.checked_mul(i128::from(count))?.checked_mul(sign)?;
    let currency = Currency::parse(CURRENCY).ok()?;
    Money::parse(&format!("{exact}e-{}", fraction.len()), currency).ok().map(|money| money.minor)
}

/// Pence as pounds.
fn decimal(minor: i64) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", minor.unsigned_abs() / 100, minor.unsigned_abs() % 100)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by it")]
mod tests {
    use super::*;

    const HEAD: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

    /// The calls of these lines, or the line of the first that is wrong, and why.
    fn calls(lines: &str) -> Result<Vec<Value>, String> {
        let text = format!("{HEAD}{lines}");
        let (mut text, mut invoices) = (text.as_bytes(), Invoices::new(Timestamp::MAX));
        let mut calls = Vec::new();
        loop {
            match invoices.next(&mut text, false) {
                Ok(Some(call)) => calls.push(serde_json::from_str(&call.json).unwrap()),
                Ok(None) => return Ok(calls),
                Err(error) => return Err(format!("{}: {error}", invoices.line)),
            }
        }
    }

    fn line(number: &str, quantity: i64, price: &str, customer: &str) -> String {
        format!("{number},P1,A CUP,{quantity},2011-02-01 11:19:00,{price},{customer},France\n")
    }

    #[test]
    fn an_invoice_is_one_order_of_all_its_lines_with_a_customer_at_the_time_of_the_first() {
        let lines = "536,P0,no customer,7,2011-02-01 11:17:00,9.99,,France\n\
                     536,P1,\"A \"\"CUP\"\", RED \",6,2011-02-01 11:18:00,2.55,12583.0,France\n\
                     536,P2,PLATE,1,2011-02-01 11:20:00,0.5,12583.0,France\n";
        let expected = json!({
            "type": "track", "event": "Order Completed", "userId": "12583", "messageId": "replay-3",
            "timestamp": "2011-02-01T11:18:00Z",
            "properties": { "order_id": "536", "currency": "GBP", "total": "15.80", "products": [
                { "product_id": "P1", "name": "A \"CUP\", RED", "quantity": 6, "price": "2.55" },
                { "product_id": "P2", "name": "PLATE", "quantity": 1, "price": "0.5" },
            ] },
        });
        assert_eq!(calls(lines).unwrap(), [expected]);
    }

    #[test]
    fn a_cancellation_is_a_refund_of_what_is_taken_back() {
        let refund = &calls(&line("C536", -3, "1.25", "7")).unwrap()[0];
        assert_eq!((&refund["event"], &refund["properties"]["total"]), (&"Order Refunded".into(), &"3.75".into()));
        assert_eq!(refund["properties"]["products"][0]["quantity"], 3);
        let told = calls(&line("C536", 3, "1.25", "7")).unwrap_err();
        assert_eq!(told, "2: cancellation C536 takes nothing back: it comes to 3.75 more to pay");
    }

    #[test]
    fn an_order_may_come_to_nothing_or_less() {
        let totals: Vec<Value> = calls(&(line("A", 2, "0.0", "7") + &line("B", -1, "5.5", "7"))).unwrap();
        let told = totals.iter().map(|call| (call["event"].as_str(), call["properties"]["total"].as_str()));
        let order = |total| (Some("Order Completed"), Some(total));
        assert_eq!(told.collect::<Vec<_>>(), [order("0.00"), order("-5.50")]);
    }

    #[test]
    fn each_line_is_rounded_half_away_from_zero_and_nothing_is_lost_before() {
        for (count, price, minor) in [
            (1, "0.001", Some(0)),
            (5, "0.001", Some(1)),
            (-5, "0.001", Some(-1)),
            (3, "-0.005", Some(-2)),
            (80_995, "2.08", Some(16_846_960)),
            (3, "0.1", Some(30)),
            (1, "", None),
            (1, ".", None),
            (1, "1e2", None),
            (1, "+1", None),
            (i64::MAX, "99", None),
        ] {
            assert_eq!(times(count, price), minor, "{count} times {price}");
        }
        assert_eq!([decimal(-5), decimal(0), decimal(123_456)], ["-0.05", "0.00", "1234.56"]);
    }

    #[test]
    fn lines_of_others_may_lie_between_and_an_invoice_that_comes_back_after_too_many_is_refused() {
        let others = |count: u64| (0..count).map(|number| line(&number.to_string(), 1, "1", "8")).collect::<String>();
        let apart = |count| line("A", 1, "1", "7") + &others(count) + &line("A", 2, "1", "7");
        let together = calls(&apart(MAX_APART)).unwrap();
        assert_eq!((together.len(), &together[0]["properties"]["total"]), (1_001, &"3.00".into()));
        let told = calls(&apart(MAX_APART + 1)).unwrap_err();
        assert!(told.starts_with("1004: invoice A goes on here, more than 1000 lines after its last"), "{told}");
    }

    #[test]
    fn an_invoice_of_two_customers_is_refused() {
        let told = calls(&(line("A", 1, "1", "7.0") + &line("A", 1, "1", "8.0"))).unwrap_err();
        assert_eq!(told, "3: invoice A is customer 8's here, and 7's in line 2");
    }

    #[test]
    fn of_a_long_invoice_the_first_products_are_sent_and_the_total_of_all() {
        let long = calls(&line("A", 1, "1", "7").repeat(500)).unwrap();
        let [call] = &long[..] else { panic!("{}", long.len()) };
        assert_eq!(call["properties"]["total"], "500.00");
        assert_eq!(call["properties"]["products"].as_array().unwrap().len(), MAX_PRODUCTS);
        let wordy = line("A", 1, "1", "7").replace("A CUP", &"CUP ".repeat(1_000)).repeat(50);
        assert!(calls(&wordy).unwrap()[0].to_string().len() < 20_000);
    }

    #[test]
    fn what_is_no_line_of_an_invoice_is_refused_with_its_line() {
        let first = "A,P1,\"two\nlines\",1,2011-02-01 11:19:00,1,7,France\n";
        for (wrong, told) in [
            ("B,P1\n", "4: eight fields are expected, "),
            ("B,P1,x,one,2011-02-01 11:19:00,1,7,France\n", "4: `one` is no quantity"),
            ("B,P1,x,1,2011-02-31 11:19:00,1,7,France\n", "4: `2011-02-31 11:19:00` is no date and time"),
            ("B,P1,x,1,1971-02-01 11:19:00,1,7,France\n", "4: the event is dated 1971-02-01T11:19:00Z: before "),
            ("B,P1,x,1,2011-02-01 11:19:00,1.x,7,France\n", "4: 1 times `1.x` is no amount of money"),
            (",P1,x,1,2011-02-01 11:19:00,1,7,France\n", "4: the line names no invoice"),
            ("B,P1,\"x,1,2011-02-01 11:19:00,1,7,France\n", "4: a quote that begins in this row is not closed"),
        ] {
            let refusal = calls(&format!("{first}{wrong}")).unwrap_err();
            assert!(refusal.starts_with(told), "{refusal}");
        }
    }

    #[test]
    fn the_names_of_the_columns_are_expected_first() {
        let next = |text: &str| {
            let mut invoices = Invoices::new(Timestamp::MAX);
            invoices.next(&mut text.as_bytes(), false).map(drop).map_err(|error| error.to_string())
        };
        for text in ["", "\n", &line("A", 1, "1", "7"), &HEAD.replace("Price", "Prize")] {
            let told = next(text).unwrap_err();
            assert!(told.starts_with("the names of the columns are expected here: InvoiceNo,"), "{told}");
        }
        assert_eq!(next(&format!("\u{feff}{}", HEAD.replace('\n', "\r\n"))), Ok(()));
    }
}
