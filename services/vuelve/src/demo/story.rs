//! What happened in the demo so far, for its pages: what the shop sent, what was decided, what led to each run.
//!
//! Wanted properties:
//! - what is kept is bounded, however long the demo runs: the sums go on, the eldest entries go;
//! - the sums are made from what the services wrote, not from what the simulator meant.

use std::collections::{BTreeMap, HashMap, VecDeque};

use domain::Timestamp;
use parking_lot::Mutex;
use schemas::{Decision, JourneyDecision};
use serde::Serialize;

use super::simulator::ShopCall;
use crate::written::as_time;

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
    #[serde(serialize_with = "as_time")]
    pub(super) at: Timestamp,
}

/// A decision of a journey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Decided {
    #[serde(serialize_with = "as_time")]
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
    /// By outcome: what became of them.
    pub(super) outcomes: BTreeMap<String, u64>,
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
            Decision::MessageOutcome => {
                let outcome = decision.reason.clone().unwrap_or_default();
                // That it was sent is what the mailbox shows.
                let is_shown = outcome == "sent";
                *self.sums.outcomes.entry(outcome).or_default() += 1;
                if is_shown {
                    return;
                }
            }
            _ => {}
        }
        self.note_trigger(&decision);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn added(number: usize) -> ShopCall {
        ShopCall {
            message_id: format!("demo-{number}"),
            customer: "customer-1".to_owned(),
            at: Timestamp::from_seconds(number as i64),
            event: "Product Added",
            product: Some("Desk lamp"),
            cart: None,
            json: String::new(),
        }
    }

    fn decided(decision: Decision, run: usize, reason: Option<&str>) -> JourneyDecision {
        JourneyDecision {
            run_id: Some(format!("run-{run}")),
            trigger_message_id: Some(format!("demo-{run}")),
            decision,
            reason: reason.map(str::to_owned),
            ..JourneyDecision::default()
        }
    }

    #[test]
    fn a_run_is_told_with_the_latest_event_that_set_its_wait() {
        let story = Story::default();
        story.sent(&[added(1), added(2)]);
        story.decided(vec![decided(Decision::Entered, 1, None)]);
        let restarted =
            JourneyDecision { trigger_message_id: Some("demo-2".to_owned()), ..decided(Decision::Restarted, 1, None) };
        story.decided(vec![restarted]);
        assert_eq!(story.trigger("run-1").unwrap().at, Timestamp::from_seconds(2));
        assert_eq!(story.trigger("run-2"), None);
    }

    #[test]
    fn a_message_that_was_not_sent_is_among_the_decisions_with_its_outcome() {
        let story = Story::default();
        story.decided(vec![
            decided(Decision::MessageOutcome, 1, Some("sent")),
            decided(Decision::MessageOutcome, 2, Some("unsubscribed")),
        ]);
        let shown: Vec<_> = story.decisions(10).into_iter().map(|decided| decided.reason).collect();
        assert_eq!(shown, [Some("unsubscribed".to_owned())]);
        assert_eq!(story.sums().outcomes, [("sent".to_owned(), 1), ("unsubscribed".to_owned(), 1)].into());
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_sums_go_on() {
        let story = Story::default();
        let count = KEEP_RUNS + 10;
        for number in 0..count {
            story.sent(&[added(number)]);
            story.decided(vec![decided(Decision::Entered, number, None)]);
        }
        assert_eq!((story.calls(usize::MAX).len(), story.decisions(usize::MAX).len()), (KEEP_CALLS, KEEP_DECISIONS));
        assert_eq!((story.trigger("run-9"), story.trigger("run-10").is_some()), (None, true));
        assert_eq!((story.sums().calls, story.sums().runs_entered), (count as u64, count as u64));
    }
}
