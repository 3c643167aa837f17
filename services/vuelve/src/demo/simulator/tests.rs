//! What the simulator promises, for many seeds.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const OPENS_AT: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn shop(seed: u64) -> Simulator {
    Simulator::new(Shop { seed, customers: 30, opens_at: OPENS_AT })
}

/// So many days in steps of so many minutes; every reminder that could be due is read.
fn calls(simulator: &mut Simulator, days: i64, step_minutes: i64) -> Vec<ShopCall> {
    let mut all: Vec<ShopCall> = Vec::new();
    for step in 1..=days * 24 * 60 / step_minutes {
        let to = OPENS_AT + minutes(step * step_minutes);
        all.extend(simulator.calls_until(to).unwrap());
    }
    all
}

#[test]
fn the_same_seed_gives_the_same_calls_and_another_seed_others() {
    let ten_days = |seed| calls(&mut shop(seed), 10, 10);
    assert_eq!(ten_days(1), ten_days(1));
    assert_ne!(ten_days(1), ten_days(2));
}

#[test]
fn the_length_of_the_steps_plays_no_part() {
    assert_eq!(calls(&mut shop(3), 10, 10), calls(&mut shop(3), 10, 120));
}

#[test]
fn the_calls_come_in_the_order_of_their_times_each_with_an_id_of_its_own() {
    for seed in 0..20 {
        let calls = calls(&mut shop(seed), 12, 60);
        assert!(calls.is_sorted_by_key(|call| call.at));
        assert!(calls.iter().all(|call| call.at > OPENS_AT && call.at <= OPENS_AT + days(12)));
        let ids: BTreeSet<_> = calls.iter().map(|call| &call.message_id).collect();
        assert_eq!(ids.len(), calls.len());
    }
}

#[test]
fn whoever_acts_is_known_and_whoever_buys_has_it_in_the_cart() {
    for seed in 0..20 {
        let mut known = BTreeSet::new();
        let mut carts: BTreeMap<String, u64> = BTreeMap::new();
        for call in calls(&mut shop(seed), 20, 60) {
            let json: Value = serde_json::from_str(&call.json).unwrap();
            assert_eq!(json["userId"], call.customer.as_str());
            assert_eq!(json["messageId"], call.message_id.as_str());
            match call.event {
                "identify" => {
                    assert!(json["traits"]["email"].as_str().unwrap().ends_with("@example.com"));
                    assert!(known.insert(call.customer.clone()), "{} is identified twice", call.customer);
                }
                "Product Added" => *carts.entry(call.cart.clone().unwrap()).or_default() += 1,
                "Order Completed" => {
                    let lines = json["properties"]["products"].as_array().unwrap().len() as u64;
                    assert_eq!(carts.remove(&call.cart.clone().unwrap()), Some(lines), "{call:?}");
                }
                _ => assert_eq!(call.event, "Product Viewed"),
            }
            assert!(known.contains(&call.customer), "{call:?}");
        }
        assert!(!carts.is_empty(), "no cart was left");
    }
}

#[test]
fn some_who_are_reminded_come_back_and_nobody_buys_a_cart_twice() {
    let mut simulator = shop(7);
    let mut bought = Vec::new();
    let mut reminded = BTreeSet::new();
    for day in 1..=30 {
        let to = OPENS_AT + days(day);
        for call in simulator.calls_until(to).unwrap() {
            match call.event {
                "Product Added" => {
                    reminded.insert(call.customer);
                }
                "Order Completed" => bought.push(call.cart.unwrap()),
                _ => {}
            }
        }
        for step in ["first", "second", "third"] {
            for customer in &reminded {
                simulator.read(Reminder { customer, journey: "cart-recovery", step, at: to });
            }
        }
    }
    let alone = calls(&mut shop(7), 30, 60).iter().filter(|call| call.event == "Order Completed").count();
    assert!(bought.len() > alone, "{} with reminders, {alone} without", bought.len());
    let once: BTreeSet<_> = bought.iter().collect();
    assert_eq!(once.len(), bought.len());
}

#[test]
fn a_reminder_of_a_stranger_changes_nothing() {
    let (mut one, mut other) = (shop(1), shop(1));
    one.read(Reminder { customer: "nobody", journey: "cart-recovery", step: "first", at: OPENS_AT });
    assert_eq!(calls(&mut one, 5, 60), calls(&mut other, 5, 60));
}
