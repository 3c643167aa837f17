//! Who is erased is nobody any more, under every id that she had, and nothing that comes late brings her back.

use schemas::{EventKind, LINKS, PastEvent, PrivacyKind, StorefrontEvent};
use segmentation::Output;

use crate::support::{ANA, DAY, EVENTS, HOUR, Shop, at, order, policy, track};

const BUYER: &str = "segment: buyer\nversion: 1\nenter: customer.frequency >= 1\n";

fn erased(seconds: i64) -> StorefrontEvent {
    StorefrontEvent { kind: EventKind::Erased, user_id: None, ..track("", seconds) }
}

fn recognised_on(device: &str, history: Vec<PastEvent>, seconds: i64) -> StorefrontEvent {
    let event = track("", seconds);
    StorefrontEvent { kind: EventKind::Identified, anonymous_id: Some(device.to_owned()), history, ..event }
}

#[test]
fn who_is_erased_leaves_everything_and_others_are_told() {
    let mut shop = Shop::with(&[BUYER]);
    shop.tell(order("o1", 1_000, 0));
    shop.driver.outputs();
    shop.tell(erased(HOUR));
    let outputs = shop.driver.outputs();
    let words = outputs.iter().map(|output| match output {
        Output::Change(change) => format!("{:?} {}", change.change, change.segment),
        Output::Forgotten(customer) => format!("{customer} is forgotten"),
        Output::NoProfile(customer) => format!("{customer} has no profile"),
        other => format!("{other:?}"),
    });
    assert_eq!(words.collect::<Vec<_>>(), ["Left buyer", "ana is forgotten", "ana has no profile"]);
    let left = outputs.iter().find_map(|output| match output {
        Output::Change(change) => Some(change.shop.as_str()),
        _ => None,
    });
    assert_eq!(left, Some("shop"));
    let state = shop.state();
    assert!(state.is_nobody() && state.erased_at == Some(at(HOUR)), "{state:?}");
}

#[test]
fn nothing_that_happened_before_brings_her_back_and_what_happens_after_begins_anew() {
    let mut shop = Shop::with(&[BUYER]);
    shop.tell(order("o1", 1_000, 0));
    shop.tell(erased(HOUR));
    shop.driver.outputs();
    shop.tell(order("o2", 1_000, HOUR - 1));
    shop.tell(order("o3", 1_000, HOUR));
    assert_eq!(shop.driver.outputs(), [], "it is not told on, either");
    assert!(shop.state().is_nobody());
    assert_eq!(shop.driver.counts()[&(EVENTS, "ignored", "erased")], 2);
    shop.driver.advance_to(at(400 * DAY));
    shop.tell(order("o4", 1_000, 401 * DAY));
    assert_eq!(shop.changes(), [format!("+buyer by event at {}", 401 * DAY)]);
    assert_eq!(shop.state().erased_at, Some(at(HOUR)), "that stays, for whatever is told later still");
    shop.tell(order("o5", 1_000, HOUR / 2));
    assert_eq!(shop.state().currencies[0].orders, 1);
}

#[test]
fn each_device_of_hers_is_asked_to_forget_too() {
    let mut shop = Shop::with(&[BUYER]);
    shop.tell(recognised_on("phone", Vec::new(), 0));
    shop.tell(recognised_on("laptop", Vec::new(), HOUR));
    shop.driver.outputs();
    shop.tell(erased(DAY));
    let asked = shop.driver.outputs().into_iter().filter_map(|output| match output {
        Output::Erase(request) => Some(*request),
        _ => None,
    });
    let asked: Vec<_> = asked.collect();
    let devices: Vec<_> = asked.iter().map(|request| request.customer_id.as_deref().unwrap()).collect();
    assert_eq!(devices, ["phone", "laptop"]);
    assert!(asked.iter().all(|request| request.kind == PrivacyKind::Erase && request.at == at(DAY).as_millis()));
    assert!(asked.iter().all(|request| !request.request_id.contains(ANA)));
    assert!(asked.iter().all(|request| request.of_device && request.shop == "shop"), "{asked:?}");
    shop.tell(erased(DAY));
    assert!(!shop.driver.outputs().iter().any(|output| matches!(output, Output::Erase(_))), "once is enough");
}

#[test]
fn a_device_that_what_is_told_late_says_is_hers_is_asked_to_forget_too() {
    let mut shop = Shop::with(&[BUYER]);
    shop.tell(recognised_on("phone", Vec::new(), 0));
    shop.tell(erased(DAY));
    shop.driver.outputs();
    shop.tell(recognised_on("laptop", Vec::new(), HOUR));
    let told = shop.driver.outputs();
    let [Output::Erase(asked), Output::NoProfile(_)] = &told[..] else { panic!("one device is asked for: {told:?}") };
    assert_eq!((asked.customer_id.as_deref(), asked.kind), (Some("laptop"), PrivacyKind::Erase));
    assert_eq!(asked.at, at(DAY).as_millis(), "until the date that is hers, whenever it is heard of");
    assert_eq!(asked.request_id, segmentation::asked_for(ANA, "laptop", at(DAY)));
    assert!(shop.state().is_nobody());
    shop.tell(recognised_on("tablet", Vec::new(), 2 * DAY));
    assert!(!shop.driver.outputs().iter().any(|output| matches!(output, Output::Erase(_))), "she has come back on it");
}

#[test]
fn what_was_said_before_makes_nobody_known_again_whatever_was_done_on_the_device_since() {
    let mut shop = Shop::with(&[BUYER]);
    shop.tell(erased(DAY));
    shop.driver.outputs();
    let looked = PastEvent { message_id: "m".to_owned(), event_time: at(2 * DAY).as_millis(), ..PastEvent::default() };
    let said_at = Some(at(HOUR).as_millis());
    shop.tell(StorefrontEvent { said_at, ..recognised_on("laptop", vec![looked], 2 * DAY) });
    assert!(shop.state().is_nobody());
    let asked = shop.driver.outputs().into_iter().any(|output| matches!(output, Output::Erase(_)));
    assert!(asked, "the device is asked to forget");
}

#[test]
fn a_device_that_is_linked_still_brings_nobody_back_without_a_word_of_hers() {
    let mut shop = Shop::with(&[BUYER]);
    shop.tell(erased(DAY));
    shop.driver.outputs();
    let by_link =
        StorefrontEvent { user_id: None, anonymous_id: Some("laptop".to_owned()), ..track("Product Viewed", 2 * DAY) };
    shop.tell(by_link.clone());
    assert!(shop.state().is_nobody());
    let asked = shop.driver.outputs().into_iter().any(|output| matches!(output, Output::Erase(_)));
    assert!(asked, "the device is asked to forget");
    shop.tell(StorefrontEvent { anonymous_id: by_link.anonymous_id.clone(), ..track("Product Viewed", 3 * DAY) });
    shop.tell(StorefrontEvent { message_id: "later".to_owned(), ..by_link });
    assert_eq!(shop.state().totals.product_views, 2, "she said that she is back");
}

#[test]
fn a_link_of_an_old_message_brings_nobody_back_nor_takes_along_what_was_done_on_the_device() {
    let mut shop = Shop::with(&[BUYER]);
    shop.tell(order("o1", 1_000, 0));
    shop.tell(erased(DAY));
    shop.driver.outputs();
    let click = StorefrontEvent { source: LINKS.to_owned(), ..track("Email Link Clicked", 2 * DAY) };
    shop.tell(click.clone());
    let on_a_device =
        StorefrontEvent { anonymous_id: Some("phone".to_owned()), name: "Product Viewed".to_owned(), ..click };
    shop.tell(StorefrontEvent { kind: EventKind::Identified, message_id: "who".to_owned(), ..on_a_device.clone() });
    shop.tell(StorefrontEvent { message_id: "what".to_owned(), ..on_a_device });
    assert!(shop.state().is_nobody());
    let outputs = shop.driver.outputs();
    let asked = outputs.iter().filter(|output| matches!(output, Output::Erase(_))).count();
    let is_told = outputs.iter().any(|output| matches!(output, Output::Event(_) | Output::Profile(_)));
    assert_eq!((asked, is_told), (2, false), "the device is asked to forget, and nobody hears of it: {outputs:?}");
    shop.tell(StorefrontEvent { message_id: "order".to_owned(), ..order("o2", 500, 3 * DAY) });
    assert!(shop.state().known, "she ordered herself");
}

#[test]
fn a_customer_is_not_erased_as_somebody_elses_device_however_she_came_to_be_known() {
    let as_a_device = |seconds| StorefrontEvent { anonymous_id: Some(ANA.to_owned()), ..erased(seconds) };
    let by_her_browser = StorefrontEvent { anonymous_id: Some("phone".to_owned()), ..order("o1", 1_000, 0) };
    for known in [order("o1", 1_000, 0), by_her_browser] {
        let mut shop = Shop::with(&[BUYER]);
        shop.tell(known);
        shop.driver.outputs();
        let before = shop.state();
        shop.tell(as_a_device(HOUR));
        assert_eq!(shop.driver.outputs(), []);
        assert_eq!((shop.state(), shop.driver.counts()[&(EVENTS, "ignored", "is_a_customer")]), (before, 1));
        shop.tell(erased(2 * HOUR));
        assert!(shop.state().is_nobody(), "her own wish counts");
    }
    let mut shop = Shop::with(&[BUYER]);
    shop.tell(StorefrontEvent { user_id: None, anonymous_id: Some(ANA.to_owned()), ..track("Product Viewed", 0) });
    shop.driver.outputs();
    shop.tell(as_a_device(HOUR));
    assert_eq!(shop.state().erased_at, Some(at(HOUR)), "a device is");
}

#[test]
fn a_past_that_is_handed_over_later_is_cut_at_the_erasure() {
    let mut shop = Shop::with(&[BUYER]);
    shop.tell(erased(HOUR));
    let viewed = |id: &str, seconds: i64| PastEvent {
        message_id: id.to_owned(),
        kind: EventKind::Track,
        name: "Product Viewed".to_owned(),
        shop: "shop".to_owned(),
        event_time: at(seconds).as_millis(),
        ..PastEvent::default()
    };
    shop.driver.outputs();
    shop.tell(recognised_on("phone", vec![viewed("p1", 0), viewed("p2", 2 * HOUR)], 3 * HOUR));
    assert_eq!(shop.state().totals.product_views, 1);
    let told = shop.driver.outputs().into_iter().find_map(|output| match output {
        Output::Event(told) => told.event,
        _ => None,
    });
    assert_eq!(told.unwrap().history.len(), 1, "nor do others hear of it");
}

#[test]
fn an_erasure_holds_after_a_restart_and_of_who_was_not_known() {
    let mut shop = Shop::with(&[BUYER]);
    shop.tell(erased(HOUR));
    let outputs = shop.driver.outputs();
    assert!(outputs.iter().any(|output| matches!(output, Output::Forgotten(_))), "{outputs:?}");
    shop.driver.restart(policy());
    shop.tell(order("o1", 1_000, 0));
    assert!(shop.state().is_nobody());
}
