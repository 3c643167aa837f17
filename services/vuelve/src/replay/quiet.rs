//! Waiting until an installation in replay has processed everything, and moving its time.

use std::time::{Duration, Instant};

use anyhow::bail;
use domain::Timestamp;
use ingestion::Resolver;
use journeys::Journeys;
use kafka::{Appender, Follower};
use messaging::Messaging;
use segmentation::Segmentation;
use stream::{Service, Topology};

use super::moving::{BY_STOREFRONT_EVENTS, Move, time_of};
use super::open_messages::OpenMessages;
use crate::headers::Headers;
use crate::hosting::Installation;
use crate::written;

const SERVICES: [&str; 4] = ["ingestion", "journeys", "messaging", "segmentation"];
const EVENTS: &str = "storefront.events";
const QUIET: Duration = Duration::from_millis(300);
/// After so long it looks how far all have come, however much comes. What was not read yet makes them seem to be further behind,
/// never further on.
const AT_MOST: Duration = Duration::from_secs(1);

/// Watches an installation in replay.
#[derive(Debug)]
pub(super) struct Watch {
    installation: Installation,
    headers: Headers,
    timeout: Duration,
}

fn topologies() -> [&'static Topology; 4] {
    [Resolver::topology(), Journeys::topology(), Messaging::topology(), Segmentation::topology()]
}

impl Watch {
    /// Begins to watch. `timeout` is how long nothing may move before the replay gives up.
    pub(super) fn begin(installation: &Installation, timeout: Duration) -> anyhow::Result<Self> {
        let headers = Headers::follow(installation, &SERVICES, timeout)?;
        Ok(Self { headers, installation: installation.clone(), timeout })
    }

    /// Waits until every service's position in every input is the input's end.
    pub(super) fn until_processed(&mut self, mut progress: impl FnMut(u64)) -> anyhow::Result<()> {
        let (mut left_before, mut moved) = (u64::MAX, Instant::now());
        let mut calm = 0;
        loop {
            self.headers.catch_up(QUIET, AT_MOST)?;
            let (left, behind) = self.left()?;
            progress(left);
            if left != left_before {
                (left_before, moved) = (left, Instant::now());
            }
            // Twice in a row: what the first look saw may have written something.
            calm = if left == 0 { calm + 1 } else { 0 };
            if calm >= 2 {
                return Ok(());
            }
            if moved.elapsed() > self.timeout {
                bail!("nothing moved for {:?}; behind: {behind}", self.timeout);
            }
        }
    }

    /// How many records are still to be processed, and where.
    fn left(&self) -> anyhow::Result<(u64, String)> {
        let partitions = self.installation.cluster.partitions;
        let (mut left, mut behind) = (0, Vec::new());
        for topology in topologies() {
            for input in topology.inputs {
                let ends = self.headers.stable_ends(&self.installation.cluster.topic(input.dataset), partitions)?;
                for (partition, end) in ends.into_iter().enumerate() {
                    let position = self
                        .headers
                        .of(topology.service, partition as i32)
                        .and_then(|header| header.positions.iter().find(|position| position.dataset == input.dataset));
                    let missing = end - position.map_or(0, |position| position.next_offset);
                    if missing > 0 {
                        left += missing.unsigned_abs();
                        behind.push(format!("{} {}[{partition}] by {missing}", topology.service, input.dataset));
                    }
                }
            }
        }
        Ok((left, behind.join(", ")))
    }

    /// How many batches the services have committed.
    fn batches(&self) -> i64 {
        let partitions = 0..self.installation.cluster.partitions;
        let of = |service| partitions.clone().filter_map(move |partition| self.headers.of(service, partition));
        SERVICES.into_iter().flat_map(of).map(|header| header.sequence).sum()
    }

    /// Moves time to `to` and waits until all timers up to it have fired and what came of it is processed.
    pub(super) async fn advance(&mut self, to: Timestamp, mut progress: impl FnMut(u64)) -> anyhow::Result<()> {
        let partitions = self.installation.cluster.partitions;
        let bounds = self.headers.stable_ends(&self.installation.cluster.topic(EVENTS), partitions)?;
        let appender = Appender::new(&self.installation.cluster, "vuelve-replay", self.timeout)?;
        let mut moving = Move::to(&self.installation, to, bounds, &BY_STOREFRONT_EVENTS)?;
        let (mut stood, mut moved) = (self.batches(), Instant::now());
        while !moving.is_over(self.headers.book(), &appender).await? {
            // Each batch of timers is a header: a move of a year over many customers takes its time.
            let stands = self.batches();
            if stands != stood {
                (stood, moved) = (stands, Instant::now());
            }
            if moved.elapsed() > self.timeout {
                let times = BY_STOREFRONT_EVENTS.map(|service| {
                    let time = time_of(service, self.headers.book(), partitions);
                    if time < to { format!("{service} is at {}", written::time(time)) } else { String::new() }
                });
                let behind = times.into_iter().filter(|time| !time.is_empty()).collect::<Vec<_>>().join(", ");
                bail!("nothing moved for {:?}, and not all have come to {}: {behind}", self.timeout, written::time(to));
            }
            self.headers.catch_up(QUIET, AT_MOST)?;
        }
        self.until_processed(&mut progress)
    }

    /// Waits until every message that was asked for has its outcome: where messages really leave, that takes its time.
    pub(super) fn until_all_have_outcomes(&self, mut progress: impl FnMut(u64)) -> anyhow::Result<()> {
        let cluster = &self.installation.cluster;
        let topics = ["messaging.requests", "messaging.outcomes"].map(|dataset| cluster.topic(dataset));
        let reader = Follower::new(cluster, &topics, self.timeout)?;
        let mut open = OpenMessages::default();
        let mut moved = Instant::now();
        loop {
            while let Some(record) = reader.next(QUIET)? {
                let Some(value) = record.value else { continue };
                if record.topic == topics[1] {
                    open.ended(self.installation.read(&value)?);
                    moved = Instant::now();
                } else {
                    open.requested(self.installation.read(&value)?);
                }
            }
            let left = open.len();
            progress(left as u64);
            if left == 0 {
                return Ok(());
            }
            if moved.elapsed() > self.timeout {
                bail!("{left} messages have no outcome, and none came for {:?}", self.timeout);
            }
        }
    }
}
