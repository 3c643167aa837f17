//! Answers to those who ask: where a customer is, and what is known here of why.
//!
//! Pure: from a state's bytes to plain data; the server that carries it over the network is built elsewhere. A state knows
//! of what goes on and of what ended within its memory (a day at least); the whole story is in `journeys.decisions`.

use std::sync::Arc;

use domain::Timestamp;
use schemas::{ChangelogRecord, DecodeError, Schemas};

use crate::state::{JourneysState, PastRun, Run, StepState, WaitsFor};
use crate::walk::WITHHELD;

/// A customer as the store has her.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Customer {
    /// How far the service has come with her.
    pub as_of: Option<Timestamp>,
    /// What it knows of her.
    pub state: JourneysState,
}

/// A run that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunView {
    /// Its id.
    pub run_id: Arc<str>,
    /// The journey.
    pub journey: Arc<str>,
    /// The version that it began with and ends on.
    pub version: i32,
    /// What it is about; empty where the journey does not correlate.
    pub correlation_key: Arc<str>,
    /// Whether she is held out.
    pub holdout: bool,
    /// The step at which it stands.
    pub step: Arc<str>,
    /// What it waits for.
    pub waits_for: WaitsFor,
    /// When it began.
    pub entered_at: Timestamp,
    /// When its next step is due at the latest; none while its journey is paused.
    pub next_due_at: Option<Timestamp>,
}

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// When.
    pub at: Timestamp,
    /// The run's id.
    pub run_id: Arc<str>,
    /// The journey.
    pub journey: Arc<str>,
    /// Its version.
    pub version: i32,
    /// What the run is about.
    pub correlation_key: Arc<str>,
    /// Whether she is held out.
    pub holdout: bool,
    /// The step; empty for what concerns the run as a whole.
    pub step: Arc<str>,
    /// What happened.
    pub what: Happened,
}

/// What can have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The run began.
    Entered,
    /// A message was asked for.
    Requested {
        /// The message.
        message_id: Arc<str>,
        /// Its template.
        template: Arc<str>,
        /// Until when it may be put off.
        expires_at: Option<Timestamp>,
    },
    /// A message was not asked for, because she is held out.
    Withheld {
        /// The id that it would have had.
        message_id: Arc<str>,
        /// Its template.
        template: Arc<str>,
    },
    /// A message came to its end.
    Outcome {
        /// The message.
        message_id: Arc<str>,
        /// How: a word of `messaging.outcomes`.
        outcome: String,
        /// By which channel.
        channel: Option<String>,
    },
    /// The run is on hold, because its journey is paused.
    Paused,
    /// The run ended.
    Ended {
        /// By which decision: `exited`, `completed`, `stopped`.
        decision: String,
        /// Why.
        reason: Option<String>,
    },
}

/// Reads what the store holds under a customer id; nothing there is a customer of whom nothing is known.
pub fn read(schemas: &Schemas, value: Option<&[u8]>) -> Result<Customer, DecodeError> {
    let Some(value) = value else { return Ok(Customer::default()) };
    let record: ChangelogRecord<JourneysState> = schemas.decode(value)?;
    Ok(Customer { as_of: record.time.map(Timestamp::from_millis), state: record.state.unwrap_or_default() })
}

/// Her active runs, the eldest first.
pub fn active_runs(state: &JourneysState) -> Vec<RunView> {
    let mut runs: Vec<RunView> = state.runs.iter().map(RunView::from).collect();
    runs.sort_by(|left, right| (left.entered_at, &left.run_id).cmp(&(right.entered_at, &right.run_id)));
    runs
}

/// What happened in her active and lately ended runs, the earliest first; with a message id, in that message's run alone.
/// Empty if the message is of no such run.
pub fn explain(state: &JourneysState, message_id: Option<&str>) -> Vec<Explanation> {
    let active = state.runs.iter().map(Story::of_run);
    let past = state.past_runs.iter().map(Story::of_past);
    let concerned = |story: &Story<'_>| {
        message_id.is_none_or(|id| story.steps.iter().any(|step| step.message_id.as_deref() == Some(id)))
    };
    let mut explanations: Vec<Explanation> = active.chain(past).filter(concerned).flat_map(Story::tell).collect();
    // Stable: what happened at the same time stays in the order in which it happened.
    explanations.sort_by_key(|explanation| explanation.at);
    explanations
}

impl From<&Run> for RunView {
    fn from(run: &Run) -> Self {
        Self {
            run_id: Arc::clone(&run.run_id),
            journey: Arc::clone(&run.journey),
            version: run.version,
            correlation_key: Arc::clone(&run.key),
            holdout: run.holdout,
            step: Arc::clone(&run.step),
            waits_for: run.waits_for,
            entered_at: run.started_at,
            next_due_at: run.wakes_at,
        }
    }
}

/// What active and past runs have in common.
struct Story<'s> {
    /// What is true of all that happened in it.
    frame: Explanation,
    steps: &'s [StepState],
    end: Option<(Timestamp, Arc<str>, Happened)>,
}

impl<'s> Story<'s> {
    fn of_run(run: &'s Run) -> Self {
        let frame = Explanation {
            at: run.started_at,
            run_id: Arc::clone(&run.run_id),
            journey: Arc::clone(&run.journey),
            version: run.version,
            correlation_key: Arc::clone(&run.key),
            holdout: run.holdout,
            step: Arc::from(""),
            what: Happened::Entered,
        };
        let end = run.held_since.map(|at| (at, Arc::clone(&run.step), Happened::Paused));
        Self { frame, steps: &run.steps, end }
    }

    fn of_past(past: &'s PastRun) -> Self {
        let frame = Explanation {
            at: past.started_at,
            run_id: Arc::clone(&past.run_id),
            journey: Arc::clone(&past.journey),
            version: past.version,
            correlation_key: Arc::clone(&past.key),
            holdout: past.holdout,
            step: Arc::from(""),
            what: Happened::Entered,
        };
        let ended = Happened::Ended { decision: past.end.clone(), reason: past.reason.clone() };
        Self { frame, steps: &past.steps, end: Some((past.ended_at, Arc::clone(&past.step), ended)) }
    }

    fn tell(self) -> Vec<Explanation> {
        let mut told = vec![self.frame.clone()];
        let mut say = |at, step: &Arc<str>, what| {
            told.push(Explanation { at, step: Arc::clone(step), what, ..self.frame.clone() });
        };
        for step in self.steps {
            let (Some(message_id), Some(due_at)) = (&step.message_id, step.due_at) else { continue };
            let (message_id, template) = (Arc::clone(message_id), Arc::clone(&step.template));
            if step.outcome.as_deref() == Some(WITHHELD) {
                say(due_at, &step.label, Happened::Withheld { message_id, template });
                continue;
            }
            let requested =
                Happened::Requested { message_id: Arc::clone(&message_id), template, expires_at: step.expires_at };
            say(due_at, &step.label, requested);
            if let Some(outcome) = step.outcome.clone() {
                let what = Happened::Outcome { message_id, outcome, channel: step.channel.clone() };
                say(step.decided_at.unwrap_or(due_at), &step.label, what);
            }
        }
        if let Some((at, step, what)) = self.end {
            say(at, &step, what);
        }
        told
    }
}
