//! One step of one key: her timers that are due before it, in order, then the cause.
//!
//! Wanted properties:
//! - before a record of the primary input her timers due before it fire; before whatever it is, those that the watermark
//!   has passed (a late record may have set one), so that it does not matter whether the batch ended in between;
//! - what is ignored, rejected or put among the dead letters changes nothing.

use domain::Timestamp;

use super::Worker;
use super::batch::{HaltReason, words};
use super::collect::Failed;
use super::partition::Part;
use crate::service::{Cause, Context, Disposition, Effects, Key, Service, State, Trace};
use crate::topology::Partition;

/// A key that is stepped more often than this in one batch, for timers or for claims, is not making progress.
pub(super) const MAX_FIRINGS: usize = 100_000;

/// A cause, and what is told with it.
pub(super) struct Step<'a, S: Service> {
    pub(super) cause: Cause<S::Input, S::Completion>,
    /// The event time, where the cause moves her time.
    pub(super) at: Option<Timestamp>,
    pub(super) stored_at: Option<Timestamp>,
    pub(super) trace: Option<&'a Trace>,
}

impl<S: Service> Step<'_, S> {
    /// A cause that is no record: it comes at her time.
    pub(super) fn of(cause: Cause<S::Input, S::Completion>) -> Self {
        Self { cause, at: None, stored_at: None, trace: None }
    }
}

impl<S: Service> Worker<S> {
    /// Fires her timers that come first, then takes the step.
    pub(super) fn step(&mut self, partition: Partition, key: &Key, step: Step<'_, S>) -> Result<Disposition, Failed> {
        if let Some(part) = self.parts.get(&partition)
            && let Some(timer) = part.slots.get(key).and_then(|slot| slot.entry.state.due().timer)
        {
            let watermark = part.progress.watermark;
            if timer <= watermark {
                self.fire(partition, key, watermark, true)?;
            }
            if let Some(at) = step.at {
                self.fire(partition, key, at, false)?;
            }
        }
        self.apply(partition, key, step)
    }

    fn apply(&mut self, partition: Partition, key: &Key, step: Step<'_, S>) -> Result<Disposition, Failed> {
        let slot = self.parts.get_mut(&partition).and_then(|part| {
            let Part { slots, touched, ready, progress, revision, .. } = part;
            Some((slots.get_mut(key)?, touched, ready, progress.watermark, *revision))
        });
        let Some((slot, touched, ready, watermark, revision)) = slot else {
            let detail = "a key is stepped whose state was not loaded".to_owned();
            return Err((partition, HaltReason::Invariant { name: "states_are_at_hand", detail }));
        };
        let now = step.at.map_or(slot.entry.time, |at| at.max(slot.entry.time));
        let context = Context { key, now, stored_at: step.stored_at, trace: step.trace, watermark, revision };
        let effects = &mut self.effects;
        effects.begin(partition, &step.cause, step.trace.cloned());
        let disposition = if self.checks_steps {
            checked::<S>(partition, &self.policy, &mut slot.entry.state, &step.cause, &context, effects)
        } else {
            S::step(&self.policy, &mut slot.entry.state, step.cause, &context, effects)
        };
        // What concerns nobody leaves no trace, so that a restart between two events changes nothing.
        if disposition == Disposition::Emitted || !effects.actions.is_empty() {
            // Nothing known is nothing stored: her time ends with the state, whether or not the batch ends here.
            slot.entry.time = if slot.entry.state == S::State::default() { Timestamp::MIN } else { now };
            slot.dirty = true;
            *touched = true;
            *ready |= slot.entry.state.due().ready.is_some();
        }
        *touched |= !effects.outputs.is_empty();
        self.batch.batch.outputs.append(&mut effects.outputs);
        self.batch.batch.dead_letters.append(&mut effects.dead_letters);
        for (claim, action) in effects.actions.drain(..) {
            self.batch.actions.push((partition, Key::clone(key), claim, action));
        }
        Ok(disposition)
    }

    /// Fires the key's timers due before `until`, or by it, in order.
    pub(super) fn fire(
        &mut self,
        partition: Partition,
        key: &Key,
        until: Timestamp,
        inclusive: bool,
    ) -> Result<(), Failed> {
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
            self.batch.begun = true;
            let disposition = self.apply(partition, key, Step::of(Cause::Timer))?;
            self.count("timers", words(disposition));
        }
    }
}

/// Takes the step twice and panics where it is not what a service promises (see [`Worker::check_steps`]).
fn checked<S: Service>(
    partition: Partition,
    policy: &S::Policy,
    state: &mut S::State,
    cause: &Cause<S::Input, S::Completion>,
    context: &Context<'_>,
    effects: &mut Effects<S::Output, S::Action>,
) -> Disposition {
    let before = state.clone();
    let mut again = before.clone();
    let mut effects_again = Effects::default();
    effects_again.begin(partition, cause, context.trace.cloned());
    let disposition = S::step(policy, state, cause.clone(), context, effects);
    let disposition_again = S::step(policy, &mut again, cause.clone(), context, &mut effects_again);
    assert!(
        disposition == disposition_again
            && *state == again
            && effects.outputs == effects_again.outputs
            && effects.dead_letters == effects_again.dead_letters
            && format!("{:?}", effects.actions) == format!("{:?}", effects_again.actions),
        "invariant `a_step_is_pure` is broken by {cause:?}: the same step gave\n{disposition:?} {state:?} {effects:?}\nand\n\
         {disposition_again:?} {again:?} {effects_again:?}"
    );
    assert!(
        disposition == Disposition::Emitted || (*state == before && effects.actions.is_empty()),
        "invariant `what_is_not_emitted_changes_nothing` is broken by {cause:?}: {disposition:?}, but the state was\n\
         {before:?}\nand is\n{state:?}\nwith {effects:?}"
    );
    disposition
}
