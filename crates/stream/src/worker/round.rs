//! One batch, from the inbox to the commit: collect records, load their states, step; then timers, claims, headers.

use bytes::Bytes;
use domain::Timestamp;
use schemas::{ChangelogHeader, ChangelogRecord, Position, UpstreamWatermark};

use super::batch::{HaltReason, PartitionCommit, words};
use super::partition::{Entry, Part, Pending, Slot};
use super::{Batch, Cycle, Decision, Worker, time_of};
use crate::service::{Cause, Context, Disposition, Due, Key, Lane, Service, State, Trace};
use crate::store::{DueQuery, LoadRequest, Loaded, StateChange};
use crate::topology::{Clock, Partition, Topology};

/// A key whose timers fire more often than this in one batch is not making progress.
const MAX_FIRINGS: usize = 100_000;

type Failed = (Partition, HaltReason);

/// What came of a record, for the counts.
struct Step<'a, S: Service> {
    cause: Cause<S::Input, S::Completion>,
    /// The event time, where the cause moves her time.
    at: Option<Timestamp>,
    stored_at: Option<Timestamp>,
    trace: Option<&'a Trace>,
}

impl<S: Service> Worker<S> {
    /// Takes what waits in the inboxes into the batch. Returns whether there was anything.
    pub(super) fn collect(&mut self) -> bool {
        let mut room = self.settings.max_batch_records.saturating_sub(self.batch.records);
        let mut take = Vec::new();
        let mut asked = Vec::new();
        for part in self.parts.values_mut().filter(|part| part.running() && !part.inbox.is_empty()) {
            let count = part.inbox.len().min(room);
            if count == 0 {
                continue;
            }
            room -= count;
            take.push((part.partition, count));
            let mut missing: Vec<Key> = Vec::new();
            for key in part.inbox.iter().take(count).filter_map(Pending::key) {
                if part.slots.contains_key(key) {
                    continue;
                }
                match self.cache.take(part.partition, key) {
                    Some((entry, size_bytes)) => {
                        part.slots.insert(Key::clone(key), Slot::stored(entry, size_bytes));
                    }
                    None => missing.push(Key::clone(key)),
                }
            }
            missing.sort_unstable();
            missing.dedup();
            if !missing.is_empty() {
                asked.push((part.partition, missing));
            }
        }
        if take.is_empty() {
            return false;
        }
        self.batch.began_at_ms.get_or_insert(self.now_ms);
        if asked.is_empty() {
            if let Err((partition, reason)) = self.process(&take) {
                self.halt(partition, reason);
            }
            return true;
        }
        let requests = asked.iter().map(|(p, keys)| (*p, LoadRequest { keys: keys.clone(), due: None })).collect();
        self.decisions.push_back(Decision::Load(requests));
        self.cycle = Cycle::LoadingRecords { take, asked };
        false
    }

    pub(super) fn keys_loaded(
        &mut self,
        take: &[(Partition, usize)],
        asked: Vec<(Partition, Vec<Key>)>,
        answers: Vec<Loaded>,
    ) -> Result<(), Failed> {
        for ((partition, keys), answer) in asked.into_iter().zip(answers) {
            for (key, value) in keys.into_iter().zip(answer.states) {
                self.insert_slot(partition, key, value)?;
            }
        }
        self.process(take)
    }

    /// Puts a state that was read from the store into the batch's working set, unless it is there already.
    fn insert_slot(&mut self, partition: Partition, key: Key, value: Option<Bytes>) -> Result<(), Failed> {
        let Some(part) = self.parts.get_mut(&partition) else { return Ok(()) };
        if part.slots.contains_key(&key) {
            return Ok(());
        }
        let slot = match (self.cache.take(partition, &key), value) {
            (Some((entry, size_bytes)), _) => Slot::stored(entry, size_bytes),
            (None, Some(value)) => {
                let record: ChangelogRecord<S::State> = self
                    .schemas
                    .decode(&value)
                    .map_err(|error| (partition, HaltReason::State(error.to_string())))?;
                let entry = Entry {
                    state: record.state.unwrap_or_default(),
                    time: record.time.map_or(Timestamp::MIN, Timestamp::from_millis),
                };
                Slot::stored(entry, value.len())
            }
            (None, None) => Slot::fresh(),
        };
        part.slots.insert(key, slot);
        Ok(())
    }

    /// Steps through the first entries of the inboxes, whose states are all at hand.
    fn process(&mut self, take: &[(Partition, usize)]) -> Result<(), Failed> {
        for (partition, count) in take {
            for _ in 0..*count {
                let Some(part) = self.parts.get_mut(partition) else { break };
                let Some(pending) = part.inbox.pop_front() else { break };
                self.batch.records += 1;
                self.process_one(*partition, pending)?;
            }
        }
        Ok(())
    }

    fn process_one(&mut self, partition: Partition, pending: Pending<S>) -> Result<(), Failed> {
        let Some(part) = self.parts.get_mut(&partition) else { return Ok(()) };
        let (input, outcome) = match pending {
            Pending::End { input, position, as_of } => {
                part.progress.positions[input] = part.progress.positions[input].max(position);
                if input == 0 && as_of.is_some() {
                    part.drained = as_of;
                }
                return Ok(());
            }
            Pending::Completed { key, claim, completion } => {
                part.touched = true;
                self.batch.completions.push((partition, Key::clone(&key), claim.clone(), completion.clone()));
                let cause = Cause::Completed(claim, completion);
                let disposition = self.step(partition, &key, Step { cause, at: None, stored_at: None, trace: None })?;
                self.count("completions", words(disposition));
                return Ok(());
            }
            Pending::Poison { input, offset, letter } => {
                part.read(input, offset);
                let reason = letter.poison.reason;
                self.batch.batch.dead_letters.push(*letter);
                (input, ("deadlettered", reason))
            }
            Pending::Record { input, offset, stored_at, trace, decoded } => {
                part.read(input, offset);
                if input == 0 && self.topology.primary().clock == Clock::Broker {
                    part.progress.broker_time = part.progress.broker_time.max(stored_at);
                }
                let step = Step {
                    cause: Cause::Record(decoded.input),
                    at: (input == 0).then_some(decoded.at),
                    stored_at: Some(stored_at),
                    trace: trace.as_ref(),
                };
                (input, words(self.step(partition, &decoded.key, step)?))
            }
        };
        self.count(self.topology.inputs[input].dataset, outcome);
        Ok(())
    }

    /// One step of one key: her timers due before it, then the cause.
    fn step(&mut self, partition: Partition, key: &Key, step: Step<'_, S>) -> Result<Disposition, Failed> {
        if let Some(at) = step.at {
            self.fire(partition, key, at, false)?;
        }
        let revision = self.revision();
        let Some(part) = self.parts.get_mut(&partition) else { return Ok(Disposition::Ignored("revoked")) };
        let Some(slot) = part.slots.get_mut(key) else { return Ok(Disposition::Ignored("revoked")) };
        let now = step.at.map_or(slot.entry.time, |at| at.max(slot.entry.time));
        let context = Context { key, now, stored_at: step.stored_at, trace: step.trace, revision };
        self.effects.begin(step.trace.cloned());
        let disposition =
            S::step(&self.policy, &mut slot.entry.state, step.cause, &context, &mut self.effects);
        // What concerns nobody leaves no trace, so that a restart between two events changes nothing.
        if disposition == Disposition::Emitted {
            slot.entry.time = now;
            slot.dirty = true;
            part.touched = true;
        }
        self.batch.batch.outputs.append(&mut self.effects.outputs);
        for (claim, action) in self.effects.actions.drain(..) {
            self.batch.actions.push((partition, Key::clone(key), claim, action));
        }
        Ok(disposition)
    }

    /// Fires the key's timers due before `until`, or by it, in order.
    fn fire(&mut self, partition: Partition, key: &Key, until: Timestamp, inclusive: bool) -> Result<(), Failed> {
        loop {
            let Some(part) = self.parts.get_mut(&partition) else { return Ok(()) };
            let Some(slot) = part.slots.get_mut(key) else { return Ok(()) };
            let Some(due) = slot.entry.state.due().timer.filter(|due| *due < until || (inclusive && *due == until))
            else {
                return Ok(());
            };
            slot.fired += 1;
            if slot.fired > MAX_FIRINGS {
                return Err((partition, HaltReason::NoProgress { fired: slot.fired, due }));
            }
            slot.entry.time = slot.entry.time.max(due);
            slot.dirty = true;
            part.touched = true;
            self.batch.records += 1;
            let disposition =
                self.step(partition, key, Step { cause: Cause::Timer, at: None, stored_at: None, trace: None })?;
            self.count("timers", words(disposition));
        }
    }

    /// Closes the batch where it is time: asks who is due, or commits. Returns whether anything was decided.
    pub(super) fn close_if_due(&mut self) -> bool {
        let looked = self.now_ms.saturating_sub(self.looked_at_clock_ms);
        let full = self.batch.records >= self.settings.max_batch_records;
        let old = self
            .batch
            .began_at_ms
            .is_some_and(|began| self.now_ms - began >= self.settings.commit_interval.as_millis());
        if !(full || old || self.finish_now || looked >= self.settings.mark_interval.as_millis()) {
            return false;
        }
        self.finish_now = false;
        self.looked_at_clock_ms = self.now_ms;
        let (revision, mode, limit) = (self.revision(), self.settings.time_mode, self.settings.max_batch_records);
        let free = self.free_capacity();
        let mut asked = Vec::new();
        for part in self.parts.values_mut().filter(|part| part.running()) {
            let (time, reached) = time_of(part, self.topology, &self.clocks, mode);
            part.progress.reached = reached;
            if part.progress.abandoned {
                asked.push((part.partition, Lane::Claimed, Timestamp::MAX, limit));
            }
            if part.progress.told_revision < revision {
                asked.push((part.partition, Lane::Held, revision - MILLISECOND, limit));
            }
            if time > part.progress.watermark || part.slots.values().any(|slot| slot.due_by(time)) {
                part.closing = time;
                asked.push((part.partition, Lane::Timer, time, limit));
            }
            if free > 0 && part.ready && !part.draining && !part.progress.abandoned {
                asked.push((part.partition, Lane::Ready, Timestamp::MAX, free));
            }
        }
        if asked.is_empty() {
            if let Err((partition, reason)) = self.close() {
                self.halt(partition, reason);
            }
            return !self.decisions.is_empty();
        }
        let request = |(partition, lane, until, limit): &(Partition, Lane, Timestamp, usize)| {
            let due = Some(DueQuery { lane: *lane, until: *until, limit: *limit });
            (*partition, LoadRequest { keys: Vec::new(), due })
        };
        self.decisions.push_back(Decision::Load(asked.iter().map(request).collect()));
        let asked = asked.into_iter().map(|(partition, lane, _, limit)| (partition, lane, limit)).collect();
        self.cycle = Cycle::LoadingDue { asked };
        true
    }

    pub(super) fn due_loaded(&mut self, asked: Vec<(Partition, Lane, usize)>, answers: Vec<Loaded>) -> Result<(), Failed> {
        for ((partition, lane, limit), answer) in asked.into_iter().zip(answers) {
            let more = answer.due.len() >= limit;
            let mut keys = Vec::with_capacity(answer.due.len());
            for (_, key, value) in answer.due {
                self.insert_slot(partition, Key::clone(&key), value)?;
                keys.push(key);
            }
            self.serve_lane(partition, lane, keys, more)?;
        }
        self.close()
    }

    /// Serves those who are due in a lane: the ones that the store named, and those that this batch made due.
    fn serve_lane(&mut self, partition: Partition, lane: Lane, mut keys: Vec<Key>, more: bool) -> Result<(), Failed> {
        let (revision, room) = (self.revision(), self.free_capacity());
        let Some(part) = self.parts.get_mut(&partition) else { return Ok(()) };
        keys.extend(part.slots.iter().filter(|(_, slot)| slot.dirty).map(|(key, _)| Key::clone(key)));
        let closing = part.closing;
        let mut due: Vec<(Timestamp, Key)> = keys
            .into_iter()
            .filter_map(|key| {
                let at = part.slots.get(&key)?.entry.state.due().lane(lane)?;
                Some((at, key))
            })
            .collect();
        due.sort_unstable();
        due.dedup();
        match lane {
            Lane::Timer => {
                for (_, key) in due {
                    self.fire(partition, &key, closing, true)?;
                }
                if let Some(part) = self.parts.get_mut(&partition)
                    && !more
                {
                    part.progress.watermark = closing;
                }
            }
            Lane::Claimed => {
                self.tell(partition, due, &Cause::Abandoned)?;
                if let Some(part) = self.parts.get_mut(&partition) {
                    part.progress.abandoned = more;
                }
            }
            Lane::Held => {
                due.retain(|(seen, _)| *seen < revision);
                self.tell(partition, due, &Cause::PolicyChanged)?;
                if let Some(part) = self.parts.get_mut(&partition)
                    && !more
                {
                    part.progress.told_revision = revision;
                }
            }
            Lane::Ready => {
                let many = due.len() > room;
                for (_, key) in due {
                    self.offer(partition, &key)?;
                }
                if let Some(part) = self.parts.get_mut(&partition) {
                    part.ready = more || many || part.slots.values().any(|slot| slot.entry.state.due().ready.is_some());
                }
            }
        }
        Ok(())
    }

    fn tell(
        &mut self,
        partition: Partition,
        due: Vec<(Timestamp, Key)>,
        cause: &Cause<S::Input, S::Completion>,
    ) -> Result<(), Failed> {
        for (_, key) in due {
            let step = Step { cause: cause.clone(), at: None, stored_at: None, trace: None };
            let disposition = self.step(partition, &key, step)?;
            self.count(if matches!(cause, Cause::Abandoned) { "abandoned" } else { "held" }, words(disposition));
        }
        Ok(())
    }

    /// Offers room for side effects to one key, as long as it takes it.
    fn offer(&mut self, partition: Partition, key: &Key) -> Result<(), Failed> {
        while self.free_capacity() > 0 {
            let claims = self.batch.actions.len();
            let step = Step { cause: Cause::Claim, at: None, stored_at: None, trace: None };
            let disposition = self.step(partition, key, step)?;
            self.count("claims", words(disposition));
            let ready = self.parts.get(&partition).and_then(|part| part.slots.get(key));
            if self.batch.actions.len() == claims && disposition != Disposition::Emitted
                || ready.is_none_or(|slot| slot.entry.state.due().ready.is_none())
            {
                break;
            }
        }
        Ok(())
    }

    fn free_capacity(&self) -> usize {
        let busy: usize = self.parts.values().map(|part| part.in_flight).sum();
        self.capacity.saturating_sub(busy + self.batch.actions.len())
    }

    /// Builds the commit, if there is anything to write.
    fn close(&mut self) -> Result<(), Failed> {
        let may_mark = self.topology.marks.is_some()
            && self.now_ms.saturating_sub(self.marked_at_ms) >= self.settings.mark_interval.as_millis();
        let mut commit = std::mem::replace(&mut self.batch.batch, Batch::empty());
        for part in self.parts.values_mut().filter(|part| part.running()) {
            let refresh = self.now_ms.saturating_sub(part.header_at_ms) >= self.settings.header_refresh.as_millis();
            if refresh && part.progress.positions != part.committed.positions {
                part.touched = true;
            }
            let marks = may_mark && part.progress.watermark > part.marked;
            if !part.touched && !marks {
                continue;
            }
            if marks {
                part.marked = part.progress.watermark;
                commit.marks.push((part.partition, part.marked));
                self.marked_at_ms = self.now_ms;
            }
            let mut partition_commit = PartitionCommit {
                partition: part.partition,
                changes: Vec::new(),
                header: None,
                primary_offset: part.progress.positions[0],
            };
            if part.touched {
                partition_commit.changes = changes(part, self.topology, &self.schemas, &mut self.encoded)?;
                let header = ChangelogHeader {
                    sequence: part.header.sequence + 1,
                    positions: positions(self.topology.inputs.iter().map(|i| i.dataset), &part.progress.positions),
                    watermarks: part.watermarks(self.topology),
                    watermark: part.progress.watermark.as_millis(),
                    tables: positions(self.topology.tables.iter().copied(), &self.table_positions),
                    feature_level: self.settings.feature_level,
                    written_at: Some(self.now_ms),
                    transactional_id: self.settings.transactional_id.clone(),
                };
                part.header_at_ms = self.now_ms;
                part.next_header = Some(header.clone());
                partition_commit.header = Some(header);
                part.touched = false;
            }
            commit.partitions.push(partition_commit);
        }
        if commit.partitions.is_empty() {
            // Nothing to write: what was looked at without an effect is done.
            self.batch.batch = commit;
            self.batch.began_at_ms = None;
            self.batch.records = 0;
            self.committed();
            return Ok(());
        }
        self.cycle = Cycle::Committing;
        self.decisions.push_back(Decision::Commit(Box::new(commit)));
        Ok(())
    }

    fn count(&mut self, what: &'static str, (outcome, reason): (&'static str, &'static str)) {
        *self.batch.batch.counts.entry((what, outcome, reason)).or_default() += 1;
    }
}

const MILLISECOND: domain::HumanDuration = domain::HumanDuration::from_millis(1);

fn positions<'a>(datasets: impl Iterator<Item = &'a str>, offsets: &[i64]) -> Vec<Position> {
    datasets.zip(offsets).map(|(dataset, next)| Position { dataset: dataset.to_owned(), next_offset: *next }).collect()
}

/// The batch's state changes on a partition, encoded; notes in each slot how large it is in the store.
fn changes<S: Service>(
    part: &mut Part<S>,
    topology: &Topology,
    schemas: &schemas::Schemas,
    buffer: &mut Vec<u8>,
) -> Result<Vec<StateChange>, Failed> {
    let mut changes = Vec::new();
    for (key, slot) in part.slots.iter_mut().filter(|(_, slot)| slot.dirty) {
        if slot.entry.state == S::State::default() {
            if slot.stored_bytes.take().is_some() {
                changes.push(StateChange { key: Key::clone(key), value: None, due: Due::default() });
            }
            continue;
        }
        buffer.clear();
        let time = Some(slot.entry.time.as_millis());
        schemas
            .encode_changelog(topology.changelog, None, time, Some(&slot.entry.state), buffer)
            .map_err(|error| (part.partition, HaltReason::State(error.to_string())))?;
        slot.stored_bytes = Some(buffer.len());
        let value = Some(Bytes::copy_from_slice(buffer));
        changes.push(StateChange { key: Key::clone(key), value, due: slot.entry.state.due() });
    }
    // The same batch gives the same bytes in the same order, whatever the map's order.
    changes.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(changes)
}

impl<T: State> Slot<T> {
    fn stored(entry: Entry<T>, size_bytes: usize) -> Self {
        Self { entry, stored_bytes: Some(size_bytes), dirty: false, fired: 0 }
    }

    fn fresh() -> Self {
        Self { entry: Entry::default(), stored_bytes: None, dirty: false, fired: 0 }
    }

    fn due_by(&self, time: Timestamp) -> bool {
        self.dirty && self.entry.state.due().timer.is_some_and(|due| due <= time)
    }
}

impl<S: Service> Part<S> {
    fn read(&mut self, input: usize, offset: i64) {
        self.progress.positions[input] = offset + 1;
        self.touched = true;
        if input == 0 {
            self.drained = None;
        }
    }

    fn watermarks(&self, topology: &Topology) -> Vec<UpstreamWatermark> {
        let mut watermarks = Vec::new();
        for (index, input) in topology.inputs.iter().enumerate() {
            let time = match input.clock {
                Clock::Unclocked => continue,
                Clock::Broker => self.progress.broker_time,
                Clock::Marks(_) => self.progress.reached[index].iter().copied().min().unwrap_or(Timestamp::MIN),
            };
            watermarks.push(UpstreamWatermark { dataset: input.dataset.to_owned(), time: time.as_millis() });
        }
        watermarks
    }

    /// Goes on where the header says that the partition's last owner got to.
    pub(super) fn resume_from(&mut self, header: ChangelogHeader, topology: &Topology, log_starts: &[i64]) {
        for (index, input) in topology.inputs.iter().enumerate() {
            let known = header.positions.iter().find(|position| position.dataset == input.dataset);
            // An input that a newer version reads for the first time begins where its log does.
            let start = log_starts.get(index).copied().unwrap_or(0);
            self.progress.positions[index] = known.map_or(start, |position| position.next_offset);
            let time = header.watermarks.iter().find(|watermark| watermark.dataset == input.dataset);
            let time = time.map_or(Timestamp::MIN, |watermark| Timestamp::from_millis(watermark.time));
            self.progress.reached[index].fill(time);
            if input.clock == Clock::Broker {
                self.progress.broker_time = time;
            }
        }
        self.progress.watermark = Timestamp::from_millis(header.watermark);
        self.header = header;
    }

    /// What was deleted before it was read.
    pub(super) fn gap(&self, topology: &Topology, log_starts: &[i64]) -> Option<HaltReason> {
        topology.inputs.iter().zip(&self.progress.positions).zip(log_starts).find_map(|((input, position), start)| {
            (position < start).then_some(HaltReason::Gap {
                dataset: input.dataset,
                partition: self.partition,
                position: *position,
                log_start: *start,
                lost: start - position,
            })
        })
    }
}
