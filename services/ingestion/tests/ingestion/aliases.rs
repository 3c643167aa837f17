//! What an alias says: whose a device is, or that two customers are one, which nothing does anything about yet.

use ingestion::{PRIVACY, RECEIVED};
use schemas::{EventKind, PrivacyKind, PrivacyRequest, StorefrontEvent};
use stream::test_driver::encode;

use crate::identity::{DAY, Shop, at, track, viewed};

fn alias(previous: &str) -> StorefrontEvent {
    StorefrontEvent { previous_id: Some(previous.to_owned()), kind: EventKind::Alias, ..track("") }
}

#[test]
fn an_alias_of_a_device_that_is_known_as_one_says_whose_it_is() {
    let mut shop = Shop::new();
    shop.tell(Some("d1"), None, viewed());
    shop.tell(None, Some("ana"), alias("d1"));
    shop.tell(Some("d1"), None, viewed());
    assert_eq!(shop.told(), ["d1: m1", "d1: moved to ana", "ana: identified [m1]", "ana: m2", "ana: m3"]);
    // Of one that is linked it says that a second person uses it, or nothing new.
    shop.tell(None, Some("ana"), alias("d1"));
    shop.tell(None, Some("bea"), alias("d1"));
    assert_eq!(shop.told(), ["ana: m4", "bea: identified []", "bea: m5"]);
    // And that an id is itself says nothing.
    shop.tell(None, Some("d9"), alias("d9"));
    assert_eq!(shop.told(), ["d9: m6"]);
    assert!(shop.driver.dead_letters().is_empty());
}

#[test]
fn an_alias_of_a_customer_of_a_shared_device_or_of_whom_nothing_is_known_is_set_aside_and_moves_nothing() {
    let mut shop = Shop::new();
    shop.tell(None, Some("ana"), viewed());
    for user in ["u1", "u2", "u3", "u4"] {
        shop.tell(Some("kiosk"), Some(user), viewed());
    }
    shop.events();
    // Once known, she is forgotten as a customer, and is no device by it.
    shop.tell(None, Some("old"), viewed());
    shop.driver.advance_to(at(3 * DAY));
    (shop.now, _) = (3 * DAY, shop.events());
    shop.tell(None, Some("ana"), viewed());
    shop.events();
    for previous in ["ana", "kiosk", "old", "nobody-heard-of"] {
        let before = shop.state(previous);
        shop.tell(None, Some("bea"), alias(previous));
        assert_eq!((shop.told(), shop.state(previous)), (Vec::new(), before), "{previous}");
    }
    let letters = shop.driver.dead_letters();
    let of = |field: fn(&stream::DeadLetter) -> String| letters.iter().map(field).collect::<Vec<_>>();
    assert_eq!(of(|letter| letter.poison.reason.to_owned()), ["merge_of_customers"; 4]);
    assert_eq!(
        of(|letter| String::from_utf8(letter.key.clone().unwrap().to_vec()).unwrap()),
        ["ana", "kiosk", "old", "nobody-heard-of"]
    );
    let counted = shop.driver.counts().iter().filter(|(what, _)| format!("{what:?}").contains("deadlettered"));
    assert_eq!(counted.map(|(_, count)| *count).sum::<u64>(), 4);
}

#[test]
fn an_alias_that_was_set_aside_is_taken_when_it_is_redriven_once_the_device_is_known() {
    let mut shop = Shop::new();
    shop.tell(None, Some("ana"), alias("d1"));
    let value = shop.driver.dead_letters()[0].value.clone().unwrap();
    shop.tell(Some("d1"), None, viewed());
    shop.events();
    shop.driver.input(RECEIVED, "d1", &value, at(shop.now + 1));
    assert_eq!(shop.told(), ["d1: moved to ana", "ana: identified [m2]", "ana: m1"]);
    // A repeat of it is one, whatever became of the device.
    for user in ["u2", "u3", "u4"] {
        shop.tell(Some("d1"), Some(user), viewed());
    }
    shop.events();
    shop.driver.input(RECEIVED, "d1", &value, at(shop.now + 2));
    assert_eq!((shop.told(), shop.driver.dead_letters().len()), (Vec::new(), 1));
}

#[test]
fn what_was_asked_to_be_erased_of_a_device_no_alias_of_before_brings_back() {
    let mut shop = Shop::new();
    shop.tell(Some("d1"), None, viewed());
    let request = PrivacyRequest {
        request_id: "r1".to_owned(),
        kind: PrivacyKind::Erase,
        customer_id: Some("d1".to_owned()),
        at: at(10).as_millis(),
        of_device: true,
        ..PrivacyRequest::default()
    };
    shop.driver.input(PRIVACY, "d1", &encode(PRIVACY, &request), at(10));
    shop.events();
    shop.tell(None, Some("ana"), alias("d1"));
    assert_eq!((shop.told(), shop.driver.dead_letters().len()), (Vec::new(), 0), "it happened before");
}
