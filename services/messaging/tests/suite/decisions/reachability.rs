//! What others are told of her addresses: when something is held against one, and when no more.

use messaging::{MessagingState, Mode, Output, RefusalKind, Settings};
use schemas::{CustomerReachability, MessageRequest, Recipient, SuppressionReason, UnreachableAddress};

use super::shared::*;

const OTHER: &str = "ana@work.example";

/// The whole of what is held against these addresses.
#[allow(clippy::unnecessary_wraps, reason = "what it is compared with is an option")]
fn held(addresses: &[(&str, SuppressionReason)]) -> Option<Vec<(String, SuppressionReason)>> {
    Some(addresses.iter().map(|(address, reason)| (hash_of(address), *reason)).collect())
}

fn unsubscribed(addresses: &[&str]) -> Option<Vec<(String, SuppressionReason)>> {
    held(&addresses.iter().map(|address| (*address, SuppressionReason::Unsubscribed)).collect::<Vec<_>>())
}

fn records(bench: &mut Bench) -> Vec<CustomerReachability> {
    let told = |output| if let Output::Reachability(told) = output { Some(told) } else { None };
    bench.driver.outputs().into_iter().filter_map(told).collect()
}

#[test]
fn who_unsubscribes_is_told_of_whole_and_once() {
    let mut bench = Bench::new();
    bench.command(&unsubscribe(EMAIL, 7));
    let expected = CustomerReachability {
        customer_id: CUSTOMER.to_owned(),
        at: at(7).as_millis(),
        unreachable: vec![UnreachableAddress {
            channel: "email".to_owned(),
            address_hash: hash_of(EMAIL),
            reason: SuppressionReason::Unsubscribed,
            since: at(7).as_millis(),
        }],
        hops: 1,
    };
    assert_eq!(records(&mut bench), [expected]);
    bench.command(&unsubscribe(EMAIL, 8));
    bench.send(&request("m-1", 9));
    bench.suppress(EMAIL, SuppressionReason::Unsubscribed);
    bench.send(&request("m-2", 10));
    assert_eq!(bench.told(), [], "the same is not said twice");
    bench.command(&unsubscribe(OTHER, 11));
    assert_eq!(bench.told(), [unsubscribed(&[EMAIL, OTHER])]);
}

#[test]
fn who_subscribes_again_can_be_reached_at_once_although_the_table_still_tells_of_it() {
    let mut bench = Bench::new();
    bench.command(&unsubscribe(EMAIL, 0));
    bench.suppress(EMAIL, SuppressionReason::Unsubscribed);
    bench.command(&subscribe(EMAIL, 1));
    assert_eq!(bench.told(), [unsubscribed(&[EMAIL]), held(&[])]);
    bench.send(&request("m-1", 2));
    bench.command(&subscribe(EMAIL, 3));
    assert_eq!(bench.told(), []);
    bench.command(&unsubscribe(EMAIL, 4));
    assert_eq!(bench.told(), [unsubscribed(&[EMAIL])]);
}

#[test]
fn an_unsubscription_that_comes_late_is_told_of_with_the_moment_at_which_it_was_made() {
    let mut bench = Bench::new();
    bench.send(&receipt("m-1", 5));
    bench.command(&unsubscribe(EMAIL, 0));
    let told = records(&mut bench);
    assert_eq!(told[0].unreachable[0].since, at(0).as_millis());
}

#[test]
fn a_wish_to_be_written_to_that_changes_nothing_is_told_to_nobody() {
    let mut bench = Bench::new();
    bench.command(&subscribe(EMAIL, 0));
    bench.command(&unsubscribe(EMAIL, 10));
    assert_eq!(bench.told(), [unsubscribed(&[EMAIL])]);
    bench.command(&subscribe(EMAIL, 5));
    assert_eq!(bench.told(), [], "it is older");
}

#[test]
fn an_address_that_bounced_is_told_of_with_the_hops_of_its_message() {
    let mut bench = Bench::new();
    bench.send(&MessageRequest { hops: 4, ..request("m-1", 0) });
    let claimed = bench.claim_one();
    bench.complete(&claimed, at(2), refused(RefusalKind::NoSuchAddress, "550 5.1.1"));
    let told = records(&mut bench);
    assert_eq!((told.len(), told[0].hops, told[0].at), (1, 5, at(2).as_millis()));
    assert_eq!(told[0].unreachable[0].reason, SuppressionReason::Bounced);
    bench.command(&subscribe(EMAIL, 3));
    assert_eq!(bench.told(), [], "it is not hers to lift");
    bench.command(&unsubscribe(EMAIL, 4));
    bench.suppress(EMAIL, SuppressionReason::Bounced);
    bench.command(&unsubscribe(EMAIL, 5));
    let reasons: Vec<_> = bench.told().into_iter().flatten().flatten().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, [SuppressionReason::Unsubscribed, SuppressionReason::Bounced], "what is not hers goes first");
}

#[test]
fn what_others_hold_against_her_address_is_learnt_when_she_is_to_be_written_to() {
    let mut bench = Bench::new();
    for reason in [SuppressionReason::Bounced, SuppressionReason::Complained, SuppressionReason::Manual] {
        bench.suppress(EMAIL, reason);
        assert_eq!(bench.told(), []);
        bench.send(&MessageRequest { hops: 15, ..request(&format!("m-{reason:?}"), 0) });
        assert_eq!(bench.told(), [held(&[(EMAIL, reason)])]);
    }
    bench.lift(EMAIL);
    bench.send(&MessageRequest { hops: 16, ..request("m-4", 1) });
    let told = records(&mut bench);
    assert_eq!((told.len(), told[0].hops), (1, 16));
    assert_eq!(told[0].unreachable, []);
}

#[test]
fn a_message_that_may_leave_in_spite_of_it_tells_of_the_address_all_the_same() {
    let mut bench = Bench::new();
    bench.suppress(EMAIL, SuppressionReason::Unsubscribed);
    bench.send(&receipt("m-1", 0));
    assert_eq!(bench.told(), [unsubscribed(&[EMAIL])]);
    assert_eq!(bench.claim_one().2.message_id, "m-1");
}

#[test]
fn what_comes_to_be_held_while_a_message_waits_is_learnt_at_the_claim() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    bench.suppress(EMAIL, SuppressionReason::Complained);
    assert!(bench.claim().is_empty());
    assert_eq!(bench.told(), [held(&[(EMAIL, SuppressionReason::Complained)])]);
}

#[test]
fn what_others_did_is_learnt_from_her_own_wishes_too() {
    let mut bench = Bench::new();
    bench.suppress(EMAIL, SuppressionReason::Manual);
    bench.command(&unsubscribe(EMAIL, 0));
    assert_eq!(bench.told(), [held(&[(EMAIL, SuppressionReason::Manual)])]);
    bench.lift(EMAIL);
    bench.command(&subscribe(EMAIL, 1));
    assert_eq!(bench.told(), [held(&[])]);
}

#[test]
fn nothing_is_said_of_an_address_that_is_none() {
    let mut bench = Bench::new();
    bench.send(&MessageRequest { recipient: None, ..request("m-1", 0) });
    bench.send(&MessageRequest { expires_at: START, ..request("m-2", 0) });
    assert_eq!(bench.told(), []);
}

#[test]
fn at_most_sixteen_addresses_are_told_of_those_found_out_last() {
    let mut bench = Bench::new();
    for number in 0..20 {
        bench.command(&unsubscribe(&format!("{number}@example.com"), number));
    }
    let told = bench.told().pop().flatten().unwrap();
    let expected: Vec<String> = (4..20).map(|number| hash_of(&format!("{number}@example.com"))).collect();
    assert_eq!(told.into_iter().map(|(hash, _)| hash).collect::<Vec<_>>(), expected);
}

#[test]
fn of_who_is_erased_nothing_is_left_and_nothing_late_brings_her_back() {
    let mut bench = Bench::new();
    bench.command(&unsubscribe(EMAIL, 0));
    bench.send(&request("m-1", 1));
    bench.told();
    bench.driver.input_traced("messaging.requests", CUSTOMER, None, at(2), None);
    assert_eq!(bench.told(), [None]);
    bench.command(&unsubscribe(OTHER, 3));
    bench.command(&subscribe(EMAIL, 4));
    assert_eq!(bench.told(), []);
    let state = bench.driver.state(CUSTOMER).unwrap();
    assert_eq!((state.unreachable.len(), state.barred.len()), (0, 1), "the address itself is barred");
    let erased_within = i64::try_from(schemas::erased_within().as_millis()).unwrap();
    bench.driver.advance_to(at(2 + erased_within + HOUR));
    bench.command(&unsubscribe(EMAIL, erased_within + HOUR));
    assert_eq!(bench.told(), [], "not before her erasure is over");
    bench.driver.advance_to(at(31 * 24 * HOUR));
    assert_eq!(bench.driver.states(), 0);
}

#[test]
fn who_comes_back_after_an_erasure_is_told_of_again_when_she_is_written_to() {
    let mut bench = Bench::new();
    bench.command(&unsubscribe(EMAIL, 0));
    bench.driver.input_traced("messaging.requests", CUSTOMER, None, at(1), None);
    bench.told();
    bench.send(&request("m-1", 2));
    assert_eq!(bench.told(), [unsubscribed(&[EMAIL])]);
}

#[test]
fn a_message_on_its_way_to_who_is_erased_bounces_in_silence() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    let claimed = bench.claim_one();
    bench.driver.input_traced("messaging.requests", CUSTOMER, None, at(1), None);
    assert_eq!(bench.told(), [None]);
    bench.complete(&claimed, at(2), refused(RefusalKind::NoSuchAddress, "550 5.1.1"));
    assert_eq!(bench.told(), []);
}

#[test]
fn of_whom_nothing_was_ever_said_is_forgotten_all_the_same() {
    let mut bench = Bench::new();
    bench.driver.input_traced("messaging.requests", "nobody", None, at(1), None);
    assert_eq!(bench.told(), [None], "an empty record may lie there of somebody whose state has ended");
}

#[test]
fn an_abort_or_a_restart_says_nothing_twice_and_forgets_nothing() {
    let mut bench = Bench::new();
    bench.driver.abort_next_commit();
    bench.command(&unsubscribe(EMAIL, 0));
    assert_eq!(bench.told(), [unsubscribed(&[EMAIL])]);
    bench.suppress(EMAIL, SuppressionReason::Unsubscribed);
    bench.restart();
    bench.send(&request("m-1", 1));
    assert_eq!(bench.told(), []);
    bench.command(&subscribe(EMAIL, 2));
    bench.restart();
    bench.send(&request("m-2", 3));
    assert_eq!(bench.told(), [held(&[])], "the table has not heard of it, and the state knows better");
}

#[test]
fn a_replay_says_what_a_live_run_says() {
    let mut bench = Bench::with(Settings { mode: Mode::Replay, ..Settings::default() });
    bench.command(&unsubscribe(EMAIL, 0));
    bench.send(&request("m-1", 1));
    bench.command(&subscribe(EMAIL, 2));
    assert_eq!(bench.told(), [unsubscribed(&[EMAIL]), held(&[])]);
    let nowhere = MessageRequest { recipient: Some(Recipient::default()), ..request("m-2", 3) };
    bench.send(&nowhere);
    assert_eq!(bench.told(), [], "who counts as reached without an address has none");
}

#[test]
fn the_state_ends_once_nothing_is_held_against_her() {
    let mut bench = Bench::new();
    bench.command(&unsubscribe(EMAIL, 0));
    bench.suppress(EMAIL, SuppressionReason::Unsubscribed);
    bench.driver.advance_to(at(24 * HOUR));
    assert_eq!(bench.driver.states(), 1, "what was published is remembered");
    bench.command(&subscribe(EMAIL, 25 * HOUR));
    bench.driver.advance_to(at(48 * HOUR));
    assert_eq!(bench.driver.states(), 0);
}

#[test]
fn a_state_from_before_anything_was_published_learns_it_at_the_next_request() {
    let old = r#"{"barred": [], "messages": [], "finals": []}"#;
    let state: MessagingState = serde_json::from_str(old).unwrap();
    assert_eq!(state, MessagingState::default());
    let mut bench = Bench::new();
    bench.suppress_since(EMAIL, SuppressionReason::Unsubscribed, -1_000);
    bench.send(&request("m-1", 0));
    let told = records(&mut bench);
    assert_eq!(told[0].unreachable[0].since, at(-1_000).as_millis(), "since when the table says");
}
