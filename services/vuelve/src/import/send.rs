//! Sending: batches are made on a thread, and appended one after another; how far it came is kept once the broker has all of it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use kafka::{Appender, MAX_RECORD_BYTES, NewRecord};
use schemas::{Schemas, StorefrontEvent};

use super::meter::Meter;
use super::progress::{Counts, Progress, ProgressFile};
use super::rejects::Rejects;
use super::rows::{Broken, Place, Row};
use super::stopping::Stopping;
use super::units::{Became, Made, Rejected, Unit, Units};

/// What waits for the broker at once is no more, and twice as much is being made. It is also what is sent again after a kill: fewer
/// than the messages that the resolver remembers of one customer, so that all of them are known again.
const BATCH_EVENTS: usize = 2_000;
const BATCH_BYTES: usize = 2 << 20;
const BATCH_ROWS: u64 = 20_000;
/// Batches are so small that a rate is kept evenly.
const BATCHES_A_SECOND: u32 = 4;

/// Where events go.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) appender: Appender,
    pub(super) schemas: Schemas,
    pub(super) topic: Arc<str>,
    pub(super) progress: ProgressFile,
}

/// What is sent in one go.
#[derive(Debug, Default)]
struct Batch {
    records: Vec<NewRecord>,
    events: Vec<StorefrontEvent>,
    rejected: Vec<Rejected>,
    counts: Counts,
    bytes: usize,
    end: Place,
}

/// Sends what rows become.
pub(super) struct Sending<'a> {
    /// None where it is only looked what would be sent.
    pub(super) target: Option<Target>,
    /// How many of the first events are handed to `show`.
    pub(super) shown: usize,
    pub(super) show: &'a dyn Fn(&StorefrontEvent) -> anyhow::Result<()>,
    pub(super) rows_a_second: Option<NonZeroU32>,
    pub(super) rejects: Rejects,
    /// How a row's number is called.
    pub(super) unit: &'static str,
    pub(super) progress: Progress,
    /// The share of the file that has been read, by what of it is done.
    pub(super) share: &'a dyn Fn(Place) -> f64,
    pub(super) stopping: &'a Stopping,
    /// Whether what was read is what was there when it began; asked at the end.
    pub(super) unchanged: &'a dyn Fn() -> anyhow::Result<()>,
}

impl Sending<'_> {
    /// Sends everything, until the end or until it is stopped; returns what became of the rows, and whether that is all.
    pub(super) fn run(mut self, tokio: &tokio::runtime::Runtime, units: Units<'_>) -> anyhow::Result<(Counts, bool)> {
        let (give, take) = sync_channel(1);
        let encoding = self.target.as_ref().map(|target| (target.schemas.clone(), target.topic.clone()));
        let most_rows = self.rows_a_second.map_or(BATCH_ROWS, |rate| u64::from(rate.get() / BATCHES_A_SECOND).max(1));
        let making = Making { encoding, shown: self.shown, most_rows: most_rows.min(BATCH_ROWS) };
        thread::scope(|scope| {
            let maker = scope.spawn(move || making.run(units, &give));
            let sent = self.all(tokio, &take);
            // Who makes batches ends where nobody takes them.
            drop(take);
            // What was acknowledged is kept, whatever came after it.
            let kept = self.keep();
            let made = maker.join();
            let is_all = sent?;
            kept?;
            made.map_err(|_| {
                anyhow::anyhow!("the file can't be read further than {} rows: it is damaged", self.progress.counts.rows)
            })?;
            Ok((self.progress.counts, is_all))
        })
    }

    fn all(
        &mut self,
        tokio: &tokio::runtime::Runtime,
        batches: &Receiver<anyhow::Result<Option<Batch>>>,
    ) -> anyhow::Result<bool> {
        let (began, before) = (Instant::now(), self.progress.counts.rows);
        let mut meter = Meter::new(self.progress.counts, (self.share)(self.progress.place));
        let mut is_all = false;
        // An error is a maker that has ended without a word: it panicked.
        while let Ok(batch) = batches.recv() {
            let Some(batch) = batch? else {
                (self.unchanged)()?;
                is_all = true;
                break;
            };
            self.wait_for_rate(began, self.progress.counts.rows - before);
            if self.stopping.is_asked() {
                break;
            }
            self.one(tokio, &batch)?;
            self.keep()?;
            meter.show(self.progress.counts, (self.share)(self.progress.place));
        }
        meter.finish();
        self.progress.finished = is_all;
        Ok(is_all)
    }

    fn one(&mut self, tokio: &tokio::runtime::Runtime, batch: &Batch) -> anyhow::Result<()> {
        for event in &batch.events {
            (self.show)(event)?;
        }
        if let Some(target) = &self.target {
            tokio.block_on(target.appender.append(&batch.records)).with_context(|| {
                format!(
                    "{} rows are done; the same command goes on from there once the broker takes them",
                    self.progress.counts.rows
                )
            })?;
        }
        for rejected in &batch.rejected {
            self.rejects.add(rejected, self.unit)?;
        }
        let (counts, more) = (&mut self.progress.counts, batch.counts);
        counts.rows += more.rows;
        counts.events += more.events;
        counts.taken += more.taken;
        counts.passed_over += more.passed_over;
        counts.rejected += more.rejected;
        self.progress.place = batch.end;
        Ok(())
    }

    /// Keeps how far it came; the report is on the disk before.
    fn keep(&mut self) -> anyhow::Result<()> {
        self.rejects.sync()?;
        self.progress.rejects_bytes = self.rejects.bytes();
        self.target.as_ref().map_or(Ok(()), |target| target.progress.save(&self.progress))
    }

    fn wait_for_rate(&self, began: Instant, rows: u64) {
        let Some(rate) = self.rows_a_second else { return };
        let due = began + Duration::from_secs_f64(rows as f64 / f64::from(rate.get()));
        while !self.stopping.is_asked() {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}

/// Makes batches of rows.
struct Making {
    encoding: Option<(Schemas, Arc<str>)>,
    shown: usize,
    most_rows: u64,
}

impl Making {
    /// Until the end, an error, or nobody takes them any more.
    fn run(mut self, mut units: Units<'_>, give: &SyncSender<anyhow::Result<Option<Batch>>>) {
        let mut batch = Batch::default();
        loop {
            let next = match units.next() {
                Ok(Some(unit)) => self.add(&mut batch, unit).map(|()| true),
                Ok(None) => Ok(false),
                Err(error) => Err(error),
            };
            let is_full = batch.counts.rows >= self.most_rows
                || batch.counts.events as usize >= BATCH_EVENTS
                || batch.bytes >= BATCH_BYTES;
            let goes_on = matches!(next, Ok(true));
            let is_given = (goes_on && !is_full)
                || batch.counts.rows == 0
                || give.send(Ok(Some(std::mem::take(&mut batch)))).is_ok();
            let end = match next {
                Ok(true) if is_given => continue,
                Ok(true) => return,
                Ok(false) => Ok(None),
                Err(error) => Err(error),
            };
            // Nobody waits for it where it can't be given.
            let _ = give.send(end);
            return;
        }
    }

    fn add(&mut self, batch: &mut Batch, unit: Unit) -> anyhow::Result<()> {
        batch.counts.rows += unit.rows;
        batch.end = unit.end;
        let became = match unit.became {
            Became::Event(made) => match self.record(&made)? {
                Ok(record) => {
                    batch.counts.events += 1;
                    batch.counts.taken += unit.rows - unit.passed_over;
                    batch.bytes += record.as_ref().map_or(0, size);
                    batch.records.extend(record);
                    if self.shown > 0 {
                        self.shown -= 1;
                        batch.events.push(made.event);
                    }
                    batch.counts.passed_over += unit.passed_over;
                    return Ok(());
                }
                Err(broken) => Became::Rejected(made.rejected(broken)),
            },
            became => became,
        };
        if let Became::Rejected(rejected) = became {
            batch.counts.rejected += unit.rows;
            batch.bytes += rejected.rows.iter().map(Row::bytes).sum::<usize>();
            batch.rejected.push(rejected);
        } else {
            batch.counts.passed_over += unit.passed_over;
        }
        Ok(())
    }

    /// The record of an event, if any is sent; or why the client would not send it.
    fn record(&self, made: &Made) -> anyhow::Result<Result<Option<NewRecord>, Broken>> {
        let Some((schemas, topic)) = &self.encoding else { return Ok(Ok(None)) };
        let mut value = Vec::new();
        schemas.encode(ingestion::RECEIVED, &made.event, &mut value)?;
        let (topic, key) = (Arc::clone(topic), Some(made.key.clone().into_bytes()));
        Ok(sendable(NewRecord { topic, partition: None, key, value: Some(value.into()), headers: [].into() }).map(Some))
    }
}

/// A record as it is, unless no client sends one of its size: it would end the import each time that it is gone on with.
fn sendable(record: NewRecord) -> Result<NewRecord, Broken> {
    let bytes = size(&record);
    if bytes <= MAX_RECORD_BYTES {
        return Ok(record);
    }
    let problem = format!("its event has {bytes} bytes as a record; at most {MAX_RECORD_BYTES} are sent");
    Err(Broken::new("too_large", problem))
}

fn size(record: &NewRecord) -> usize {
    record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_no_client_sends_is_rejected_instead_of_ending_the_import() {
        let record = |bytes: usize| {
            let (key, value) = (Some(vec![0; 10]), Some(vec![0; bytes - 10].into()));
            sendable(NewRecord { topic: "t".into(), partition: None, key, value, headers: [].into() })
        };
        assert!(record(MAX_RECORD_BYTES).is_ok());
        let refused = record(MAX_RECORD_BYTES + 1).map(|record| size(&record));
        assert_eq!(refused.map_err(|broken| broken.reason), Err("too_large"));
    }
}
