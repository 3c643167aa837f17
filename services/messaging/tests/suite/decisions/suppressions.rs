//! Addresses that are not written to.

use messaging::{Attempt, Output};
use schemas::{MessagingCommand, Outcome, SuppressionReason};

use super::shared::*;

#[test]
fn who_unsubscribes_gets_nothing_that_still_waits_and_nothing_that_comes_after() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    bench.command(&unsubscribe(EMAIL, 10));
    bench.send(&request("m-2", 20));
    let outcomes = bench.outputs();
    assert!(matches!(&outcomes[0], Output::Suppression(suppression)
        if suppression.reason == SuppressionReason::Unsubscribed && suppression.address_hash == hash_of("ana@example.com")));
    let ended: Vec<_> = outcomes[1..]
        .iter()
        .map(
            |output| {
                if let Output::Outcome(outcome) = output { (&*outcome.message_id, outcome.outcome) } else { panic!() }
            },
        )
        .collect();
    assert_eq!(ended, [("m-1", Outcome::Unsubscribed), ("m-2", Outcome::Unsubscribed)]);
    assert!(bench.claim().is_empty());
}

#[test]
fn the_same_wish_to_unsubscribe_changes_nothing() {
    let mut bench = Bench::new();
    bench.command(&unsubscribe(EMAIL, 0));
    bench.suppress(EMAIL, SuppressionReason::Unsubscribed);
    bench.command(&unsubscribe(EMAIL, 0));
    assert_eq!(bench.outputs().len(), 1);
    bench.driver.advance_to(at(2 * HOUR));
    let state = bench.driver.state(CUSTOMER).unwrap();
    assert_eq!((state.barred.len(), state.unreachable.len()), (0, 1), "from then on the table alone is asked");
    bench.command(&unsubscribe(EMAIL, 3 * HOUR));
    let again = bench.outputs();
    assert!(
        matches!(&*again, [Output::Suppression(_)]),
        "the same once more, in case it was lifted meanwhile: {again:?}"
    );
}

#[test]
fn who_subscribes_again_is_written_to_again() {
    let mut bench = Bench::new();
    bench.command(&unsubscribe(EMAIL, 0));
    bench.suppress(EMAIL, SuppressionReason::Unsubscribed);
    drop(bench.outputs());
    bench.command(&subscribe(EMAIL, 1));
    assert_eq!(bench.outputs(), [Output::Lifted { address_hash: hash_of(EMAIL) }]);
    bench.lift(EMAIL);
    bench.send(&request("m-1", 2));
    assert_eq!(bench.claim_one().2.message_id, "m-1");
    bench.command(&subscribe(EMAIL, 3));
    assert_eq!(bench.outputs(), [], "there is nothing to lift any more");
}

#[test]
fn her_last_wish_stands_also_when_the_table_has_not_heard_of_the_one_before() {
    let mut bench = Bench::new();
    bench.command(&unsubscribe(EMAIL, 0));
    bench.suppress(EMAIL, SuppressionReason::Unsubscribed);
    bench.command(&subscribe(EMAIL, 1));
    bench.command(&unsubscribe(EMAIL, 2));
    let outputs = bench.outputs();
    assert!(
        matches!(&*outputs, [Output::Suppression(_), Output::Lifted { .. }, Output::Suppression(_)]),
        "{outputs:?}"
    );
    bench.lift(EMAIL);
    bench.send(&request("m-1", 3));
    assert_eq!(bench.outcomes(), ended("m-1", Outcome::Unsubscribed));
}

#[test]
fn a_wish_to_be_written_to_that_comes_late_does_not_undo_a_later_unsubscription() {
    // By the state alone, and by the table alone.
    for table in [false, true] {
        let mut bench = Bench::new();
        if table {
            bench.suppress_since(EMAIL, SuppressionReason::Unsubscribed, 10);
        } else {
            bench.command(&unsubscribe(EMAIL, 10));
            drop(bench.outputs());
        }
        bench.command(&subscribe(EMAIL, 5));
        assert_eq!(bench.outputs(), []);
        bench.command(&subscribe(EMAIL, 11));
        assert_eq!(bench.outputs(), [Output::Lifted { address_hash: hash_of(EMAIL) }]);
    }
}

#[test]
fn an_unsubscription_that_comes_late_or_twice_does_not_undo_a_later_wish_to_be_written_to() {
    // She takes one back, and there is none to take back yet.
    for was_unsubscribed in [true, false] {
        let mut bench = Bench::new();
        if was_unsubscribed {
            bench.command(&unsubscribe(EMAIL, 0));
            bench.suppress(EMAIL, SuppressionReason::Unsubscribed);
        }
        bench.command(&subscribe(EMAIL, 3));
        bench.lift(EMAIL);
        // What she wished once more before, and is told late, changes nothing of that.
        bench.command(&subscribe(EMAIL, 1));
        drop(bench.outputs());
        bench.command(&unsubscribe(EMAIL, 0));
        bench.command(&unsubscribe(EMAIL, 2));
        assert_eq!(bench.outputs(), []);
        bench.send(&request("m-1", 4));
        assert_eq!(bench.claim_one().2.message_id, "m-1");
        bench.command(&unsubscribe(EMAIL, 5));
        assert!(matches!(&*bench.outputs(), [Output::Suppression(_)]), "what she wishes after it stands");
    }
}

#[test]
fn an_unsubscription_that_waited_for_hours_holds_from_when_it_is_heard_of_until_the_table_tells_of_it() {
    let mut bench = Bench::new();
    bench.driver.advance_to(at(5 * HOUR));
    bench.command(&unsubscribe(EMAIL, 0));
    bench.driver.advance_to(at(5 * HOUR + 60));
    bench.send(&request("m-1", 5 * HOUR + 60));
    assert_eq!(bench.outcomes(), ended("m-1", Outcome::Unsubscribed));
}

#[test]
fn a_wish_to_be_written_to_by_a_clock_that_goes_ahead_holds_no_unsubscription_off() {
    let mut bench = Bench::new();
    let ahead = encode("messaging.commands", &subscribe(EMAIL, 24 * HOUR));
    bench.driver.input("messaging.commands", CUSTOMER, &ahead, at(100));
    drop(bench.outputs());
    bench.command(&unsubscribe(EMAIL, 160));
    assert!(matches!(&*bench.outputs(), [Output::Suppression(_)]));
}

#[test]
fn of_several_unsubscriptions_the_last_one_counts_in_whichever_order_they_come() {
    for (wishes, expected) in [([2, 8], [2, 8]), ([8, 2], [8, 8])] {
        let mut bench = Bench::new();
        for wish in wishes {
            bench.command(&unsubscribe(EMAIL, wish));
        }
        let since = |output| if let Output::Suppression(told) = output { told.since } else { panic!("{output:?}") };
        let written: Vec<i64> = bench.outputs().into_iter().map(since).collect();
        assert_eq!(written, expected.map(|since| at(since).as_millis()));
        bench.command(&subscribe(EMAIL, 5));
        assert_eq!(bench.outputs(), [], "{wishes:?}");
    }
    // State and table hold the first.
    let mut bench = Bench::new();
    bench.command(&unsubscribe(EMAIL, 2));
    bench.suppress_since(EMAIL, SuppressionReason::Unsubscribed, 2);
    bench.command(&unsubscribe(EMAIL, 8));
    drop(bench.outputs());
    bench.command(&subscribe(EMAIL, 5));
    assert_eq!(bench.outputs(), []);
}

#[test]
fn wishes_that_both_come_late_are_told_apart_by_when_they_were_made() {
    let mut bench = Bench::new();
    bench.send(&receipt("m-1", 5));
    bench.command(&unsubscribe(EMAIL, 0));
    drop(bench.outputs());
    bench.command(&subscribe(EMAIL, 3));
    assert_eq!(bench.outputs(), [Output::Lifted { address_hash: hash_of(EMAIL) }]);
}

#[test]
fn an_unsubscription_that_was_lifted_under_another_id_is_written_again() {
    let mut bench = Bench::new();
    bench.command(&unsubscribe(EMAIL, 0));
    bench.suppress(EMAIL, SuppressionReason::Unsubscribed);
    bench.lift(EMAIL);
    drop(bench.outputs());
    bench.command(&unsubscribe(EMAIL, 1));
    assert!(matches!(&*bench.outputs(), [Output::Suppression(_)]));
}

#[test]
fn what_others_hold_against_an_address_is_not_hers_to_lift() {
    for reason in [SuppressionReason::Bounced, SuppressionReason::Complained, SuppressionReason::Manual] {
        let mut bench = Bench::new();
        bench.suppress(EMAIL, reason);
        bench.command(&subscribe(EMAIL, 0));
        assert_eq!(bench.outputs(), []);
        bench.send(&request("m-1", 1));
        assert_eq!(bench.outcomes().len(), 1, "nothing is sent");
    }
}

#[test]
fn an_unsubscription_reaches_other_customers_with_the_address_by_the_table() {
    let mut bench = Bench::new();
    bench.suppress("ANA@EXAMPLE.COM ", SuppressionReason::Unsubscribed);
    bench.send(&request("m-1", 0));
    assert_eq!(bench.outcomes(), ended("m-1", Outcome::Unsubscribed));
}

#[test]
fn a_suppression_that_comes_while_a_message_waits_is_seen_at_the_claim() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    bench.suppress(EMAIL, SuppressionReason::Complained);
    assert!(bench.claim().is_empty());
    assert_eq!(bench.outcomes(), ended_because("m-1", Outcome::Suppressed, "complained"));
}

#[test]
fn a_lifted_suppression_suppresses_no_more() {
    let mut bench = Bench::new();
    bench.suppress(EMAIL, SuppressionReason::Manual);
    bench.lift(EMAIL);
    bench.send(&request("m-1", 0));
    assert_eq!(bench.claim_one().2.message_id, "m-1");
}

#[test]
fn what_she_asked_for_herself_comes_although_she_unsubscribed() {
    let mut bench = Bench::new();
    bench.send(&receipt("waiting", 0));
    bench.command(&unsubscribe(EMAIL, 0));
    bench.send(&receipt("later", 1));
    let first = bench.claim_one();
    assert_eq!(first.2.message_id, "waiting");
    assert!(first.2.transactional);
    assert_eq!(bench.claim_one().2.message_id, "later");
}

#[test]
fn a_message_in_flight_when_she_unsubscribes_is_not_tried_again() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    let claimed = bench.claim_one();
    bench.command(&unsubscribe(EMAIL, 1));
    bench.complete(&claimed, at(2), Attempt::NotConnected("refused".to_owned()));
    assert_eq!(bench.outcomes(), ended("m-1", Outcome::Unsubscribed));
}

#[test]
fn a_wish_that_names_only_the_message_is_about_its_address() {
    let mut bench = Bench::new();
    let by_message = MessagingCommand { address_hash: None, message_id: word("m-1"), ..unsubscribe(EMAIL, 1) };
    bench.command(&by_message);
    assert_eq!(bench.outputs(), [], "of an unknown message nothing is known");
    bench.send(&request("m-1", 2));
    bench.command(&by_message);
    assert_eq!(bench.outcomes(), ended("m-1", Outcome::Unsubscribed));
}

#[test]
fn a_bounced_address_can_still_be_unsubscribed() {
    let mut bench = Bench::new();
    bench.suppress(EMAIL, SuppressionReason::Bounced);
    bench.command(&unsubscribe(EMAIL, 0));
    assert_eq!(bench.outputs().len(), 1);
}
