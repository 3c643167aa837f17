//! In a replay nothing leaves and nothing waits.

use messaging::{Attempt, Mode, Settings};
use schemas::{MessageRequest, Outcome, SuppressionReason};

use super::shared::*;

fn replay(replay_without_address: bool) -> Bench {
    Bench::with(Settings { mode: Mode::Replay, replay_without_address, ..Settings::default() })
}

#[test]
fn what_could_be_sent_is_sent_at_its_request() {
    let mut bench = replay(true);
    bench.send(&request("m-1", 0));
    let record = bench.records().remove(0);
    assert_eq!((record.outcome, record.channel, record.attempts), (Outcome::Sent, word("email"), 0));
    assert_eq!(record.decided_at, START);
    assert!(bench.claim().is_empty());
}

#[test]
fn customers_without_an_address_count_as_reached_unless_the_settings_say_otherwise() {
    let anonymous = MessageRequest { recipient: None, ..request("m-1", 0) };
    let mut bench = replay(true);
    bench.send(&anonymous);
    assert_eq!(bench.outcomes(), ended("m-1", Outcome::Sent));
    let mut bench = replay(false);
    bench.send(&anonymous);
    assert_eq!(bench.outcomes(), ended_because("m-1", Outcome::NoAddress, "no_email_address"));
}

#[test]
fn what_could_not_be_sent_is_not_sent() {
    let mut bench = replay(true);
    bench.suppress(EMAIL, SuppressionReason::Bounced);
    bench.send(&request("suppressed", 0));
    bench.send(&MessageRequest { template: "typo".to_owned(), recipient: None, ..request("typo", 0) });
    bench.send(&MessageRequest { channels: vec!["fax".to_owned()], ..request("fax", 0) });
    let outcomes: Vec<_> = bench.outcomes().into_iter().map(|(_, outcome, _)| outcome).collect();
    assert_eq!(outcomes, [Outcome::Suppressed, Outcome::RenderFailed, Outcome::NoAddress]);
}

#[test]
fn a_restart_in_the_middle_gives_no_second_outcome() {
    let mut bench = replay(true);
    bench.send(&request("m-1", 0));
    bench.restart();
    bench.send(&request("m-1", 0));
    bench.send(&request("m-2", 1));
    let outcomes: Vec<_> = bench.outcomes().into_iter().map(|(message, ..)| message).collect();
    assert_eq!(outcomes, ["m-1", "m-2"]);
}

fn sending_replay() -> Bench {
    Bench::with(Settings { mode: Mode::SendingReplay, ..Settings::default() })
}

#[test]
fn in_a_sending_replay_every_message_leaves_although_later_ones_and_the_runs_end_come_before_it_is_claimed() {
    let mut bench = sending_replay();
    bench.send(&request("m-1", 0));
    bench.send(&MessageRequest { run_id: "run of m-1".to_owned(), ..request("m-2", 23 * HOUR) });
    bench.send(&cancel("m-1", 24 * HOUR));
    assert_eq!(bench.outcomes(), []);
    for (id, due) in [("m-1", 0), ("m-2", 23 * HOUR)] {
        let claimed = bench.claim_one();
        assert_eq!((claimed.2.message_id.as_str(), claimed.2.due_at), (id, at(due)));
        bench.complete(&claimed, at(0), Attempt::Sent);
        assert_eq!(bench.outcomes(), ended(id, Outcome::Sent));
    }
}

#[test]
fn in_a_sending_replay_what_was_refused_for_now_waits_for_no_clock() {
    let mut bench = sending_replay();
    bench.send(&request("m-1", 0));
    let claimed = bench.claim_one();
    bench.complete(&claimed, at(0), Attempt::NotConnected("connect: timed_out".to_owned()));
    let again = bench.claim_one();
    bench.complete(&again, at(0), Attempt::Sent);
    assert_eq!(bench.outcomes(), ended("m-1", Outcome::Sent));
}

#[test]
fn in_a_sending_replay_a_claim_without_an_outcome_is_unknown() {
    let mut bench = sending_replay();
    bench.send(&request("m-1", 0));
    bench.claim_one();
    bench.restart();
    bench.driver.capacity(1);
    assert_eq!(bench.outcomes(), ended_because("m-1", Outcome::Unknown, "worker_lost"));
}
