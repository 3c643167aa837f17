//! Row: the segmentation worker, which makes each event a part of its customer's profile, and tells of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context, ensure};
use rdkafka::message::Message as _;
use schemas::{ChangelogRecord, CustomerEvent};
use segmentation::SegmentationState;
use tests::installation::State;

use crate::drain::{drain, hash};
use crate::expected::{Tally, compare};
use crate::shared::event::{Event, What};
use crate::shared::installation::{Installation, Parts};
use crate::shared::sample::Sample;
use crate::shared::storefront::{EVENTS, TOLD};
use crate::shared::workload::Workload;

const CHANGELOG: &str = "segmentation.changelog";

/// The worker takes all events, each of which has to be told of once, and counted in its customer's profile once.
pub(crate) fn segmentation(parts: &Parts, workload: &Workload, state: State, round: u32) -> anyhow::Result<Sample> {
    let (installation, sample) = drain(parts, workload, "segmentation", EVENTS, state, round)?;
    is_told_once(&installation, workload)?;
    compare(&counted(&installation)?, &expected(workload.for_workers()))?;
    installation.has_no_dead_letters()?;
    installation.remove()?;
    Ok(sample)
}

fn is_told_once(installation: &Installation<'_>, workload: &Workload) -> anyhow::Result<()> {
    let (mut told, mut ids) = (0, HashSet::new());
    installation.read_all(TOLD, |message| {
        let record: CustomerEvent = installation.schemas().decode(message.payload().unwrap_or_default())?;
        if let Some(event) = record.event {
            told += 1;
            ids.insert(hash(&event.message_id));
        }
        Ok(())
    })?;
    let expected: HashSet<u64> = workload.for_workers().map(|event| hash(&event.message_id())).collect();
    ensure!(ids.len() == told, "no score: {told} events are told of, {} of them different", ids.len());
    ensure!(ids == expected, "no score: the {told} events that are told of are not those that were written");
    Ok(())
}

/// What all profiles together say was done, by the last record of each customer.
fn counted(installation: &Installation<'_>) -> anyhow::Result<Tally> {
    let mut profiles: HashMap<u64, [i64; 5]> = HashMap::new();
    installation.read_all(CHANGELOG, |message| {
        // Headers have keys that are no customer's.
        let key = message.key().and_then(|key| str::from_utf8(key).ok()).context("a record has no key")?;
        let Some(value) = message.payload().filter(|_| key.starts_with("u-")) else { return Ok(()) };
        let record: ChangelogRecord<SegmentationState> = installation.schemas().decode(value)?;
        let state = record.state.unwrap_or_default();
        let orders = state.currencies.iter().map(|spending| spending.orders).sum();
        let totals = state.totals;
        let counts = [totals.product_views, totals.page_views, totals.cart_additions, totals.checkouts, orders];
        profiles.insert(hash(key), counts);
        Ok(())
    })?;
    let mut tally = Tally::from([("customers".to_owned(), profiles.len() as u64)]);
    for counts in profiles.into_values() {
        for (what, count) in WHAT.into_iter().zip(counts) {
            *tally.entry(name(what)).or_default() += count.unsigned_abs();
        }
    }
    Ok(tally)
}

const WHAT: [What; 5] = [What::Viewed, What::Page, What::Added, What::CheckoutStarted, What::Ordered];

fn name(what: What) -> String {
    format!("{what:?}")
}

fn expected<'a>(events: impl Iterator<Item = &'a Event>) -> Tally {
    let (mut tally, mut customers) = (BTreeMap::new(), HashSet::new());
    for event in events {
        customers.insert(event.customer);
        *tally.entry(name(event.what)).or_default() += 1;
    }
    tally.insert("customers".to_owned(), customers.len() as u64);
    tally
}
