//! What happened: the facts that a driver tells.

use std::sync::Arc;

use domain::Timestamp;
use schemas::Mark;

use super::batch::{Decision, HaltReason, RecordFate};
use super::inbox::{Pending, record_bytes};
use super::partition::{Part, Phase};
use super::{Cycle, Takeover, Worker, concerns, revision_of};
use crate::service::{ClaimId, Decoded, Key, Poison, RecordRef, Service, Trace};
use crate::settings::TimeMode;
use crate::topology::{Clock, Partition};

/// A longer key can be no id of ours; it would weigh on every index.
const MAX_KEY_BYTES: usize = 1024;
/// The header of a changelog is kept under the key `"\0"`.
const RESERVED: u8 = 0;
/// A trace context has 55 bytes (W3C); a later version may have some more.
const MAX_TRACE_BYTES: usize = 128;

impl<S: Service> Worker<S> {
    /// Fact: a partition is ours. One that was ours already is taken over anew.
    pub fn assigned(&mut self, partition: Partition) {
        if self.parts.contains_key(&partition) {
            self.revoked(partition);
        }
        let upstream = usize::try_from(self.settings.partitions).unwrap_or(0);
        self.parts.insert(partition, Part::new(partition, upstream));
        self.decisions.push_back(Decision::TakeOver(partition));
    }

    /// Fact: a partition is no longer ours. What the open batch did is taken back, on all partitions, unless its commit was
    /// handed out: that is answered as ever. A planned revocation calls [`Worker::finish`] first.
    pub fn revoked(&mut self, partition: Partition) {
        let handed_out = matches!(self.cycle, Cycle::Committing)
            && !self.decisions.iter().any(|decision| matches!(decision, Decision::Commit(_)));
        if self.parts.contains_key(&partition) && !handed_out {
            self.take_back();
        }
        self.parts.remove(&partition);
        self.cache.forget_partition(partition);
        self.decisions.retain(|decision| !concerns(decision, partition));
    }

    /// Fact: nobody knows what the log and the store hold by now: the answer to a commit was lost, or a question failed.
    /// Every partition is taken over anew, in whatever the worker was. Side effects under way go on; how they end is told
    /// before claims that nobody performs are given up.
    pub fn start_over(&mut self) {
        self.take_back();
        self.decisions.retain(|decision| matches!(decision, Decision::Act { .. }));
        let upstream = usize::try_from(self.settings.partitions).unwrap_or(0);
        for (partition, part) in &mut self.parts {
            let mut before = std::mem::replace(part, Part::new(*partition, upstream));
            before.inbox.keep_completions();
            part.inbox = before.inbox;
            part.in_flight = before.in_flight;
            part.draining = before.draining;
            self.cache.forget_partition(*partition);
            self.decisions.push_back(Decision::TakeOver(*partition));
        }
    }

    /// Fact: a partition can't go on, as the driver found. Where that was while it wrote a batch, nothing of it was written.
    pub fn halted(&mut self, partition: Partition, reason: HaltReason) {
        if self.parts.get(&partition).is_some_and(|part| part.phase != Phase::Halted) {
            self.halt(partition, reason);
        }
    }

    /// Fact: the partition's view and header are restored.
    pub fn taken_over(&mut self, partition: Partition, takeover: Takeover) {
        let (topology, known) = (self.topology, self.settings.feature_level);
        let Some(part) = self.parts.get_mut(&partition).filter(|part| part.phase == Phase::TakingOver) else { return };
        let found = takeover.header.as_ref().map_or(0, |header| header.feature_level);
        let refusal = if found > known {
            Some(HaltReason::FeatureLevel { found, known })
        } else {
            match takeover.header {
                None => part.begin_at(&takeover.log_starts),
                Some(header) => part.resume_from(header, topology, &takeover.log_starts),
            }
            part.skip(topology, &takeover.log_starts, &self.settings.skip);
            part.gap(topology, &takeover.log_starts).or_else(|| part.cut(topology, &takeover.log_ends))
        };
        if let Some(reason) = refusal {
            part.phase = Phase::Halted;
            part.inbox.clear();
            self.decisions.push_back(Decision::Halt { partition, reason });
            return;
        }
        part.received.clone_from(&part.progress.positions);
        part.committed.clone_from(&part.progress);
        part.header_at_ms = self.now_ms;
        self.look_again |= part.touched;
        part.phase = Phase::WaitingForTables;
        self.start_those_whose_tables_are_read();
    }

    /// Fact: a record of an input. Refused (false) where it is not expected: of a partition that is not running, or read
    /// before [`Decision::Start`] was handed out.
    pub fn record(&mut self, record: &RecordRef<'_>) -> bool {
        if !self.expects(record.input, record.partition, record.offset) {
            return false;
        }
        let Some(part) = self.parts.get_mut(&record.partition) else { return false };
        let Some(received) = part.received.get_mut(record.input) else { return false };
        *received = record.offset + 1;
        let pending = match S::decode(&self.schemas, record).and_then(with_usable_key) {
            Ok(decoded) => Pending::Record {
                input: record.input,
                offset: record.offset,
                stored_at: record.timestamp,
                trace: record.traceparent.filter(|trace| trace.len() <= MAX_TRACE_BYTES).map(Trace::from),
                size_bytes: record_bytes(record),
                decoded,
            },
            Err(poison) => Pending::Poison {
                input: record.input,
                offset: record.offset,
                letter: Box::new(record.dead_letter(self.topology.inputs[record.input].dataset, poison)),
            },
        };
        part.inbox.push(pending);
        true
    }

    /// Whether [`Worker::record`] would take the record with this offset.
    pub fn expects(&self, input: usize, partition: Partition, offset: i64) -> bool {
        let part = self.parts.get(&partition).filter(|part| part.listens());
        part.and_then(|part| part.received.get(input)).is_some_and(|next| offset >= *next)
    }

    /// What has become of a record that was taken.
    pub fn fate(&self, input: usize, partition: Partition, offset: i64) -> RecordFate {
        let Some(part) = self.parts.get(&partition).filter(|part| part.running()) else { return RecordFate::TakenBack };
        let lies_before = |next: &Vec<i64>| next.get(input).is_some_and(|next| offset < *next);
        if lies_before(&part.committed.positions) {
            RecordFate::Committed
        } else if lies_before(&part.received) {
            RecordFate::Open
        } else {
            RecordFate::TakenBack
        }
    }

    /// Fact: the end of an input was reached at `position` (past trailing markers); `as_of` is a time, taken before the
    /// broker was asked, at which nothing was stored there beyond it.
    pub fn end_reached(&mut self, input: usize, partition: Partition, position: i64, as_of: Option<Timestamp>) {
        let Some(part) = self.parts.get_mut(&partition).filter(|part| part.listens()) else { return };
        let Some(received) = part.received.get_mut(input).filter(|next| position >= **next) else { return };
        *received = position;
        part.inbox.push_end(input, position, as_of);
    }

    /// Fact: a record of a table. A refusal goes to the log; the policy stays as it was. One that was read before
    /// changes nothing.
    pub fn table_record(&mut self, record: &RecordRef<'_>) -> Result<(), Poison> {
        if self.table_positions.get(record.input).is_some_and(|next| record.offset < *next) {
            return Ok(());
        }
        let result = S::apply_table(&mut self.policy, &self.schemas, record);
        self.table_read(record.input, record.offset + 1);
        if result.as_ref().is_ok_and(|changed| *changed) {
            self.table_changes[record.input] = record.offset + 1;
            let revision = revision_of(&self.table_positions);
            self.parts.values_mut().for_each(|part| part.revision = revision);
        }
        result.map(drop)
    }

    /// Fact: a table has been read up to this offset.
    pub fn table_read(&mut self, table: usize, next_offset: i64) {
        let Some(position) = self.table_positions.get_mut(table).filter(|position| **position < next_offset) else {
            return;
        };
        *position = next_offset;
        // Every running partition will say so in its header: a batch of headers only, if nothing else comes.
        self.batch.begun = true;
        self.start_those_whose_tables_are_read();
    }

    /// Fact: a mark of the service before this one. In a replay nothing but marks moves time, so each is looked at at once;
    /// else with the next batch.
    pub fn mark(&mut self, dataset: &str, mark: &Mark) {
        self.look_again |= self.settings.time_mode == TimeMode::Replay;
        self.heard_marks = true;
        for (input, clock) in self.topology.inputs.iter().zip(&mut self.clocks) {
            let (Clock::Marks(marks), Some(clock)) = (input.clock, clock) else { continue };
            let Some(bound) = mark.bounds.iter().find(|bound| bound.dataset == input.dataset) else { continue };
            if marks != dataset {
                continue;
            }
            let bounds: Arc<[i64]> = Arc::from(bound.offsets.as_slice());
            for entry in &mark.entries {
                clock.note(entry.partition, Timestamp::from_millis(entry.time), &bounds);
            }
        }
    }

    /// Fact, in a replay: all that was recorded is processed, so time may go on to `time` on the inputs that the broker's
    /// clock drives (the others follow their marks).
    pub fn advance_to(&mut self, time: Timestamp) {
        self.replayed_to = self.replayed_to.max(time);
    }

    /// Fact: the shell can perform so many side effects at once.
    pub fn capacity(&mut self, side_effects: usize) {
        self.capacity = side_effects;
    }

    /// Fact: a side effect ended. One that was claimed before the partition was taken over anew is told to the service like
    /// any other: its outcome is known after all, if it comes before the claim is given up.
    pub fn completed(&mut self, partition: Partition, key: Key, claim: ClaimId, completion: S::Completion) {
        let Some(part) = self.parts.get_mut(&partition) else { return };
        part.in_flight.remove(&(Key::clone(&key), ClaimId::clone(&claim)));
        if part.phase != Phase::Halted {
            part.ready = true;
            part.inbox.push(Pending::Completed { key, claim, completion });
        }
    }

    /// Fact: a partition is about to be revoked: no new claims are made on it.
    pub fn draining(&mut self, partition: Partition) {
        if let Some(part) = self.parts.get_mut(&partition) {
            part.draining = true;
        }
    }

    /// The next [`Worker::poll`] closes the batch whatever its age.
    pub fn finish(&mut self) {
        self.finish_now = true;
    }
}

fn with_usable_key<I>(decoded: Decoded<I>) -> Result<Decoded<I>, Poison> {
    let bad = |detail: String| Poison { reason: "bad_key", detail };
    if decoded.key.as_bytes().first() == Some(&RESERVED) {
        return Err(bad("a key that begins with a NUL byte is reserved for the changelog's header".to_owned()));
    }
    if decoded.key.len() > MAX_KEY_BYTES {
        return Err(bad(format!("the key has {} bytes; at most {MAX_KEY_BYTES} are taken", decoded.key.len())));
    }
    Ok(decoded)
}
