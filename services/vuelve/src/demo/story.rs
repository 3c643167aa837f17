//! What happened in the demo so far, for its pages: what the shop sent, what was decided, what led to each run.
//!
//! Wanted properties:
//! - what is kept is bounded, however long the demo runs: the sums go on, the eldest entries go;
//! - the sums are made from what the services wrote, not from what the simulator meant.

use std::collections::{BTreeMap, HashMap, VecDeque};

use domain::Timestamp;
use parking_lot::Mutex;
use schemas::{Decision, JourneyDecision};
use serde::{Serialize, Serializer};

use super::simulator::ShopCall;
use crate::replay::rfc3339;

const KEEP_CALLS: usize = 2_000;
const KEEP_DECISIONS: usize = 200;
const KEEP_RUNS: usize = 5_000;

/// A call that the shop sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Sent {
    pub(super) message_id: String,
    pub(super) customer: String,
    pub(super) event: &'static str,
    pub(super) product: Option<&'static str>,
    pub(super) cart: Option<String>,
    #[serde(serialize_with = "as_rfc3339")]
    pub(super) at: Timestamp,
}

/// A decision of a journey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Decided {
    #[serde(serialize_with = "as_rfc3339")]
    pub(super) at: Timestamp,
    pub(super) customer: String,
    pub(super) journey: String,
    pub(super) step: Option<String>,
    pub(super) decision: Decision,
    pub(super) reason: Option<String>,
}

/// Sums since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Sums {
    pub(super) calls: u64,
    pub(super) runs_entered: u64,
    pub(super) runs_completed: u64,
    pub(super) exits_by_purchase: u64,
    /// By journey and step: messages asked for.
    pub(super) messages: BTreeMap<String, u64>,
}

/// Everything that the pages show beside the mailbox.
#[derive(Debug, Default)]
pub(super) struct Story {
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    sums: Sums,
    calls: VecDeque<Sent>,
    decisions: VecDeque<Decided>,
    /// By run: the last event that (re)started its first wait.
    triggers: HashMap<String, Sent>,
    /// The runs above, eldest first.
    runs: VecDeque<String>,
}

impl Story {
    /// The shop sent these.
    pub(super) fn sent(&self, calls: &[ShopCall]) {
        let mut told = self.told.lock();
        told.sums.calls += calls.len() as u64;
        told.calls.extend(calls.iter().map(|call| Sent {
            message_id: call.message_id.clone(),
            customer: call.customer.clone(),
            event: call.event,
            product: call.product,
            cart: call.cart.clone(),
            at: call.at,
        }));
        let surplus = told.calls.len().saturating_sub(KEEP_CALLS);
        told.calls.drain(..surplus);
    }

    /// The journeys decided these.
    pub(super) fn decided(&self, decisions: Vec<JourneyDecision>) {
        let mut told = self.told.lock();
        for decision in decisions {
            told.note(decision);
        }
    }

    /// What led to a run's messages, if it is still known.
    pub(super) fn trigger(&self, run_id: &str) -> Option<Sent> {
        self.told.lock().triggers.get(run_id).cloned()
    }

    pub(super) fn sums(&self) -> Sums {
        self.told.lock().sums.clone()
    }

    /// The last decisions, newest first.
    pub(super) fn decisions(&self, count: usize) -> Vec<Decided> {
        self.told.lock().decisions.iter().rev().take(count).cloned().collect()
    }

    /// The last calls, newest first.
    pub(super) fn calls(&self, count: usize) -> Vec<Sent> {
        self.told.lock().calls.iter().rev().take(count).cloned().collect()
    }
}

impl Told {
    fn note(&mut self, decision: JourneyDecision) {
        match decision.decision {
            Decision::Entered => self.sums.runs_entered += 1,
            Decision::Completed => self.sums.runs_completed += 1,
            Decision::Exited if decision.reason.as_deref() == Some("Order Completed") => {
                self.sums.exits_by_purchase += 1;
            }
            Decision::MessageRequested => {
                let step = decision.step.as_deref().unwrap_or_default();
                *self.sums.messages.entry(format!("{} {step}", decision.journey)).or_default() += 1;
            }
            _ => {}
        }
        self.note_trigger(&decision);
        // That a message was sent is what the mailbox shows.
        if decision.decision == Decision::MessageOutcome {
            return;
        }
        self.decisions.push_back(Decided {
            at: Timestamp::from_millis(decision.at),
            customer: decision.customer_id,
            journey: decision.journey,
            step: decision.step,
            decision: decision.decision,
            reason: decision.reason,
        });
        if self.decisions.len() > KEEP_DECISIONS {
            self.decisions.pop_front();
        }
    }

    fn note_trigger(&mut self, decision: &JourneyDecision) {
        let (Decision::Entered | Decision::Restarted, Some(run), Some(trigger)) =
            (decision.decision, &decision.run_id, &decision.trigger_message_id)
        else {
            return;
        };
        let Some(call) = self.calls.iter().rev().find(|call| call.message_id == *trigger).cloned() else { return };
        if self.triggers.insert(run.clone(), call).is_none() {
            self.runs.push_back(run.clone());
        }
        if self.runs.len() > KEEP_RUNS
            && let Some(eldest) = self.runs.pop_front()
        {
            self.triggers.remove(&eldest);
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn as_rfc3339<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at).map_err(serde::ser::Error::custom)?)
}
