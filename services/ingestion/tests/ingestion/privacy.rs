//! Who asks to be erased is told of in the order of her id, and her device forgets whose it is.

use domain::Timestamp;
use ingestion::{PRIVACY, RECEIVED, Resolved, Resolver, ResolverPolicy};
use schemas::{EventKind, PrivacyKind, PrivacyRequest, StorefrontEvent};
use stream::TestDriver;
use stream::test_driver::encode;

const HOUR_MS: i64 = 3_600_000;
const T0: i64 = 1_700_000_000_000;

fn driver() -> TestDriver<Resolver> {
    TestDriver::new(ResolverPolicy::default())
}

fn at(hours: i64) -> Timestamp {
    Timestamp::from_millis(T0 + hours * HOUR_MS)
}

fn viewed(message: &str, user: Option<&str>, hours: i64) -> StorefrontEvent {
    StorefrontEvent {
        message_id: message.to_owned(),
        kind: EventKind::Track,
        name: "Product Viewed".to_owned(),
        shop: "shop".to_owned(),
        source: "test".to_owned(),
        anonymous_id: Some("device".to_owned()),
        user_id: user.map(str::to_owned),
        event_time: at(hours).as_millis(),
        received_at: at(hours).as_millis(),
        ..StorefrontEvent::default()
    }
}

fn put(driver: &mut TestDriver<Resolver>, event: &StorefrontEvent, hours: i64) {
    driver.input(RECEIVED, "device", &encode(RECEIVED, event), at(hours));
}

fn ask(driver: &mut TestDriver<Resolver>, kind: PrivacyKind, of: &str, hours: i64) {
    let request = PrivacyRequest {
        request_id: "r1".to_owned(),
        kind,
        customer_id: Some(of.to_owned()),
        shop: "shop".to_owned(),
        at: at(hours).as_millis(),
        ..PrivacyRequest::default()
    };
    driver.input(PRIVACY, of, &encode(PRIVACY, &request), at(hours));
}

fn told(driver: &mut TestDriver<Resolver>) -> Vec<(EventKind, String)> {
    let event = |output| match output {
        Resolved::Event(event) => Some((event.kind, event.customer_id.unwrap_or_default())),
        Resolved::Forward { .. } => None,
    };
    driver.outputs().into_iter().filter_map(event).collect()
}

#[test]
fn an_erasure_is_told_under_the_id_with_its_date_and_never_one_to_come() {
    let mut driver = driver();
    ask(&mut driver, PrivacyKind::Erase, "ana", 1);
    let outputs = driver.outputs();
    let [Resolved::Event(event)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!((event.kind, event.customer_id.as_deref()), (EventKind::Erased, Some("ana")));
    assert_eq!((event.event_time, event.message_id.as_str()), (at(1).as_millis(), "r1"));
    let kept = driver.state("ana").unwrap();
    assert_eq!((kept.erased_at, kept.held(), kept.linked_to), (Some(at(1)), 0, None), "the date, and nothing else");

    let ahead = PrivacyRequest {
        kind: PrivacyKind::Erase,
        request_id: "r2".to_owned(),
        shop: "shop".to_owned(),
        at: at(500).as_millis(),
        ..PrivacyRequest::default()
    };
    driver.input(PRIVACY, "ana", &encode(PRIVACY, &ahead), at(2));
    let outputs = driver.outputs();
    let [Resolved::Event(event)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(event.event_time, at(2).as_millis());
}

#[test]
fn a_device_that_is_to_be_forgotten_is_linked_to_nobody_and_knows_no_past_but_takes_no_repeat_for_new() {
    let mut driver = driver();
    put(&mut driver, &viewed("m1", Some("ana"), 0), 0);
    put(&mut driver, &viewed("m2", None, 0), 0);
    assert_eq!(told(&mut driver).last().unwrap(), &(EventKind::Track, "ana".to_owned()));
    ask(&mut driver, PrivacyKind::Erase, "device", 1);
    assert_eq!(told(&mut driver), [(EventKind::Erased, "device".to_owned())]);
    let state = driver.state("device").unwrap();
    assert_eq!((state.held(), state.history.len(), state.linked_to), (2, 0, None));
    put(&mut driver, &viewed("m2", None, 0), 1);
    put(&mut driver, &viewed("m3", None, 2), 2);
    assert_eq!(told(&mut driver), [(EventKind::Track, "device".to_owned())], "what comes now is a stranger's");
}

#[test]
fn what_happened_before_an_erasure_and_is_told_later_goes_no_further_and_leaves_nothing() {
    let mut driver = driver();
    put(&mut driver, &viewed("m1", Some("ana"), 0), 0);
    ask(&mut driver, PrivacyKind::Erase, "device", 1);
    told(&mut driver);
    let before = driver.state("device").unwrap();
    put(&mut driver, &viewed("late", Some("ana"), 0), 2);
    put(&mut driver, &viewed("late and alone", None, 1), 2);
    assert_eq!(told(&mut driver), []);
    assert_eq!(driver.state("device").unwrap(), before);
    assert_eq!(driver.counts()[&(RECEIVED, "ignored", "erased")], 2);

    // The date stays when all else has had its time; who comes back is known anew.
    put(&mut driver, &viewed("of another", None, 24 * 400), 24 * 400);
    told(&mut driver);
    assert_eq!(driver.state("device").unwrap().erased_at, Some(at(1)));
    put(&mut driver, &viewed("back", Some("ana"), 24 * 401), 24 * 401);
    let kinds: Vec<_> = told(&mut driver).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [EventKind::Moved, EventKind::Identified, EventKind::Track]);
}

#[test]
fn the_erasure_of_a_device_says_so_and_spares_what_came_under_its_id_as_a_customers() {
    let mut driver = driver();
    let of_the_customer =
        |message: &str, hours: i64| StorefrontEvent { anonymous_id: None, ..viewed(message, Some("device"), hours) };
    let as_a_device = |hours: i64| PrivacyRequest {
        request_id: "r1".to_owned(),
        kind: PrivacyKind::Erase,
        customer_id: Some("device".to_owned()),
        shop: "shop".to_owned(),
        at: at(hours).as_millis(),
        of_device: true,
        ..PrivacyRequest::default()
    };
    put(&mut driver, &of_the_customer("m1", 0), 0);
    // That it is a customer's id is not known any more.
    driver.advance_to(at(50));
    put(&mut driver, &viewed("m2", Some("eve"), 50), 50);
    told(&mut driver);
    driver.input(PRIVACY, "device", &encode(PRIVACY, &as_a_device(51)), at(51));
    let outputs = driver.outputs();
    let [Resolved::Event(event)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!((event.kind, event.anonymous_id.as_deref()), (EventKind::Erased, Some("device")));
    let state = driver.state("device").unwrap();
    assert_eq!((state.linked_to, state.erased_at, state.device_erased_at), (None, None, Some(at(51))));

    // An import of her past is let in; what the device tells late is not.
    put(&mut driver, &of_the_customer("m3", 1), 52);
    put(&mut driver, &viewed("m4", Some("eve"), 50), 52);
    assert_eq!(told(&mut driver), [(EventKind::Track, "device".to_owned())]);
    driver.advance_to(at(24 * 400));
    assert_eq!(driver.state("device").unwrap().device_erased_at, Some(at(51)), "the date stays");

    // Where it is known to be a customer's, it stays known.
    put(&mut driver, &of_the_customer("m5", 24 * 400), 24 * 400);
    driver.input(PRIVACY, "device", &encode(PRIVACY, &as_a_device(24 * 400)), at(24 * 400));
    assert!(driver.state("device").unwrap().is_a_user);
}

#[test]
fn what_is_the_erasers_to_do_is_counted_by_its_name() {
    let mut driver = driver();
    for kind in [PrivacyKind::EraseShop, PrivacyKind::Export] {
        ask(&mut driver, kind, "ana", 1);
    }
    assert_eq!(told(&mut driver), []);
    for reason in ["erase_shop", "export"] {
        assert_eq!(driver.counts()[&(PRIVACY, "ignored", reason)], 1);
    }
}

#[test]
fn a_wish_that_can_not_be_read_is_a_dead_letter() {
    let mut driver = driver();
    driver.input(PRIVACY, "ana", b"no avro", at(1));
    driver.input(PRIVACY, "", &encode(PRIVACY, &PrivacyRequest::default()), at(1));
    driver.input_traced(PRIVACY, "ana", None, at(1), None);
    let reasons: Vec<_> = driver.dead_letters().iter().map(|letter| letter.poison.reason).collect();
    assert_eq!(reasons, ["malformed", "no_key", "no_value"]);
}
