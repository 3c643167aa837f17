//! What a mail server's no leads to.

use domain::{HumanDuration, Timestamp};
use messaging::{Attempt, Output, Phase, RefusalKind, Retry, Settings};
use schemas::{Outcome, SuppressionReason};

use super::shared::*;

/// Advances to the time of the next attempt, which it returns.
fn next_attempt(bench: &mut Bench) -> Timestamp {
    let message = bench.driver.state(CUSTOMER).unwrap().messages.remove(0);
    assert_eq!(message.phase, Phase::Retry);
    bench.driver.advance_to(message.phase_at);
    message.phase_at
}

#[test]
fn a_message_refused_for_the_time_being_is_tried_again_after_ever_longer_waits() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    let mut now = at(0);
    let mut waits = Vec::new();
    for _ in 0..4 {
        let claimed = bench.claim_one();
        bench.complete(&claimed, now, refused(RefusalKind::Temporary, "451 4.3.0"));
        assert!(bench.claim().is_empty(), "not before its time");
        let next = next_attempt(&mut bench);
        waits.push(next.millis_since(now));
        now = next;
    }
    for (wait, expected) in waits.iter().zip([30_000, 60_000, 120_000, 240_000]) {
        assert!((expected * 4 / 5..=expected * 6 / 5).contains(wait), "{wait} is about {expected}");
    }
    let claimed = bench.claim_one();
    assert_eq!(&*claimed.1, "m-1#5");
    bench.complete(&claimed, now, Attempt::Sent);
    assert_eq!(bench.records().remove(0).attempts, 5);
}

#[test]
fn attempts_are_counted_down_to_a_failure_with_the_last_reason() {
    let retry = Retry { attempts: 3, ..Retry::default() };
    let mut bench = Bench::with(Settings { retry, ..Settings::default() });
    bench.send(&request("m-1", 0));
    for attempt in 1..=3 {
        let claimed = bench.claim_one();
        bench.complete(&claimed, at(0), Attempt::NotConnected("refused".to_owned()));
        if attempt < 3 {
            next_attempt(&mut bench);
        }
    }
    assert_eq!(bench.outcomes(), ended_because("m-1", Outcome::Failed, "attempts_used_up: refused"));
}

#[test]
fn there_is_no_attempt_that_would_come_too_late() {
    let retry = Retry { first: HumanDuration::from_hours(20), longest: HumanDuration::from_hours(24), attempts: 9 };
    let mut bench = Bench::with(Settings { retry, ..Settings::default() });
    bench.send(&request("m-1", 0));
    let claimed = bench.claim_one();
    bench.complete(&claimed, at(0), refused(RefusalKind::Temporary, "450"));
    assert_eq!(bench.outcomes(), ended_because("m-1", Outcome::Expired, "no_time_for_another_attempt: 450"));
}

#[test]
fn a_final_no_is_a_failure_with_the_code() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    let claimed = bench.claim_one();
    bench.complete(&claimed, at(0), refused(RefusalKind::Permanent, "554 5.7.1"));
    assert_eq!(bench.outcomes(), ended_because("m-1", Outcome::Failed, "554 5.7.1"));
}

#[test]
fn an_address_that_does_not_exist_is_not_written_to_again() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    bench.send(&request("m-2", 1));
    let claimed = bench.claim_one();
    bench.complete(&claimed, at(2), refused(RefusalKind::NoSuchAddress, "550 5.1.1"));
    bench.send(&receipt("m-3", 3));
    let outputs = bench.outputs();
    let suppressions = outputs.iter().filter_map(|output| match output {
        Output::Suppression(suppression) => Some((&*suppression.address_hash, suppression.reason)),
        _ => None,
    });
    assert_eq!(suppressions.collect::<Vec<_>>(), [(&*hash_of(EMAIL), SuppressionReason::Bounced)]);
    let outcomes = outputs.iter().filter_map(|output| match output {
        Output::Outcome(outcome) => Some((&*outcome.message_id, outcome.outcome, outcome.reason.as_deref())),
        _ => None,
    });
    let expected = [
        ("m-1", Outcome::Failed, Some("550 5.1.1")),
        ("m-2", Outcome::Suppressed, Some("bounced")),
        ("m-3", Outcome::Suppressed, Some("bounced")),
    ];
    assert_eq!(outcomes.collect::<Vec<_>>(), expected);
}

#[test]
fn customers_who_are_refused_together_do_not_come_back_together() {
    let mut bench = Bench::new();
    let mut times = std::collections::BTreeSet::new();
    for number in 0..20 {
        bench.send(&request(&format!("m-{number}"), 0));
        let claimed = bench.claim_one();
        bench.complete(&claimed, at(0), Attempt::NotConnected("refused".to_owned()));
    }
    times.extend(bench.driver.state(CUSTOMER).unwrap().messages.iter().map(|message| message.phase_at));
    assert!(times.len() > 15);
}
