//! A transactional producer: batches are numbered, so that one that is sent twice is stored once; the end of a transaction
//! is a message of its own, which may come late.

mod ending;
mod record;
mod sending;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use devbroker::core::ErrorCode;
use devbroker::core::groups::{CommitCheck, CommittedOffset};
use devbroker::core::records::BatchBuilder;
use devbroker::core::topics::TopicPartition;
use devbroker::core::transactions::ProducerIdentity;
use ingestion::partition_of;
use kafka::port::{ClientError, Deliveries, ErrorKind, Outgoing, Producer};
use stream::{Partition, StateChange};

use super::{Handle, micros};
use crate::broken::Broken;
use crate::plan::{Coordinator, Point};
use crate::world::MS;
use ending::Ending;
pub(crate) use record::due_of;
use record::{change_of, dated_anew};

/// A request is given up after so long, and sent again.
const REQUEST: Duration = Duration::from_secs(1);
/// How long the end of a transaction is waited for before the driver hears what else there is; and while there may be more.
const STEP: Duration = Duration::from_millis(200);
const SHORT_STEP: Duration = Duration::from_millis(1);

/// A transactional producer.
pub struct TransactionalProducer<'y> {
    handle: Handle<'y>,
    id: Arc<str>,
    timeout_ms: i64,
    state: Mutex<State>,
    deliveries: Mutex<Deliveries>,
}

#[derive(Default)]
struct State {
    identity: Option<ProducerIdentity>,
    /// It is of no use any more.
    fatal: Option<String>,
    /// The transaction has to be aborted.
    failed: Option<String>,
    queue: BTreeMap<TopicPartition, Waiting>,
    sequences: BTreeMap<TopicPartition, i32>,
    joined: BTreeSet<TopicPartition>,
    takes_part: bool,
    purged: bool,
    ending: Option<Ending>,
    /// What the last transactions sent as offsets, for an engine that is broken.
    last_offsets: BTreeMap<Partition, i64>,
    /// Changes to the changelog, for an engine that is broken.
    changes: BTreeMap<Partition, Vec<StateChange>>,
}

#[derive(Default)]
struct Waiting {
    batch: BatchBuilder,
    records: usize,
    sent_before: bool,
}

impl<'y> TransactionalProducer<'y> {
    pub(super) fn new(handle: Handle<'y>, id: &str, timeout_ms: i64) -> Self {
        Self { handle, id: id.into(), timeout_ms, state: Mutex::default(), deliveries: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for an identity until `timeout`; what is open under the id is aborted.
    fn initialise(&self, claimed: Option<ProducerIdentity>, timeout: Duration) -> Result<(), ClientError> {
        let deadline = self.handle.world().now + micros(timeout);
        loop {
            let (id, timeout_ms) = (Arc::clone(&self.id), self.timeout_ms);
            let answer = self.handle.coordinated(Coordinator::Transactions, REQUEST, move |world| {
                let now_ms = world.now_ms();
                world.core.init_producer_id(Some(&id), timeout_ms, claimed, now_ms)
            });
            match answer {
                Ok(Ok(identity)) => {
                    let last_offsets = std::mem::take(&mut self.state().last_offsets);
                    *self.state() = State { identity: Some(identity), last_offsets, ..State::default() };
                    return Ok(());
                }
                Ok(Err(ErrorCode::ConcurrentTransactions)) | Err(_) => self.handle.sleep(20 * MS),
                Ok(Err(error)) => return Err(self.fatal(&format!("{error:?}"))),
            }
            if self.handle.world().now > deadline {
                return Err(transaction("initialising", false, false, true));
            }
        }
    }

    fn fatal(&self, why: &str) -> ClientError {
        self.state().fatal = Some(why.to_owned());
        transaction(why, true, false, false)
    }

    fn failed(&self, why: &str) -> ClientError {
        self.state().failed.get_or_insert_with(|| why.to_owned());
        transaction(why, false, true, false)
    }

    /// What a transactional call fails with, if an earlier one has failed.
    fn check(&self) -> Result<ProducerIdentity, ClientError> {
        let state = self.state();
        if let Some(why) = &state.fatal {
            return Err(transaction(why, true, false, false));
        }
        if let Some(why) = &state.failed {
            return Err(transaction(why, false, true, false));
        }
        state.identity.ok_or_else(|| transaction("not initialised", true, false, false))
    }

    fn judge(&self, error: ErrorCode) -> ClientError {
        let why = format!("{error:?}");
        match error {
            ErrorCode::ConcurrentTransactions
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::RebalanceInProgress
            | ErrorCode::CoordinatorLoadInProgress => transaction(&why, false, false, true),
            ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch | ErrorCode::InvalidProducerIdMapping => {
                self.fatal(&why)
            }
            _ => self.failed(&why),
        }
    }

    fn ended(&self) {
        let mut state = self.state();
        state.joined.clear();
        state.takes_part = false;
        state.failed = None;
        state.changes.clear();
    }
}

impl Producer for TransactionalProducer<'_> {
    type Metadata = CommitCheck;

    fn init(&self, timeout: Duration) -> Result<(), ClientError> {
        self.initialise(None, timeout)
    }

    fn begin(&self) -> Result<(), ClientError> {
        self.handle.reach(Point::Begins);
        self.check().map(drop)
    }

    fn send(&self, record: &Outgoing<'_>) -> Result<(), ClientError> {
        let (now_ms, forgets) = {
            let world = self.handle.world();
            let offset_ms = world.machines[self.handle.process].clock_offset_ms;
            (world.now_ms() + offset_ms, world.broken == Some(Broken::ForgetsTheHeader))
        };
        let is_changelog = record.topic.ends_with(".changelog.v1");
        if forgets && is_changelog && record.key == Some(b"\0") {
            return Ok(());
        }
        let anew = record.value.filter(|_| self.handle.is_broken(Broken::DatesHistoryAnew));
        let anew = anew.filter(|_| record.topic.ends_with("storefront.events.v1")).and_then(dated_anew);
        let value = anew.as_deref().or(record.value);
        let partition = record.partition.unwrap_or_else(|| {
            let world = self.handle.world();
            let count = world.core.topic(record.topic).map_or(1, |topic| topic.partitions.len());
            partition_of(record.key.unwrap_or_default(), count as i32)
        });
        let at = TopicPartition::new(record.topic, partition);
        if record.topic.ends_with("messaging.requests.v1") && self.handle.is_broken(Broken::FiresOutside) {
            let bytes =
                BatchBuilder::new().record_with_headers(record.key, record.value, now_ms, record.headers).build(None);
            let stored = self.handle.world().store_batch(&at, &bytes);
            self.deliveries().written(record.topic, partition, stored.map_or(-1, |stored| stored.last));
            return Ok(());
        }
        let mut state = self.state();
        if is_changelog && let Some(change) = change_of(record) {
            state.changes.entry(partition).or_default().push(change);
        }
        let waiting = state.queue.entry(at).or_default();
        let batch = std::mem::take(&mut waiting.batch);
        waiting.batch = batch.record_with_headers(record.key, value, now_ms, record.headers);
        waiting.records += 1;
        // A batch that was sent is sent again as it was; the driver sends no more before it is acknowledged.
        debug_assert!(!waiting.sent_before, "a batch grew after it was sent");
        Ok(())
    }

    fn poll(&self, wait: Duration) {
        if self.state().queue.is_empty() {
            self.handle.sleep(micros(wait).max(MS));
        } else {
            self.transmit();
        }
    }

    fn in_flight(&self) -> usize {
        self.state().queue.values().map(|waiting| waiting.records).sum()
    }

    fn deliveries(&self) -> MutexGuard<'_, Deliveries> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_offsets(
        &self,
        topic: &str,
        offsets: &[(Partition, i64)],
        group: &CommitCheck,
        timeout: Duration,
        meanwhile: &mut dyn FnMut() -> bool,
    ) -> Result<(), ClientError> {
        self.handle.reach(Point::Offsets);
        meanwhile();
        let identity = self.check()?;
        if self.handle.is_broken(Broken::WritesTheStoreFirst) {
            self.write_the_store();
        }
        let all_before = {
            let mut state = self.state();
            let before = offsets.iter().all(|(partition, offset)| state.last_offsets.get(partition) == Some(offset));
            state.last_offsets.extend(offsets.iter().copied());
            before
        };
        if all_before && self.handle.is_broken(Broken::TimersWithoutOffsets) {
            return Ok(());
        }
        let skips = self.handle.is_broken(Broken::SkipsTheFence);
        let check = if skips { CommitCheck::none() } else { group.clone() };
        let committed = |offset| CommittedOffset { offset, leader_epoch: -1, metadata: None };
        let offsets: Vec<(TopicPartition, CommittedOffset)> = offsets
            .iter()
            .map(|(partition, offset)| (TopicPartition::new(topic, *partition), committed(*offset)))
            .collect();
        let group = self.id.rsplit_once('.').map_or("", |(group, _)| group).to_owned();
        self.state().takes_part = true;
        let id = Arc::clone(&self.id);
        let answer = self.handle.coordinated(Coordinator::Transactions, timeout.min(REQUEST), move |world| {
            let now_ms = world.now_ms();
            if world.refuses() {
                return Err(ErrorCode::InvalidTxnState);
            }
            if !world.coordinates(Coordinator::Groups) {
                return Err(ErrorCode::CoordinatorLoadInProgress);
            }
            world.core.add_offsets_to_transaction(&id, identity, &group, now_ms)?;
            world.core.commit_offsets_in_transaction(&id, identity, &group, &check, &offsets, now_ms)
        });
        match answer {
            Err(_) => Err(transaction("no answer", false, false, true)),
            Ok(answer) => answer.map_err(|error| {
                self.handle.sleep(5 * MS);
                self.judge(error)
            }),
        }
    }

    fn commit(&self, timeout: Duration, meanwhile: &mut dyn FnMut() -> bool) -> Result<(), ClientError> {
        let deadline = self.handle.world().now + micros(timeout);
        loop {
            let step = if meanwhile() { SHORT_STEP } else { STEP };
            self.check()?;
            self.handle.reach(Point::Ends);
            match self.end(true, step) {
                Err(error) if error.is_retriable() && self.handle.world().now < deadline => {}
                result => {
                    result?;
                    self.ended();
                    return Ok(());
                }
            }
        }
    }

    fn abort(&self, timeout: Duration) -> Result<(), ClientError> {
        self.give_up_queue("aborted");
        self.end(false, timeout)?;
        let (identity, purged) = {
            let mut state = self.state();
            (state.identity, std::mem::take(&mut state.purged))
        };
        if purged {
            // What became of the batches that were given up is not known: numbers begin anew, under a new epoch.
            self.initialise(identity, Duration::from_secs(4))?;
        }
        self.ended();
        Ok(())
    }
}

fn transaction(why: &str, fatal: bool, requires_abort: bool, retriable: bool) -> ClientError {
    ClientError {
        text: why.to_owned(),
        passing: true,
        kind: ErrorKind::Transaction { fatal, requires_abort, retriable },
    }
}
