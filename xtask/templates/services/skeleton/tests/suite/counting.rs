//! Skeleton on the engine, without a broker.

use domain::{HumanDuration, Timestamp};
use schemas::conformance::check_state;
use schemas::{EventKind, StorefrontEvent};
use skeleton::{Policy, Settings, Skeleton, SkeletonState};
use stream::TestDriver;
use stream::test_driver::encode;

const EVENTS: &str = "storefront.events";
const ANA: &str = "ana";
const HOUR: i64 = 3_600;

fn policy() -> Policy {
    Policy::new(Settings { forget_after: HumanDuration::from_hours(1) })
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_772_366_400 + seconds)
}

/// Something that Ana did.
fn put(driver: &mut TestDriver<Skeleton>, seconds: i64) {
    put_of(EventKind::Track, driver, seconds);
}

fn put_of(kind: EventKind, driver: &mut TestDriver<Skeleton>, seconds: i64) {
    let event = StorefrontEvent {
        kind,
        message_id: format!("m{seconds}"),
        customer_id: Some(ANA.to_owned()),
        event_time: at(seconds).as_millis(),
        received_at: at(seconds).as_millis(),
        ..StorefrontEvent::default()
    };
    driver.input(EVENTS, ANA, &encode(EVENTS, &event), at(seconds));
}

fn counted(driver: &TestDriver<Skeleton>) -> Option<i64> {
    driver.state(ANA).map(|state| state.events)
}

#[test]
fn each_event_counts_once_also_after_an_aborted_commit_and_a_restart() {
    let mut driver = TestDriver::new(policy());
    put(&mut driver, 0);
    driver.abort_next_commit();
    put(&mut driver, 10);
    driver.restart(policy());
    put(&mut driver, 20);
    assert_eq!(counted(&driver), Some(3));
}

#[test]
fn what_she_did_not_do_is_ignored_and_counts_nothing() {
    let mut driver = TestDriver::new(policy());
    put_of(EventKind::Group, &mut driver, 0);
    assert_eq!((counted(&driver), driver.counts()[&(EVENTS, "ignored", "nothing_done")]), (None, 1));
}

#[test]
fn a_customer_who_is_silent_for_long_enough_is_forgotten() {
    let mut driver = TestDriver::new(policy());
    put(&mut driver, 0);
    put(&mut driver, HOUR - 1);
    driver.advance_to(at(2 * HOUR - 2));
    assert_eq!(counted(&driver), Some(2));
    driver.advance_to(at(2 * HOUR - 1));
    assert_eq!(counted(&driver), None);
}

#[test]
fn a_record_without_a_value_forgets_the_customer_and_one_that_can_not_be_read_is_a_dead_letter() {
    let mut driver = TestDriver::new(policy());
    put(&mut driver, 0);
    driver.input(EVENTS, ANA, b"\x00\x00", at(1));
    driver.input(EVENTS, "", b"", at(1));
    let reasons: Vec<_> = driver.dead_letters().iter().map(|letter| letter.poison.reason).collect();
    assert_eq!((reasons, counted(&driver)), (vec!["malformed", "no_key"], Some(1)));
    driver.input_traced(EVENTS, ANA, None, at(2), None);
    assert_eq!(counted(&driver), None);
}

#[test]
fn who_is_erased_or_known_as_somebody_else_by_now_has_no_state() {
    for kind in [EventKind::Erased, EventKind::Moved] {
        let mut driver = TestDriver::new(policy());
        put(&mut driver, 0);
        put_of(kind, &mut driver, 10);
        assert_eq!(counted(&driver), None);
    }
}

#[test]
fn the_state_fits_its_schema() {
    check_state::<SkeletonState>().unwrap();
}
