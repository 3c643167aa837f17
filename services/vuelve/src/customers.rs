//! The customers as of a time, as a table: who they are is what segmentation's changelog says.
//!
//! Wanted properties:
//! - each customer with an order has a row for each currency, and nobody else has one;
//! - what was committed before the reading began is in it, and nothing later;
//! - a time that was passed already is refused: what a customer was then, her state does not say;
//! - memory is bounded by the number of customers, not by how often their states changed.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use domain::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use kafka::{ReadRecord, is_changelog_header};
use schemas::ChangelogRecord;
use segmentation::SegmentationState;

use crate::hosting::Installation;
use crate::{whole_file, written};
use stub::{CustomerRow, customer_rows};

const CHANGELOG: &str = "segmentation.changelog";

/// The customers as of a time.
#[derive(Debug)]
pub struct Customers {
    rows: Vec<CustomerRow>,
}

/// What the last record of a customer says.
struct Known {
    /// Her own time.
    time: Timestamp,
    rows: Vec<CustomerRow>,
}

impl Customers {
    /// Reads them, as of `at`. An error where something that happened later was counted already.
    pub fn read(installation: &Installation, at: Timestamp, timeout: Duration) -> anyhow::Result<Self> {
        let (mut customers, mut failure) = (BTreeMap::new(), None);
        kafka::read_topic(&installation.cluster, &installation.cluster.topic(CHANGELOG), timeout, |record| {
            failure = note(installation, &mut customers, &record, at)
                .err()
                .map(|error| error.context(format!("{}[{}]@{}", record.topic, record.partition, record.offset)));
            failure.is_none()
        })?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        if let Some((customer, known)) = customers.iter().find(|(_, known)| known.time > at) {
            bail!(
                "who the customers were at {} is not known any more: of {customer} something later is counted already, at {}; \
                 `vuelve replay --as-of` tells it on the way",
                written::time(at),
                written::time(known.time),
            );
        }
        Ok(Self { rows: customers.into_values().flat_map(|known: Known| known.rows).collect() })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes them as CSV, by customer id, under the names of the columns.
    pub fn write(&self, to: impl Write) -> anyhow::Result<()> {
        let mut csv = csv::Writer::from_writer(BufWriter::new(to));
        let windows = self.rows.first().map_or(&[][..], |row| &row.windows);
        csv.write_record(COLUMNS.into_iter().chain(windows.iter().map(|(name, _)| name.as_str())))?;
        for row in &self.rows {
            let numbers = [row.recency_days, row.frequency, row.monetary_minor].map(|number| number.to_string());
            let [recency, frequency, monetary] = numbers.each_ref().map(String::as_str);
            let segments = row.segments.join(";");
            let counters: Vec<String> = row.windows.iter().map(|(_, count)| count.to_string()).collect();
            let fields = [&row.customer_id, recency, frequency, monetary, &row.currency, &segments];
            csv.write_record(fields.into_iter().chain(counters.iter().map(String::as_str)))?;
        }
        Ok(csv.flush()?)
    }

    /// Writes them into a file, which takes its name only when it is whole; one of that name is replaced.
    pub fn write_to(&self, path: &Path) -> anyhow::Result<()> {
        let shown = || path.display().to_string();
        ensure!(!path.metadata().is_ok_and(|found: Metadata| found.is_dir()), "{} is a folder", shown());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut draft = whole_file::draft(folder).with_context(shown)?;
        self.write(&mut draft).with_context(shown)?;
        draft.as_file().sync_all().with_context(shown)?;
        draft.persist(path).with_context(shown)?;
        Ok(())
    }
}

const COLUMNS: [&str; 6] = ["customer_id", "recency_days", "frequency", "monetary_minor", "currency", "segments"];

/// The name of a replay's table as of a time: with its date, and where it is not midnight UTC, with the time of day.
pub(crate) fn file_name(at: Timestamp) -> String {
    let shown = jiff::Timestamp::from_millisecond(at.as_millis()).map_or_else(
        |_| at.as_millis().to_string(),
        |instant| {
            let at = TimeZone::UTC.to_datetime(instant);
            // No colons: not every file system takes them.
            let format = match at.time() {
                time if time == Time::midnight() => "%Y-%m-%d",
                time if time.subsec_nanosecond() == 0 => "%Y-%m-%dT%H%M%SZ",
                _ => "%Y-%m-%dT%H%M%S%.fZ",
            };
            at.strftime(format).to_string()
        },
    );
    format!("customers-{shown}.csv")
}

fn note(
    installation: &Installation,
    customers: &mut BTreeMap<String, Known>,
    record: &ReadRecord,
    at: Timestamp,
) -> anyhow::Result<()> {
    if is_changelog_header(record) {
        return Ok(());
    }
    let key = record.key.as_deref().context("the record has no key")?;
    let customer = std::str::from_utf8(key).context("the record's key is no customer id")?;
    let Some(value) = &record.value else {
        customers.remove(customer);
        return Ok(());
    };
    let read: ChangelogRecord<SegmentationState> = installation.read(value)?;
    let state = read.state.context("a customer's record has no state")?;
    let known = Known {
        time: Timestamp::from_millis(read.time.unwrap_or(i64::MIN)),
        rows: customer_rows(customer, &state, at),
    };
    customers.insert(customer.to_owned(), known);
    Ok(())
}

/// What segmentation is about to give.
mod stub {
    use domain::Timestamp;
    use segmentation::SegmentationState;

    #[derive(Clone, Debug)]
    pub(super) struct CustomerRow {
        pub(super) customer_id: String,
        pub(super) recency_days: i64,
        pub(super) frequency: i64,
        pub(super) currency: String,
        pub(super) monetary_minor: i64,
        pub(super) windows: Vec<(String, i64)>,
        pub(super) segments: Vec<String>,
    }

    pub(super) fn customer_rows(customer_id: &str, state: &SegmentationState, _: Timestamp) -> Vec<CustomerRow> {
        vec![CustomerRow {
            customer_id: customer_id.to_owned(),
            recency_days: 0,
            frequency: state.events,
            currency: "GBP".to_owned(),
            monetary_minor: 0,
            windows: Vec::new(),
            segments: Vec::new(),
        }]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by it")]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_named_by_its_date_and_where_it_is_not_midnight_by_the_time_of_day() {
        for (at, name) in [
            ("2011-06-09T00:00:00Z", "customers-2011-06-09.csv"),
            ("2011-06-09T12:30:00Z", "customers-2011-06-09T123000Z.csv"),
            ("2011-06-09T00:00:00.5Z", "customers-2011-06-09T000000.5Z.csv"),
        ] {
            let at: jiff::Timestamp = at.parse().unwrap();
            assert_eq!(file_name(Timestamp::from_millis(at.as_millisecond())), name);
        }
        assert_eq!(file_name(Timestamp::MAX), format!("customers-{}.csv", i64::MAX));
    }
}
