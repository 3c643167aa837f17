//! What a request becomes, as long as nothing is refused and nobody dies.

use messaging::{Attempt, Phase};
use schemas::{MessageRequest, Outcome, Recipient};

use super::shared::*;

#[test]
fn a_request_waits_for_room_is_claimed_and_ends_as_sent() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    assert_eq!(bench.outcomes(), []);
    let claimed = bench.claim_one();
    assert_eq!((&*claimed.0, &*claimed.1), (CUSTOMER, "m-1#1"));
    assert_eq!(claimed.2.recipient.email.as_deref(), Some(EMAIL));
    assert_eq!(claimed.2.address_hash, hash_of(EMAIL));
    assert!(bench.claim().is_empty(), "one claim a message");
    bench.complete(&claimed, at(5_000), Attempt::Sent);
    let sent = bench.records().remove(0);
    assert_eq!((sent.outcome, sent.channel, sent.attempts), (Outcome::Sent, word("email"), 1));
    assert_eq!(sent.decided_at, START + 5_000);
    assert_eq!(sent.hops, 1);
}

#[test]
fn what_has_its_outcome_is_remembered_for_a_while_and_then_forgotten_whole() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    let claimed = bench.claim_one();
    bench.complete(&claimed, at(0), Attempt::Sent);
    bench.send(&request("m-1", 1_000));
    assert_eq!(bench.outcomes(), ended("m-1", Outcome::Sent));
    assert!(bench.claim().is_empty(), "the repeated request is not claimed");
    bench.driver.advance_to(at(15 * 24 * HOUR));
    assert_eq!(bench.driver.states(), 0);
}

#[test]
fn a_request_repeated_while_it_waits_is_one_request() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    bench.send(&request("m-1", 1));
    let claimed = bench.claim_one();
    bench.complete(&claimed, at(2), Attempt::Sent);
    assert_eq!(bench.outcomes(), ended("m-1", Outcome::Sent));
}

#[test]
fn a_message_that_nobody_had_room_for_expires() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    bench.driver.advance_to(at(12 * HOUR - 1));
    assert_eq!(bench.outcomes(), []);
    bench.driver.advance_to(at(12 * HOUR));
    assert_eq!(bench.outcomes(), ended("m-1", Outcome::Expired));
    assert!(bench.claim().is_empty());
}

#[test]
fn a_message_that_was_asked_for_too_late_expires_at_once() {
    let mut bench = Bench::new();
    bench.send(&MessageRequest { expires_at: START, ..request("m-1", 0) });
    assert_eq!(bench.outcomes(), ended_because("m-1", Outcome::Expired, "at_request"));
}

#[test]
fn what_the_shell_finds_expired_or_cannot_render_was_not_tried() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    bench.send(&request("m-2", 0));
    let first = bench.claim_one();
    bench.complete(&first, at(13 * HOUR), Attempt::Expired);
    let second = bench.claim_one();
    bench.complete(&second, at(0), Attempt::RenderFailed("malformed_template".to_owned()));
    let records = bench.records();
    assert_eq!((records[0].outcome, records[0].attempts), (Outcome::Expired, 0));
    assert_eq!((records[1].outcome, records[1].attempts), (Outcome::RenderFailed, 0));
    assert_eq!(records[1].reason, word("malformed_template"));
}

#[test]
fn a_later_message_of_the_run_takes_the_place_of_one_that_waits() {
    let mut bench = Bench::new();
    let run_id = "run".to_owned();
    bench.send(&MessageRequest { run_id: run_id.clone(), ..request("m-1", 0) });
    bench.send(&request("other", 0));
    bench.send(&MessageRequest { run_id, ..request("m-2", HOUR) });
    assert_eq!(bench.outcomes(), ended_because("m-1", Outcome::Superseded, "by m-2"));
    let state = bench.driver.state(CUSTOMER).unwrap();
    let waiting: Vec<&str> = state.messages.iter().map(|message| &*message.message_id).collect();
    assert_eq!(waiting, ["other", "m-2"]);
}

#[test]
fn a_later_message_that_cannot_be_sent_takes_nobodys_place() {
    let mut bench = Bench::new();
    let run_id = "run".to_owned();
    bench.send(&MessageRequest { run_id: run_id.clone(), ..request("m-1", 0) });
    bench.send(&MessageRequest { run_id, template: "typo".to_owned(), ..request("m-2", HOUR) });
    assert_eq!(bench.outcomes(), ended_because("m-2", Outcome::RenderFailed, "unknown_template"));
    assert_eq!(bench.claim_one().2.message_id, "m-1");
}

#[test]
fn the_end_of_a_run_cancels_what_is_not_yet_claimed() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    bench.send(&request("m-2", 0));
    bench.send(&cancel("m-1", 1));
    assert_eq!(bench.outcomes(), ended_because("m-1", Outcome::Cancelled, "exited"));
    assert_eq!(bench.claim_one().2.message_id, "m-2");
}

#[test]
fn a_message_cancelled_in_flight_keeps_its_outcome_if_it_left_and_is_cancelled_if_it_did_not() {
    for (attempt, expected) in [
        (Attempt::Sent, ended("m-1", Outcome::Sent)),
        (Attempt::Dropped, ended_because("m-1", Outcome::Cancelled, "exited")),
        (Attempt::NotConnected("refused".to_owned()), ended_because("m-1", Outcome::Cancelled, "exited")),
        (Attempt::Uncertain("timed_out".to_owned()), ended_because("m-1", Outcome::Unknown, "timed_out")),
    ] {
        let mut bench = Bench::new();
        bench.send(&request("m-1", 0));
        let claimed = bench.claim_one();
        bench.send(&cancel("m-1", 1));
        assert_eq!(bench.outcomes(), []);
        bench.complete(&claimed, at(2), attempt);
        assert_eq!(bench.outcomes(), expected);
    }
}

#[test]
fn a_claim_that_was_dropped_is_claimed_again_under_another_id() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    let first = bench.claim_one();
    bench.complete(&first, at(6_000), Attempt::Dropped);
    let state = bench.driver.state(CUSTOMER).unwrap();
    assert_eq!((state.messages[0].phase, state.messages[0].attempts), (Phase::Ready, 0));
    let second = bench.claim_one();
    assert_eq!(&*second.1, "m-1#2");
    bench.complete(&first, at(7_000), Attempt::Sent);
    assert_eq!(bench.outcomes(), [], "what a claim that is over says changes nothing");
}

#[test]
fn without_an_address_or_a_channel_there_is_nothing_to_send() {
    let to = |email: Option<&str>| Some(Recipient { email: email.map(str::to_owned), ..Recipient::default() });
    for (recipient, channels, reason) in [
        (None, vec!["email"], "no_email_address"),
        (to(Some("")), vec!["email"], "no_email_address"),
        (to(Some("ana@example.com\r\nRCPT TO:<eve@example.com>")), vec!["email"], "malformed_email_address"),
        (to(Some("Ana <ana@example.com>")), vec!["email"], "malformed_email_address"),
        (to(Some("ana@example.com, eve@example.com")), vec!["email"], "malformed_email_address"),
        (to(Some("@example.com")), vec!["email"], "malformed_email_address"),
        (to(Some(EMAIL)), vec!["push", "whatsapp"], "no_supported_channel"),
        (to(Some(EMAIL)), vec![], "no_supported_channel"),
    ] {
        let mut bench = Bench::new();
        let channels = channels.into_iter().map(str::to_owned).collect();
        bench.send(&MessageRequest { recipient, channels, ..request("m-1", 0) });
        assert_eq!(bench.outcomes(), ended_because("m-1", Outcome::NoAddress, reason));
    }
}

#[test]
fn a_template_that_goes_while_a_message_waits_ends_it() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    bench.undefine("template", "cart-reminder-1");
    assert!(bench.claim().is_empty());
    assert_eq!(bench.outcomes(), ended_because("m-1", Outcome::RenderFailed, "unknown_template"));
}

#[test]
fn one_customer_does_not_have_any_number_of_messages_waiting() {
    let mut bench = Bench::new();
    for number in 0..50 {
        bench.send(&request(&format!("m-{number}"), number));
    }
    assert_eq!(bench.outcomes(), []);
    bench.send(&request("one-more", 60));
    assert_eq!(bench.outcomes(), ended_because("one-more", Outcome::Failed, "too_many_waiting"));
}

#[test]
fn large_messages_of_one_customer_wait_only_as_far_as_they_fit_a_record() {
    let mut bench = Bench::new();
    let large = |id: &str, bytes: usize| MessageRequest { context_json: Some(" ".repeat(bytes)), ..request(id, 0) };
    for number in 1..=4 {
        bench.send(&large(&format!("m-{number}"), 63 * 1024));
    }
    assert_eq!(bench.outcomes(), []);
    bench.send(&large("too-large", 4 * 1024));
    assert_eq!(bench.outcomes(), ended_because("too-large", Outcome::Failed, "too_many_waiting"));
    bench.send(&large("small", 16));
    assert_eq!(bench.outcomes(), []);
    let claimed = bench.claim_one();
    bench.complete(&claimed, at(1), Attempt::Sent);
    assert_eq!(bench.outcomes(), ended("m-1", Outcome::Sent));
    bench.send(&large("another", 4 * 1024));
    assert_eq!(bench.outcomes(), [], "there is place again");
}

#[test]
fn a_later_message_of_the_run_needs_no_place_beside_the_one_that_it_replaces_and_takes_it_only_if_it_can_wait() {
    let mut bench = Bench::new();
    let large = |id: &str, run: &str, bytes: usize| MessageRequest {
        context_json: Some(" ".repeat(bytes)),
        run_id: run.to_owned(),
        ..request(id, 0)
    };
    for (id, run) in [("m-1", "one"), ("m-2", "two"), ("m-3", "three"), ("m-4", "four")] {
        bench.send(&large(id, run, 60 * 1024));
    }
    bench.send(&large("m-5", "one", 64 * 1024));
    assert_eq!(bench.outcomes(), ended_because("m-1", Outcome::Superseded, "by m-5"));
    bench.send(&MessageRequest { step: " ".repeat(32 * 1024), ..large("m-6", "two", 64 * 1024) });
    assert_eq!(bench.outcomes(), ended_because("m-6", Outcome::Failed, "too_many_waiting"));
}

#[test]
fn a_context_that_is_too_large_is_not_rendered() {
    let mut bench = Bench::new();
    bench.send(&MessageRequest { context_json: Some(" ".repeat(65_537)), ..request("m-1", 0) });
    assert_eq!(bench.outcomes(), ended_because("m-1", Outcome::RenderFailed, "context_too_large"));
}

#[test]
fn who_is_forgotten_is_sent_nothing_more_and_nothing_personal_of_her_is_kept() {
    let mut bench = Bench::new();
    bench.send(&request("m-1", 0));
    bench.send(&request("m-2", 0));
    let claimed = bench.claim_one();
    bench.driver.input_traced("messaging.requests", CUSTOMER, None, at(1), None);
    assert_eq!(bench.outcomes(), ended_because("m-2", Outcome::Cancelled, "erased"), "the other one is on its way");
    bench.complete(&claimed, at(2), Attempt::NotConnected("refused".to_owned()));
    assert_eq!(bench.outcomes(), ended_because("m-1", Outcome::Cancelled, "erased"), "and is not tried again");
    let state = bench.driver.state(CUSTOMER).unwrap();
    assert_eq!((state.messages.len(), state.finals.len()), (0, 2));
    bench.driver.advance_to(at(31 * 24 * HOUR));
    assert_eq!(bench.driver.states(), 0);
}

#[test]
fn the_outcome_is_in_the_trace_of_the_request_however_long_it_took() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut bench = Bench::new();
    let sent = request("m-1", 0);
    let bytes = encode("messaging.requests", &sent);
    bench.driver.input_traced("messaging.requests", CUSTOMER, Some(&bytes), at(0), Some(trace));
    let claimed = bench.claim_one();
    assert_eq!(claimed.2.traceparent.as_deref(), Some(trace));
    bench.complete(&claimed, at(1), Attempt::Sent);
    let traces: Vec<_> = bench.driver.traced_outputs().into_iter().map(|emitted| emitted.trace).collect();
    assert_eq!(traces, [Some(trace.into())]);
}

#[test]
fn records_that_say_nothing_usable_are_dead_letters() {
    let mut bench = Bench::new();
    let bytes = encode("messaging.requests", &request("m-1", 0));
    bench.driver.input("messaging.requests", "somebody-else", &bytes, at(0));
    bench.driver.input("messaging.requests", "", &bytes, at(0));
    let endless = encode("messaging.requests", &request(&"m".repeat(256), 0));
    bench.driver.input("messaging.requests", CUSTOMER, &endless, at(0));
    bench.driver.input("messaging.requests", CUSTOMER, b"not framed", at(0));
    bench.driver.input_traced("messaging.commands", CUSTOMER, None, at(0), None);
    let reasons: Vec<&str> = bench.driver.dead_letters().iter().map(|letter| letter.poison.reason).collect();
    assert_eq!(reasons, ["key_mismatch", "no_key", "message_id_too_long", "malformed", "no_value"]);
    assert_eq!(bench.outcomes(), []);
}
