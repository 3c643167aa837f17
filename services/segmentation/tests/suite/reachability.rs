//! Whether she can be written to follows what messaging tells, and which address she has.

use domain::Timestamp;
use links::AddressHash;
use schemas::{
    ChangeCause, Contact, CustomerEvent, CustomerReachability, EventKind, MAX_HOPS, Schemas, StorefrontEvent,
    SuppressionReason, UnreachableAddress,
};
use segmentation::lookups::{self, ReachabilityView};
use segmentation::{ANONYMOUS_IDLE, Output, Policy, SegmentationState};
use stream::test_driver::encode;

use crate::support::{ANA, DAY, HOUR, Shop, at, order, policy, secret, track};

const REACHABILITY: &str = "customer.reachability";
const HOME: &str = "ana@example.com";
const WORK: &str = "ana@work.example";

/// Whom a letter would have to reach, and whom an e-mail does.
const BY_LETTER: &str = "segment: by-letter\nversion: 1\nenter: customer.known && !customer.reachable.email\n";
const BY_MAIL: &str = "segment: by-mail\nversion: 1\nenter: customer.reachable.email\n";
const LAPSED: &str = "segment: lapsed\nversion: 1\nenter: customer.recency_days >= 90\n";

fn held(address: &str, reason: SuppressionReason) -> UnreachableAddress {
    let address_hash = AddressHash::of(&secret(), address).to_string();
    UnreachableAddress { channel: "email".to_owned(), address_hash, reason, since: at(0).as_millis() }
}

fn unsubscribed(addresses: &[&str]) -> Vec<UnreachableAddress> {
    addresses.iter().map(|address| held(address, SuppressionReason::Unsubscribed)).collect()
}

/// Messaging tells of somebody.
fn tell_of(shop: &mut Shop, customer: &str, unreachable: Vec<UnreachableAddress>, seconds: i64, hops: i32) {
    let (customer_id, told_at) = (customer.to_owned(), at(seconds));
    let told = CustomerReachability { customer_id, at: told_at.as_millis(), unreachable, hops };
    shop.driver.input(REACHABILITY, customer, &encode(REACHABILITY, &told), told_at);
}

fn tell(shop: &mut Shop, addresses: &[&str], seconds: i64) {
    tell_of(shop, ANA, unsubscribed(addresses), seconds, 1);
}

fn with_address(address: &str, event: StorefrontEvent) -> StorefrontEvent {
    StorefrontEvent { contact: Some(Contact { email: Some(address.to_owned()), ..Contact::default() }), ..event }
}

/// A customer with an address, at the start.
fn ana(segments: &[&str]) -> Shop {
    let mut shop = Shop::with(segments);
    shop.tell(with_address(HOME, track("Product Viewed", 0)));
    shop.driver.outputs();
    shop
}

fn told(shop: &mut Shop) -> Vec<CustomerEvent> {
    let event = |output| if let Output::Event(event) = output { Some(*event) } else { None };
    shop.driver.outputs().into_iter().filter_map(event).collect()
}

fn looked_up(shop: &Shop) -> Option<ReachabilityView> {
    let customer = lookups::read(&Schemas::offline(), shop.driver.stored(ANA)).unwrap()?;
    customer.at(at(DAY), None)?.reachability.pop()
}

fn can_be_reached(shop: &Shop) -> bool {
    looked_up(shop).is_some_and(|view| view.reachable)
}

#[test]
fn who_unsubscribes_can_not_be_reached_until_she_subscribes_again() {
    let mut shop = ana(&[BY_LETTER, BY_MAIL]);
    assert_eq!(shop.segments(), ["by-mail"]);
    shop.driver.advance_to(at(3 * HOUR));
    tell(&mut shop, &[HOME], HOUR);
    let expected = [format!("-by-mail by reachability at {HOUR}"), format!("+by-letter by reachability at {HOUR}")];
    assert_eq!(shop.changes(), expected, "her own time stood still");
    assert_eq!(looked_up(&shop).unwrap().held, Some(held(HOME, SuppressionReason::Unsubscribed)));
    tell(&mut shop, &[], 2 * HOUR);
    assert_eq!(shop.segments(), ["by-mail"]);
    assert_eq!(looked_up(&shop), Some(ReachabilityView { channel: "email", reachable: true, held: None }));
}

#[test]
fn it_is_told_between_events_with_who_she_is_and_the_hops_of_what_led_to_it() {
    let mut shop = ana(&[BY_LETTER]);
    tell_of(&mut shop, ANA, unsubscribed(&[HOME]), 0, 4);
    let outputs = shop.driver.outputs();
    let change =
        outputs.iter().find_map(|output| if let Output::Change(change) = output { Some(change) } else { None });
    let change = change.unwrap();
    assert_eq!((change.hops, change.historical, change.trigger_message_id.as_deref()), (5, false, None));
    assert_eq!(change.detail_json.as_deref(), Some(r#"{"known":true,"reachable.email":false}"#));
    let event = outputs.iter().find_map(|output| if let Output::Event(event) = output { Some(event) } else { None });
    let event = event.unwrap();
    assert_eq!((event.hops, event.historical, event.event.is_none()), (5, false, true));
    assert_eq!(event.changes[0].cause, ChangeCause::Reachability);
    assert_eq!((event.customer.reachable_email, event.customer.has_email), (Some(false), true));
    let profile = outputs.iter().find_map(|output| if let Output::Profile(told) = output { Some(told) } else { None });
    assert_eq!(profile.unwrap().customer.reachable_email, Some(false));
    tell_of(&mut shop, ANA, Vec::new(), 1, MAX_HOPS);
    assert!(told(&mut shop).iter().all(|event| event.hops == MAX_HOPS));
}

#[test]
fn it_is_told_also_where_no_segment_asks_for_it_and_only_where_it_changes() {
    let mut shop = ana(&[]);
    tell(&mut shop, &[HOME], 0);
    let events = told(&mut shop);
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].changes.len(), events[0].customer.reachable_email), (0, Some(false)));
    tell(&mut shop, &[HOME], 0);
    assert_eq!(shop.driver.counts()[&(REACHABILITY, "ignored", "nothing_new")], 1);
    tell(&mut shop, &[HOME, WORK], 1);
    tell_of(&mut shop, ANA, vec![held(HOME, SuppressionReason::Bounced)], 2, 1);
    assert_eq!(told(&mut shop), [], "she could not be reached before, either");
    assert_eq!(looked_up(&shop).unwrap().held.unwrap().reason, SuppressionReason::Bounced);
}

#[test]
fn another_address_can_be_reached_until_messaging_says_otherwise() {
    let mut shop = ana(&[BY_LETTER]);
    tell(&mut shop, &[HOME], 0);
    shop.driver.outputs();
    shop.tell(with_address(" ANA@work.example ", track("Product Viewed", HOUR)));
    assert_eq!(shop.changes(), [format!("-by-letter by event at {HOUR}")]);
    shop.tell(with_address("  ", track("Product Viewed", 2 * HOUR)));
    shop.tell(track("Product Viewed", 2 * HOUR));
    assert!(can_be_reached(&shop), "an event without an address takes none");
    shop.tell(with_address(HOME, track("Product Viewed", HOUR / 2)));
    assert!(can_be_reached(&shop), "what she was told to have before is not her address again");
    tell(&mut shop, &[HOME, WORK], 2 * HOUR);
    assert_eq!(shop.changes(), [format!("+by-letter by reachability at {}", 2 * HOUR)]);
    shop.tell(with_address("ana@new.example", track("Product Viewed", 3 * HOUR)));
    shop.tell(with_address(HOME, track("Product Viewed", 4 * HOUR)));
    assert!(!can_be_reached(&shop), "the address that she had before is held to what was told of it");
}

#[test]
fn who_has_no_address_can_not_be_reached_whatever_is_told() {
    let mut shop = Shop::with(&[BY_LETTER]);
    shop.tell(track("Product Viewed", 0));
    assert_eq!(shop.segments(), ["by-letter"]);
    tell(&mut shop, &[HOME], 0);
    assert_eq!(looked_up(&shop), Some(ReachabilityView { channel: "email", reachable: false, held: None }));
    shop.tell(with_address(HOME, track("Product Viewed", HOUR)));
    assert_eq!(shop.segments(), ["by-letter"]);
    tell(&mut shop, &[], 2 * HOUR);
    assert_eq!(shop.segments(), [""; 0]);
}

#[test]
fn an_address_of_which_no_hash_was_kept_counts_as_held_until_it_is_told_again() {
    let mut shop = Shop::with(&[BY_LETTER]);
    shop.driver.restart(Policy::default());
    shop.apply(BY_LETTER, 0);
    shop.tell(with_address(HOME, track("Product Viewed", 0)));
    shop.driver.restart(policy());
    shop.apply(BY_LETTER, 0);
    assert_eq!((shop.state().has_email, shop.state().email_hash), (true, None));
    assert!(can_be_reached(&shop));
    tell(&mut shop, &[WORK], HOUR);
    assert!(!can_be_reached(&shop), "it may be this one");
    shop.tell(with_address(HOME, track("Product Viewed", 2 * HOUR)));
    assert!(can_be_reached(&shop));
}

#[test]
fn what_is_told_of_somebody_unknown_makes_nobody_and_is_known_when_she_comes() {
    let mut shop = Shop::with(&[BY_LETTER]);
    tell(&mut shop, &[HOME], 0);
    assert!(shop.state().is_nobody());
    assert_eq!(looked_up(&shop), None);
    let outputs = shop.driver.outputs();
    assert!(outputs.iter().all(|output| matches!(output, Output::NoProfile(_))), "{outputs:?}");
    shop.driver.advance_to(at(400 * DAY));
    shop.tell(with_address(HOME, track("Product Viewed", 401 * DAY)));
    assert_eq!(shop.changes(), [format!("+by-letter by event at {}", 401 * DAY)]);
    tell_of(&mut shop, "somebody-else", unsubscribed(&[WORK]), 0, 1);
    tell_of(&mut shop, "somebody-else", Vec::new(), 1, 1);
    assert_eq!(shop.driver.state("somebody-else"), None, "and nothing is kept of nothing");
}

#[test]
fn who_is_erased_is_held_to_nothing_that_was_told_before() {
    let mut shop = ana(&[BY_LETTER]);
    tell(&mut shop, &[HOME], 0);
    shop.tell(StorefrontEvent { kind: EventKind::Erased, user_id: None, ..track("", HOUR) });
    shop.driver.outputs();
    let nobody = SegmentationState { erased_at: Some(at(HOUR)), ..SegmentationState::default() };
    assert_eq!(shop.state(), nobody);
    tell(&mut shop, &[HOME], HOUR);
    assert_eq!(shop.driver.counts()[&(REACHABILITY, "ignored", "erased")], 1);
    shop.driver.input_traced(REACHABILITY, ANA, None, at(2 * HOUR), None);
    assert_eq!((shop.state(), shop.driver.outputs()), (nobody, vec![]));
    shop.tell(with_address(HOME, track("Product Viewed", 3 * HOUR)));
    assert!(can_be_reached(&shop));
}

#[test]
fn a_record_without_a_value_takes_back_what_was_told() {
    let mut shop = ana(&[BY_LETTER]);
    tell(&mut shop, &[HOME], 0);
    shop.driver.input_traced(REACHABILITY, ANA, None, at(1), None);
    assert!(can_be_reached(&shop));
    assert_eq!(shop.segments(), [""; 0]);
}

#[test]
fn a_visitor_who_is_forgotten_is_held_to_it_when_she_comes_back() {
    let mut shop = Shop::with(&[BY_MAIL]);
    let visit = |seconds| {
        let anonymous_id = Some(ANA.to_owned());
        with_address(HOME, StorefrontEvent { user_id: None, anonymous_id, ..track("Product Viewed", seconds) })
    };
    shop.tell(visit(0));
    tell(&mut shop, &[HOME], 0);
    shop.driver.advance_to(at(0) + ANONYMOUS_IDLE);
    assert!(shop.state().is_nobody());
    shop.tell(visit(100 * DAY));
    assert!(!can_be_reached(&shop));
    let moved = StorefrontEvent { kind: EventKind::Moved, ..visit(101 * DAY) };
    shop.tell(moved);
    assert!(shop.state().is_nobody(), "nor does it make anybody of a device whose owner is known");
}

#[test]
fn consent_is_another_matter() {
    let mut shop = Shop::with(&[]);
    shop.tell(StorefrontEvent { consent_marketing: Some(true), ..with_address(HOME, track("Product Viewed", 0)) });
    tell(&mut shop, &[HOME], 0);
    assert_eq!(shop.state().consent_marketing, Some(true));
    shop.tell(StorefrontEvent { consent_marketing: Some(false), ..track("Product Viewed", HOUR) });
    tell(&mut shop, &[], HOUR);
    assert!(can_be_reached(&shop));
}

#[test]
fn it_goes_on_in_the_middle_after_an_abort_and_a_restart() {
    let mut shop = ana(&[BY_LETTER]);
    shop.driver.abort_next_commit();
    tell(&mut shop, &[HOME], 0);
    assert_eq!(shop.changes(), ["+by-letter by reachability at 0"]);
    shop.driver.restart(policy());
    shop.apply(BY_LETTER, 0);
    tell(&mut shop, &[HOME], 1);
    assert_eq!(shop.changes(), [""; 0]);
    tell(&mut shop, &[], 2);
    tell(&mut shop, &[HOME], 3);
    shop.tell(track("Product Viewed", HOUR));
    assert_eq!(shop.segments(), ["by-letter"]);
}

#[test]
fn changes_at_a_time_that_stands_still_have_ids_of_their_own_and_the_same_in_every_run() {
    let ids = || {
        let mut shop = ana(&[BY_LETTER]);
        for seconds in 0..4 {
            tell(&mut shop, if seconds % 2 == 0 { &[HOME] } else { &[] }, seconds);
        }
        let records = shop.records();
        assert!(records.iter().all(|change| change.at == at(0).as_millis()), "nothing says that time went on");
        let mut ids: Vec<_> = records.into_iter().map(|change| change.change_id).collect();
        ids.sort_unstable();
        ids
    };
    let mut first = ids();
    assert_eq!(first, ids());
    first.dedup();
    assert_eq!(first.len(), 4);
}

#[test]
fn what_time_does_before_is_put_down_to_time_at_its_own_moment() {
    let mut shop = Shop::with(&[LAPSED, BY_LETTER]);
    shop.tell(with_address(HOME, order("o1", 1_000, 0)));
    shop.driver.outputs();
    // What comes late, comes as of when it happened; what comes before time was heard of, before it.
    shop.driver.advance_to(at(100 * DAY));
    tell(&mut shop, &[HOME], 95 * DAY);
    let expected = [format!("+lapsed by time at {}", 90 * DAY), format!("+by-letter by reachability at {}", 95 * DAY)];
    assert_eq!(shop.changes(), expected);
}

#[test]
fn a_definition_that_is_new_is_not_put_down_to_it() {
    let mut shop = ana(&[]);
    shop.apply_while_behind(BY_MAIL, HOUR);
    shop.apply_while_behind(BY_LETTER, HOUR);
    tell(&mut shop, &[HOME], 2 * HOUR);
    let causes: Vec<_> = shop.records().into_iter().map(|change| (change.segment, change.cause)).collect();
    assert_eq!(
        causes.first().map(|(segment, cause)| (segment.as_str(), *cause)),
        Some(("by-mail", ChangeCause::Definition))
    );
    assert!(causes.contains(&("by-letter".to_owned(), ChangeCause::Reachability)), "{causes:?}");
}

#[test]
fn of_more_addresses_than_are_kept_the_last_are() {
    let mut shop = ana(&[]);
    let addresses: Vec<String> = (0..20).map(|number| format!("{number}@example.com")).collect();
    tell(&mut shop, &addresses.iter().map(String::as_str).collect::<Vec<_>>(), 0);
    let kept = shop.state().unreachable;
    assert_eq!(kept, unsubscribed(&addresses[4..].iter().map(String::as_str).collect::<Vec<_>>()));
}

#[test]
fn a_record_of_somebody_else_or_of_nobody_is_a_dead_letter() {
    let mut shop = ana(&[]);
    let told = CustomerReachability { customer_id: "eva".to_owned(), ..CustomerReachability::default() };
    shop.driver.input(REACHABILITY, ANA, &encode(REACHABILITY, &told), Timestamp::MIN);
    shop.driver.input(REACHABILITY, ANA, b"\x00", at(0));
    shop.driver.input(REACHABILITY, "", b"", at(0));
    let reasons: Vec<_> = shop.driver.dead_letters().iter().map(|letter| letter.poison.reason).collect();
    assert_eq!(reasons, ["key_mismatch", "malformed", "no_key"]);
}
