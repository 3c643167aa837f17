//! What the transaction writes: outputs, and for each partition that the batch touched its changes, its header, its mark.

use domain::Timestamp;
use schemas::{ChangelogHeader, Position, Schemas, UpstreamWatermark};

use super::batch::{Batch, Decision, HaltReason, PartitionCommit};
use super::clock::input_time;
use super::collect::Failed;
use super::partition::{Entry, Part};
use super::{Cycle, Worker};
use crate::service::{Emitted, Key, Label, MAX_LABEL_BYTES, MAX_LABELS, Output as _, Service, State};
use crate::settings::TimeMode;
use crate::store::{Labels, StateChange, StateChanges};
use crate::topology::{Clock, Topology};

impl<S: Service> Worker<S> {
    /// Builds the commit, if there is anything to write.
    pub(super) fn close(&mut self) -> Result<(), Failed> {
        let unmarked_ms = self.elapsed_ms(self.marked_at_ms);
        let may_mark = self.topology.marks.is_some() && unmarked_ms >= self.settings.mark_interval.as_millis();
        let has_to_mark = self.knows_time_from_marks() && unmarked_ms >= self.settings.header_refresh.as_millis();
        let mut commit = std::mem::replace(&mut self.batch.batch, Batch::empty());
        let running: Vec<_> = self.running().collect();
        for partition in running {
            let Some(part) = self.parts.get(&partition) else { continue };
            let writes = self.has_to_write(part);
            let watermark = part.progress.watermark;
            let marking = (may_mark && (has_to_mark || watermark > part.marked)).then_some(watermark);
            if !writes && marking.is_none() {
                continue;
            }
            let header = writes.then(|| self.header_of(part));
            let Some(part) = self.parts.get_mut(&partition) else { continue };
            let mut changes = Vec::new();
            if header.is_some() {
                summarise(&self.policy, part, &mut commit.outputs);
                changes = changes_of(part, self.topology, &self.schemas, &mut self.encoded)?;
                part.header_at_ms = self.now_ms;
                part.touched = false;
            }
            part.next_header.clone_from(&header);
            part.marking = marking;
            commit.marks.extend(marking.map(|time| (partition, time)));
            let primary_offset = part.progress.positions[0];
            commit.partitions.push(PartitionCommit { partition, changes, header, primary_offset });
        }
        if commit.partitions.is_empty() {
            // What was looked at without an effect is done; what it counted goes with the next batch.
            let tally = std::mem::take(&mut self.batch.tally);
            self.batch_is_done();
            self.batch.tally = tally;
            return Ok(());
        }
        commit.counts = std::mem::take(&mut self.batch.tally).counts();
        if !commit.marks.is_empty() {
            self.marked_at_ms = self.now_ms;
        }
        self.closed_at_ms = Some(self.now_ms);
        self.commit_took_ms = None;
        self.cycle = Cycle::Committing;
        self.decisions.push_back(Decision::Commit(Box::new(commit)));
        Ok(())
    }

    /// What hangs on the broker's clock knows the present from its own marks: it begins with one, and where time stands still
    /// for long, it may be that the broker did not say when it took the last.
    fn knows_time_from_marks(&self) -> bool {
        let by_broker = self.topology.inputs.iter().any(|input| input.clock == Clock::Broker);
        by_broker && self.settings.time_mode == TimeMode::Live
    }

    /// Whether the partition gets a header: the batch did something here, or the last one is out of date.
    ///
    /// What only time and trailing markers moved is written down at times, so that the next owner does not begin far behind
    /// what was handed on. In a replay time moves rarely, nobody will say again how far, and what is late depends on it: it
    /// is written at once.
    fn has_to_write(&self, part: &Part<S>) -> bool {
        let refresh = self.elapsed_ms(part.header_at_ms) >= self.settings.header_refresh.as_millis();
        let time_moved = part.header.watermark != written_time(part.progress.watermark);
        part.touched
            || part.header.sequence == 0
            || !part.knows_tables(self.topology, &self.table_positions)
            || part.header.untold != part.untold()
            || time_moved && (refresh || self.settings.time_mode == TimeMode::Replay)
            || refresh && part.header.positions != self.positions_of(part)
    }

    fn positions_of(&self, part: &Part<S>) -> Vec<Position> {
        positions(self.topology.inputs.iter().map(|input| input.dataset), &part.progress.positions)
    }

    fn header_of(&self, part: &Part<S>) -> ChangelogHeader {
        ChangelogHeader {
            sequence: part.header.sequence + 1,
            positions: self.positions_of(part),
            watermarks: watermarks(part, self.topology),
            watermark: written_time(part.progress.watermark),
            tables: positions(self.topology.tables.iter().copied(), &self.table_positions),
            untold: part.untold(),
            revision: Some(part.revision.as_millis()),
            feature_level: self.settings.feature_level,
            written_at: (self.settings.time_mode == TimeMode::Live).then_some(self.now_ms),
            transactional_id: self.settings.transactional_id.clone(),
        }
    }
}

/// A time as a header has it: 0 where none has come yet, because other languages' readers know no earlier ones.
fn written_time(time: Timestamp) -> i64 {
    time.as_millis().max(0)
}

/// The same, read.
pub(super) fn read_time(millis: i64) -> Timestamp {
    if millis > 0 { Timestamp::from_millis(millis) } else { Timestamp::MIN }
}

fn positions<'a>(datasets: impl Iterator<Item = &'a str>, offsets: &[i64]) -> Vec<Position> {
    datasets.zip(offsets).map(|(dataset, next)| Position { dataset: dataset.to_owned(), next_offset: *next }).collect()
}

fn watermarks<S: Service>(part: &Part<S>, topology: &Topology) -> Vec<UpstreamWatermark> {
    let clocked = topology.inputs.iter().enumerate().filter(|(_, input)| input.clock != Clock::Unclocked);
    let watermark = |(index, input): (usize, &crate::topology::Input)| UpstreamWatermark {
        dataset: input.dataset.to_owned(),
        time: written_time(input_time(&part.progress, index, *input)),
    };
    clocked.map(watermark).collect()
}

/// Tells of each state that the batch changed or ended, behind all that came of the records.
fn summarise<S: Service>(policy: &S::Policy, part: &Part<S>, outputs: &mut Vec<Emitted<S::Output>>) {
    let first = outputs.len();
    for (key, slot) in part.slots.iter().filter(|(_, slot)| slot.dirty) {
        let state = Some(&slot.entry.state).filter(|state| **state != S::State::default());
        // Of one that came and went within the batch nobody has heard.
        if state.is_none() && slot.stored_bytes.is_none() {
            continue;
        }
        let output = S::summary(policy, key, state, slot.entry.time);
        outputs.extend(output.map(|output| Emitted {
            output,
            trace: None,
            by_timer: false,
            partition: part.partition,
        }));
    }
    // The same batch gives the same records in the same order, whatever the map's order.
    outputs[first..].sort_by(|a, b| a.output.key().cmp(b.output.key()));
}

/// The batch's state changes on a partition, encoded; notes in each slot how large it is in the store.
fn changes_of<S: Service>(
    part: &mut Part<S>,
    topology: &Topology,
    schemas: &Schemas,
    encoded: &mut StateChanges,
) -> Result<Vec<StateChange>, Failed> {
    encoded.clear();
    for (key, slot) in part.slots.iter_mut().filter(|(_, slot)| slot.dirty) {
        if slot.entry.state == S::State::default() {
            if slot.stored_bytes.take().is_some() {
                let labels = std::mem::take(&mut slot.entry.labels);
                encoded.end(Key::clone(key), Labels::no_longer(labels));
            }
            continue;
        }
        let labels = labels_of(&mut slot.entry).map_err(|reason| (part.partition, reason))?;
        let state = &slot.entry.state;
        let time = Some(slot.entry.time).filter(|time| *time > Timestamp::MIN).map(Timestamp::as_millis);
        let size_bytes = encoded
            .set(Key::clone(key), state.due(), labels, |buffer| {
                schemas.encode_changelog(topology.changelog, None, time, Some(state), buffer)
            })
            .map_err(|error| (part.partition, HaltReason::Unwritable(error.to_string())))?;
        slot.stored_bytes = Some(size_bytes);
    }
    let mut changes = encoded.take();
    // The same batch gives the same bytes in the same order, whatever the map's order.
    changes.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(changes)
}

/// Under which labels the state is from now on. Where they are those that the store has, nothing is told, nor kept.
fn labels_of<T: State>(entry: &mut Entry<T>) -> Result<Labels, HaltReason> {
    if entry.state.indexed_under().eq(&entry.labels) {
        return Ok(Labels::Same);
    }
    let now: Vec<Label> = entry.state.indexed_under().take(MAX_LABELS + 1).cloned().collect();
    let longest_bytes = now.iter().map(|label| label.len()).max().unwrap_or_default();
    if now.len() > MAX_LABELS || longest_bytes > MAX_LABEL_BYTES {
        let detail = format!(
            "a state is under {} labels or more, of up to {longest_bytes} bytes; at most {MAX_LABELS} of {MAX_LABEL_BYTES}",
            now.len()
        );
        return Err(HaltReason::Invariant { name: "labels_are_few_and_short", detail });
    }
    let before = std::mem::replace(&mut entry.labels, now.clone());
    Ok(Labels::Are { before: Some(before), now })
}
