//! What others are told of a customer: in one order, with who she is as of it.

use domain::Timestamp;
use schemas::{Change, CustomerEvent, CustomerScore, EventKind, MAX_VALUE_BYTES, Schemas, StorefrontEvent};
use segmentation::{Boundaries, MAX_SCORES, Output, Policy};
use stream::Output as _;
use stream::test_driver::encode;

use crate::support::{ANA, DAY, EVENTS, HOUR, Shop, at, order, quintiles, segment, track};

const BUYER: &str = "segment: buyer\nversion: 2\nenter: customer.frequency >= 1\n";
const LAPSED: &str = "segment: lapsed\nversion: 1\nenter: customer.recency_days >= 90\n";

fn told(shop: &mut Shop) -> Vec<CustomerEvent> {
    let event = |output| match output {
        Output::Event(event) => Some(*event),
        _ => None,
    };
    shop.driver.outputs().into_iter().filter_map(event).collect()
}

/// What happened and what changed: `Order Completed: +buyer`.
fn story(told: &[CustomerEvent]) -> Vec<String> {
    let sign = |change| if change == Change::Entered { '+' } else { '-' };
    let line = |told: &CustomerEvent| {
        let changes = told.changes.iter().map(|change| format!("{}{}", sign(change.change), change.segment));
        let changes = changes.collect::<Vec<_>>().join(" ");
        format!("{}: {changes}", told.event.as_ref().map_or("", |event| event.name.as_str()))
    };
    told.iter().map(line).collect()
}

#[test]
fn an_event_is_told_once_with_what_changed_by_it_and_who_she_is_as_of_it() {
    let mut shop = Shop::with(&[BUYER, LAPSED]);
    shop.tell(track("Product Viewed", 0));
    shop.tell(order("o1", 1_000, HOUR));
    let told = told(&mut shop);
    assert_eq!(story(&told), ["Product Viewed: ", "Order Completed: +buyer"]);
    assert_eq!((told[0].customer.frequency, &told[0].customer.segments[..]), (0, &[][..]));
    let customer = &told[1].customer;
    assert_eq!(
        (customer.frequency, customer.monetary_minor, customer.currency.as_deref()),
        (1, Some(1_000), Some("EUR"))
    );
    assert_eq!(customer.segments, ["buyer"]);
    assert_eq!(customer.first_seen_at, Some(at(0).as_millis()));
    assert_eq!(
        (customer.last_seen_at, customer.last_order_at),
        (Some(at(HOUR).as_millis()), Some(at(HOUR).as_millis()))
    );
    assert_eq!(told[1].changes[0].segment_version, 2);
    assert_eq!(told[1].event.as_ref().unwrap().order.as_ref().unwrap().order_id.as_deref(), Some("o1"));
}

#[test]
fn where_she_stands_in_her_life_as_a_customer_is_told_by_the_segment_of_that_group() {
    let of_life = |text: &str, priority: i32| format!("{text}group: lifecycle\npriority: {priority}\n");
    let others = "segment: buyers-too\nversion: 1\ngroup: other\npriority: 1\nenter: customer.frequency >= 1\n";
    let mut shop = Shop::with(&[&of_life(BUYER, 1), &of_life(LAPSED, 2), others]);
    shop.tell(track("Product Viewed", 0));
    shop.tell(order("o1", 1_000, HOUR));
    shop.tell(track("Product Viewed", 100 * DAY));
    let told = told(&mut shop);
    let stands: Vec<_> = told.iter().map(|told| told.customer.lifecycle.as_deref()).collect();
    assert_eq!(stands, [None, Some("buyer"), Some("lapsed"), Some("lapsed")]);
    assert_eq!(told[1].customer.segments, ["buyer", "buyers-too"]);
}

#[test]
fn what_time_does_is_told_between_events_at_its_moment() {
    let mut shop = Shop::with(&[BUYER, LAPSED]);
    shop.tell(order("o1", 1_000, 0));
    shop.tell(track("Product Viewed", 100 * DAY));
    let told = told(&mut shop);
    assert_eq!(story(&told), ["Order Completed: +buyer", ": +lapsed", "Product Viewed: "]);
    assert_eq!((told[1].at, told[1].historical), (at(90 * DAY).as_millis(), false));
    assert_eq!(told[1].customer.segments, ["buyer", "lapsed"]);
    assert_eq!(told[1].shop, "shop");
}

#[test]
fn what_a_new_definition_makes_of_those_who_are_there_is_told_as_history() {
    let mut shop = Shop::with(&[BUYER]);
    shop.tell(order("o1", 1_000, 0));
    told(&mut shop);
    shop.apply(LAPSED, 95 * DAY);
    shop.driver.advance_to(at(96 * DAY));
    let told = told(&mut shop);
    assert_eq!(story(&told), [": +lapsed"]);
    assert!(told[0].historical);
}

#[test]
fn what_says_nothing_of_her_is_told_all_the_same() {
    let mut shop = Shop::with(&[BUYER]);
    shop.tell(StorefrontEvent { kind: EventKind::Group, ..track("", 0) });
    let machine = Some(r#"{"machine": true}"#.to_owned());
    shop.tell(StorefrontEvent { properties_json: machine, ..track("Email Opened", HOUR) });
    let told = told(&mut shop);
    assert_eq!(story(&told), [": ", "Email Opened: "]);
    assert!(!told[1].customer.known, "nothing was learnt of her");
}

#[test]
fn of_who_is_erased_is_told_without_a_value_also_where_nothing_was_known() {
    let mut shop = Shop::with(&[BUYER]);
    shop.tell(order("o1", 1_000, 0));
    told(&mut shop);
    for customer in [ANA, "somebody-else"] {
        shop.driver.input_traced(EVENTS, customer, None, at(HOUR), None);
    }
    let outputs = shop.driver.outputs();
    let forgotten = outputs.iter().filter(|output| matches!(output, Output::Forgotten(_)));
    assert_eq!(forgotten.map(|output| output.key().to_owned()).collect::<Vec<_>>(), [ANA, "somebody-else"]);
    let schemas = Schemas::offline();
    assert!(outputs.iter().all(|output| {
        let ends = matches!(output, Output::Forgotten(_) | Output::NoProfile(_));
        output.encode(&schemas, &mut Vec::new()).unwrap() != ends
    }));
}

/// Who she was told to be since the last call: her orders; none where she is nobody any more.
fn profiles(shop: &mut Shop) -> Vec<Option<i64>> {
    let profile = |output| match output {
        Output::Profile(profile) => Some(Some(profile.customer.frequency)),
        Output::NoProfile(_) => Some(None),
        _ => None,
    };
    shop.driver.outputs().into_iter().filter_map(profile).collect()
}

#[test]
fn who_she_is_is_told_once_a_batch_and_ends_with_her_state() {
    let mut shop = Shop::with(&[BUYER]);
    // What lies there when the worker looks is one batch.
    for number in 0..3 {
        let event = StorefrontEvent { message_id: format!("m{number}"), ..order(&format!("o{number}"), 1_000, 0) };
        let value = stream::test_driver::encode(EVENTS, &StorefrontEvent { shop: "shop".to_owned(), ..event });
        shop.driver.append(EVENTS, ANA, Some(&value), at(0), None);
    }
    shop.driver.advance_to(at(0));
    assert_eq!(profiles(&mut shop), [Some(3)]);
    shop.tell(StorefrontEvent { kind: EventKind::Group, ..track("", HOUR) });
    assert_eq!(profiles(&mut shop), [], "nothing of hers has changed");
    shop.driver.input_traced(EVENTS, ANA, None, at(DAY), None);
    assert_eq!(profiles(&mut shop), [None]);
    shop.driver.input_traced(EVENTS, "nobody", None, at(DAY), None);
    assert_eq!(profiles(&mut shop), [None]);
}

#[test]
fn a_profile_is_as_of_her_time() {
    let mut shop = Shop::with(&[BUYER]);
    shop.tell(order("o1", 1_000, HOUR));
    let profile = shop.driver.outputs().into_iter().find_map(|output| match output {
        Output::Profile(profile) => Some(profile),
        _ => None,
    });
    let profile = profile.unwrap();
    assert_eq!(
        (profile.customer_id.as_str(), profile.as_of, profile.shop.as_str()),
        (ANA, at(HOUR).as_millis(), "shop")
    );
    assert_eq!(profile.customer.segments, ["buyer"]);
}

#[test]
fn what_a_device_tells_late_is_told_with_the_time_that_she_had_come_to() {
    let mut shop = Shop::with(&[BUYER]);
    shop.tell(track("Product Viewed", DAY));
    shop.tell(order("o1", 1_000, HOUR));
    let told = told(&mut shop);
    assert_eq!(told[1].at, at(DAY).as_millis());
    assert_eq!(told[1].event.as_ref().map(|event| event.event_time), Some(at(HOUR).as_millis()));
    assert_eq!(told[1].customer.last_seen_at.map(Timestamp::from_millis), Some(at(DAY)));
}

#[test]
fn the_largest_event_fits_with_all_that_can_be_told_of_her() {
    let name = |number: usize| format!("{number:03}-{}", "s".repeat(60));
    let bodies: Vec<String> = (0..200)
        .map(|number| format!("segment: {}\nversion: 1\nenter: customer.frequency >= 1\n", name(number)))
        .collect();
    let mut shop = Shop::with(&bodies.iter().map(String::as_str).collect::<Vec<_>>());
    for number in 0..MAX_SCORES {
        let score = CustomerScore {
            customer_id: ANA.to_owned(),
            name: format!("s{number:0>31}"),
            label: Some("x".repeat(64)),
            scored_at: at(0).as_millis(),
            ..CustomerScore::default()
        };
        shop.driver.input("customer.scores", ANA, &encode("customer.scores", &score), at(0));
    }
    let room = MAX_VALUE_BYTES - schemas::ROOM_BYTES;
    let mut event = order("o1", 1_000, 0);
    event.properties_json = Some("x".repeat(room - 1_000));
    shop.tell(event);
    let schemas = Schemas::offline();
    let outputs = shop.driver.outputs();
    let scores = |output: &Output| if let Output::Event(told) = output { told.customer.scores.len() } else { 0 };
    assert_eq!(outputs.iter().map(scores).max(), Some(MAX_SCORES));
    for output in outputs {
        output.encode(&schemas, &mut Vec::new()).unwrap();
    }
}

#[test]
fn what_a_definition_and_later_boundaries_make_of_her_together_is_told_as_history() {
    let ranked = "segment: ranked\nversion: 1\nenter: customer.rfm.recency == 1\n";
    let mut shop = Shop::with(&[ranked]);
    shop.learn(&quintiles(0, [50, 60, 70, 80]));
    shop.tell(order("o1", 1_000, 0));
    shop.driver.advance_to(at(10 * DAY));
    // A new worker has read both before she hears of either.
    let mut policy = Policy::default();
    for text in [ranked, BUYER] {
        policy.insert(segment(text));
    }
    policy.learn(Boundaries::of(&quintiles(10 * DAY, [1, 2, 3, 4])).unwrap(), 1);
    shop.driver.restart(policy);
    shop.apply("segment: other\nversion: 1\nenter: 'false'\n", 10 * DAY);
    let kinds: Vec<_> =
        told(&mut shop).iter().map(|told| (story(std::slice::from_ref(told)), told.historical)).collect();
    let line = |text: &str| vec![text.to_owned()];
    // Which of the two did it can't be told: nobody is to be written to for having been there.
    let expected = [(line("Order Completed: "), false), (line(": +buyer +ranked"), true)];
    assert_eq!(kinds, expected);
}
