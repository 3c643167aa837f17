//! The customers as of a time, as a table: who they are is what segmentation's changelog says.
//!
//! Wanted properties:
//! - each customer with an order has a row for each currency, and nobody else has one;
//! - quintiles are by the boundaries that are published, segments as she was judged;
//! - what was committed before the reading began is in it, and nothing later;
//! - as of T means by what happened before T: where something later was counted of anybody, that can't be told, and is an error;
//!   where time has gone past T for anybody, or has not come to it, the table says so;
//! - memory is bounded by the number of customers, not by how often their states changed.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use domain::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use kafka::{ReadRecord, is_changelog_header};
use schemas::ChangelogRecord;
use segmentation::{CustomerRow, SegmentationState, WINDOW_COLUMNS, customer_rows, known_until};

use crate::headers::HeaderBook;
use crate::hosting::Installation;
use crate::quintiles::Published;
use crate::replay::time_of;
use crate::{whole_file, written};

const SERVICE: &str = "segmentation";
const CHANGELOG: &str = "segmentation.changelog";

/// The customers as of a time.
#[derive(Debug)]
pub struct Customers {
    rows: Vec<CustomerRow>,
    /// Why some segments may be those of another time; none where every row is exact.
    pub doubt: Option<String>,
}

/// What the last record of a customer says.
pub(crate) struct Known<T> {
    /// Her own time: later than what she did where her timers have fired.
    time: Timestamp,
    /// When she last did something.
    until: Timestamp,
    /// What was made of her state.
    pub(crate) made: T,
}

impl Customers {
    /// Reads them by what happened before `at`; with none, by all that was counted, as of now, and in a replay as of the time
    /// that it stands at.
    pub fn read(installation: &Installation, at: Option<Timestamp>, timeout: Duration) -> anyhow::Result<Self> {
        let as_of = match at {
            Some(at) => at,
            None => Changelog::present(installation, timeout)?,
        };
        let published = Published::read(installation, timeout)?.map(|published| published.boundaries);
        let rows = |customer: &str, state: &_| customer_rows(customer, state, as_of, published.as_ref());
        let changelog = Changelog::known(installation, timeout, &|| true, rows)?;
        let doubt = if at.is_some() { changelog.check(as_of)? } else { None };
        Ok(Self { rows: changelog.customers.into_values().flat_map(|known| known.made).collect(), doubt })
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
        csv.write_record(COLUMNS.into_iter().chain(QUINTILE_COLUMNS).chain(WINDOW_COLUMNS))?;
        for row in &self.rows {
            let numbers = [row.recency_days, row.frequency, row.monetary_minor].map(|number| number.to_string());
            let [recency, frequency, monetary] = numbers.each_ref().map(String::as_str);
            let segments = row.segments.join(";");
            let quintiles = row.quintiles.map(|quintile| quintile.map_or_else(String::new, |is| is.to_string()));
            let counters = row.windows.map(|count| count.to_string());
            let fields = [&row.customer_id, recency, frequency, monetary, &row.currency, &segments];
            let more = quintiles.iter().chain(&counters).map(String::as_str);
            csv.write_record(fields.into_iter().chain(more))?;
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
const QUINTILE_COLUMNS: [&str; 3] = ["recency_quintile", "frequency_quintile", "monetary_quintile"];

/// The name of a replay's table as of a time.
pub(crate) fn file_name(at: Timestamp) -> String {
    dated("customers", at, "csv")
}

/// The name of a file about a time: with its date, and where it is not midnight UTC, with the time of day.
pub(crate) fn dated(what: &str, at: Timestamp, extension: &str) -> String {
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
    format!("{what}-{shown}.{extension}")
}

/// Segmentation's changelog: of each customer of whom somebody makes anything, what is made of her last state.
pub(crate) struct Changelog<T> {
    headers: HeaderBook,
    partitions: i32,
    pub(crate) customers: BTreeMap<String, T>,
}

impl<T> Changelog<T> {
    /// Reads it to its end, or gives up once it is told not to `go_on`. What is made of a state is told the customer, her own
    /// time and the state; of whom nothing is made, nothing is kept: most of a shop's states are of visitors.
    pub(crate) fn read(
        installation: &Installation,
        timeout: Duration,
        go_on: &dyn Fn() -> bool,
        mut make: impl FnMut(&str, Timestamp, &SegmentationState) -> Option<T>,
    ) -> anyhow::Result<Self> {
        let cluster = &installation.cluster;
        let headers = HeaderBook::new(installation, &[SERVICE]);
        let mut changelog = Self { headers, partitions: cluster.partitions, customers: BTreeMap::new() };
        let mut failure = None;
        kafka::read_topic(cluster, &cluster.topic(CHANGELOG), timeout, |record| {
            if !go_on() {
                failure = Some(anyhow!("the reading was given up"));
                return false;
            }
            let noted = changelog.note(installation, &record, &mut make);
            let place = || format!("{}[{}]@{}", record.topic, record.partition, record.offset);
            failure = noted.with_context(place).err();
            failure.is_none()
        })?;
        failure.map_or(Ok(changelog), Err)
    }

    fn note(
        &mut self,
        installation: &Installation,
        record: &ReadRecord,
        make: &mut impl FnMut(&str, Timestamp, &SegmentationState) -> Option<T>,
    ) -> anyhow::Result<()> {
        if is_changelog_header(record) {
            return self.headers.hear(record).map(drop);
        }
        let key = record.key.as_deref().context("the record has no key")?;
        let customer = std::str::from_utf8(key).context("the record's key is no customer id")?;
        let Some(value) = &record.value else {
            self.customers.remove(customer);
            return Ok(());
        };
        let read: ChangelogRecord<SegmentationState> = installation.read(value)?;
        let state = read.state.context("a customer's record has no state")?;
        match make(customer, Timestamp::from_millis(read.time.unwrap_or(i64::MIN)), &state) {
            Some(made) => self.customers.insert(customer.to_owned(), made),
            None => self.customers.remove(customer),
        };
        Ok(())
    }

    /// How far time has come everywhere.
    pub(crate) fn time(&self) -> Timestamp {
        time_of(SERVICE, &self.headers, self.partitions)
    }
}

impl Changelog<()> {
    /// The time as of which all that was counted is asked for: now, and in a replay the time that it stands at.
    pub(crate) fn present(installation: &Installation, timeout: Duration) -> anyhow::Result<Timestamp> {
        if installation.replay {
            return Ok(Self::read(installation, timeout, &|| true, |_, _, _| None)?.time());
        }
        Ok(Timestamp::from_millis(jiff::Timestamp::now().as_millisecond()))
    }
}

impl<T> Changelog<Known<T>> {
    /// What is made of a state is told the customer and the state; all of them are kept.
    pub(crate) fn known(
        installation: &Installation,
        timeout: Duration,
        go_on: &dyn Fn() -> bool,
        mut make: impl FnMut(&str, &SegmentationState) -> T,
    ) -> anyhow::Result<Self> {
        Self::read(installation, timeout, go_on, |customer, time, state| {
            let until = known_until(state).unwrap_or(Timestamp::MIN);
            Some(Known { time, until, made: make(customer, state) })
        })
    }

    /// Refuses a time that something later was counted after.
    pub(crate) fn refuse_what_came_later(&self, at: Timestamp) -> anyhow::Result<()> {
        let shown = written::time(at);
        if let Some((customer, known)) = self.customers.iter().find(|(_, known)| known.until >= at) {
            bail!(
                "who the customers were at {shown} is not known any more: what {customer} did at {} is counted already; \
                 `vuelve replay --as-of` tells it of recorded events",
                written::time(known.until),
            );
        }
        Ok(())
    }

    /// Says so where not all that comes before a time has come.
    pub(crate) fn behind(&self, at: Timestamp) -> Option<String> {
        let (time, shown) = (self.time(), written::time(at));
        let behind =
            || format!("segmentation has come to {} only, so what comes until {shown} is missing", written::time(time));
        (time < at).then(behind)
    }
}

impl Changelog<Known<Vec<CustomerRow>>> {
    /// Refuses a time that something later was counted after; tells where timers have fired that were due later, or where some
    /// that were due before may not have fired.
    fn check(&self, at: Timestamp) -> anyhow::Result<Option<String>> {
        self.refuse_what_came_later(at)?;
        let later = self.customers.values().filter(|known| known.time > at && !known.made.is_empty()).count();
        if later > 0 {
            let shown = written::time(at);
            return Ok(Some(format!("of {later} customers the segments are those of a time after {shown}")));
        }
        Ok(self.behind(at))
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
