//! A transactional producer: batches are numbered, so that one that is sent twice is stored once; the end of a transaction
//! is a message of its own, which may come late.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use devbroker::core::ErrorCode;
use devbroker::core::groups::{CommitCheck, CommittedOffset};
use devbroker::core::records::{BatchBuilder, ProducerStamp};
use devbroker::core::topics::TopicPartition;
use devbroker::core::transactions::ProducerIdentity;
use domain::Timestamp;
use kafka::port::{ClientError, Deliveries, ErrorKind, Outgoing, Producer};
use stream::{Due, Key, Lane, Partition, StateChange};

use super::{Handle, micros};
use crate::broken::Broken;
use crate::plan::{Coordinator, Point};
use crate::world::{MS, Micros, SECOND, World};

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

/// The end of a transaction is not repeated any more.
const LAST_TRY: u32 = 1_000;

/// When the answer is there, and what it is.
type Answer = Arc<Mutex<Option<(Micros, Result<(), ErrorCode>)>>>;

/// A request to end a transaction that is under way.
#[derive(Clone)]
struct Ending {
    commit: bool,
    answer: Answer,
    sent_at: Micros,
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

    /// The client's own thread sends what waits, partition by partition, in any order.
    fn transmit(&self) {
        let Ok(identity) = self.check() else {
            self.give_up_queue("the transaction has failed");
            return;
        };
        let mut places: Vec<TopicPartition> = self.state().queue.keys().cloned().collect();
        self.handle.world().chance.shuffle(&mut places);
        for at in places {
            if !self.state().joined.contains(&at) {
                let (id, place) = (Arc::clone(&self.id), at.clone());
                let added = self.handle.coordinated(Coordinator::Transactions, REQUEST, move |world| {
                    let now_ms = world.now_ms();
                    world.core.add_partitions_to_transaction(&id, identity, &[place], now_ms).remove(0)
                });
                match added {
                    Ok(Ok(())) => {
                        let mut state = self.state();
                        state.joined.insert(at.clone());
                        state.takes_part = true;
                    }
                    // Unknown, or busy with the markers of the transaction before: again, later.
                    Err(_) => {
                        self.state().takes_part = true;
                        continue;
                    }
                    Ok(Err(error)) => {
                        if !self.judge(error).is_retriable() {
                            return self.give_up_queue("the transaction has failed");
                        }
                        self.handle.sleep(5 * MS);
                        continue;
                    }
                }
            }
            self.produce(&at, identity);
        }
    }

    fn produce(&self, at: &TopicPartition, identity: ProducerIdentity) {
        let (bytes, records, again, sequence) = {
            let mut state = self.state();
            let sequence = state.sequences.get(at).copied().unwrap_or(0);
            let Some(waiting) = state.queue.get_mut(at) else { return };
            let stamp = ProducerStamp { id: identity.id, epoch: identity.epoch, sequence, transactional: true };
            let again = std::mem::replace(&mut waiting.sent_before, true);
            (waiting.batch.build(Some(stamp)), waiting.records, again, sequence)
        };
        let place = at.clone();
        let answer = self.handle.request(REQUEST, move |world| {
            if !again && world.refuses() {
                return Err(ErrorCode::InvalidTxnState);
            }
            world.arrives_again(&place, &bytes);
            world.store_batch(&place, &bytes)
        });
        match answer {
            Ok(Ok(last)) => {
                let mut state = self.state();
                state.queue.remove(at);
                state.sequences.insert(at.clone(), sequence + records as i32);
                drop(state);
                // Of a repeat the broker says that it has it, and the client does not say where.
                self.deliveries().written(&at.topic, at.partition, if again { -1 } else { last });
            }
            Err(_) => {}
            Ok(Err(error)) => {
                self.judge(error);
                self.give_up_queue(&format!("{error:?}"));
            }
        }
    }

    /// What an engine does that writes the store before it commits: as soon as it knows where its header is.
    fn write_the_store(&self) {
        for _ in 0..20 {
            if self.state().queue.is_empty() {
                break;
            }
            self.transmit();
        }
        let service = if self.id.contains(".journeys.") { "journeys" } else { "messaging" };
        let changes = std::mem::take(&mut self.state().changes);
        let mut headers = BTreeMap::new();
        for (topic, last) in &self.deliveries().last {
            if topic.ends_with(".changelog.v1") {
                headers.extend(last.iter().map(|(partition, offset)| (*partition, *offset)));
            }
        }
        let mut world = self.handle.world();
        for (partition, header) in headers.into_iter().filter(|(_, offset)| *offset >= 0) {
            let changes = changes.get(&partition).map(Vec::as_slice).unwrap_or_default();
            world.redis.entry(service).or_default().write_unfenced(partition, header, changes);
        }
    }

    fn give_up_queue(&self, why: &str) {
        let given_up: Vec<TopicPartition> = {
            let mut state = self.state();
            state.purged |= !state.queue.is_empty();
            std::mem::take(&mut state.queue).into_keys().collect()
        };
        if let Some(at) = given_up.first() {
            let error = transaction(why, self.state().fatal.is_some(), true, false);
            self.deliveries().failure.get_or_insert_with(|| (error, at.topic.to_string(), at.partition));
        }
    }

    /// Ends the transaction; called again it goes on with the same request.
    fn end(&self, commit: bool, timeout: Duration) -> Result<(), ClientError> {
        let identity = {
            let state = self.state();
            match (&state.fatal, state.identity) {
                (None, Some(identity)) => identity,
                _ => return Err(transaction("fenced", true, false, false)),
            }
        };
        if !self.state().takes_part {
            return Ok(());
        }
        let now = self.handle.world().now;
        let deadline = now + micros(timeout);
        loop {
            let under_way = self.state().ending.clone().filter(|ending| ending.commit == commit);
            let ending = match under_way {
                Some(ending) => ending,
                None => self.send_end(identity, commit),
            };
            if self.handle.is_broken(Broken::AcknowledgesEarly) && commit {
                self.state().ending = None;
                return Ok(());
            }
            let answered = *ending.answer.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.handle.world().now;
            match answered {
                Some((at, answer)) if at <= now => {
                    self.state().ending = None;
                    match answer {
                        Ok(()) => return Ok(()),
                        Err(ErrorCode::ConcurrentTransactions) => {}
                        Err(error) => return Err(self.judge(error)),
                    }
                }
                // The request or its answer was lost: the client sends it once more.
                None if now > ending.sent_at + 20 * SECOND => self.state().ending = None,
                _ => {}
            }
            if now >= deadline {
                return Err(transaction("the end of the transaction was not answered yet", false, false, true));
            }
            self.handle.sleep(5 * MS);
        }
    }

    /// The end of the transaction leaves. What strikes the process now strikes the network, too.
    fn send_end(&self, identity: ProducerIdentity, commit: bool) -> Ending {
        let struck = self.handle.world().comes_to(self.handle.process, Point::EndSent);
        let ending = self.handle.world().send_end(&self.id, identity, commit, struck);
        self.state().ending = Some(ending.clone());
        if struck {
            self.handle.sleep(1);
        }
        ending
    }

    fn ended(&self) {
        let mut state = self.state();
        state.joined.clear();
        state.takes_part = false;
        state.failed = None;
        state.changes.clear();
    }
}

impl World {
    /// A batch arrives at the broker. Gives the offset of its last record.
    fn store_batch(&mut self, at: &TopicPartition, bytes: &Bytes) -> Result<i64, ErrorCode> {
        let now_ms = self.now_ms();
        let appended = self.core.produce(at, bytes, now_ms).map_err(|refusal| refusal.code)?;
        let records = devbroker::core::batch::read_header(bytes).map_or(1, |header| i64::from(header.record_count));
        Ok(appended.base_offset + records - 1)
    }

    /// The end of a transaction is on its way: it arrives, late or never, whatever becomes of who sent it.
    fn send_end(&mut self, id: &Arc<str>, identity: ProducerIdentity, commit: bool, held_back: bool) -> Ending {
        let answer: Answer = Arc::default();
        let ending = Ending { commit, answer: Arc::clone(&answer), sent_at: self.now };
        let late = self.network.late_end_ppm;
        let there = if held_back || self.chance.parts_per_million(late) {
            self.chance.between(SECOND, 12 * SECOND)
        } else if self.loses() {
            // librdkafka sends it again over the next connection.
            SECOND
        } else {
            self.latency()
        };
        let (sent, answered) = (Arc::clone(id), Arc::clone(&answer));
        self.after(there, move |world| world.arrive_end(sent, identity, commit, answered, 0));
        if self.broken == Some(Broken::RepeatsTheEnd) && self.is_doubled() {
            let (sent, later) = (Arc::clone(id), there + 100 * MS);
            self.after(later, move |world| world.arrive_end(sent, identity, commit, Answer::default(), 0));
        }
        if self.is_doubled() {
            // It comes before anything that is sent once the first was answered, and nobody listens to what it is answered.
            let id = Arc::clone(id);
            self.after(there + 1, move |world| world.arrive_end(id, identity, commit, Answer::default(), LAST_TRY));
        }
        ending
    }

    /// A request arrives twice.
    fn is_doubled(&mut self) -> bool {
        let parts = self.network.twice_ppm;
        self.chance.parts_per_million(parts)
    }

    /// The broker refuses a request of a transaction.
    fn refuses(&mut self) -> bool {
        let parts = self.network.refused_ppm;
        self.chance.parts_per_million(parts)
    }

    /// A batch that its sender took for lost, and has sent again since, comes after all: perhaps when its transaction is over.
    fn arrives_again(&mut self, at: &TopicPartition, bytes: &Bytes) {
        if self.is_doubled() {
            let (at, bytes) = (at.clone(), bytes.clone());
            let late = *self.chance.clone().one_of(&[2 * MS, 100 * MS, 3 * SECOND]);
            let late = self.chance.between(1, late);
            self.after(late, move |world| {
                let stored = world.store_batch(&at, &bytes);
                world.tell(|| format!("a batch of {} {} arrives again: {stored:?}", at.topic, at.partition));
            });
        }
    }

    fn arrive_end(&mut self, id: Arc<str>, identity: ProducerIdentity, commit: bool, answer: Answer, tries: u32) {
        if !self.broker_answers() || !self.coordinates(Coordinator::Transactions) {
            if tries == LAST_TRY {
                return;
            }
            let wait = self.broker_away_until.saturating_sub(self.now) + 50 * MS;
            self.after(wait, move |world| world.arrive_end(id, identity, commit, answer, tries + 1));
            return;
        }
        let now_ms = self.now_ms();
        let result = self.core.end_transaction(&id, identity, commit, now_ms);
        self.deliver();
        self.tell(|| format!("{id} ends its transaction ({}): {result:?}", if commit { "commit" } else { "abort" }));
        if result == Err(ErrorCode::ConcurrentTransactions) && tries < LAST_TRY {
            self.after(20 * MS, move |world| world.arrive_end(id, identity, commit, answer, tries + 1));
            return;
        }
        let back = if self.loses() { 2 * SECOND } else { self.latency() };
        answer.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((self.now + back, result));
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
            self.deliveries().written(record.topic, partition, stored.unwrap_or(-1));
            return Ok(());
        }
        let mut state = self.state();
        if is_changelog && let Some(change) = change_of(record) {
            state.changes.entry(partition).or_default().push(change);
        }
        let waiting = state.queue.entry(at).or_default();
        let batch = std::mem::take(&mut waiting.batch);
        waiting.batch = batch.record_with_headers(record.key, record.value, now_ms, record.headers);
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

fn change_of(record: &Outgoing<'_>) -> Option<StateChange> {
    let key = std::str::from_utf8(record.key?).ok().filter(|key| *key != "\0")?;
    let due = record.headers.iter().find(|(name, _)| *name == "vuelve-due").map(|(_, value)| due_of(value));
    Some(StateChange {
        key: Key::from(key),
        value: record.value.map(Bytes::copy_from_slice),
        due: due.unwrap_or_default(),
    })
}

/// What a changelog record's header says its key waits for.
pub(crate) fn due_of(bytes: &[u8]) -> Due {
    let lane = |lane: Lane| {
        let bytes = bytes.get(lane as usize * 8..lane as usize * 8 + 8)?;
        let millis = i64::from_be_bytes(bytes.try_into().ok()?);
        (millis != i64::MIN).then(|| Timestamp::from_millis(millis))
    };
    Due { timer: lane(Lane::Timer), ready: lane(Lane::Ready), claimed: lane(Lane::Claimed), held: lane(Lane::Held) }
}

/// Any function of the key will do, as long as everybody has the same.
pub(crate) fn partition_of(key: &[u8], partitions: i32) -> Partition {
    let hash = key
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    ((hash >> 16) & 0x7fff_ffff) as i32 % partitions.max(1)
}
