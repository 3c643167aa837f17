//! Who is due: timers by the watermark, claims of a lost owner, those who wait for a change of the policy or for room.

use domain::{HumanDuration, Timestamp};

use super::batch::{Decision, HaltReason, words};
use super::clock::time_of;
use super::collect::{Failed, answer_misfits};
use super::pace::Pace;
use super::partition::Part;
use super::steps::{MAX_FIRINGS, Step};
use super::{Cycle, Worker};
use crate::service::{Cause, Disposition, Key, Lane, Service, State};
use crate::settings::WorkerSettings;
use crate::store::{DueQuery, LoadRequest, Loaded};
use crate::topology::Partition;

const MILLISECOND: HumanDuration = HumanDuration::from_millis(1);

/// A question to the store: who is due in a lane?
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    partition: Partition,
    lane: Lane,
    until: Timestamp,
    limit: usize,
}

/// So many of those who wait for a change of the policy are told in the first batch, and never fewer in all.
const FIRST_TELLS_AT_ONCE: usize = 256;
/// A commit that took longer was held up: that says nothing about the next.
const LONGEST_COMMIT_MS: i64 = 200;

pub(super) fn pace_of_telling(settings: &WorkerSettings) -> Pace {
    let most = settings.max_batch_records.max(FIRST_TELLS_AT_ONCE);
    Pace::new(FIRST_TELLS_AT_ONCE, FIRST_TELLS_AT_ONCE, most, settings.commit_interval.as_millis())
}

impl<S: Service> Worker<S> {
    /// Closes the batch where it is time: asks who is due, or commits. Returns whether anything was decided.
    pub(super) fn close_if_due(&mut self) -> bool {
        let full =
            self.batch.records >= self.batches.at_once() || self.batch.read_bytes >= self.settings.max_batch_bytes;
        // As often as the interval says, and no more often: after a rest the first record does not wait for it. Where
        // commits take long there is much to do, and much in a batch is what helps: so they take a third of the time at most.
        let commit_took_ms = self.commit_took_ms.unwrap_or(0).min(LONGEST_COMMIT_MS);
        let interval_ms = self.settings.commit_interval.as_millis().max(3 * commit_took_ms);
        let waited = self.closed_at_ms.is_some_and(|closed| self.elapsed_ms(closed) >= interval_ms);
        let look = self.elapsed_ms(self.looked_at_clock_ms) >= self.settings.mark_interval.as_millis();
        let due = waited && (self.batch.begun || self.heard_marks);
        if !(full || due || look || self.finish_now || self.look_again) {
            return false;
        }
        self.finish_now = false;
        self.look_again = false;
        self.heard_marks = false;
        self.looked_at_clock_ms = self.now_ms;
        self.asked_at_ms = self.now_ms;
        let asked = self.questions();
        if asked.is_empty() {
            if let Err((partition, reason)) = self.close() {
                self.halt(partition, reason);
            }
            return !self.decisions.is_empty();
        }
        let request = |asked: &Asked| {
            let due = Some(DueQuery { lane: asked.lane, until: asked.until, limit: asked.limit });
            (asked.partition, LoadRequest { keys: Vec::new(), due })
        };
        self.decisions.push_back(Decision::Load(asked.iter().map(request).collect()));
        self.cycle = Cycle::LoadingDue { asked };
        true
    }

    /// What has to be asked before the batch closes. The lanes come in this order, so that a claim is made last.
    fn questions(&mut self) -> Vec<Asked> {
        let mode = self.settings.time_mode;
        // The partitions share the batch, so that what is loaded at once stays bounded when all of them have much to do.
        let limit = (self.batches.at_once() / self.running().count().max(1)).max(1);
        let told_limit = (self.telling.at_once() / self.running().count().max(1)).clamp(1, limit);
        let free = self.free_capacity();
        let mut asked = Vec::new();
        for part in self.parts.values_mut().filter(|part| part.running()) {
            let partition = part.partition;
            let mut ask = |lane, until, limit| asked.push(Asked { partition, lane, until, limit });
            let (time, reached) = time_of(part, self.topology, &self.clocks, mode, self.replayed_to);
            part.progress.reached = reached;
            // What is under way still has an outcome to come.
            if part.progress.abandoned && part.in_flight.is_empty() {
                ask(Lane::Claimed, Timestamp::MAX, limit);
            }
            if part.progress.told_revision < part.revision {
                ask(Lane::Held, part.revision - MILLISECOND, told_limit);
            }
            if time > part.progress.watermark || part.slots.values().any(|slot| slot.due_by(time)) {
                ask(Lane::Timer, time, limit);
            }
            if free > 0 && part.ready && !part.draining && !part.progress.abandoned {
                ask(Lane::Ready, Timestamp::MAX, free);
            }
        }
        asked
    }

    pub(super) fn due_loaded(&mut self, asked: Vec<Asked>, answers: Vec<Loaded>) -> Result<(), Failed> {
        let mut answers = answers.into_iter();
        for asked in asked {
            let partition = asked.partition;
            let answer = answers.next().ok_or_else(|| (partition, answer_misfits(1, 0)))?;
            let more = answer.due.len() >= asked.limit;
            let mut keys = Vec::with_capacity(answer.due.len());
            for (_, key, value) in answer.due {
                self.insert_slot(partition, Key::clone(&key), value)?;
                keys.push(key);
            }
            let due = self.due(asked, keys);
            match asked.lane {
                Lane::Timer => self.timers(asked, due, more)?,
                Lane::Claimed => self.claimed(asked, due, more)?,
                Lane::Held => self.held(asked, due, more, answer.held)?,
                Lane::Ready => self.ready(asked, due, more)?,
            }
        }
        self.settle()?;
        self.close()
    }

    /// Who is due, eldest first: of those that the store named and those that this batch made due, as they are now.
    fn due(&self, asked: Asked, mut keys: Vec<Key>) -> Vec<(Timestamp, Key)> {
        let Some(part) = self.parts.get(&asked.partition) else { return Vec::new() };
        keys.extend(part.slots.iter().filter(|(_, slot)| slot.dirty).map(|(key, _)| Key::clone(key)));
        let mut due: Vec<(Timestamp, Key)> = keys
            .into_iter()
            .filter_map(|key| {
                let at = part.slots.get(&key)?.entry.state.due().lane(asked.lane)?;
                (at <= asked.until).then_some((at, key))
            })
            .collect();
        due.sort_unstable();
        due.dedup();
        due
    }

    fn timers(&mut self, asked: Asked, due: Vec<(Timestamp, Key)>, more: bool) -> Result<(), Failed> {
        for (_, key) in due {
            self.fire(asked.partition, &key, asked.until, true)?;
        }
        self.look_again |= more;
        if more {
            self.batch.filled_from_ms.get_or_insert(self.asked_at_ms);
        } else if let Some(part) = self.parts.get_mut(&asked.partition) {
            part.progress.watermark = asked.until;
        }
        Ok(())
    }

    fn claimed(&mut self, asked: Asked, due: Vec<(Timestamp, Key)>, more: bool) -> Result<(), Failed> {
        self.tell(asked, due, more, "abandoned", &Cause::Abandoned)?;
        if let Some(part) = self.parts.get_mut(&asked.partition) {
            part.progress.abandoned = more;
        }
        Ok(())
    }

    fn held(&mut self, asked: Asked, due: Vec<(Timestamp, Key)>, more: bool, of: u64) -> Result<(), Failed> {
        let told = due.len() as u64;
        self.told += due.len();
        self.tell(asked, due, more, "held", &Cause::PolicyChanged)?;
        if let Some(part) = self.parts.get_mut(&asked.partition) {
            part.progress.untold = more.then(|| of.saturating_sub(told));
            if !more {
                part.progress.told_revision = asked.until + MILLISECOND;
            }
        }
        Ok(())
    }

    /// Tells those who wait in a lane, which they then leave. Where the store has more of them, they have to: it would name
    /// the same ones again. Unless this batch itself made those leave whom the store named: it names others after the commit.
    fn tell(
        &mut self,
        asked: Asked,
        due: Vec<(Timestamp, Key)>,
        more: bool,
        what: &'static str,
        cause: &Cause<S::Input, S::Completion>,
    ) -> Result<(), Failed> {
        self.look_again |= more;
        let told = due.len();
        let part = self.parts.get(&asked.partition);
        let mut left = usize::from(told == 0 && part.is_some_and(|part| part.slots.values().any(|slot| slot.dirty)));
        for (_, key) in due {
            let disposition = self.step(asked.partition, &key, Step::of(cause.clone()))?;
            self.batch.records += 1;
            self.count(what, words(disposition));
            let slot = self.parts.get(&asked.partition).and_then(|part| part.slots.get(&key));
            let at = slot.and_then(|slot| slot.entry.state.due().lane(asked.lane));
            left += usize::from(at.is_none_or(|at| at > asked.until));
        }
        if more && left == 0 {
            let detail = format!("{told} keys were told ({what}) and all of them wait on");
            return Err((asked.partition, HaltReason::Invariant { name: "who_is_told_waits_no_longer", detail }));
        }
        Ok(())
    }

    /// Live work goes first: as many are told at once as a batch takes that is through within the commit interval, so that what
    /// comes meanwhile waits little longer than ever.
    pub(super) fn pace_telling(&mut self) {
        if std::mem::take(&mut self.told) > 0 {
            self.telling.took(self.elapsed_ms(self.asked_at_ms));
        }
    }

    fn ready(&mut self, asked: Asked, due: Vec<(Timestamp, Key)>, more: bool) -> Result<(), Failed> {
        for (_, key) in due {
            self.offer(asked.partition, &key)?;
        }
        if let Some(part) = self.parts.get_mut(&asked.partition) {
            part.ready = more || part.slots.values().any(|slot| slot.entry.state.due().ready.is_some());
        }
        Ok(())
    }

    /// Offers room for side effects to one key, as long as it takes it.
    fn offer(&mut self, partition: Partition, key: &Key) -> Result<(), Failed> {
        for _ in 0..MAX_FIRINGS {
            if self.free_capacity() == 0 {
                return Ok(());
            }
            let claims = self.batch.actions.len();
            let disposition = self.step(partition, key, Step::of(Cause::Claim))?;
            self.batch.records += 1;
            self.count("claims", words(disposition));
            let slot = self.parts.get(&partition).and_then(|part| part.slots.get(key));
            let takes_more = slot.is_some_and(|slot| slot.entry.state.due().ready.is_some());
            if !takes_more || (self.batch.actions.len() == claims && disposition != Disposition::Emitted) {
                return Ok(());
            }
        }
        let detail = format!("a key was offered room {MAX_FIRINGS} times in one batch and still asks for it");
        Err((partition, HaltReason::Invariant { name: "who_is_offered_room_takes_it", detail }))
    }

    /// The lanes may have made timers due that time has passed already: they fire in the same batch, so that none is ever
    /// behind the watermark.
    fn settle(&mut self) -> Result<(), Failed> {
        let due = |part: &Part<S>| {
            let until = part.progress.watermark;
            let mut keys: Vec<Key> =
                part.slots.iter().filter(|(_, slot)| slot.due_by(until)).map(|(key, _)| Key::clone(key)).collect();
            keys.sort_unstable();
            (part.partition, until, keys)
        };
        let due: Vec<_> = self.parts.values().filter(|part| part.running()).map(due).collect();
        for (partition, until, keys) in due {
            for key in keys {
                self.fire(partition, &key, until, true)?;
            }
        }
        Ok(())
    }

    fn free_capacity(&self) -> usize {
        let busy: usize = self.parts.values().map(|part| part.in_flight.len()).sum();
        self.capacity.saturating_sub(busy + self.batch.actions.len())
    }
}
