//! A run on its way: from where it stands to the next wait, or to its end.
//!
//! Wanted properties:
//! - every walk ends: places only rise, and a wait that is over already is passed;
//! - after a walk the run waits for a time later than now, is on hold, or is over;
//! - a held-out run takes the same steps and asks for nothing.

use std::sync::Arc;

use definitions::{Awaited, Expression, MessageStep, Wait, WaitStep};
use domain::{HumanDuration, Timestamp};
use schemas::Decision;
use serde_json::json;

use crate::policy::{CompiledJourney, Standing};
use crate::program::{Operation, Place};
use crate::scene::{Note, Scene};
use crate::state::{Run, WaitsFor};
use crate::{condition, ids};

/// How long after a message's expiry a step waits for its outcome at most: messaging always says one, unless it is down.
const OUTCOME_GRACE: HumanDuration = HumanDuration::from_hours(1);
/// The outcome of a message that a held-out run did not ask for.
pub(crate) const WITHHELD: &str = "withheld";

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on.
    Goes,
    /// It is over.
    Ended(Ending),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) decision: Decision,
    pub(crate) reason: Option<String>,
}

/// What the policy makes of a run before anything else happens to it.
pub(crate) enum Settled {
    /// It may go on, on this version; if its journey is paused, to the next message or condition.
    Goes { compiled: Arc<CompiledJourney>, paused: bool },
    /// It is over.
    Ended(Ending),
}

/// Walks on from the run's place.
pub(crate) fn go_on(run: &mut Run, compiled: &CompiledJourney, paused: bool, scene: &mut Scene<'_>) -> Fate {
    run.wakes_at = None;
    loop {
        let place = usize::try_from(run.position).ok();
        let Some(Place { label, operation }) = place.and_then(|place| compiled.program.get(place)) else {
            let completed = place == Some(compiled.program.len());
            let (decision, reason) =
                if completed { (Decision::Completed, None) } else { (Decision::Exited, Some("definition_changed")) };
            return end(run, decision, reason, scene);
        };
        run.step = Arc::clone(label);
        if paused && matches!(operation, Operation::Message(_) | Operation::Branch { .. }) {
            run.held_since = Some(scene.now);
            run.waits_for = WaitsFor::Policy;
            scene.decide(run, Decision::Paused, &Note { step: Some(label), ..Note::default() });
            return Fate::Goes;
        }
        match operation {
            Operation::Wait(wait) => {
                if let Some(reason) = already_over(wait, run) {
                    wait_ended(run, label, reason, scene);
                } else {
                    let until = wait_until(&wait.wait, run, scene);
                    if until > scene.now {
                        run.wakes_at = Some(until);
                        run.waits_for = waits_for(&wait.wait);
                        return Fate::Goes;
                    }
                    wait_ended(run, label, "elapsed", scene);
                }
            }
            Operation::Message(message) => {
                ask(run, label, message, scene);
                run.position += 1;
            }
            Operation::Branch { condition, otherwise } => {
                if let Some(deadline) = outcome_deadline(condition, run).filter(|deadline| *deadline > scene.now) {
                    run.wakes_at = Some(deadline);
                    run.waits_for = WaitsFor::Outcome;
                    return Fate::Goes;
                }
                let otherwise = i32::try_from(*otherwise).unwrap_or(i32::MAX);
                run.position = if branch(run, label, condition, scene) { run.position + 1 } else { otherwise };
            }
            Operation::Jump(target) => run.position = i32::try_from(*target).unwrap_or(i32::MAX),
            Operation::End(reason) => {
                let reason = reason.as_deref().unwrap_or("end");
                return end(run, Decision::Completed, Some(reason), scene);
            }
        }
    }
}

/// Ends a run at its place: what it asked for and nobody has claimed is cancelled, unless it came to its end by itself.
pub(crate) fn end(run: &mut Run, decision: Decision, reason: Option<&str>, scene: &mut Scene<'_>) -> Fate {
    if decision != Decision::Completed {
        scene.cancel_open_messages(run, reason.unwrap_or("run_ended"));
    }
    let step = Arc::clone(&run.step);
    // Completed without a reason: it went past its last step.
    let step = (decision != Decision::Completed || reason.is_some()).then_some(&*step);
    scene.decide(run, decision, &Note { step, reason, ..Note::default() });
    Fate::Ended(Ending { decision, reason: reason.map(str::to_owned) })
}

/// The operation at which the run stands.
pub(crate) fn standing_at<'c>(run: &Run, compiled: &'c CompiledJourney) -> Option<&'c Place> {
    compiled.program.get(usize::try_from(run.position).ok()?)
}

/// The time that the run waits for has come.
pub(crate) fn wake(run: &mut Run, compiled: &CompiledJourney, paused: bool, scene: &mut Scene<'_>) -> Fate {
    if let Some(Place { label, operation: Operation::Wait(wait) }) = standing_at(run, compiled) {
        let timed_out = matches!(wait.wait, Wait::For { .. });
        if let Wait::For { what, .. } = &wait.wait {
            let about = what.iter().filter_map(|awaited| match awaited {
                Awaited::Event { about, .. } => about.as_ref(),
                Awaited::Outcome { about, .. } => Some(about),
            });
            for step in about.chain(&wait.name) {
                run.step_mut(step).timed_out = true;
            }
        }
        wait_ended(run, label, if timed_out { "timeout" } else { "elapsed" }, scene);
    }
    go_on(run, compiled, paused, scene)
}

/// What was awaited has happened.
pub(crate) fn resolve(
    run: &mut Run,
    compiled: &CompiledJourney,
    reason: &str,
    paused: bool,
    scene: &mut Scene<'_>,
) -> Fate {
    if let Some(place) = standing_at(run, compiled) {
        wait_ended(run, &place.label, reason, scene);
    }
    go_on(run, compiled, paused, scene)
}

/// The wait at which the run stands begins anew.
pub(crate) fn restart(run: &mut Run, compiled: &CompiledJourney, scene: &mut Scene<'_>) {
    let Some(Place { label, operation: Operation::Wait(wait) }) = standing_at(run, compiled) else { return };
    if let Some(event) = scene.event {
        run.trigger = event.trigger(compiled);
    }
    let until = wait_until(&wait.wait, run, scene);
    // A time of day that it is just now has come; the next timer finds it due.
    run.wakes_at = Some(until);
    run.waits_for = waits_for(&wait.wait);
    run.restarts = run.restarts.saturating_add(1);
    scene.decide(run, Decision::Restarted, &Note { step: Some(label), due_at: Some(until), ..Note::default() });
}

/// The journey goes on after a pause.
pub(crate) fn resume(run: &mut Run, compiled: &CompiledJourney, scene: &mut Scene<'_>) -> Fate {
    run.held_since = None;
    let step = Arc::clone(&run.step);
    scene.decide(run, Decision::Resumed, &Note { step: Some(&step), ..Note::default() });
    go_on(run, compiled, false, scene)
}

/// Does what the policy asks of a run: one that was on hold goes on, messages of a paused journey are cancelled, a stopped
/// or forgotten one ends.
pub(crate) fn settle(run: &mut Run, scene: &mut Scene<'_>) -> Settled {
    match scene.policy.standing(run) {
        Standing::Active(compiled) if run.held_since.is_some() => {
            let now = scene.now;
            scene.now = resumed_at(run, scene);
            let fate = resume(run, &compiled, scene);
            scene.now = now;
            match fate {
                Fate::Goes => Settled::Goes { compiled, paused: false },
                Fate::Ended(ending) => Settled::Ended(ending),
            }
        }
        Standing::Active(compiled) => Settled::Goes { compiled, paused: false },
        Standing::Paused(compiled) => {
            scene.cancel_open_messages(run, "paused");
            Settled::Goes { compiled, paused: true }
        }
        Standing::Stopped => end_for_policy(run, Decision::Stopped, "stopped", scene),
        Standing::Gone => end_for_policy(run, Decision::Exited, "definition_gone", scene),
    }
}

fn end_for_policy(run: &mut Run, decision: Decision, reason: &str, scene: &mut Scene<'_>) -> Settled {
    let ending = Ending { decision, reason: Some(reason.to_owned()) };
    end(run, decision, Some(reason), scene);
    Settled::Ended(ending)
}

/// A customer without events is far behind: what she is asked for now is due when the journey was resumed.
fn resumed_at(run: &Run, scene: &Scene<'_>) -> Timestamp {
    if scene.policy.settings.replay {
        return scene.now;
    }
    scene.policy.controlled_at(&run.journey).map_or(scene.now, |at| at.max(scene.now))
}

fn wait_ended(run: &mut Run, label: &str, reason: &str, scene: &mut Scene<'_>) {
    scene.decide(run, Decision::WaitEnded, &Note { step: Some(label), reason: Some(reason), ..Note::default() });
    run.position += 1;
}

fn ask(run: &mut Run, label: &Arc<str>, message: &MessageStep, scene: &mut Scene<'_>) {
    let message_id = ids::message(&run.run_id, label);
    let holdout = run.holdout;
    let (due_at, expires_at) = (scene.now, scene.now + message.expires);
    let step = run.step_mut(label);
    step.message_id = Some(message_id.as_str().into());
    step.template = Arc::clone(&message.template);
    step.due_at = Some(due_at);
    step.expires_at = Some(expires_at);
    step.outcome = holdout.then(|| WITHHELD.to_owned());
    let step = step.clone();
    let decision = if holdout { Decision::MessageWithheld } else { Decision::MessageRequested };
    if !holdout {
        scene.request(run, message, &step);
    }
    let note = Note {
        step: Some(label),
        reason: holdout.then_some("holdout"),
        template: Some(&message.template),
        message_id: Some(&message_id),
        due_at: Some(due_at),
        ..Note::default()
    };
    scene.decide(run, decision, &note);
}

fn branch(run: &Run, label: &str, condition: &Expression, scene: &mut Scene<'_>) -> bool {
    let answer = condition::holds(condition, run, scene);
    let (decision, reason) = match answer {
        Ok(true) => (Decision::Branched, "then"),
        Ok(false) => (Decision::Branched, "else"),
        // The documented default: what has no answer counts as no.
        Err(error) => (Decision::Failed, error.word()),
    };
    let detail = answer.is_err().then(|| json!({ "took": "else" }));
    scene.decide(run, decision, &Note { step: Some(label), reason: Some(reason), detail, ..Note::default() });
    answer.unwrap_or(false)
}

/// Until when a condition waits for the outcomes that it reads; none: they are all there.
fn outcome_deadline(condition: &Expression, run: &Run) -> Option<Timestamp> {
    let steps = condition.reads().outcomes.iter().filter_map(|step| run.step(step));
    let missing = steps.filter(|step| step.message_id.is_some() && step.outcome.is_none());
    missing.filter_map(|step| step.expires_at).map(|expiry| expiry + OUTCOME_GRACE).max()
}

/// Whether a wait for an outcome is over when it begins.
fn already_over(wait: &WaitStep, run: &Run) -> Option<&'static str> {
    let Wait::For { what, .. } = &wait.wait else { return None };
    let known = what.iter().any(|awaited| match awaited {
        Awaited::Outcome { outcomes, about } => {
            let outcome = run.step(about).and_then(|step| step.outcome.as_deref());
            outcome.is_some_and(|outcome| outcome_matches(outcomes, outcome))
        }
        Awaited::Event { .. } => false,
    });
    known.then_some("outcome")
}

/// Whether an outcome is one of those awaited. A held-out run does not wait for what can't come.
pub(crate) fn outcome_matches(awaited: &[Arc<str>], outcome: &str) -> bool {
    awaited.is_empty() || outcome == WITHHELD || awaited.iter().any(|awaited| **awaited == *outcome)
}

fn waits_for(wait: &Wait) -> WaitsFor {
    match wait {
        Wait::Duration(_) | Wait::Until { .. } => WaitsFor::Time,
        Wait::For { what, .. } if what.iter().all(|awaited| matches!(awaited, Awaited::Outcome { .. })) => {
            WaitsFor::Outcome
        }
        Wait::For { .. } => WaitsFor::Event,
    }
}

fn wait_until(wait: &Wait, run: &Run, scene: &Scene<'_>) -> Timestamp {
    match wait {
        Wait::Duration(duration) | Wait::For { timeout: duration, .. } => scene.now + *duration,
        Wait::Until { at, zone } => {
            let customer = scene.contact.and_then(|contact| contact.zone());
            crate::clock::next(scene.now, *at, &scene.policy.settings.time_zones.meant(zone, &run.shop, customer))
        }
    }
}
