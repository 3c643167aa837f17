//! The state as the changelog holds it.

use domain::Timestamp;
use messaging::{BarredAddress, MAX_WAITING_BYTES, MessagingState, Mode, Settings};
use schemas::conformance::check_state;
use schemas::{ChangelogRecord, MessageRequest, Outcome, Recipient};

use super::shared::*;

#[test]
fn the_state_fits_its_schema() {
    check_state::<MessagingState>().unwrap();
}

#[test]
fn an_address_that_an_older_version_barred_counts_as_barred_when_it_was_suppressed() {
    let old = r#"{"address_hash": "0f", "reason": "unsubscribed", "forget_at": 3700000}"#;
    let barred: BarredAddress = serde_json::from_str(old).unwrap();
    assert_eq!(barred.since(), Timestamp::from_millis(100_000));
}

#[test]
fn no_address_name_or_context_is_shown_by_debug() {
    let mut bench = Bench::new();
    let mut hostile = request("m-1", 0);
    hostile.context_json = Some(r#"{"note": "PERSONAL"}"#.to_owned());
    bench.send(&hostile);
    let state = format!("{:?}", bench.driver.state(CUSTOMER).unwrap());
    let action = format!("{:?}", bench.claim_one().2);
    for shown in [state, action] {
        assert!(!shown.contains("PERSONAL") && !shown.to_lowercase().contains("ana@"), "{shown}");
    }
}

/// A customer of whom everything is kept that can be, in its longest form.
#[test]
fn the_largest_state_is_smaller_than_a_record_may_be() {
    let generous =
        Settings { waiting_per_customer: u16::MAX, waiting_bytes_per_customer: MAX_WAITING_BYTES, ..defaults() };
    let replay = Settings { mode: Mode::SendingReplay, ..generous.clone() };
    for (settings, context_bytes) in [
        (defaults(), 64 * 1024),
        (defaults(), 4 * 1024),
        (generous.clone(), 64 * 1024),
        (generous, 0),
        (replay.clone(), 64 * 1024),
        (replay, 0),
    ] {
        let state = largest(&settings, context_bytes);
        let record = ChangelogRecord { header: None, time: Some(START), state: Some(state) };
        let size = encode("messaging.changelog", &record).len();
        assert!(size < 900_000, "{size}");
        let counted = settings.waiting_bytes_per_customer as usize;
        assert!(size > 500 * 255 + counted / 3, "the largest was not built: {size}");
    }
}

fn defaults() -> Settings {
    Settings::default()
}

fn largest(settings: &Settings, context_bytes: usize) -> MessagingState {
    let mut bench = Bench::with(settings.clone());
    let id = |kind: &str, number: usize| format!("{kind}{number:0>width$}", width = 255 - kind.len());
    for number in 0..600 {
        bench.send(&MessageRequest { expires_at: START, ..request(&id("gone", number), 0) });
    }
    for number in 0..70 {
        bench.command(&unsubscribe(&format!("{number}@example.com"), 0));
    }
    for number in 0..20 {
        bench.command(&unsubscribe(&format!("lifted-{number}@example.com"), 0));
        bench.command(&subscribe(&format!("lifted-{number}@example.com"), 0));
    }
    for number in 0..70 {
        bench.command(&unsubscribe(&format!("again-{number}@example.com"), 0));
    }
    bench.outcomes();
    let long = || Some("ñ".repeat(100));
    let recipient = Recipient { phone: long(), first_name: long(), last_name: long(), locale: long(), ..to(EMAIL) };
    let mut full = Vec::new();
    for number in 0.. {
        bench.send(&MessageRequest {
            recipient: Some(recipient.clone()),
            context_json: Some("x".repeat(context_bytes)),
            ..receipt(&id("m", number), 0)
        });
        full = bench.outcomes();
        if !full.is_empty() {
            break;
        }
        assert_eq!(bench.claim().len(), 1);
        // It is claimed, so it stays, with the reason why it is not to be tried again.
        let reason = Some("r".repeat(10_000));
        bench.send(&MessageRequest { reason, ..cancel(&id("m", number), 0) });
    }
    assert!(matches!(&full[..], [(_, Outcome::Failed, Some(reason))] if reason == "too_many_waiting"), "{full:?}");
    let state = bench.driver.state(CUSTOMER).unwrap();
    assert_eq!((state.finals.len(), state.barred.len()), (500, 64));
    assert_eq!((state.unreachable.len(), state.lifted.len()), (16, 16));
    state
}

fn to(email: &str) -> Recipient {
    Recipient { email: Some(email.to_owned()), ..Recipient::default() }
}
