//! A worker dies, and what another one makes of its claims.

use messaging::{Attempt, RefusalKind};
use schemas::Outcome;

use super::shared::*;

#[test]
fn a_marketing_message_that_was_claimed_by_the_dead_is_unknown_and_never_sent_again() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    let lost = bench.claim_one();
    bench.restart();
    assert_eq!(bench.outcomes(), ended_because("m-1", Outcome::Unknown, "worker_lost"));
    assert!(bench.claim().is_empty());
    bench.complete(&lost, at(1), Attempt::Sent);
    assert_eq!(bench.outcomes(), [], "who was declared lost may say what he wants");
}

#[test]
fn a_transactional_message_that_was_claimed_by_the_dead_is_sent_again() {
    let mut bench = Bench::new();
    bench.send(&receipt("m-1", 0));
    bench.claim_one();
    bench.restart();
    assert_eq!(bench.outcomes(), []);
    let again = bench.claim_one();
    assert_eq!((&*again.1, &*again.2.message_id), ("m-1#2", "m-1"));
    bench.complete(&again, at(1), Attempt::Sent);
    let sent = bench.records().remove(0);
    assert_eq!((sent.outcome, sent.attempts), (Outcome::Sent, 2));
}

#[test]
fn a_transactional_message_that_may_have_left_never_ends_as_if_it_had_not() {
    let mut bench = Bench::new();
    bench.send(&receipt("m-1", 0));
    let first = bench.claim_one();
    bench.complete(&first, at(0), Attempt::Uncertain("no_reply".to_owned()));
    bench.driver.advance_to(at(HOUR));
    let second = bench.claim_one();
    bench.complete(&second, at(HOUR), refused(RefusalKind::Permanent, "554"));
    assert_eq!(bench.outcomes(), ended_because("m-1", Outcome::Unknown, "554"));
}

#[test]
fn what_waits_goes_on_waiting_with_the_next_worker() {
    let mut bench = Bench::new();
    bench.send(&request("ready", 0));
    bench.send(&request("refused", 1));
    bench.driver.capacity(2);
    let claimed = bench.driver.actions();
    bench.driver.capacity(0);
    bench.complete(&claimed[1], at(2), Attempt::NotConnected("refused".to_owned()));
    bench.complete(&claimed[0], at(2), Attempt::Dropped);
    bench.restart();
    assert_eq!(bench.claim_one().2.message_id, "ready");
    bench.driver.advance_to(at(HOUR));
    assert_eq!(bench.claim_one().2.message_id, "refused");
}

#[test]
fn an_aborted_commit_comes_to_the_same_result() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    let claimed = bench.claim_one();
    bench.driver.abort_next_commit();
    bench.complete(&claimed, at(1), Attempt::Sent);
    bench.driver.advance_to(at(2));
    assert_eq!(bench.outcomes(), ended("m-1", Outcome::Sent));
}
