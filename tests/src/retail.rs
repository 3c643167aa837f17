//! Who the customers of a retailer's invoices are at a moment, computed in another way than the services do: over the whole
//! file at once, each time from its beginning, with plain loops and no state that is carried on.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::clickstream::draw;

/// The real file.
pub const ONLINE_RETAIL: &str = "online_retail.csv.gz";

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// An invoice of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// Whose it is.
    pub customer: String,
    /// When its first line was written, in seconds since 1970.
    pub at: i64,
    /// Whether it takes something back.
    pub refund: bool,
    /// The sum of its lines in pence: below zero where something is taken back.
    pub pence: i64,
}

/// What a table says of a customer: recency, frequency, monetary value, their quintiles, the counters of the windows, and the
/// segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Every number, by the column's name.
    pub numbers: BTreeMap<String, i64>,
    /// The segments, joined.
    pub segments: String,
}

/// A table, by customer.
pub type Table = BTreeMap<String, Row>;

/// The invoices of a file that belong to customers, in the order of their first lines.
pub fn invoices(file: &Path) -> anyhow::Result<Vec<Invoice>> {
    let text = flate2::read::MultiGzDecoder::new(std::fs::File::open(file)?);
    let (mut invoices, mut places) = (Vec::<Invoice>::new(), HashMap::new());
    for row in csv::Reader::from_reader(text).records() {
        let row = row?;
        let field = |index| row.get(index).context("not eight fields");
        let customer = field(6)?.trim_end_matches(".0");
        if customer.is_empty() {
            continue;
        }
        let number = field(0)?;
        let place = *places.entry(number.to_owned()).or_insert(invoices.len());
        if place == invoices.len() {
            let at = seconds(field(4)?)?;
            invoices.push(Invoice { customer: customer.into(), at, refund: number.starts_with('C'), pence: 0 });
        }
        invoices[place].pence += pence(field(3)?.parse()?, field(5)?)?;
    }
    Ok(invoices)
}

/// Quantity times price, rounded half away from zero.
fn pence(quantity: i64, price: &str) -> anyhow::Result<i64> {
    let (whole, fraction) = price.split_once('.').unwrap_or((price, ""));
    ensure!(fraction.len() <= 3 && !price.starts_with('-'), "{price}");
    let thousandths = quantity * format!("{whole}{fraction:0<3}").parse::<i64>()?;
    Ok((thousandths.abs() + 5) / 10 * thousandths.signum())
}

/// `2010-12-01 08:26:00` in seconds since 1970, by the civil calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `days_from_civil`).
fn seconds(text: &str) -> anyhow::Result<i64> {
    let numbers: Vec<i64> = text.split(['-', ' ', ':', 'T', 'Z']).filter_map(|part| part.parse().ok()).collect();
    let (&[year, month, day, hour, minute], second) =
        (numbers.first_chunk().context("no date and time")?, numbers.get(5));
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Ok(days * DAY + hour * HOUR + minute * 60 + second.copied().unwrap_or(0))
}

/// The customers who have ordered before a time (RFC 3339, UTC), with the quintiles among them.
pub fn table(invoices: &[Invoice], at: &str) -> anyhow::Result<Table> {
    let at = seconds(at)?;
    let mut by_customer: BTreeMap<&str, Vec<&Invoice>> = BTreeMap::new();
    for invoice in invoices.iter().filter(|invoice| invoice.at < at) {
        by_customer.entry(&invoice.customer).or_default().push(invoice);
    }
    let ordered = by_customer.into_iter().filter(|(_, own)| own.iter().any(|invoice| !invoice.refund));
    let mut table: Table = ordered.map(|(customer, own)| (customer.to_owned(), row(&own, at))).collect();
    rank(&mut table);
    Ok(table)
}

/// What is ranked, and whether who has less of it is better.
const RANKED: [(&str, &str, bool); 3] = [
    ("recency_days", "recency_quintile", true),
    ("frequency", "frequency_quintile", false),
    ("monetary_minor", "monetary_quintile", false),
];

/// Quintiles without boundaries: one up, or down, for each whole fifth of the customers who have less than she.
fn rank(table: &mut Table) {
    let customers = table.len() as i64;
    if customers < 5 {
        return;
    }
    for (name, column, is_better_with_less) in RANKED {
        let mut having = BTreeMap::<i64, i64>::new();
        for row in table.values() {
            *having.entry(row.numbers[name]).or_default() += 1;
        }
        let mut less = 0;
        let mut quintiles = BTreeMap::new();
        for (number, customers_with) in having {
            let fifths = 5 * less / customers;
            quintiles.insert(number, if is_better_with_less { 5 - fifths } else { 1 + fifths });
            less += customers_with;
        }
        for row in table.values_mut() {
            row.numbers.insert(column.into(), quintiles[&row.numbers[name]]);
        }
    }
    for row in table.values_mut() {
        let [recency, frequency, monetary] = RANKED.map(|(_, column, _)| row.numbers[column]);
        let group = match () {
            () if recency >= 4 && frequency >= 4 && monetary >= 4 => "champions",
            () if recency <= 2 && frequency >= 4 && monetary >= 4 => "cannot-lose",
            () if recency >= 4 && frequency <= 2 => "promising",
            () if recency <= 2 && frequency <= 2 => "hibernating",
            () => continue,
        };
        let mut segments: Vec<&str> = row.segments.split(';').filter(|name| !name.is_empty()).chain([group]).collect();
        segments.sort_unstable();
        row.segments = segments.join(";");
    }
}

impl Row {
    /// Whether she is in a segment.
    pub fn is_in(&self, segment: &str) -> bool {
        self.segments.split(';').any(|name| name == segment)
    }
}

/// What `quintiles-….json` has to say of a table: the k-th boundary is the least number that at least k fifths of the customers
/// have, or less.
pub fn boundaries(table: &Table, learnt_at: &str) -> Value {
    let customers = table.len() as i64;
    let bounds = |name: &str| -> Vec<i64> {
        let numbers: BTreeSet<i64> = table.values().map(|row| row.numbers[name]).collect();
        let at_most = |number: i64| table.values().filter(|row| row.numbers[name] <= number).count() as i64;
        let is_bound = |fifths: i64, number: i64| 5 * at_most(number) >= fifths * customers;
        (1..=4).filter_map(|fifths| numbers.iter().copied().find(|number| is_bound(fifths, *number))).collect()
    };
    let [recency, frequency, monetary] = RANKED.map(|(name, ..)| bounds(name));
    json!({
        "learnt_at": learnt_at, "customers": customers, "recency_days": recency, "frequency": frequency,
        "monetary": [{ "currency": "GBP", "customers": customers, "bounds_minor": monetary }],
    })
}

fn row(own: &[&Invoice], at: i64) -> Row {
    let moment = Moment { own, now: at };
    let mut numbers = BTreeMap::new();
    let mut put = |name: String, number| numbers.insert(name, number);
    put("recency_days".into(), moment.recency_days().unwrap_or(0));
    put("frequency".into(), moment.frequency());
    put("monetary_minor".into(), moment.monetary());
    for days in [1, 7, 30, 90, 365] {
        let is_in = |invoice: &&&Invoice| {
            // Short windows are made of hours, long ones of days.
            let (unit, units) = if days <= 7 { (HOUR, 24 * days) } else { (DAY, days) };
            let (then, now) = (invoice.at.div_euclid(unit), at.div_euclid(unit));
            now - units < then && then <= now
        };
        let within: Vec<&&Invoice> = own.iter().filter(is_in).collect();
        let orders = || within.iter().filter(|invoice| !invoice.refund);
        put(format!("last_{days}d_orders"), orders().count() as i64);
        put(format!("last_{days}d_spent_minor"), orders().map(|invoice| invoice.pence).sum());
        let refunds = within.iter().filter(|invoice| invoice.refund);
        put(format!("last_{days}d_refunded_minor"), -refunds.map(|invoice| invoice.pence).sum::<i64>());
    }
    Row { numbers, segments: segment(own, at).unwrap_or_default().to_owned() }
}

/// What was known of a customer at a moment.
struct Moment<'a> {
    own: &'a [&'a Invoice],
    now: i64,
}

impl Moment<'_> {
    fn days_since(&self, then: Option<i64>) -> Option<i64> {
        then.map(|then| (self.now - then) / DAY)
    }

    fn recency_days(&self) -> Option<i64> {
        self.days_since(self.own.iter().filter(|invoice| !invoice.refund).map(|invoice| invoice.at).max())
    }

    fn inactive_days(&self) -> i64 {
        // What a shop takes back is nothing that she did; of whom nothing was known, it is the first that is heard.
        let seen = self.own.iter().enumerate().filter(|(number, invoice)| *number == 0 || !invoice.refund);
        self.days_since(seen.map(|(_, invoice)| invoice.at).max()).unwrap_or(0)
    }

    fn age_days(&self) -> i64 {
        self.days_since(self.own.iter().map(|invoice| invoice.at).min()).unwrap_or(0)
    }

    fn frequency(&self) -> i64 {
        self.own.iter().filter(|invoice| !invoice.refund).count() as i64
    }

    fn monetary(&self) -> i64 {
        self.own.iter().map(|invoice| invoice.pence).sum()
    }

    /// The segment of `presets/basic` that has her now, if she was in `before` until now.
    fn lifecycle(&self, before: Option<&str>) -> Option<&'static str> {
        let ordered_within = |from, to| self.recency_days().is_some_and(|days| (from..to).contains(&days));
        let stays = |name, leaves: bool| (before == Some(name)).then_some(!leaves);
        let vip = || self.frequency() >= 10 && self.monetary() >= 100_000 && ordered_within(0, 90);
        let segments = [
            ("vip", stays("vip", !ordered_within(0, 180)).unwrap_or_else(vip)),
            ("lost", self.inactive_days() >= 365),
            ("at-risk", self.frequency() >= 2 && ordered_within(90, 180)),
            ("dormant", self.inactive_days() >= 90),
            ("loyal", self.frequency() >= 3 && ordered_within(0, 90)),
            ("new", self.age_days() < 30 && self.frequency() <= 1),
            ("active", stays("active", self.inactive_days() >= 90).unwrap_or(self.inactive_days() < 60)),
        ];
        segments.into_iter().find(|(_, holds)| *holds).map(|(name, _)| name)
    }
}

/// The segment that she is in at a time. Some depend on where she was before, so she is looked at in every moment at which
/// anything may change: when she did something, and when days since then have come to a number that a condition names.
fn segment(own: &[&Invoice], at: i64) -> Option<&'static str> {
    let after = [0, 30, 60, 90, 180, 365].map(|days| days * DAY);
    let mut moments: Vec<i64> = own.iter().flat_map(|invoice| after.map(|days| invoice.at + days)).collect();
    moments.sort_unstable();
    moments.dedup();
    let mut segment = None;
    for now in moments.into_iter().filter(|moment| *moment <= at) {
        let known = own.iter().filter(|invoice| invoice.at < now).count();
        let new = own.iter().filter(|invoice| invoice.at == now).count();
        // One by one what happened in one moment; where nothing did, only time.
        for known in known + usize::from(new > 0)..=known + new {
            segment = Moment { own: &own[..known], now }.lifecycle(segment);
        }
    }
    segment
}

/// The table that a replay or an export wrote.
pub fn read(file: &Path) -> anyhow::Result<Table> {
    let mut rows = csv::Reader::from_path(file).with_context(|| file.display().to_string())?;
    let names = rows.headers()?.clone();
    let mut table = Table::new();
    for row in rows.records() {
        let row = row?;
        let mut fields: BTreeMap<String, String> =
            names.iter().map(str::to_owned).zip(row.iter().map(str::to_owned)).collect();
        let mut take = |name: &str| fields.remove(name).with_context(|| format!("no column {name}"));
        let (customer, segments) = (take("customer_id")?, take("segments")?);
        ensure!(take("currency")? == "GBP", "{row:?}");
        // Before there are boundaries nobody is in a quintile.
        fields.retain(|name, number| !(name.ends_with("_quintile") && number.is_empty()));
        let numbers = fields.into_iter().map(|(name, number)| Ok((name, number.parse()?)));
        let numbers = numbers.collect::<anyhow::Result<_>>()?;
        ensure!(table.insert(customer, Row { numbers, segments }).is_none(), "twice: {row:?}");
    }
    Ok(table)
}

/// Customer by customer, and number by number.
pub fn compare(found: &Table, expected: &Table) -> anyhow::Result<()> {
    let missing: Vec<_> = expected.keys().filter(|customer| !found.contains_key(*customer)).take(5).collect();
    let unwanted: Vec<_> = found.keys().filter(|customer| !expected.contains_key(*customer)).take(5).collect();
    ensure!(missing.is_empty() && unwanted.is_empty(), "missing: {missing:?}; unwanted: {unwanted:?}");
    let others: Vec<_> = found.iter().filter(|(customer, row)| expected[*customer] != **row).collect();
    let Some((customer, row)) = others.first() else { return Ok(()) };
    anyhow::bail!("{} rows differ, the first: {customer}: {row:?}, not {:?}", others.len(), expected[*customer])
}

/// Of made-up invoices: customers.
const CUSTOMERS: u64 = 400;
/// 2024-01-01T00:00:00Z.
const BEGIN: i64 = 1_704_067_200;
const HEAD: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";

/// Writes invoices over 500 days that are made up the same way every time: of customers who come once, now and then, or all
/// the time, who take things back, some before they bought any, and on the stroke of an hour or of midnight; with lines
/// of nobody, and with lines of one invoice between those of another.
pub fn made_up(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut drawn = 5_000_000;
    let mut below = |limit: u64| {
        drawn += 1;
        draw(drawn, limit) as i64
    };
    let mut invoices = Vec::new();
    for customer in 0..CUSTOMERS {
        let mut at = BEGIN + 60 * below(300 * 24 * 60);
        let pause_days = [3, 20, 60, 200][below(4) as usize];
        for _ in 0..[1, 3, 12, 25][below(4) as usize] {
            at -= [0, 0, at % HOUR, at % DAY][below(4) as usize];
            invoices.push((at, customer, below(6) == 0));
            at += 60 * below(pause_days * 24 * 60);
        }
    }
    invoices.retain(|(at, ..)| *at < BEGIN + 500 * DAY);
    invoices.sort_unstable();
    let mut lines = Vec::new();
    let mut begun = 0;
    for (index, (at, customer, refund)) in invoices.into_iter().enumerate() {
        let number = format!("{}{}", if refund { "C" } else { "" }, 500_000 + index);
        let begun_before = std::mem::replace(&mut begun, lines.len());
        let most = if below(20) == 0 { 120 } else { 5 };
        for line in 0..=below(most) {
            let nobody = below(15) == 0;
            let quantity = (1 + below(30)) * if refund { -1 } else { 1 };
            let price = ["0.0", "0.001", "0.85", "1.25", "2.1", "14.95", "295"][below(7) as usize];
            let name = ["CUP", "\"BOWL, \"\"RED\"\" \"", "PLATE"][below(3) as usize];
            let customer = if nobody { String::new() } else { format!("{}.0", 12_000 + customer) };
            let (day, time) = (date((at + line / 40 * 60).div_euclid(DAY)), (at + line / 40 * 60).rem_euclid(DAY));
            let time = format!("{:02}:{:02}:{:02}", time / HOUR, time / 60 % 60, time % 60);
            lines.push(format!("{number},P{},{name},{quantity},{day} {time},{price},{customer},Spain", below(90)));
        }
        // This invoice begins before the last one's last line, as it happens in the real file.
        if below(10) == 0 && begun > begun_before + 1 {
            lines.swap(begun - 1, begun);
        }
    }
    let path = folder.join("invoices.csv.gz");
    let mut file = GzEncoder::new(std::fs::File::create(&path)?, Compression::fast());
    writeln!(file, "{HEAD}")?;
    for line in lines {
        writeln!(file, "{line}")?;
    }
    file.finish()?;
    Ok(path)
}

/// The date of a day since 1970 (Hinnant, `civil_from_days`).
fn date(days: i64) -> String {
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    format!("{:04}-{month:02}-{day:02}", year_of_era + era * 400 + i64::from(month <= 2))
}
