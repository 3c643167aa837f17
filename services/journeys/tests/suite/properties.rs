//! Properties of what comes out, whatever a customer does.
//!
//! Her days are drawn at random; each property holds the whole output to a rule, not to an example.

use std::collections::BTreeMap;

use journeys::Settings;
use proptest::prelude::*;
use schemas::{
    Arm, Decision, JourneyDecision, MessageOutcome, MessageRequest, Outcome, RequestAction, StorefrontEvent,
};

use crate::support::{ANA, DAY, EVENTS, HOUR, World, Written, driver, encode, feed, told, track};

const CART: &str = "
journey: cart
trigger: Product Added
correlate: cart_id
exit: { event: Order Completed, same: cart_id }
reentry: { after: 1d }
holdout: HOLDOUT
steps:
  - wait: 1h
    restart_on: { event: Product Added, same: cart_id }
  - message: { as: first, template: t, category: cart }
  - wait: { for: { event: Checkout Started, same: cart_id }, timeout: 20h }
  - when: event.name == 'Checkout Started'
    then: [ { wait: { until: '09:00', time_zone: Europe/Madrid } } ]
    else: [ { wait: 3h } ]
  - message: { as: second, template: t, category: cart }
  - wait: 48h
  - message: { as: third, template: t, category: cart }
";

fn journey() -> String {
    CART.replace("HOLDOUT", "0%")
}

/// What she does next, and after how long.
#[derive(Clone, Debug)]
struct Act {
    after_minutes: i64,
    name: &'static str,
    cart: Option<u8>,
}

fn act(carts: bool) -> impl Strategy<Value = Act> {
    let after = prop_oneof![4 => 0..90_i64, 2 => 90..2_000_i64, 1 => 2_000..8_000_i64];
    let name = prop_oneof![
        5 => Just("Product Added"),
        2 => Just("Order Completed"),
        2 => Just("Checkout Started"),
        2 => Just("Product Viewed"),
    ];
    let cart =
        if carts { prop_oneof![4 => (0..3_u8).prop_map(Some), 1 => Just(None)].boxed() } else { Just(None).boxed() };
    (after, name, cart).prop_map(|(after_minutes, name, cart)| Act { after_minutes, name, cart })
}

fn days(carts: bool) -> impl Strategy<Value = Vec<StorefrontEvent>> {
    prop::collection::vec(act(carts), 1..40).prop_map(|acts| events(ANA, &acts))
}

fn events(customer: &str, acts: &[Act]) -> Vec<StorefrontEvent> {
    let mut minutes = 0;
    let event = |(index, act): (usize, &Act)| {
        minutes += act.after_minutes;
        StorefrontEvent {
            message_id: format!("{customer}-{index}"),
            cart_id: act.cart.map(|cart| format!("cart-{cart}")),
            ..track(customer, act.name, minutes * 60)
        }
    };
    acts.iter().enumerate().map(event).collect()
}

fn end_of(events: &[StorefrontEvent]) -> i64 {
    events.iter().map(|event| event.event_time / 1000).max().unwrap_or(0) + 40 * DAY
}

fn run(journey: &str, settings: Settings, events: &[StorefrontEvent]) -> Written {
    let mut world = World::with(journey, settings);
    for event in events {
        world.event(event);
    }
    world.advance(end_of(events));
    world.written
}

fn by_run(decisions: &[JourneyDecision]) -> BTreeMap<&str, Vec<&JourneyDecision>> {
    let mut runs: BTreeMap<&str, Vec<&JourneyDecision>> = BTreeMap::new();
    for decision in decisions {
        if let Some(run) = &decision.run_id {
            runs.entry(run).or_default().push(decision);
        }
    }
    runs
}

fn ended(decision: Decision) -> bool {
    matches!(decision, Decision::Exited | Decision::Completed | Decision::Stopped)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Trigger, correlate, reentry.
    #[test]
    fn runs_of_one_key_follow_each_other_and_leave_the_reentry_between(events in days(true)) {
        let written = run(&journey(), Settings::default(), &events);
        let mut over: BTreeMap<Option<&str>, Option<i64>> = BTreeMap::new();
        for decision in &written.decisions {
            let key = decision.correlation_key.as_deref();
            if decision.decision == Decision::Entered {
                match over.insert(key, None) {
                    Some(None) => prop_assert!(false, "a second run of {key:?} at {}", decision.at),
                    Some(Some(end)) => prop_assert!(decision.at >= end + DAY * 1000),
                    None => {}
                }
            } else if ended(decision.decision) {
                prop_assert_eq!(over.insert(key, Some(decision.at)), Some(None));
            }
        }
        prop_assert!(over.values().all(Option::is_some), "every run comes to its end");
    }

    /// Every run begins with `entered` and ends once, with nothing after it; its time only rises.
    #[test]
    fn a_run_is_a_story_with_one_beginning_and_one_end(events in days(true)) {
        let written = run(&journey(), Settings::default(), &events);
        for decisions in by_run(&written.decisions).values() {
            prop_assert_eq!(decisions[0].decision, Decision::Entered);
            prop_assert_eq!(decisions.iter().filter(|d| d.decision == Decision::Entered).count(), 1);
            prop_assert!(ended(decisions.last().unwrap().decision));
            prop_assert_eq!(decisions.iter().filter(|d| ended(d.decision)).count(), 1);
            prop_assert!(decisions.windows(2).all(|pair| pair[0].at <= pair[1].at));
        }
    }

    /// Wait and `restart_on`.
    #[test]
    fn the_first_reminder_comes_an_hour_after_the_last_addition(events in days(false)) {
        let written = run(&journey(), Settings::default(), &events);
        for request in written.requests.iter().filter(|r| r.action == RequestAction::Request && r.step == "first") {
            let left_at = request.due_at - HOUR * 1000;
            let added = |time: i64| events.iter().any(|e| e.name == "Product Added" && e.event_time == time);
            prop_assert!(added(left_at));
            let between = left_at + 1..request.due_at;
            let later = events.iter().filter(|e| e.name == "Product Added" && between.contains(&e.event_time)).count();
            prop_assert_eq!(later, 0);
        }
    }

    /// Exit.
    #[test]
    fn nothing_is_asked_for_after_the_purchase_and_what_was_is_cancelled(events in days(true)) {
        let written = run(&journey(), Settings::default(), &events);
        for (run, decisions) in by_run(&written.decisions) {
            let last = decisions.last().unwrap();
            let asked = written.requests.iter().filter(|r| r.run_id == run && r.action == RequestAction::Request);
            let asked: Vec<i64> = asked.map(|request| request.due_at).collect();
            let cancels = written.requests.iter().filter(|r| r.run_id == run && r.action == RequestAction::Cancel).count();
            prop_assert!(asked.iter().all(|due| *due <= last.at));
            prop_assert_eq!(cancels, usize::from(last.decision == Decision::Exited && !asked.is_empty()));
            // A purchase of its cart, or of none that is named, is not slept through.
            let began = decisions[0].at;
            let key = decisions[0].correlation_key.as_deref();
            let bought = events.iter().find(|e| {
                e.name == "Order Completed"
                    && e.event_time > began
                    && (key.is_none() || e.cart_id.is_none() || e.cart_id.as_deref() == key)
            });
            if let Some(bought) = bought {
                prop_assert!(last.at <= bought.event_time);
            }
        }
    }

    /// `wait: { for … }` and `wait: { until … }`.
    #[test]
    fn the_second_message_comes_at_nine_after_a_checkout_and_else_a_day_after_the_first(events in days(false)) {
        let written = run(&journey(), Settings::default(), &events);
        let madrid = definitions::time_zone("Europe/Madrid").unwrap();
        for decisions in by_run(&written.decisions).values() {
            let asked = |step: &str| {
                let asked = decisions.iter().find(|d| d.step.as_deref() == Some(step) && d.due_at.is_some());
                asked.map(|decision| decision.at)
            };
            let (Some(first), Some(second)) = (asked("first"), asked("second")) else { continue };
            // An event at the very moment of a timer comes before it.
            let checkout = events.iter().find(|e| {
                e.name == "Checkout Started" && e.event_time > first && e.event_time <= first + 20 * HOUR * 1000
            });
            match checkout {
                None => prop_assert_eq!(second, first + 23 * HOUR * 1000),
                Some(checkout) => {
                    let shown = madrid.to_datetime(jiff::Timestamp::from_millisecond(second).unwrap());
                    prop_assert_eq!((shown.hour(), shown.minute(), shown.second()), (9, 0, 0));
                    let waited = second - checkout.event_time;
                    prop_assert!((0..=25 * HOUR * 1000).contains(&waited), "{waited}");
                }
            }
        }
    }

    /// Holdout.
    #[test]
    fn a_held_out_customer_lives_the_same_story_without_a_single_request(events in days(true)) {
        let treated = run(&journey(), Settings::default(), &events);
        let held = run(&CART.replace("HOLDOUT", "100%"), Settings::default(), &events);
        prop_assert!(held.requests.is_empty());
        prop_assert!(held.decisions.iter().all(|decision| decision.arm == Arm::Holdout));
        let tell = |written: &Written| -> Vec<_> {
            let plain = |d| if d == Decision::MessageWithheld { Decision::MessageRequested } else { d };
            let decisions = written.decisions.iter();
            decisions.map(|d| (plain(d.decision), d.step.clone(), d.at, d.run_id.clone(), d.due_at)).collect()
        };
        prop_assert_eq!(tell(&treated), tell(&held));
    }

    /// Promise 6: the result depends on her own records in their order; not on batches, other customers or restarts.
    #[test]
    fn kills_batches_and_other_customers_change_nothing(
        events in days(true),
        others in prop::collection::vec(act(true), 1..20),
        chances in prop::collection::vec(0..8_u8, 60),
    ) {
        let alone = run(&journey(), Settings::default(), &events);
        let mut world = World::new(&journey());
        let mut others = crate::properties::events("bea", &others).into_iter();
        for (event, chance) in events.iter().zip(chances.iter().cycle()) {
            match chance {
                0 => world.restart(),
                1 => world.driver.abort_next_commit(),
                2 | 3 => others.next().iter().for_each(|other| world.event(other)),
                _ => {}
            }
            if *chance >= 6 {
                let value = told(event);
                world.driver.append(EVENTS, ANA, Some(&value), crate::support::at(0), None);
            } else {
                world.event(event);
            }
        }
        world.restart();
        world.advance(end_of(&events));
        let mut mixed = world.written;
        mixed.decisions.retain(|decision| decision.customer_id == ANA);
        mixed.requests.retain(|request| request.customer_id == ANA);
        prop_assert_eq!(alone.decisions, mixed.decisions);
        prop_assert_eq!(alone.requests, mixed.requests);
    }

    /// Ids.
    #[test]
    fn no_two_runs_messages_or_decisions_share_an_id(events in days(true)) {
        let written = run(&journey(), Settings::default(), &events);
        let unique = |mut ids: Vec<&str>| {
            let count = ids.len();
            ids.sort_unstable();
            ids.dedup();
            ids.len() == count
        };
        let asked = written.requests.iter().filter(|request| request.action == RequestAction::Request);
        prop_assert!(unique(asked.map(|request| request.message_id.as_str()).collect()));
        prop_assert!(unique(written.decisions.iter().map(|decision| decision.decision_id.as_str()).collect()));
    }

    /// Feedback: however outcomes come, each is taken once, and an open message is cancelled only if it has none.
    #[test]
    fn outcomes_in_any_order_are_each_taken_once(events in days(true), chances in prop::collection::vec(0..4_u8, 40)) {
        let mut world = World::new(&journey());
        let mut answered = Vec::new();
        for (event, chance) in events.iter().zip(chances.iter().cycle()) {
            world.event(event);
            let open: Vec<MessageRequest> = world
                .written
                .requests
                .iter()
                .filter(|request| request.action == RequestAction::Request && !answered.contains(&request.message_id))
                .cloned()
                .collect();
            for request in open.into_iter().take(usize::from(*chance)) {
                world.outcome(&request, if chance % 2 == 0 { Outcome::Sent } else { Outcome::Failed });
                answered.push(request.message_id);
            }
        }
        world.advance(end_of(&events));
        let taken = world.written.decisions.iter().filter(|d| d.decision == Decision::MessageOutcome).count();
        prop_assert_eq!(taken, answered.len());
    }
}

/// Whatever an outcome says of runs and messages that never were, nothing breaks.
#[test]
fn an_outcome_of_nothing_is_recorded_and_changes_no_state() {
    let mut driver = driver(Settings::default(), &crate::support::definitions(&journey()));
    feed(&mut driver, ANA, &track(ANA, "Product Added", 0));
    let before = driver.state(ANA);
    let value =
        encode("messaging.outcomes", &MessageOutcome { run_id: "none".to_owned(), ..MessageOutcome::default() });
    driver.input("messaging.outcomes", ANA, &value, crate::support::at(1));
    assert_eq!(before.map(|state| state.runs), driver.state(ANA).map(|state| state.runs));
}
