//! Boundaries of quintiles: learnt from segmentation's changelog, and published for its workers and for others.
//!
//! Wanted properties:
//! - they are learnt from all customers, over all partitions: from what was committed before the reading began;
//! - as of T means by what happened before T: where something later was counted of anybody, or not all before has come, that is
//!   an error, and nothing is published;
//! - where fewer than five customers have an order nothing is published, and what was published before stays in force.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use domain::Timestamp;
use kafka::{Appender, ReadRecord, RegistryError};
use schemas::{CurrencyQuintiles, Quintiles};
use segmentation::{Boundaries, MIN_CUSTOMERS, Standing};
use serde::Serialize;

use crate::customers::{Changelog, dated};
use crate::headers;
use crate::hosting::Installation;
use crate::written;

pub(crate) const DATASET: &str = "customer.quintiles";
/// Of the one record that is in force.
const KEY: &[u8] = b"quintiles";

/// What is in force.
#[derive(Clone, Debug)]
pub struct Published {
    /// The boundaries.
    pub boundaries: Boundaries,
    /// Where their record lies.
    pub offset: i64,
}

impl Published {
    /// Reads the topic. What can't be read changes nothing, as for segmentation.
    pub fn read(installation: &Installation, timeout: Duration) -> anyhow::Result<Option<Self>> {
        let (mut published, mut failure) = (None, None);
        kafka::read_topic(&installation.cluster, &installation.cluster.topic(DATASET), timeout, |record| {
            failure = Self::hear(&mut published, installation, &record).err();
            failure.is_none()
        })?;
        failure.map_or(Ok(published), |error| Err(error.into()))
    }

    /// Puts in force what a record of the topic says.
    pub(crate) fn hear(
        published: &mut Option<Self>,
        installation: &Installation,
        record: &ReadRecord,
    ) -> Result<(), RegistryError> {
        let Some(value) = &record.value else {
            *published = None;
            return Ok(());
        };
        let boundaries = installation.decode::<Quintiles>(value)?.and_then(|learnt| Boundaries::of(&learnt).ok());
        if let Some(boundaries) = boundaries {
            *published = Some(Self { boundaries, offset: record.offset });
        }
        Ok(())
    }
}

/// Learns the boundaries by what happened before `at`; with none, by all that was counted, as of now, and in a replay as of the
/// time that it stands at. It gives up once it is told not to `go_on`.
pub fn learn(
    installation: &Installation,
    at: Option<Timestamp>,
    timeout: Duration,
    go_on: &dyn Fn() -> bool,
) -> anyhow::Result<Quintiles> {
    let Some(at) = at else {
        let as_of = Changelog::present(installation, timeout)?;
        let buyers = Changelog::read(installation, timeout, go_on, |_, _, state| Standing::of(state, as_of))?;
        return Ok(segmentation::learn(buyers.customers.into_values(), as_of));
    };
    let changelog = Changelog::known(installation, timeout, go_on, |_, state| Standing::of(state, at))?;
    changelog.refuse_what_came_later(at)?;
    if let Some(behind) = changelog.behind(at) {
        bail!("{behind}");
    }
    Ok(segmentation::learn(changelog.customers.into_values().filter_map(|known| known.made), at))
}

/// Publishes what was learnt; returns the offset of its record.
pub async fn publish(installation: &Installation, learnt: &Quintiles, timeout: Duration) -> anyhow::Result<i64> {
    ensure_enough(learnt)?;
    let record = installation.record(DATASET, Some(0), KEY, Some(learnt))?;
    let ends = Appender::new(&installation.cluster, "vuelve-quintiles", timeout)?.append(&[record]).await?;
    Ok(ends.get(&0).context("the broker did not say where the boundaries lie")? - 1)
}

/// Whether there are enough customers for boundaries.
pub fn is_enough(learnt: &Quintiles) -> bool {
    !learnt.recency_days.is_empty()
}

fn ensure_enough(learnt: &Quintiles) -> anyhow::Result<()> {
    let customers = learnt.customers;
    ensure!(
        is_enough(learnt),
        "{customers} customers have an order, and quintiles take {MIN_CUSTOMERS}: nothing is published"
    );
    Ok(())
}

/// Waits until every customer was judged by the boundaries at this offset. Gives up where nothing moves for `timeout`.
pub fn wait_until_all_are_judged(installation: &Installation, offset: i64, timeout: Duration) -> anyhow::Result<()> {
    headers::wait_until_told(installation, "segmentation", (DATASET, offset + 1), timeout, |_| {})
}

/// The name of a replay's file of boundaries as of a time.
pub(crate) fn file_name(at: Timestamp) -> String {
    dated("quintiles", at, "json")
}

/// As people read them.
#[derive(Serialize)]
struct Shown<'q> {
    learnt_at: String,
    customers: i64,
    recency_days: &'q [i64],
    frequency: &'q [i64],
    monetary: Vec<ShownCurrency<'q>>,
}

#[derive(Serialize)]
struct ShownCurrency<'q> {
    currency: &'q str,
    customers: i64,
    bounds_minor: &'q [i64],
}

/// What was learnt, as JSON.
pub fn json(learnt: &Quintiles) -> anyhow::Result<String> {
    fn of_currency(of: &CurrencyQuintiles) -> ShownCurrency<'_> {
        ShownCurrency { currency: &of.currency, customers: of.customers, bounds_minor: &of.bounds }
    }
    let shown = Shown {
        learnt_at: written::time(Timestamp::from_millis(learnt.learnt_at)),
        customers: learnt.customers,
        recency_days: &learnt.recency_days,
        frequency: &learnt.frequency,
        monetary: learnt.monetary.iter().map(of_currency).collect(),
    };
    Ok(serde_json::to_string_pretty(&shown)? + "\n")
}
