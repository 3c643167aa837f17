//! One look after another: what is next to do for the requests that are open, and the receipts that come of it.

use std::collections::HashMap;
use std::time::Duration;

use kafka::NewRecord;
use schemas::PrivacyReceipt;

use super::book::Book;
use super::forgotten::Bounds;
use super::removed::{ReadAt, Removal, Stores};
use super::states::Patience;
use super::{ERASER, RECEIPTS, REQUESTS, forgotten, record, removed, shop};
use crate::hosting::Installation;

/// Sees requests through. What it remembers only spares reading again: all else is in the log.
#[derive(Debug)]
pub struct Eraser {
    installation: Installation,
    stores: Stores,
    timeout: Duration,
    /// Where both topics ended when nothing was to do.
    idle: Option<Vec<Bounds>>,
    read_at: ReadAt,
}

/// What came of a look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// What its requests wait for: services that have not read far enough.
    pub waits: Option<String>,
    /// How many further ids were asked for.
    pub asked: usize,
    /// How many receipts were written.
    pub receipts: usize,
    /// In how many places something of somebody who is forgotten may still lie,
    pub places_left: usize,
    /// of so many that are looked at.
    pub places: usize,
    /// The first of them.
    pub first_left: Option<String>,
}

impl Eraser {
    /// `stores` are those of all services, by their names, where they are in Redis.
    pub fn new(
        installation: Installation,
        stores: HashMap<String, std::sync::Arc<dyn store::Lookups>>,
        timeout: Duration,
    ) -> Self {
        Self { installation, stores, timeout, idle: None, read_at: HashMap::new() }
    }

    /// Does what is next for every open request, or gives up once it is told not to `go_on`. On a thread that may wait.
    pub fn look(&mut self, go_on: &dyn Fn() -> bool) -> anyhow::Result<Looked> {
        let patience = Patience { timeout: self.timeout, go_on };
        let ends = self.ends()?;
        if self.idle.as_ref() == Some(&ends) {
            return Ok(Looked::default());
        }
        let mut looked = Looked::default();
        let book = Book::read(&self.installation, self.timeout)?;
        let of_shops = shop::look(&self.installation, &book, patience)?;
        looked.asked += self.ask(&of_shops.asks)?;
        looked.receipts += self.write(&of_shops.receipts)?;
        looked.waits = of_shops.waits;
        match forgotten::look(&self.installation, &book, !self.stores.is_empty(), patience)? {
            forgotten::Looked::Nothing => {}
            forgotten::Looked::Behind(behind) => looked.waits = Some(behind),
            forgotten::Looked::Asks(asks) => looked.asked += self.ask(&asks)?,
            forgotten::Looked::Forgotten(receipts) => looked.receipts += self.write(&receipts)?,
        }
        let has_written = looked.asked + looked.receipts > 0;
        let book = if has_written { Book::read(&self.installation, self.timeout)? } else { book };
        let removal = Removal { installation: &self.installation, stores: &self.stores, patience };
        let removed::Looked { receipts, ticks, left, places, first_left } = removal.look(&book, &mut self.read_at)?;
        (looked.places_left, looked.places, looked.first_left) = (left, places, first_left);
        looked.receipts += self.write(&receipts)?;
        self.append(ticks)?;
        // Ends that were asked for before the reading: what came since is seen by the next look.
        let is_idle = book.to_forget().is_empty() && book.to_remove().is_empty() && book.shops().is_empty();
        self.idle = is_idle.then_some(ends);
        Ok(looked)
    }

    fn ends(&self) -> anyhow::Result<Vec<Bounds>> {
        let cluster = &self.installation.cluster;
        let of = |dataset| Ok(kafka::bounds(cluster, &cluster.topic(dataset), 0..cluster.partitions, self.timeout)?);
        [REQUESTS, RECEIPTS].into_iter().map(of).collect()
    }

    fn ask(&self, asks: &[schemas::PrivacyRequest]) -> anyhow::Result<usize> {
        let records = asks.iter().map(|ask| record(&self.installation, ask)).collect::<anyhow::Result<Vec<_>>>()?;
        self.append(records)
    }

    fn append(&self, records: Vec<NewRecord>) -> anyhow::Result<usize> {
        if records.is_empty() {
            return Ok(0);
        }
        self.installation.append_alone(ERASER, self.timeout, || Ok(records))
    }

    fn write(&self, receipts: &[PrivacyReceipt]) -> anyhow::Result<usize> {
        write(&self.installation, receipts, self.timeout)
    }
}

/// Writes receipts, each once: those that are there by then are left out, and nobody else writes at the same time.
pub(super) fn write(
    installation: &Installation,
    receipts: &[PrivacyReceipt],
    timeout: Duration,
) -> anyhow::Result<usize> {
    if receipts.is_empty() {
        return Ok(0);
    }
    installation.append_alone(ERASER, timeout, || missing(installation, receipts, timeout))
}

fn missing(
    installation: &Installation,
    receipts: &[PrivacyReceipt],
    timeout: Duration,
) -> anyhow::Result<Vec<NewRecord>> {
    let book = Book::read(installation, timeout)?;
    let record = |receipt: &PrivacyReceipt| {
        let about = receipt.customer_id.as_deref().unwrap_or(&receipt.shop);
        Ok(installation.record(RECEIPTS, None, about, Some(receipt))?)
    };
    receipts.iter().filter(|receipt| !book.has(receipt)).map(record).collect()
}
