//! What waits in the inboxes goes into the batch: its states are loaded, then it is stepped through.

use bytes::Bytes;
use domain::Timestamp;
use schemas::ChangelogRecord;

use super::batch::{Decision, HaltReason, words};
use super::inbox::Pending;
use super::partition::{Entry, Slot};
use super::steps::Step;
use super::{Cycle, Worker};
use crate::service::{Cause, Key, Service};
use crate::store::{LoadRequest, Loaded};
use crate::topology::Partition;

/// A partition that can't go on, and why.
pub(super) type Failed = (Partition, HaltReason);

impl<S: Service> Worker<S> {
    /// Takes what waits in the inboxes into the batch. Returns whether there was anything.
    pub(super) fn collect(&mut self) -> bool {
        let take = self.take();
        if take.is_empty() {
            return false;
        }
        let mut asked = Vec::new();
        for (partition, count) in &take {
            let Some(part) = self.parts.get_mut(partition) else { continue };
            let mut missing: Vec<Key> = Vec::new();
            for key in part.inbox.iter().take(*count).filter_map(Pending::key) {
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
        if asked.is_empty() {
            if let Err((partition, reason)) = self.process(&take) {
                self.halt(partition, reason);
            }
            return true;
        }
        let requests = asked.iter().map(|(p, keys)| (*p, LoadRequest { keys: keys.clone(), due: None })).collect();
        self.decisions.push_back(Decision::Load(requests));
        self.cycle = Cycle::LoadingRecords { take, asked };
        true
    }

    /// How much of which inbox the batch has room for. Who comes first rotates, so that one partition's backlog does not
    /// hold up the others.
    fn take(&mut self) -> Vec<(Partition, usize)> {
        let most = self.batches.at_once();
        let room_before = most.saturating_sub(self.batch.records);
        let mut room = room_before;
        let mut room_bytes = self.settings.max_batch_bytes.saturating_sub(self.batch.read_bytes);
        let mut take = Vec::new();
        for (partition, part) in self.parts.range(self.first..).chain(self.parts.range(..self.first)) {
            if !part.running() || part.inbox.is_empty() {
                continue;
            }
            let mut count = 0;
            for pending in part.inbox.iter() {
                if room == 0 || room_bytes == 0 {
                    break;
                }
                room -= 1;
                room_bytes = room_bytes.saturating_sub(pending.size_bytes());
                count += 1;
            }
            if count > 0 {
                take.push((*partition, count));
            }
            if room == 0 || room_bytes == 0 {
                // Whoever comes after it is first the next time, if there was room for it at all.
                self.first = if count > 0 { partition + 1 } else { *partition };
                break;
            }
        }
        // Most of it at once: what waited, and not what came in while it stood open.
        if room == 0 && room_before > most / 2 {
            self.batch.filled_from_ms = Some(self.now_ms);
        }
        take
    }

    pub(super) fn keys_loaded(
        &mut self,
        take: &[(Partition, usize)],
        asked: Vec<(Partition, Vec<Key>)>,
        answers: Vec<Loaded>,
    ) -> Result<(), Failed> {
        let mut answers = answers.into_iter();
        for (partition, keys) in asked {
            let states = answers.next().map(|answer| answer.states).unwrap_or_default();
            if states.len() != keys.len() {
                return Err((partition, answer_misfits(keys.len(), states.len())));
            }
            for (key, value) in keys.into_iter().zip(states) {
                self.insert_slot(partition, key, value)?;
            }
        }
        self.process(take)
    }

    /// Puts a state that was read from the store into the batch's working set, unless it is there already.
    pub(super) fn insert_slot(&mut self, partition: Partition, key: Key, value: Option<Bytes>) -> Result<(), Failed> {
        let Some(part) = self.parts.get_mut(&partition) else { return Ok(()) };
        if part.slots.contains_key(&key) {
            return Ok(());
        }
        let slot = match (self.cache.take(partition, &key), value) {
            (Some((entry, size_bytes)), _) => Slot::stored(entry, size_bytes),
            (None, Some(value)) => {
                let record: ChangelogRecord<S::State> =
                    self.schemas.decode(&value).map_err(|error| (partition, HaltReason::State(error.to_string())))?;
                let time = record.time.map_or(Timestamp::MIN, Timestamp::from_millis);
                let entry = Entry::stored(record.state.unwrap_or_default(), time);
                Slot::stored(Box::new(entry), value.len())
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
                let Some(pending) = part.inbox.pop() else { break };
                self.process_one(*partition, pending)?;
            }
        }
        Ok(())
    }

    fn process_one(&mut self, partition: Partition, pending: Pending<S>) -> Result<(), Failed> {
        let Some(part) = self.parts.get_mut(&partition) else { return Ok(()) };
        if let Pending::End { input, position, as_of } = pending {
            part.progress.positions[input] = part.progress.positions[input].max(position);
            part.progress.drained[input] = as_of.or(part.progress.drained[input]);
            return Ok(());
        }
        self.batch.records += 1;
        self.batch.read_bytes += pending.size_bytes();
        self.batch.begun = true;
        let (input, outcome) = match pending {
            Pending::End { .. } => return Ok(()),
            Pending::Completed { key, claim, completion } => {
                part.touched = true;
                self.batch.completions.push((partition, Key::clone(&key), claim.clone(), completion.clone()));
                let disposition = self.step(partition, &key, Step::of(Cause::Completed(claim, completion)))?;
                self.count("completions", words(disposition));
                return Ok(());
            }
            Pending::Poison { input, offset, letter } => {
                part.read(input, offset, letter.timestamp);
                let reason = letter.poison.reason;
                self.batch.batch.dead_letters.push(*letter);
                (input, ("deadlettered", reason))
            }
            Pending::Record { input, offset, stored_at, trace, decoded, .. } => {
                part.read(input, offset, stored_at);
                let step = Step {
                    at: (input == 0).then_some(decoded.at),
                    stored_at: Some(stored_at),
                    trace: trace.as_ref(),
                    ..Step::of(Cause::Record(decoded.input))
                };
                (input, words(self.step(partition, &decoded.key, step)?))
            }
        };
        self.count(self.topology.inputs[input].dataset, outcome);
        Ok(())
    }

    pub(super) fn count(&mut self, what: &'static str, (outcome, reason): (&'static str, &'static str)) {
        self.batch.tally.add((what, outcome, reason));
    }
}

pub(super) fn answer_misfits(asked: usize, answered: usize) -> HaltReason {
    HaltReason::Invariant {
        name: "every_key_is_answered",
        detail: format!("the store was asked for {asked} and answered {answered}"),
    }
}
