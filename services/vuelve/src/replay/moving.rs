//! Moving the time of an installation in replay: for the replay itself, and for the demo, step by step.

use std::time::{Duration, Instant};

use domain::Timestamp;
use kafka::{Appender, NewRecord};
use schemas::{Mark, MarkEntry, OutputBound};

use crate::headers::HeaderBook;
use crate::hosting::Installation;

const EVENTS: &str = "storefront.events";
const MARKS: &str = "ingestion.marks";
/// The services whose time is that of storefront events: those that the others wait for, and those that count by it.
pub(crate) const BY_STOREFRONT_EVENTS: [&str; 2] = [JOURNEYS, "segmentation"];
pub(crate) const JOURNEYS: &str = "journeys";
/// How often a mark is repeated: a worker that has just taken over hears only those from then on.
const REPEAT: Duration = Duration::from_millis(500);

/// A move of time that may still be under way.
#[derive(Debug)]
pub(crate) struct Move {
    to: Timestamp,
    services: &'static [&'static str],
    partitions: i32,
    mark: NewRecord,
    marked: Option<Instant>,
}

impl Move {
    /// To `to`, for whoever has read the storefront events below `bounds` (by partition); it is over when these services have
    /// come to it.
    pub(crate) fn to(
        installation: &Installation,
        to: Timestamp,
        bounds: Vec<i64>,
        services: &'static [&'static str],
    ) -> anyhow::Result<Self> {
        let partitions = installation.cluster.partitions;
        Ok(Self { to, services, partitions, mark: mark(installation, to, bounds)?, marked: None })
    }

    /// Whether every partition of the services has come to it; writes the mark again from time to time until then.
    pub(crate) async fn is_over(&mut self, headers: &HeaderBook, appender: &Appender) -> anyhow::Result<bool> {
        if self.services.iter().all(|service| time_of(service, headers, self.partitions) >= self.to) {
            return Ok(true);
        }
        if self.marked.is_none_or(|marked| marked.elapsed() > REPEAT) {
            appender.append(std::slice::from_ref(&self.mark)).await?;
            self.marked = Some(Instant::now());
        }
        Ok(false)
    }
}

/// How far time has come on every partition of a service.
pub(crate) fn time_of(service: &'static str, headers: &HeaderBook, partitions: i32) -> Timestamp {
    let times =
        (0..partitions).map(|partition| headers.of(service, partition).map_or(i64::MIN, |header| header.watermark));
    Timestamp::from_millis(times.min().unwrap_or(i64::MIN))
}

fn mark(installation: &Installation, to: Timestamp, bounds: Vec<i64>) -> anyhow::Result<NewRecord> {
    let partitions = 0..installation.cluster.partitions;
    let mark = Mark {
        service: "replay".to_owned(),
        transactional_id: "replay".to_owned(),
        entries: partitions.map(|partition| MarkEntry { partition, time: to.as_millis() }).collect(),
        bounds: vec![OutputBound { dataset: EVENTS.to_owned(), offsets: bounds }],
    };
    Ok(installation.record(MARKS, Some(0), "replay", Some(&mark))?)
}
