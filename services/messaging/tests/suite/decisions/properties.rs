//! Any interleaving of requests, cancels, room, completions, time, lost workers and unsubscriptions:
//! - every message that was asked for ends with exactly one final outcome, once its time is over;
//! - a marketing message that may have left is never claimed again;
//! - what the customer unsubscribed from is not claimed afterwards;
//! - nothing is left in the state in the end, but at which addresses she is not written to.

use std::collections::{BTreeMap, BTreeSet};

use messaging::{Attempt, Completion, Email, MessagingState, RefusalKind};
use proptest::prelude::*;
use schemas::Outcome;
use stream::{ClaimId, Key};

use super::shared::*;

#[derive(Clone, Debug)]
enum Event {
    Request { message: u8, transactional: bool },
    SameRun { message: u8, run_of: u8 },
    Cancel { message: u8 },
    Unsubscribe,
    Room { places: usize },
    Complete { which: prop::sample::Index, how: How },
    Advance { ms: i64 },
    Restart,
    AbortNext,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Sent,
    Temporary,
    Permanent,
    NotConnected,
    Uncertain,
    Dropped,
    Expired,
    RenderFailed,
}

impl How {
    fn attempt(self) -> Attempt {
        match self {
            Self::Sent => Attempt::Sent,
            Self::Temporary => refused(RefusalKind::Temporary, "451"),
            Self::Permanent => refused(RefusalKind::Permanent, "554"),
            Self::NotConnected => Attempt::NotConnected("refused".to_owned()),
            Self::Uncertain => Attempt::Uncertain("no_reply".to_owned()),
            Self::Dropped => Attempt::Dropped,
            Self::Expired => Attempt::Expired,
            Self::RenderFailed => Attempt::RenderFailed("broken".to_owned()),
        }
    }

    fn may_have_left(self) -> bool {
        matches!(self, Self::Sent | Self::Uncertain)
    }
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        3 => Just(How::Sent),
        3 => Just(How::Temporary),
        1 => Just(How::Permanent),
        2 => Just(How::NotConnected),
        3 => Just(How::Uncertain),
        2 => Just(How::Dropped),
        1 => Just(How::Expired),
        1 => Just(How::RenderFailed),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..8_u8, any::<bool>()).prop_map(|(message, transactional)| Event::Request { message, transactional }),
        2 => (0..8_u8, 0..8_u8).prop_map(|(message, run_of)| Event::SameRun { message, run_of }),
        2 => (0..8_u8).prop_map(|message| Event::Cancel { message }),
        1 => Just(Event::Unsubscribe),
        6 => (1..4_usize).prop_map(|places| Event::Room { places }),
        6 => (any::<prop::sample::Index>(), how()).prop_map(|(which, how)| Event::Complete { which, how }),
        4 => (1..5 * HOUR).prop_map(|ms| Event::Advance { ms }),
        2 => Just(Event::Restart),
        1 => Just(Event::AbortNext),
    ]
}

/// The world around messaging: what it asked the shell for, and what may have left.
#[derive(Default)]
struct World {
    now_ms: i64,
    in_flight: Vec<(Key, ClaimId, Email)>,
    asked: BTreeSet<String>,
    may_have_left: BTreeSet<String>,
    unsubscribed: bool,
    outcomes: BTreeMap<String, Vec<Outcome>>,
}

impl World {
    fn observe(&mut self, bench: &mut Bench) {
        for claimed in bench.driver.actions() {
            let email = &claimed.2;
            assert!(
                email.transactional || !self.may_have_left.contains(&email.message_id),
                "{} may have left and is claimed again",
                email.message_id
            );
            assert!(email.transactional || !self.unsubscribed, "{} goes to who unsubscribed", email.message_id);
            self.in_flight.push(claimed);
        }
        for record in bench.records_with_the_table() {
            self.outcomes.entry(record.message_id).or_default().push(record.outcome);
        }
    }

    fn apply(&mut self, bench: &mut Bench, event: &Event) {
        self.now_ms += 1;
        match event {
            Event::Request { message, transactional } => {
                let id = format!("m-{message}");
                self.asked.insert(id.clone());
                bench.send(&if *transactional { receipt(&id, self.now_ms) } else { request(&id, self.now_ms) });
            }
            Event::SameRun { message, run_of } => {
                let id = format!("m-{message}");
                self.asked.insert(id.clone());
                let mut asked = request(&id, self.now_ms);
                asked.run_id = format!("run of m-{run_of}");
                bench.send(&asked);
            }
            Event::Cancel { message } => bench.send(&cancel(&format!("m-{message}"), self.now_ms)),
            Event::Unsubscribe => {
                bench.command(&unsubscribe(EMAIL, self.now_ms));
                self.unsubscribed = true;
            }
            Event::Room { places } => {
                bench.driver.capacity(self.in_flight.len() + places);
                bench.driver.capacity(0);
            }
            Event::Complete { which, how } => self.complete(bench, *which, *how),
            Event::Advance { ms } => {
                self.now_ms += ms;
                bench.driver.advance_to(at(self.now_ms));
            }
            Event::Restart => {
                // Each of the dead worker's claims may have been performed.
                let lost = std::mem::take(&mut self.in_flight);
                self.may_have_left.extend(lost.into_iter().map(|claimed| claimed.2.message_id));
                bench.restart();
            }
            Event::AbortNext => bench.driver.abort_next_commit(),
        }
        self.observe(bench);
    }

    fn complete(&mut self, bench: &mut Bench, which: prop::sample::Index, how: How) {
        if self.in_flight.is_empty() {
            return;
        }
        let (key, claim, email) = self.in_flight.remove(which.index(self.in_flight.len()));
        if how.may_have_left() {
            self.may_have_left.insert(email.message_id);
        }
        bench.driver.complete(&key, &claim, Completion::new(at(self.now_ms), how.attempt()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_message_has_one_outcome_and_no_marketing_message_is_sent_twice(
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut bench = Bench::new();
        let mut world = World::default();
        for event in &events {
            world.apply(&mut bench, event);
        }
        prop_assert!(bench.driver.halted().is_none());
        // The last worker is lost too; then all expires, and is forgotten.
        world.apply(&mut bench, &Event::Restart);
        world.apply(&mut bench, &Event::Advance { ms: 24 * HOUR });
        let ended: BTreeSet<String> = world.outcomes.keys().cloned().collect();
        prop_assert_eq!(&ended, &world.asked);
        for (message, outcomes) in &world.outcomes {
            prop_assert_eq!(outcomes.len(), 1, "{} has {:?}", message, outcomes);
            let told_as_not_sent = !matches!(outcomes[0], Outcome::Sent | Outcome::Unknown);
            prop_assert!(!(told_as_not_sent && world.may_have_left.contains(message)), "{} {:?}", message, outcomes);
        }
        world.apply(&mut bench, &Event::Advance { ms: 16 * 24 * HOUR });
        // What is left says only at which addresses she is not written to.
        let left = bench.driver.state(CUSTOMER).unwrap_or_default();
        prop_assert_eq!(&left, &MessagingState { unreachable: left.unreachable.clone(), ..MessagingState::default() });
        prop_assert_eq!(bench.driver.states(), usize::from(!left.unreachable.is_empty()));
        prop_assert_eq!(bench.driver.dead_letters().len(), 0);
    }
}
