//! Whose an event is, and who is recognised on which device.

use domain::Timestamp;
use ingestion::{RECEIVED, Resolved, Resolver, ResolverPolicy, ResolverState};
use schemas::{EventKind, LINKS, Order, Product, StorefrontEvent};
use stream::TestDriver;
use stream::test_driver::encode;

pub(crate) const T0: i64 = 1_772_366_400;
pub(crate) const DAY: i64 = 24 * 3_600;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(T0 + seconds)
}

/// A shop's devices, as the resolver hears of them.
pub(crate) struct Shop {
    pub(crate) driver: TestDriver<Resolver>,
    pub(crate) now: i64,
    pub(crate) sent: usize,
}

impl Shop {
    pub(crate) fn new() -> Self {
        Self::with(ResolverPolicy::default())
    }

    pub(crate) fn with(policy: ResolverPolicy) -> Self {
        Self { driver: TestDriver::new(policy), now: 0, sent: 0 }
    }

    /// Tells an event, a second after the one before; who and when is filled in.
    pub(crate) fn tell(&mut self, device: Option<&str>, user: Option<&str>, event: StorefrontEvent) {
        self.now += 1;
        self.sent += 1;
        let event = StorefrontEvent {
            message_id: format!("m{}", self.sent),
            shop: "demo".to_owned(),
            anonymous_id: device.map(str::to_owned),
            user_id: user.map(str::to_owned),
            event_time: at(self.now).as_millis(),
            received_at: at(self.now).as_millis(),
            ..event
        };
        let key = ingestion::ids::received_key(&event).unwrap().to_owned();
        self.driver.input(RECEIVED, &key, &encode(RECEIVED, &event), at(self.now));
    }

    pub(crate) fn events(&mut self) -> Vec<StorefrontEvent> {
        let event = |output| match output {
            Resolved::Event(event) => *event,
            Resolved::Forward { .. } => panic!("nothing is forwarded here"),
        };
        self.driver.outputs().into_iter().map(event).collect()
    }

    /// What came out since the last call, a line each: whose, what, and the message ids of the history.
    pub(crate) fn told(&mut self) -> Vec<String> {
        let line = |event: &StorefrontEvent| {
            let whose = event.customer_id.as_deref().unwrap();
            let user = event.user_id.as_deref().unwrap_or("nobody");
            let history: Vec<_> = event.history.iter().map(|past| past.message_id.as_str()).collect();
            match event.kind {
                EventKind::Identified => format!("{whose}: identified [{}]", history.join(" ")),
                EventKind::Moved => format!("{whose}: moved to {user}"),
                _ => format!("{whose}: {}", event.message_id),
            }
        };
        self.events().iter().map(line).collect()
    }

    pub(crate) fn state(&self, device: &str) -> ResolverState {
        self.driver.state(device).unwrap_or_default()
    }
}

pub(crate) fn track(name: &str) -> StorefrontEvent {
    StorefrontEvent { kind: EventKind::Track, name: name.to_owned(), ..StorefrontEvent::default() }
}

pub(crate) fn viewed() -> StorefrontEvent {
    track("Product Viewed")
}

#[test]
fn the_first_event_with_both_ids_hands_the_history_over_before_itself_and_ends_the_old_id() {
    let mut shop = Shop::new();
    shop.tell(Some("d1"), None, viewed());
    shop.tell(Some("d1"), None, track("Product Added"));
    shop.tell(Some("d1"), Some("ana"), viewed());
    assert_eq!(shop.told(), ["d1: m1", "d1: m2", "d1: moved to ana", "ana: identified [m1 m2]", "ana: m3"]);
    // From then on the device is hers, and nothing is kept of what she does.
    shop.tell(Some("d1"), None, viewed());
    shop.tell(Some("d1"), Some("ana"), viewed());
    assert_eq!(shop.told(), ["ana: m4", "ana: m5"]);
    assert_eq!(shop.state("d1").history, []);
}

#[test]
fn a_device_that_is_known_from_the_first_has_nothing_to_move() {
    let mut shop = Shop::new();
    shop.tell(Some("d1"), Some("ana"), viewed());
    shop.tell(Some("d2"), Some("ana"), viewed());
    assert_eq!(shop.told(), ["ana: identified []", "ana: m1", "ana: identified []", "ana: m2"]);
}

#[test]
fn the_records_say_who_and_when_and_have_the_same_ids_again() {
    let run = |abort: bool| {
        let mut shop = Shop::new();
        shop.tell(Some("d1"), None, viewed());
        if abort {
            shop.driver.restart(ResolverPolicy::default());
            shop.driver.abort_next_commit();
        }
        shop.tell(Some("d1"), Some("ana"), StorefrontEvent { historical: true, hops: 2, ..viewed() });
        shop.events()
    };
    let events = run(false);
    let [_, moved, identified, told] = &events[..] else { panic!("{events:?}") };
    for record in [moved, identified] {
        assert_eq!((record.user_id.as_deref(), record.anonymous_id.as_deref()), (Some("ana"), Some("d1")));
        assert_eq!((record.event_time, record.received_at), (told.event_time, told.received_at));
        assert_eq!((record.shop.as_str(), record.hops, record.historical, &*record.name), ("demo", 3, true, ""));
    }
    assert!(identified.message_id.starts_with("identified-") && moved.message_id.starts_with("moved-"));
    assert_eq!(run(true), events);
}

#[test]
fn who_is_recognised_by_what_is_told_late_is_so_no_sooner_than_what_she_did_meanwhile() {
    let mut shop = Shop::new();
    shop.tell(Some("d1"), None, viewed());
    shop.tell(Some("d1"), None, viewed());
    let late = StorefrontEvent {
        message_id: "late".to_owned(),
        shop: "demo".to_owned(),
        anonymous_id: Some("d1".to_owned()),
        user_id: Some("ana".to_owned()),
        event_time: at(0).as_millis(),
        received_at: at(3).as_millis(),
        ..viewed()
    };
    shop.driver.input(RECEIVED, "d1", &encode(RECEIVED, &late), at(3));
    let told = shop.events().into_iter().skip(2);
    let times: Vec<_> = told.map(|event| (event.kind, event.event_time, event.said_at)).collect();
    let (last, said) = (at(2).as_millis(), at(0).as_millis());
    let recognised = [EventKind::Moved, EventKind::Identified].map(|kind| (kind, last, Some(said)));
    assert_eq!(times, [recognised[0], recognised[1], (EventKind::Track, said, None)]);
}

#[test]
fn a_second_person_on_the_device_takes_nothing_along() {
    let mut shop = Shop::new();
    shop.tell(Some("d1"), None, viewed());
    shop.tell(Some("d1"), Some("ana"), viewed());
    shop.tell(Some("d1"), None, viewed());
    shop.told();
    shop.tell(Some("d1"), Some("luis"), viewed());
    shop.tell(Some("d1"), None, viewed());
    assert_eq!(shop.told(), ["luis: identified []", "luis: m4", "luis: m5"]);
    // The first one is back: that is known already.
    shop.tell(Some("d1"), Some("ana"), viewed());
    shop.tell(Some("d1"), None, viewed());
    assert_eq!(shop.told(), ["ana: m6", "ana: m7"]);
}

#[test]
fn a_device_of_more_than_three_customers_is_nobodys_and_keeps_no_history() {
    let mut shop = Shop::new();
    for user in ["u1", "u2", "u3"] {
        shop.tell(Some("kiosk"), Some(user), viewed());
    }
    shop.told();
    shop.tell(Some("kiosk"), Some("u4"), viewed());
    shop.tell(Some("kiosk"), None, viewed());
    shop.tell(Some("kiosk"), Some("u1"), viewed());
    shop.tell(Some("kiosk"), Some("u5"), viewed());
    shop.tell(Some("kiosk"), None, viewed());
    assert_eq!(shop.told(), ["u4: m4", "kiosk: m5", "u1: m6", "u5: m7", "kiosk: m8"]);
    let state = shop.state("kiosk");
    assert!(state.is_shared() && state.linked_to.is_none() && state.history.is_empty());
    assert_eq!(state.customers.0.len(), 4, "however many come, no more are counted");
    // An order's address still says whose the order is, but not whose the kiosk is.
    shop.tell(
        Some("kiosk"),
        None,
        StorefrontEvent { address_id: Some("address-1".to_owned()), ..track("Order Completed") },
    );
    shop.tell(Some("kiosk"), None, viewed());
    assert_eq!(shop.told(), ["address-1: m9", "kiosk: m10"]);
}

#[test]
fn what_integrations_send_for_nobody_links_nobody() {
    let mut shop = Shop::new();
    shop.tell(Some("undefined"), Some("ana"), viewed());
    shop.tell(Some("d1"), Some("null"), viewed());
    shop.tell(Some("d1"), Some("d1"), viewed());
    assert_eq!(shop.told(), ["ana: m1", "d1: m2", "d1: m3"]);
    // One id for both said nothing, so that she is recognised all the same.
    shop.tell(Some("d1"), Some("ana"), viewed());
    assert_eq!(shop.told(), ["d1: moved to ana", "ana: identified [m2 m3]", "ana: m4"]);
    let senseless = ["-1", "true", "False", "[]", "\"\"", " -1 ", "00000000-0000-0000-0000-000000000000"];
    for id in senseless {
        shop.tell(Some("d2"), Some(id), viewed());
        assert_eq!(shop.events()[0].customer_id.as_deref(), Some("d2"), "{id}");
        shop.tell(Some(id), Some("ana"), viewed());
        assert_eq!(shop.told().len(), 1, "{id} is no device");
    }
    for id in ["10", "-10", "00", "00000000-0000-0000-0000-000000000001"] {
        assert!(ingestion::ids::names_somebody(id), "{id}");
    }
}

#[test]
fn a_device_that_came_by_a_link_of_a_message_is_hers_to_whom_it_went_and_all_of_it_says_so() {
    let by_a_link = || StorefrontEvent { source: LINKS.to_owned(), ..viewed() };
    let mut shop = Shop::new();
    shop.tell(Some("d1"), None, viewed());
    shop.tell(Some("d1"), Some("ana"), by_a_link());
    shop.tell(Some("d1"), None, viewed());
    let events = shop.events();
    let whose: Vec<_> = events.iter().map(|event| event.customer_id.as_deref().unwrap()).collect();
    assert_eq!(whose, ["d1", "d1", "ana", "ana", "ana"], "moved, identified, and from then on");
    assert!(events[1..4].iter().all(|event| event.source == LINKS));
    // Who opens it on the device that it already names says nothing.
    shop.tell(Some("d2"), Some("d2"), by_a_link());
    assert_eq!((shop.told(), shop.state("d2").linked_to), (vec!["d2: m4".to_owned()], None));
}

#[test]
fn an_order_with_an_address_is_the_customers_under_its_hash_unless_the_device_is_somebodys() {
    let order = || StorefrontEvent { address_id: Some("address-1".to_owned()), ..track("Order Completed") };
    let mut shop = Shop::new();
    shop.tell(Some("d1"), None, track("Product Added"));
    shop.tell(Some("d1"), None, order());
    let events = shop.events();
    assert_eq!(events.last().unwrap().user_id.as_deref(), Some("address-1"), "as a shop platform tells of a guest");
    shop.tell(Some("d1"), None, viewed());
    shop.tell(Some("d2"), Some("ana"), viewed());
    shop.tell(Some("d2"), None, order());
    assert_eq!(shop.told(), ["address-1: m3", "ana: identified []", "ana: m4", "ana: m5"]);
    let kinds: Vec<_> = events.iter().map(|event| (event.customer_id.as_deref().unwrap(), event.kind)).collect();
    let expected = [
        ("d1", EventKind::Track),
        ("d1", EventKind::Moved),
        ("address-1", EventKind::Identified),
        ("address-1", EventKind::Track),
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn a_message_to_a_visitor_is_opened_by_who_she_turned_out_to_be() {
    let mut shop = Shop::new();
    shop.tell(Some("d1"), None, viewed());
    let of_a_link = |name| StorefrontEvent { source: LINKS.to_owned(), ..track(name) };
    shop.tell(None, Some("d1"), of_a_link("Email Opened"));
    shop.tell(Some("d1"), Some("ana"), viewed());
    shop.told();
    shop.tell(None, Some("d1"), of_a_link("Email Link Clicked"));
    assert_eq!(shop.told(), ["ana: m4"]);
}

#[test]
fn who_turns_out_to_be_a_customer_is_no_longer_somebody_elses_device() {
    let mut shop = Shop::new();
    shop.tell(Some("17850"), Some("eve"), viewed());
    shop.told();
    shop.tell(None, Some("17850"), viewed());
    shop.tell(None, Some("17850"), StorefrontEvent { source: LINKS.to_owned(), ..track("Email Opened") });
    shop.tell(Some("17850"), None, viewed());
    assert_eq!(shop.told(), ["17850: m2", "17850: m3", "17850: m4"]);
    assert_eq!(shop.state("17850").linked_to, None);
}

#[test]
fn a_landing_page_that_knows_the_customer_of_a_clicked_link_links_her_device() {
    let mut shop = Shop::new();
    shop.tell(Some("phone"), None, StorefrontEvent { kind: EventKind::Page, ..track("Home") });
    shop.tell(Some("phone"), Some("ana"), StorefrontEvent { kind: EventKind::Page, ..track("Offers") });
    assert_eq!(shop.told(), ["phone: m1", "phone: moved to ana", "ana: identified [m1]", "ana: m2"]);
}

#[test]
fn recorded_events_keep_their_history_however_long_ago_they_were() {
    let mut shop = Shop::new();
    let years_ago = |seconds: i64| at(seconds - 8 * 365 * DAY).as_millis();
    for (seconds, user) in [(0, None), (40 * DAY, None), (40 * DAY + 60, None), (40 * DAY + 120, Some("ana"))] {
        let event = StorefrontEvent {
            message_id: format!("old{seconds}"),
            shop: "demo".to_owned(),
            anonymous_id: Some("d1".to_owned()),
            user_id: user.map(str::to_owned),
            event_time: years_ago(seconds),
            received_at: at(0).as_millis(),
            ..viewed()
        };
        shop.driver.input(RECEIVED, "d1", &encode(RECEIVED, &event), at(0));
    }
    let identified = shop.told().into_iter().find(|line| line.contains("identified")).unwrap();
    assert_eq!(
        identified,
        format!("ana: identified [old{} old{}]", 40 * DAY, 40 * DAY + 60),
        "by her time, not by ours"
    );
}

#[test]
fn an_id_that_is_a_customers_is_no_device_and_is_taken_over_by_nobody() {
    let mut shop = Shop::new();
    shop.tell(None, Some("42"), track("Order Completed"));
    shop.told();
    shop.tell(Some("42"), None, viewed());
    shop.tell(Some("42"), Some("mallory"), viewed());
    shop.tell(None, Some("42"), track("Order Completed"));
    assert_eq!(shop.told(), ["42: m2", "mallory: m3", "42: m4"], "nobody is moved, and orders stay hers");
}

#[test]
fn what_a_server_tells_of_a_customer_stays_hers_also_where_a_browser_called_itself_so_before() {
    let mut shop = Shop::new();
    shop.tell(Some("42"), Some("mallory"), viewed());
    shop.told();
    shop.tell(None, Some("42"), track("Order Completed"));
    assert_eq!(shop.told(), ["42: m2"]);
}

#[test]
fn one_id_for_device_and_customer_names_no_customer() {
    let mut shop = Shop::new();
    shop.tell(Some("x"), Some("x"), viewed());
    assert_eq!(shop.events()[0].user_id, None);
}

#[test]
fn only_the_resolver_says_that_somebody_was_recognised() {
    let mut shop = Shop::new();
    for kind in [EventKind::Identified, EventKind::Moved] {
        shop.tell(Some("d1"), Some("ana"), StorefrontEvent { kind, ..track("") });
    }
    let reasons: Vec<_> = shop.driver.dead_letters().iter().map(|letter| letter.poison.reason).collect();
    assert_eq!(reasons, ["reserved_kind", "reserved_kind"]);
    // Nor does anybody else give an event a history.
    let history = vec![schemas::PastEvent { shop: "x".to_owned(), ..schemas::PastEvent::default() }];
    shop.tell(Some("d1"), Some("ana"), StorefrontEvent { history, ..viewed() });
    assert!(shop.events().iter().all(|event| event.history.is_empty()));
}

#[test]
fn a_repeat_links_nobody_and_a_restart_forgets_nothing() {
    let mut shop = Shop::new();
    shop.tell(Some("d1"), None, viewed());
    shop.driver.restart(ResolverPolicy::default());
    shop.sent -= 1;
    shop.tell(Some("d1"), Some("ana"), viewed());
    assert_eq!(shop.told(), ["d1: m1"], "the same message id");
    shop.tell(Some("d1"), Some("ana"), viewed());
    shop.driver.restart(ResolverPolicy::default());
    shop.tell(Some("d1"), None, viewed());
    assert_eq!(shop.told(), ["d1: moved to ana", "ana: identified [m1]", "ana: m2", "ana: m3"]);
}

#[test]
fn a_history_has_what_is_counted_and_nothing_personal() {
    let mut shop = Shop::new();
    let product = Product { product_id: Some("p1".to_owned()), coupon: Some("TEN".to_owned()), ..Product::default() };
    let order = Order { order_id: Some("o1".to_owned()), revenue_minor: Some(500), ..Order::default() };
    let contact = schemas::Contact { email: Some("ana@example.com".to_owned()), ..schemas::Contact::default() };
    let event = StorefrontEvent {
        contact: Some(contact),
        traits_json: Some("ana@".to_owned()),
        properties_json: Some("ana@".to_owned()),
        context_json: Some("ana@".to_owned()),
        consent_marketing: Some(true),
        cart_id: Some("c1".to_owned()),
        products: vec![product],
        order: Some(order),
        ..track("Order Completed")
    };
    shop.tell(Some("d1"), None, event);
    let opened = StorefrontEvent { properties_json: Some(r#"{"machine":true}"#.to_owned()), ..track("Email Opened") };
    shop.tell(Some("d1"), None, opened);
    shop.tell(Some("d1"), None, StorefrontEvent { kind: EventKind::Group, ..track("") });
    let history = shop.state("d1").history;
    assert!(!format!("{history:?}").contains("ana@"));
    let [past] = &history[..] else { panic!("{history:?}") };
    assert_eq!((past.cart_id.as_deref(), past.consent_marketing, past.products.len()), (Some("c1"), Some(true), 1));
    let order = past.order.as_ref().unwrap();
    assert_eq!((order.coupon.as_deref(), order.total_minor), (Some("TEN"), Some(500)));
}

#[test]
fn an_order_of_more_products_than_are_kept_comes_to_what_all_of_them_do() {
    let mut shop = Shop::new();
    let product = Product { price_minor: Some(10), quantity: Some(2), ..Product::default() };
    let products = vec![product; 80];
    shop.tell(Some("d1"), None, StorefrontEvent { products, ..track("Order Completed") });
    let history = shop.state("d1").history;
    assert_eq!((history[0].products.len(), history[0].order.as_ref().unwrap().total_minor), (50, Some(1_600)));
}

#[test]
fn a_history_ends_by_number_and_by_age_the_eldest_first() {
    let mut shop = Shop::with(ResolverPolicy { history_events: 3, ..ResolverPolicy::default() });
    for _ in 0..5 {
        shop.tell(Some("d1"), None, viewed());
    }
    let ids = |state: ResolverState| state.history.into_iter().map(|past| past.message_id).collect::<Vec<_>>();
    assert_eq!(ids(shop.state("d1")), ["m3", "m4", "m5"]);
    shop.now = 30 * DAY + 3;
    shop.tell(Some("d1"), None, viewed());
    assert_eq!(ids(shop.state("d1")), ["m5", "m6"]);
    // What is too old when she is recognised is left behind, too.
    for (seconds, identified) in [(30 * DAY - 1, "ana: identified [m6]"), (30 * DAY, "ana: identified []")] {
        let mut shop = Shop { driver: TestDriver::new(ResolverPolicy::default()), now: 0, sent: 5 };
        shop.tell(Some("d1"), None, viewed());
        shop.now = seconds;
        shop.tell(Some("d1"), Some("ana"), viewed());
        assert_eq!(shop.told()[2], identified);
    }
}

#[test]
fn a_silent_visitor_is_forgotten_with_her_history_and_a_silent_device_with_its_link() {
    let mut shop = Shop::new();
    shop.tell(Some("d1"), None, viewed());
    // Until then services may hold something of her, which has to end when she is recognised.
    shop.driver.advance_to(at(90 * DAY));
    assert_eq!(shop.driver.states(), 1);
    shop.driver.advance_to(at(90 * DAY + 1));
    assert_eq!(shop.driver.states(), 0);
    shop.now = 91 * DAY;
    shop.tell(Some("d2"), Some("ana"), viewed());
    shop.driver.advance_to(at(200 * DAY));
    shop.now = 200 * DAY;
    shop.tell(Some("d2"), None, viewed());
    shop.driver.advance_to(at(565 * DAY));
    assert_eq!(shop.state("d2").linked_to.as_deref(), Some("ana"), "it was heard of meanwhile");
    shop.driver.advance_to(at(565 * DAY + 1));
    assert_eq!(shop.driver.states(), 0);
    shop.told();
    shop.now = 566 * DAY;
    shop.tell(Some("d2"), None, viewed());
    assert_eq!(shop.told(), ["d2: m4"]);
}
