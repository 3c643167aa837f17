//! Whoever is recognised when: her profile and her segments are what they would be if she had been known from the start, and of
//! her carts she is reminded neither after she bought them, nor twice, nor at the moment of login.
//!
//! The steps of the resolver, segmentation and journeys, without a broker, on any interleaving of what is done on several
//! devices, logged in or not, of what the shop's server tells of orders, before or after the browser does, of second persons on
//! a device, of guests' orders with an address, and of messages that come twice. The simulation has the same with kills.

#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::{BTreeMap, BTreeSet};

use domain::{HumanDuration, Timestamp};
use ingestion::{RECEIVED, Resolved, Resolver, ResolverPolicy};
use journeys::Journeys;
use proptest::prelude::*;
use schemas::{CustomerEvent, EventKind, JourneyDecision, MessageOutcome, Outcome, RequestAction, StorefrontEvent};
use segmentation::{Segmentation, SegmentationState};
use simulation::Breach;
use simulation::chance::Chance;
use simulation::identity::profile::{self, Compared, EVENTS, from_the_start};
use simulation::identity::reminders::{self, Heard};
use simulation::identity::story::{DEVICES, Happening, Place, What, told};
use simulation::identity::whose::whose;
use simulation::identity::{Told, driver, encode};
use stream::TestDriver;

/// 2026-03-02, a Monday, at midnight UTC.
const START_MS: i64 = 1_772_409_600_000;
/// After the last event, so that every timer fires.
const TAIL: HumanDuration = HumanDuration::from_hours(90);

fn happening() -> impl Strategy<Value = Happening> {
    let user = || prop_oneof![8 => 0_usize..2, 1 => 2_usize..5];
    let place = prop_oneof![
        8 => (0_usize..3, prop::option::weighted(0.15, user())).prop_map(|(device, user)| Place::Device(device, user)),
        2 => user().prop_map(Place::Server),
    ];
    let order = (1..10_000_i64, any::<bool>(), prop::bool::weighted(0.2));
    let what = prop_oneof![
        2 => Just(What::Page),
        3 => (0_u8..5).prop_map(What::View),
        5 => (1..4_i64).prop_map(What::Add),
        1 => Just(What::Remove),
        1 => Just(What::Checkout),
        1 => Just(What::Identify),
        2 => order.prop_map(|(minor, coupon, address)| What::Order { minor, coupon, address }),
        1 => any::<usize>().prop_map(What::OrderAgain),
        1 => any::<usize>().prop_map(What::Refund),
        1 => Just(What::Repeat),
    ];
    let after = prop_oneof![1 => 1..1_800_i64, 2 => 1..6 * 3_600_i64];
    (place, what, 0_u8..4, after).prop_map(|(place, what, cart, after)| Happening { place, what, cart, after })
}

/// What an engine that is broken makes of what the resolver wrote; false where it writes nothing.
type Breakage = fn(&mut StorefrontEvent) -> bool;

/// What came of a log.
#[derive(Default)]
struct Came {
    /// By customer, at the end of the log.
    profiles: BTreeMap<String, SegmentationState>,
    /// By customer, what journeys were told.
    told: BTreeMap<String, Vec<CustomerEvent>>,
    decisions: Vec<JourneyDecision>,
    /// Messages that were asked for.
    asked: Vec<String>,
}

/// The resolver, segmentation behind it, journeys behind that; each message is sent as soon as it is asked for.
struct Pipeline {
    resolver: TestDriver<Resolver>,
    segmentation: TestDriver<Segmentation>,
    journeys: TestDriver<Journeys>,
    breakage: Breakage,
    now: Timestamp,
    came: Came,
}

impl Pipeline {
    fn new(breakage: Breakage) -> Self {
        Self {
            resolver: driver(ResolverPolicy::default()),
            segmentation: driver(segmentation::Policy::default()),
            journeys: driver(journeys::Policy::new(journeys::Settings::default())),
            breakage,
            now: Timestamp::MIN,
            came: Came::default(),
        }
    }

    fn run(log: &[Told], breakage: Breakage) -> Came {
        let mut pipeline = Self::new(breakage);
        for Told { at_ms, event } in log {
            let at = Timestamp::from_millis(*at_ms);
            // An event at the very moment of a timer comes before it.
            pipeline.advance_to(at - HumanDuration::from_millis(1));
            pipeline.now = at;
            let key = ingestion::ids::received_key(event).unwrap();
            pipeline.resolver.input(RECEIVED, key, &encode(RECEIVED, event), at);
            pipeline.hand_on();
        }
        let customers =
            log.iter().flat_map(|Told { event, .. }| [&event.anonymous_id, &event.user_id, &event.address_id]);
        for customer in customers.flatten().collect::<BTreeSet<_>>() {
            let state = pipeline.segmentation.state(customer);
            pipeline.came.profiles.extend(state.map(|state| (customer.clone(), state)));
        }
        let end = pipeline.now + TAIL;
        pipeline.advance_to(end);
        assert!(pipeline.resolver.dead_letters().is_empty() && pipeline.segmentation.dead_letters().is_empty());
        assert!(pipeline.journeys.dead_letters().is_empty());
        pipeline.came
    }

    fn advance_to(&mut self, time: Timestamp) {
        self.now = time;
        self.resolver.advance_to(time);
        self.segmentation.advance_to(time);
        self.hand_on();
        self.journeys.advance_to(time);
        self.hand_on();
    }

    fn hand_on(&mut self) {
        for output in self.resolver.outputs() {
            let Resolved::Event(mut event) = output else { panic!("nothing is forwarded here") };
            if (self.breakage)(&mut event) {
                let customer = event.customer_id.clone().unwrap();
                self.segmentation.input(EVENTS, &customer, &encode(EVENTS, &*event), self.now);
            }
        }
        for output in self.segmentation.outputs() {
            if let segmentation::Output::Event(told) = output {
                let value = encode("customer.events", &*told);
                self.journeys.input("customer.events", &told.customer_id, &value, self.now);
                self.came.told.entry(told.customer_id.clone()).or_default().push(*told);
            }
        }
        for output in self.journeys.outputs() {
            match output {
                journeys::Output::Decision(decision) => self.came.decisions.push(*decision),
                journeys::Output::Request(request) if request.action == RequestAction::Request => {
                    let outcome = MessageOutcome {
                        message_id: request.message_id.clone(),
                        customer_id: request.customer_id.clone(),
                        shop: request.shop,
                        journey: request.journey,
                        journey_version: request.journey_version,
                        run_id: request.run_id,
                        step: request.step,
                        template: request.template,
                        category: request.category,
                        outcome: Outcome::Sent,
                        due_at: request.due_at,
                        expires_at: request.expires_at,
                        decided_at: self.now.as_millis(),
                        ..MessageOutcome::default()
                    };
                    let value = encode("messaging.outcomes", &outcome);
                    self.journeys.input("messaging.outcomes", &request.customer_id, &value, self.now);
                    self.came.asked.push(request.message_id);
                }
                _ => {}
            }
        }
        let more = self.journeys.outputs().into_iter();
        self.came.decisions.extend(more.filter_map(|output| match output {
            journeys::Output::Decision(decision) => Some(*decision),
            _ => None,
        }));
    }
}

/// All that is wrong with what came of a log.
fn breaches(log: &[Told], came: &Came) -> Vec<Breach> {
    let whose = whose(log);
    let mut early = from_the_start(log, &whose);
    let now = log.last().map_or(Timestamp::MIN, |told| Timestamp::from_millis(told.at_ms));
    // The last may have been a repeat.
    early.advance_to(now - HumanDuration::from_millis(1));
    let mut breaches = Vec::new();
    for customer in whose.owners().into_iter().chain(DEVICES).collect::<BTreeSet<_>>() {
        let expected = early.state(customer);
        let found = came.profiles.get(customer);
        let compared = Compared { customer, found, expected: expected.as_ref(), log, whose: &whose, in_order: true };
        breaches.extend(compared.breaches(now));
    }
    for recognition in &whose.recognitions {
        let known = came.profiles.get(&recognition.customer);
        if !known.is_some_and(|known| known.ids.contains(&recognition.device)) {
            breaches.push(Breach::new(profile::PROFILE, format!("nobody knows of {recognition:?}")));
        }
    }
    let heard = Heard { log, whose: &whose, told: &came.told, decisions: &came.decisions };
    breaches.extend(reminders::breaches(&heard));
    let asked = came.decisions.iter().filter(|decision| decision.decision == schemas::Decision::MessageRequested);
    let asked: Vec<&String> = asked.filter_map(|decision| decision.message_id.as_ref()).collect();
    if !asked.iter().copied().eq(&came.asked) {
        breaches.push(Breach::new("what_is_decided_is_asked_for", format!("{asked:?}, and not {:?}", came.asked)));
    }
    breaches
}

const SOUND: Breakage = |_| true;

fn config() -> ProptestConfig {
    let asked_for = ProptestConfig::default().cases;
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(asked_for.max(1_000)) }
}

proptest! {
    // `PROPTEST_CASES=10000` for more.
    #![proptest_config(config())]

    #[test]
    fn whenever_she_is_recognised_all_is_as_it_would_be_had_she_been_known_from_the_start(
        happenings in prop::collection::vec(happening(), 1..60),
        carts_have_names in any::<bool>(),
    ) {
        let log = told(&happenings, START_MS, carts_have_names);
        let breaches = breaches(&log, &Pipeline::run(&log, SOUND));
        prop_assert!(breaches.is_empty(), "{}", breaches[0]);
    }
}

/// The names of what is found to be broken in some interleavings of one source of chance.
fn found(breakage: Breakage) -> BTreeSet<&'static str> {
    let mut chance = Chance::new(1);
    let mut found = BTreeSet::new();
    for _ in 0..100 {
        let happenings: Vec<Happening> = (0..40).map(|_| Happening::draw(&mut chance, 6 * 3_600)).collect();
        let log = told(&happenings, START_MS, chance.below(2) == 0);
        found.extend(breaches(&log, &Pipeline::run(&log, breakage)).into_iter().map(|breach| breach.invariant));
    }
    found
}

#[test]
fn a_history_that_is_dated_at_the_moment_of_recognition_is_found() {
    let found = found(|event| {
        let now = event.event_time;
        event.history.iter_mut().for_each(|past| past.event_time = now);
        true
    });
    assert!(found.contains(profile::PROFILE) && found.contains(reminders::BOUGHT), "{found:?}");
}

#[test]
fn a_history_that_is_lost_is_found() {
    let found = found(|event| {
        event.history.clear();
        true
    });
    assert!(found.contains(profile::PROFILE) && found.contains(reminders::FORGOTTEN), "{found:?}");
}

#[test]
fn a_device_of_which_nobody_is_told_that_it_moved_is_found() {
    let found = found(|event| event.kind != EventKind::Moved);
    assert!(found.contains(profile::PROFILE) && found.contains(reminders::MOVED), "{found:?}");
}

#[test]
fn a_recognition_that_is_dated_too_early_is_found() {
    let found = found(|event| {
        if event.kind == EventKind::Identified {
            event.event_time -= HumanDuration::from_hours(6).as_millis();
        }
        true
    });
    assert!(found.contains(reminders::AT_LOGIN), "{found:?}");
}
