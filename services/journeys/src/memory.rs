//! What is remembered of what is over: the last run of a journey and key, and the latest exit, as long as reentry or a late
//! event may ask for them.

use std::sync::Arc;

use definitions::{EventPattern, Journey};
use domain::{HumanDuration, Timestamp};

use crate::event::EventView;
use crate::policy::Policy;
use crate::state::{JourneysState, MAX_PAST, MAX_PAST_STEPS, PastExit, PastRun, Run};
use crate::walk::Ending;

/// How a run ended that went all its way, as it is kept.
const COMPLETED: &str = "completed";

/// A run is over.
pub(crate) fn note_end(policy: &Policy, state: &mut JourneysState, run: Run, ending: Ending, now: Timestamp) {
    let reentry =
        policy.version(&run.journey, run.version).map_or(HumanDuration::ZERO, |version| version.journey.reentry);
    let forget_at = now + keep(policy, reentry);
    state.past_runs.retain(|past| past.journey != run.journey || past.key != run.key);
    let mut steps = run.steps;
    steps.drain(..steps.len().saturating_sub(MAX_PAST_STEPS));
    state.past_runs.push(PastRun {
        journey: run.journey,
        version: run.version,
        run_id: run.run_id,
        key: run.key,
        holdout: run.holdout,
        started_at: run.started_at,
        ordinal: run.ordinal,
        step: run.step,
        end: format!("{:?}", ending.decision).to_lowercase(),
        reason: ending.reason,
        steps,
        ended_at: now,
        forget_at,
    });
    if state.past_runs.len() > MAX_PAST {
        state.past_runs.remove(0);
    }
}

/// An event that exits a journey is remembered whether a run was active or not: a trigger from before it may come late.
pub(crate) fn note_exits(policy: &Policy, state: &mut JourneysState, view: &EventView<'_>, now: Timestamp) -> bool {
    let mut changed = false;
    for compiled in policy.listeners(&view.event.name) {
        let journey = &compiled.journey;
        let is_it = |exit: &&EventPattern| view.is(&exit.event) && view.is_about(exit.segment.as_ref());
        let Some(exit) = journey.exits.iter().find(is_it) else { continue };
        let key = exit_key(exit, journey, view);
        let forget_at = now + keep(policy, HumanDuration::ZERO);
        changed |= note_exit(state, &journey.name, key, view.time(), forget_at);
    }
    changed
}

/// The runs that an exit event concerns: those of one key, or all.
fn exit_key(exit: &EventPattern, journey: &Journey, view: &EventView<'_>) -> Option<Arc<str>> {
    // Only where the exit looks at the field that tells the runs apart can it be narrowed down.
    let field = exit.same.as_ref().filter(|field| journey.correlate.as_ref() == Some(field))?;
    let key = view.correlation_key(Some(field), None);
    (!key.is_empty()).then(|| key.into())
}

fn note_exit(
    state: &mut JourneysState,
    journey: &Arc<str>,
    key: Option<Arc<str>>,
    at: Timestamp,
    forget_at: Timestamp,
) -> bool {
    let known = state.past_exits.iter_mut().find(|past| past.journey == *journey && past.key == key);
    if let Some(past) = known {
        let changed = past.at < at || past.forget_at < forget_at;
        past.at = past.at.max(at);
        past.forget_at = past.forget_at.max(forget_at);
        return changed;
    }
    state.past_exits.push(PastExit { journey: Arc::clone(journey), key, at, forget_at });
    if state.past_exits.len() > MAX_PAST {
        state.past_exits.remove(0);
    }
    true
}

/// Whether an exit of the journey happened later than `time`.
pub(crate) fn exited_after(state: &JourneysState, journey: &str, key: &str, time: Timestamp) -> bool {
    state.past_exits.iter().any(|past| {
        let concerned = past.key.as_ref().is_none_or(|past| **past == *key || key.is_empty());
        *past.journey == *journey && concerned && past.at > time
    })
}

/// Whether the last run ended less than the journey's reentry ago.
pub(crate) fn ended_within(state: &JourneysState, journey: &Journey, key: &str, now: Timestamp) -> bool {
    let past = state.past_runs.iter().find(|past| past.journey == journey.name && *past.key == *key);
    past.is_some_and(|past| now < past.ended_at + journey.reentry)
}

/// Whether what comes late happened while the last run was active, which has gone all its way since. Of a past, also whether a
/// run began since, however that ended: it was about what came later.
pub(crate) fn ran_since(state: &JourneysState, journey: &str, key: &str, view: &EventView<'_>) -> bool {
    let past = state.past_runs.iter().find(|past| *past.journey == *journey && *past.key == *key);
    past.is_some_and(|past| {
        let began_since = past.started_at > view.time();
        let goes_on = past.ended_at > view.time() && past.end == COMPLETED;
        if view.is_past { began_since || goes_on } else { goes_on && !began_since }
    })
}

/// How many runs of the journey and key began at that very time before.
pub(crate) fn ordinal(state: &JourneysState, journey: &str, key: &str, started_at: Timestamp) -> i32 {
    let past = state.past_runs.iter().find(|past| *past.journey == *journey && *past.key == *key);
    past.filter(|past| past.started_at == started_at).map_or(0, |past| past.ordinal.saturating_add(1))
}

fn keep(policy: &Policy, reentry: HumanDuration) -> HumanDuration {
    reentry.max(policy.settings.late_limit)
}
