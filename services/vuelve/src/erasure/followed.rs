//! How far single requests are, from the log as it is at the moment of asking: each partition is read on from where it was read
//! last.
//!
//! Wanted properties:
//! - what was committed before somebody asks is in the answer;
//! - what is kept in memory of a request is small: its receipts stay in the log, and are read where they lie;
//! - nothing is kept of the requests for further ids, which nobody asks about.

use std::collections::HashMap;
use std::time::Duration;

use ingestion::partition_of;
use kafka::{Follower, PlaceReader, ReadRecord, Section, read_section};
use parking_lot::Mutex;
use schemas::{PrivacyReceipt, PrivacyRequest, PrivacyStage};

use super::book::{Key, about, last_stage};
use super::{DERIVED, RECEIPTS, REQUESTS};
use crate::hosting::Installation;

/// A request, and how far it is.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The request. Where the log has only its receipt any more, without what that doesn't tell.
    pub request: PrivacyRequest,
    /// Since when nobody knows her any more.
    pub forgotten_at: Option<i64>,
    /// Since when it is fulfilled.
    pub done_at: Option<i64>,
    last_receipt: Option<Place>,
}

/// Where a record lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    partition: i32,
    offset: i64,
}

/// Reads on when it is asked.
#[derive(Debug)]
pub struct Followed {
    installation: Installation,
    /// How long the broker may say nothing.
    timeout: Duration,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    asker: Option<Follower>,
    receipts: Option<PlaceReader>,
    /// By dataset and partition, what comes next.
    next: HashMap<(&'static str, i32), i64>,
    known: HashMap<Key, Known>,
}

/// What is known of a request.
#[derive(Debug)]
struct Known {
    request: PrivacyRequest,
    receipts: Vec<(PrivacyStage, i64, Place)>,
}

impl Followed {
    /// It has read nothing yet.
    pub fn new(installation: &Installation, timeout: Duration) -> Self {
        Self { installation: installation.clone(), timeout, read: Mutex::default() }
    }

    /// How far a request is; none where there is no such request. Waits for the broker, on a thread that may.
    pub fn find(&self, request_id: &str, about: &str) -> anyhow::Result<Option<Standing>> {
        let partition = partition_of(about.as_bytes(), self.installation.cluster.partitions);
        let read = &mut *self.read.lock();
        let caught_up = [REQUESTS, RECEIPTS].into_iter().try_for_each(|dataset| self.read_on(read, dataset, partition));
        if caught_up.is_err() {
            // Whatever has become of it, the next who asks begins with another.
            read.asker = None;
        }
        caught_up?;
        let known = read.known.get(&(request_id.to_owned(), about.to_owned()));
        Ok(known.map(Known::standing))
    }

    /// Notes a request that the log has just taken: where a transaction is open before it, it is not to be read there yet.
    pub fn asked(&self, request: PrivacyRequest) -> Standing {
        self.read.lock().note_request(request).standing()
    }

    /// The last receipt, if there is one; none either where its retention is over.
    pub fn last_receipt(&self, standing: &Standing) -> anyhow::Result<Option<PrivacyReceipt>> {
        let Some(place) = standing.last_receipt else { return Ok(None) };
        let read = &mut *self.read.lock();
        let cluster = &self.installation.cluster;
        let reader = match &mut read.receipts {
            Some(reader) => reader,
            none => none.insert(PlaceReader::new(cluster, self.timeout)?),
        };
        let record = reader.at(&cluster.topic(RECEIPTS), place.partition, place.offset);
        if record.is_err() {
            read.receipts = None;
        }
        record?.and_then(|record| record.value).map(|value| self.installation.read(&value)).transpose()
    }

    /// Reads what a partition of a topic holds by now and was not read yet.
    fn read_on(&self, read: &mut Read, dataset: &'static str, partition: i32) -> anyhow::Result<()> {
        let cluster = &self.installation.cluster;
        let topic = cluster.topic(dataset);
        let asker = match &mut read.asker {
            Some(asker) => asker,
            none => none.insert(Follower::new(cluster, &[], self.timeout)?),
        };
        let end = asker.stable_end(&topic, partition)?;
        let from = read.next.get(&(dataset, partition)).copied().unwrap_or_default();
        if from >= end {
            return Ok(());
        }
        let section = Section { partition: Some(partition), from: Some(from), ..Section::default() };
        let mut failure = None;
        read_section(cluster, &topic, section, self.timeout, |record, _| {
            failure = read.note(&self.installation, dataset, &record).err();
            failure.is_none()
        })?;
        if let Some(error) = failure {
            return Err(error.into());
        }
        read.next.insert((dataset, partition), end);
        Ok(())
    }
}

impl Read {
    /// Notes a record; one that comes again changes nothing.
    fn note(
        &mut self,
        installation: &Installation,
        dataset: &str,
        record: &ReadRecord,
    ) -> Result<(), kafka::RegistryError> {
        let Some(value) = &record.value else { return Ok(()) };
        let (request, receipt) = if dataset == RECEIPTS {
            match installation.decode::<PrivacyReceipt>(value)? {
                Some(receipt) => (request_of(&receipt), Some((receipt.stage, receipt.at))),
                None => return Ok(()),
            }
        } else {
            match installation.decode::<PrivacyRequest>(value)? {
                Some(request) => (request, None),
                None => return Ok(()),
            }
        };
        if DERIVED.contains(&request.source.as_str()) {
            return Ok(());
        }
        let known = self.note_request(request);
        if let Some((stage, at)) = receipt
            && known.receipts.iter().all(|(known, ..)| *known != stage)
        {
            known.receipts.push((stage, at, Place { partition: record.partition, offset: record.offset }));
        }
        Ok(())
    }

    fn note_request(&mut self, request: PrivacyRequest) -> &mut Known {
        let key = (request.request_id.clone(), about(&request).to_owned());
        self.known.entry(key).or_insert_with(|| Known { request, receipts: Vec::new() })
    }
}

impl Known {
    fn standing(&self) -> Standing {
        let of = |stage| self.receipts.iter().find(|(known, ..)| *known == stage);
        let (forgotten, done) = (of(PrivacyStage::Forgotten), of(last_stage(self.request.kind)));
        Standing {
            request: self.request.clone(),
            forgotten_at: forgotten.map(|(_, at, _)| *at),
            done_at: done.map(|(_, at, _)| *at),
            last_receipt: done.or(forgotten).map(|(.., place)| *place),
        }
    }
}

/// What a receipt tells of its request.
fn request_of(receipt: &PrivacyReceipt) -> PrivacyRequest {
    PrivacyRequest {
        request_id: receipt.request_id.clone(),
        kind: receipt.kind,
        customer_id: receipt.customer_id.clone(),
        shop: receipt.shop.clone(),
        at: receipt.requested_at,
        source: receipt.source.clone(),
        ..PrivacyRequest::default()
    }
}
