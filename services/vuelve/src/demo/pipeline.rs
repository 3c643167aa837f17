//! One step of the shop's time through the whole pipeline: its calls over HTTP, then time, then what came of it.
//!
//! Wanted properties:
//! - time moves on only when every call of the step lies in `storefront.events`, and the step ends only when every message
//!   that it asked for has its outcome: on a slow machine the shop's time lags, and nothing else;
//! - a step costs no more than what happens in it: nothing is opened for it, and it asks the broker for one topic's ends.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use domain::Timestamp;
use kafka::{Appender, Follower, ReadRecord};
use runtime::host::StopToken;
use schemas::{Contract, JourneyDecision, StorefrontEvent};

use super::simulator::ShopCall;
use crate::headers::HeaderBook;
use crate::hosting::Installation;
use crate::replay::{JOURNEYS, Move, OpenMessages, Sender, time_of};
use crate::written;

const EVENTS: &str = "storefront.events";
const REQUESTS: &str = "messaging.requests";
const OUTCOMES: &str = "messaging.outcomes";
const DECISIONS: &str = "journeys.decisions";
const SERVICES: [&str; 2] = ["journeys", "messaging"];

/// How long nothing may come before the demo gives up.
const PATIENCE: Duration = Duration::from_mins(2);
/// The simulator's calls are below 1 KB each; the door takes 500 KB.
const BATCH_CALLS: usize = 250;
const POLL: Duration = Duration::from_millis(50);

/// Sends calls, moves time, and knows what is still under way.
#[derive(Debug)]
pub(super) struct Pipeline {
    installation: Installation,
    sender: Sender,
    appender: Appender,
    tokio: tokio::runtime::Handle,
    follower: Follower,
    headers: HeaderBook,
    stop: StopToken,
    /// Ids of calls that have not come out of the resolver.
    calls_under_way: HashSet<String>,
    /// By partition of the events: behind the last one.
    events_end: Vec<i64>,
    /// By partition of the requests: behind the last one.
    requests_end: Vec<i64>,
    messages: OpenMessages,
    decisions: Vec<JourneyDecision>,
}

/// The demo was asked to end.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the demo was asked to end")]
pub(super) struct Stopped;

impl Pipeline {
    /// For an installation in replay whose door is at `door`.
    pub(super) fn open(
        installation: &Installation,
        door: &str,
        write_key: &str,
        tokio: tokio::runtime::Handle,
        stop: StopToken,
    ) -> anyhow::Result<Self> {
        let cluster = &installation.cluster;
        let headers = HeaderBook::new(installation, &SERVICES);
        let mut topics: Vec<String> = [EVENTS, REQUESTS, OUTCOMES, DECISIONS].map(|name| cluster.topic(name)).to_vec();
        topics.extend(headers.topics().map(str::to_owned));
        Ok(Self {
            sender: Sender::new(door, write_key),
            appender: Appender::new(cluster, "vuelve-demo", PATIENCE)?,
            follower: Follower::new(cluster, &topics, PATIENCE)?,
            installation: installation.clone(),
            tokio,
            headers,
            stop,
            calls_under_way: HashSet::new(),
            events_end: vec![0; cluster.partitions as usize],
            requests_end: vec![0; cluster.partitions as usize],
            messages: OpenMessages::default(),
            decisions: Vec::new(),
        })
    }

    /// Sends the calls of a step and waits until the resolver has put each under its customer.
    pub(super) fn send(&mut self, calls: &[ShopCall]) -> anyhow::Result<()> {
        for batch in calls.chunks(BATCH_CALLS) {
            let sent = self.sender.post(batch.iter().map(|call| call.json.as_str()), &|| self.stop.is_stopped());
            // At the end the door closes first.
            if self.stop.is_stopped() {
                return Err(Stopped.into());
            }
            sent?;
        }
        self.calls_under_way.extend(calls.iter().map(|call| call.message_id.clone()));
        self.hear_until("the resolver to hand on the shop's calls", |this| Ok(this.calls_under_way.is_empty()))
    }

    /// Moves time to `to`, and waits until what was due by then is done.
    pub(super) fn advance(&mut self, to: Timestamp) -> anyhow::Result<()> {
        let mut moving = Move::to(&self.installation, to, self.events_end.clone(), &[JOURNEYS])?;
        self.hear_until("journeys to fire what is due", |this| {
            this.tokio.block_on(moving.is_over(&this.headers, &this.appender))
        })?;
        let ends = self.follower.stable_ends(&self.installation.cluster.topic(REQUESTS), self.partitions())?;
        self.hear_until("the messages that were asked for", |this| Ok(this.knows_requests_until(&ends)))?;
        self.hear_until("messaging to end what it was asked for", |this| Ok(this.messages.is_empty()))
    }

    /// The decisions that were heard since the last call.
    pub(super) fn take_decisions(&mut self) -> Vec<JourneyDecision> {
        std::mem::take(&mut self.decisions)
    }

    fn partitions(&self) -> i32 {
        self.installation.cluster.partitions
    }

    /// Whether every request below these ends is known. A partition ends with the marker of the transaction that wrote to
    /// it last, so its last record lies two below its end; after an aborted transaction that is not so, and messaging's
    /// own position says it a little later.
    fn knows_requests_until(&self, ends: &[i64]) -> bool {
        ends.iter().zip(&self.requests_end).zip(0..).all(|((end, heard), partition)| {
            let position = || {
                let header = self.headers.of("messaging", partition)?;
                header.positions.iter().find(|position| position.dataset == REQUESTS)
            };
            *heard >= *end - 1 || position().is_some_and(|position| position.next_offset >= *end)
        })
    }

    fn hear_until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        while !done(self)? {
            if self.stop.is_stopped() {
                return Err(Stopped.into());
            }
            if began.elapsed() > PATIENCE {
                bail!("the demo waited {PATIENCE:?} for {what}: {}", self.under_way());
            }
            if let Some(record) = self.follower.next(POLL)? {
                self.hear(&record)?;
            }
        }
        Ok(())
    }

    fn under_way(&self) -> String {
        format!(
            "{} calls have not come out of the resolver, {} messages have no outcome, journeys is at {}",
            self.calls_under_way.len(),
            self.messages.len(),
            written::time(time_of(JOURNEYS, &self.headers, self.partitions())),
        )
    }

    fn hear(&mut self, record: &ReadRecord) -> anyhow::Result<()> {
        if self.headers.hear(record)? {
            return Ok(());
        }
        let is = |dataset: &str| record.topic == self.installation.cluster.topic(dataset);
        if is(EVENTS) {
            reach(&mut self.events_end, record);
            let event: Option<StorefrontEvent> = self.read(record)?;
            event.map(|event| self.calls_under_way.remove(&event.message_id));
        } else if is(REQUESTS) {
            reach(&mut self.requests_end, record);
            if let Some(request) = self.read(record)? {
                self.messages.requested(request);
            }
        } else if is(OUTCOMES) {
            if let Some(outcome) = self.read(record)? {
                self.messages.ended(outcome);
            }
        } else if is(DECISIONS) {
            self.decisions.extend(self.read::<JourneyDecision>(record)?);
        }
        Ok(())
    }

    fn read<T: Contract>(&self, record: &ReadRecord) -> anyhow::Result<Option<T>> {
        let place = || format!("{}[{}]@{}", record.topic, record.partition, record.offset);
        record.value.as_ref().map(|value| self.installation.read(value)).transpose().with_context(place)
    }
}

fn reach(ends: &mut [i64], record: &ReadRecord) {
    if let Some(end) = usize::try_from(record.partition).ok().and_then(|partition| ends.get_mut(partition)) {
        *end = (*end).max(record.offset + 1);
    }
}
