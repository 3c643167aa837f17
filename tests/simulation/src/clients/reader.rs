//! A reader outside of groups: what was fetched waits in it until it is asked for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use devbroker::core::ErrorCode;
use devbroker::core::batch;
use devbroker::core::log::{Isolation, TimestampQuery};
use devbroker::core::records;
use devbroker::core::topics::TopicPartition;
use domain::Timestamp;
use kafka::port::{ClientError, ErrorKind, Place, Polled, Reader, Reading, Record, Start};
use schemas::Mark;
use stream::{Partition, RecordHeaders};

use super::{Handle, micros};
use crate::SCHEMAS;
use crate::broken::Broken;
use crate::plan::Coordinator;
use crate::world::{Micros, World};

/// A watermark that is broken is ahead of the present by so much.
const AHEAD_MS: i64 = 40 * 60_000;

/// A reader outside of groups.
pub struct LogReader<'y> {
    handle: Handle<'y>,
    isolation: Isolation,
    strict: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    reads: BTreeMap<TopicPartition, Reads>,
    fetched: VecDeque<(TopicPartition, Fetched)>,
    next_fetch_at: Micros,
    /// Where it ever was: what a reader that forgets to rewind goes on from.
    was_at: BTreeMap<TopicPartition, i64>,
}

struct Reads {
    from: Start,
    handed: Option<i64>,
    told_end: bool,
}

enum Fetched {
    Record(FetchedRecord),
    End(i64),
    NoSuchOffset,
}

/// A record that was fetched.
#[derive(Clone, Debug)]
pub struct FetchedRecord {
    at: TopicPartition,
    by_broker: bool,
    record: records::Record,
}

/// The headers of one.
#[derive(Debug)]
pub struct Headers<'h>(&'h [(Bytes, Option<Bytes>)]);

impl RecordHeaders for Headers<'_> {
    fn copied(&self) -> Vec<(String, Bytes)> {
        let text = |name: &Bytes| String::from_utf8_lossy(name).into_owned();
        self.0.iter().map(|(name, value)| (text(name), value.clone().unwrap_or_default())).collect()
    }
}

impl Record for FetchedRecord {
    type Headers<'h> = Headers<'h>;

    fn topic(&self) -> &str {
        &self.at.topic
    }

    fn partition(&self) -> Partition {
        self.at.partition
    }

    fn offset(&self) -> i64 {
        self.record.offset
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(self.record.timestamp_ms)
    }

    fn is_broker_time(&self) -> bool {
        self.by_broker
    }

    fn key(&self) -> Option<&[u8]> {
        self.record.key.as_deref()
    }

    fn value(&self) -> Option<&[u8]> {
        self.record.value.as_deref()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.record.headers.iter().find(|(key, _)| key == name.as_bytes())?.1.as_deref()
    }

    fn headers(&self) -> Option<Headers<'_>> {
        (!self.record.headers.is_empty()).then(|| Headers(&self.record.headers))
    }
}

impl<'y> LogReader<'y> {
    pub(super) fn new(handle: Handle<'y>, reading: Reading) -> Self {
        let committed = !matches!(reading, Reading::Section { committed_only: false });
        Self {
            handle,
            isolation: if committed { Isolation::ReadCommitted } else { Isolation::ReadUncommitted },
            strict: reading == Reading::Inputs,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pop(&self) -> Option<Result<Polled<FetchedRecord>, ClientError>> {
        let mut state = self.state();
        let (at, fetched) = state.fetched.pop_front()?;
        let (position, polled) = match fetched {
            Fetched::Record(record) => (record.record.offset + 1, Ok(Polled::Record(record))),
            Fetched::End(offset) => (offset, Ok(Polled::End(at.partition))),
            Fetched::NoSuchOffset => {
                let text = format!("the log does not have that offset: {at:?}");
                return Some(Err(ClientError { text, passing: true, kind: ErrorKind::NoSuchOffset }));
            }
        };
        if let Some(reads) = state.reads.get_mut(&at) {
            reads.handed = Some(position);
        }
        state.was_at.insert(at, position);
        Some(polled)
    }

    /// What the client's own thread has fetched by now.
    fn fetch(&self) {
        let mut world = self.handle.world();
        let mut state = self.state();
        if world.now < state.next_fetch_at || !world.broker_answers() {
            return;
        }
        state.next_fetch_at = world.now + world.latency();
        let ahead = world.broken == Some(Broken::FiresAhead);
        let State { reads, fetched, .. } = &mut *state;
        for (at, reads) in reads.iter_mut() {
            fetch_one(&world, at, reads, fetched, self.isolation, self.strict, ahead);
        }
    }

    fn add(&self, places: &[Place<'_>]) {
        let forgets = self.strict && self.handle.is_broken(Broken::ForgetsToRewind);
        let mut state = self.state();
        for place in places {
            let at = TopicPartition::new(place.topic, place.partition);
            let mut from = place.from;
            if let (true, Start::Offset(asked), Some(was)) = (forgets, from, state.was_at.get(&at)) {
                from = Start::Offset(asked.max(*was));
            }
            state.reads.insert(at, Reads { from, handed: None, told_end: false });
        }
    }
}

fn fetch_one(
    world: &World,
    at: &TopicPartition,
    reads: &mut Reads,
    fetched: &mut VecDeque<(TopicPartition, Fetched)>,
    isolation: Isolation,
    strict: bool,
    ahead: bool,
) {
    let Ok(log) = world.core.log(at) else { return };
    let bound = match isolation {
        Isolation::ReadCommitted => log.last_stable_offset(),
        Isolation::ReadUncommitted => log.end_offset(),
    };
    let from = match reads.from {
        Start::Offset(offset) => offset,
        Start::Beginning => log.log_start_offset(),
        Start::End => bound,
    };
    reads.from = Start::Offset(from);
    if from < bound {
        reads.told_end = false;
    } else if reads.told_end {
        return;
    }
    let found = match log.fetch(from, 1 << 18, true, isolation) {
        Ok(found) => found,
        Err(ErrorCode::OffsetOutOfRange) if strict => {
            fetched.push_back((at.clone(), Fetched::NoSuchOffset));
            return;
        }
        Err(_) => {
            reads.from = Start::Beginning;
            return;
        }
    };
    let aborted = found.aborted.unwrap_or_default();
    let mut next = from;
    for bytes in &found.batches {
        let Ok(header) = batch::read_header(bytes) else { continue };
        next = header.last_offset() + 1;
        let is_hidden = header.is_transactional()
            && aborted.iter().any(|aborted| {
                aborted.producer_id == header.producer_id
                    && (aborted.first_offset..=aborted.last_offset).contains(&header.base_offset)
            });
        if header.is_control() || is_hidden {
            continue;
        }
        for mut record in records::read(&header, bytes).unwrap_or_default() {
            if record.offset < from {
                continue;
            }
            if ahead && at.topic.ends_with(".marks.v1") {
                record.value = record.value.map(|value| moved(&at.topic, &value, world.wall_ms() + AHEAD_MS));
            }
            let by_broker = header.is_log_append_time();
            let record = FetchedRecord { at: at.clone(), by_broker, record };
            fetched.push_back((at.clone(), Fetched::Record(record)));
        }
    }
    reads.from = Start::Offset(next);
    if next >= bound {
        reads.told_end = true;
        fetched.push_back((at.clone(), Fetched::End(next)));
    }
}

/// A mark that says more than is so.
fn moved(topic: &str, value: &Bytes, time: i64) -> Bytes {
    let Ok(mut mark) = SCHEMAS.decode::<Mark>(value) else { return value.clone() };
    for entry in &mut mark.entries {
        entry.time = entry.time.max(time);
    }
    let dataset = topic.trim_start_matches("vuelve.").trim_end_matches(".v1");
    let mut moved = Vec::new();
    match SCHEMAS.encode(dataset, &mark, &mut moved) {
        Ok(()) => moved.into(),
        Err(_) => value.clone(),
    }
}

impl Reader for LogReader<'_> {
    type Record<'r>
        = FetchedRecord
    where
        Self: 'r;

    fn read(&self, places: &[Place<'_>]) -> Result<(), ClientError> {
        self.leave_all()?;
        self.add(places);
        Ok(())
    }

    fn read_also(&self, places: &[Place<'_>]) -> Result<(), ClientError> {
        self.add(places);
        Ok(())
    }

    fn leave(&self, places: &[(&str, Partition)]) -> Result<(), ClientError> {
        let mut state = self.state();
        for (topic, partition) in places {
            let left = TopicPartition::new(*topic, *partition);
            state.reads.remove(&left);
            state.fetched.retain(|(at, _)| *at != left);
        }
        Ok(())
    }

    fn leave_all(&self) -> Result<(), ClientError> {
        let mut state = self.state();
        state.reads.clear();
        state.fetched.clear();
        Ok(())
    }

    fn poll(&self, wait: Duration) -> Result<Polled<FetchedRecord>, ClientError> {
        if let Some(polled) = self.pop() {
            return polled;
        }
        self.fetch();
        if let Some(polled) = self.pop() {
            return polled;
        }
        if wait.is_zero() {
            return Ok(Polled::Nothing);
        }
        // A thread that waits is often woken late: so a world in which little happens has few turns.
        self.handle.sleep_drawn(|world| {
            let wait = micros(wait);
            world.chance.between(wait / 2, 12 * wait)
        });
        self.fetch();
        self.pop().unwrap_or(Ok(Polled::Nothing))
    }

    fn positions(&self) -> Result<Vec<(String, Partition, i64)>, ClientError> {
        let state = self.state();
        let known =
            state.reads.iter().filter_map(|(at, reads)| Some((at.topic.to_string(), at.partition, reads.handed?)));
        Ok(known.collect())
    }

    fn watermarks(&self, topic: &str, partition: Partition, timeout: Duration) -> Result<(i64, i64), ClientError> {
        let at = TopicPartition::new(topic, partition);
        self.handle.request(timeout, |world| {
            let looks_away = world.machines[self.handle.process].looks_away;
            let trusts = looks_away || world.broken == Some(Broken::TrustsTheStableOffset);
            let log = world.core.log(&at).map_err(|error| ClientError::passing(format!("{error:?}")))?;
            let end = match self.isolation {
                Isolation::ReadUncommitted if !trusts => log.end_offset(),
                _ => log.last_stable_offset(),
            };
            Ok((log.log_start_offset(), end))
        })?
    }

    fn offset_at(
        &self,
        topic: &str,
        partition: Partition,
        time: Timestamp,
        timeout: Duration,
    ) -> Result<Option<i64>, ClientError> {
        let at = TopicPartition::new(topic, partition);
        self.handle.request(timeout, |world| {
            let log = world.core.log(&at).map_err(|error| ClientError::passing(format!("{error:?}")))?;
            Ok(log.offset_for(TimestampQuery::AtOrAfter(time.as_millis().max(0)), self.isolation).map(|(at, _)| at))
        })?
    }

    fn cluster_id(&self, timeout: Duration) -> Option<String> {
        self.handle.request(timeout, |_| "simulated".to_owned()).ok()
    }

    fn members(&self, group_id: &str, timeout: Duration) -> Result<Vec<String>, ClientError> {
        self.handle.coordinated(Coordinator::Groups, timeout, |world| {
            let members = world.core.group(group_id).into_iter().flat_map(devbroker::core::groups::Group::members);
            members.map(|(_, member)| member.client_id.to_string()).collect()
        })
    }
}
