//! Who waits for what the profile worker tells others, as a `read_committed` reader, and writes down when it saw what.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use schemas::Schemas;

use crate::profile::{CHANGES, ProfileChanged};
use crate::shared::event::{Event, What};
use crate::shared::installation::{Installation, Parts};

const POLL: Duration = Duration::from_millis(5);
/// How long what is under way may take once nothing new comes.
const PATIENCE: Duration = Duration::from_mins(2);

/// A change that became visible.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) cause_id: String,
    pub(crate) partition: i32,
    pub(crate) at: Instant,
    /// How many events of the customer there had been.
    pub(crate) events: i64,
}

pub(crate) struct Follower {
    reader: BaseConsumer,
    schemas: Schemas,
}

impl Follower {
    /// Hears of all changes from now on.
    pub(crate) fn new(parts: &Parts, installation: &Installation<'_>) -> anyhow::Result<Self> {
        let reader = parts.clients().follow(&installation.topic(CHANGES))?;
        Ok(Self { reader, schemas: installation.schemas().clone() })
    }

    /// Follows until so many were seen, once it is known how many there are; tells each as it comes.
    pub(crate) fn follow(
        &self,
        wanted: &std::sync::OnceLock<usize>,
        failed: &AtomicBool,
        mut tell: impl FnMut(&Seen),
    ) -> anyhow::Result<Vec<Seen>> {
        let mut seen = Vec::new();
        let mut heard = Instant::now();
        while wanted.get().is_none_or(|wanted| seen.len() < *wanted) {
            ensure!(!failed.load(Ordering::Relaxed), "another part of the run failed");
            ensure!(heard.elapsed() < PATIENCE, "no score: {} changes are visible, not {wanted:?}", seen.len());
            let message = match self.reader.poll(POLL) {
                None | Some(Err(KafkaError::PartitionEOF(_))) => continue,
                Some(message) => message.context("following the changes")?,
            };
            let at = Instant::now();
            heard = at;
            let change: ProfileChanged = self.schemas.decode(message.payload().unwrap_or_default())?;
            let one = Seen { cause_id: change.cause_id, partition: message.partition(), at, events: change.events };
            tell(&one);
            seen.push(one);
        }
        Ok(seen)
    }
}

/// How long after it was due each change of these events was seen; every one has to be there once, and nothing else.
pub(crate) fn latencies(
    events: &[Event],
    due: impl Fn(usize) -> Instant,
    seen: &[Seen],
) -> anyhow::Result<Vec<(usize, Duration)>> {
    let added = events.iter().enumerate().filter(|(_, event)| event.what == What::Added);
    let mut numbers: HashMap<String, usize> = added.map(|(number, event)| (event.message_id(), number)).collect();
    let mut latencies = Vec::with_capacity(seen.len());
    for one in seen {
        let number = numbers.remove(&one.cause_id).with_context(|| format!("no score: {} came twice", one.cause_id))?;
        latencies.push((number, one.at.saturating_duration_since(due(number))));
    }
    ensure!(numbers.is_empty(), "no score: {} changes never came", numbers.len());
    Ok(latencies)
}
