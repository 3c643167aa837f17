//! In a replay nothing leaves and nothing waits.

use messaging::{Mode, Settings};
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
