//! A device turns out to be hers.

use schemas::{Change, ChangeCause, EventKind, LINKS, PastEvent, PastOrder, PastProduct, StorefrontEvent};
use segmentation::{Did, MAX_IDS, SegmentationState, customer_rows};

use crate::support::{ANA, DAY, HOUR, Shop, at, order, track};

const DEVICE: &str = "d1";

/// What was done on the device before.
fn past(name: &str, seconds: i64) -> PastEvent {
    PastEvent {
        message_id: format!("past-{name}-{seconds}"),
        kind: EventKind::Track,
        name: name.to_owned(),
        shop: "shop".to_owned(),
        event_time: at(seconds).as_millis(),
        ..PastEvent::default()
    }
}

fn put_in(id: &str, quantity: i64, seconds: i64) -> PastEvent {
    let product = PastProduct {
        product_id: Some(id.to_owned()),
        category: Some("kitchen".to_owned()),
        price_minor: Some(100),
        quantity: Some(quantity),
        ..PastProduct::default()
    };
    PastEvent { product: Some(product), ..past("Product Added", seconds) }
}

fn past_order(id: &str, total_minor: i64, seconds: i64) -> PastEvent {
    let order = PastOrder {
        order_id: Some(id.to_owned()),
        currency: Some("EUR".to_owned()),
        total_minor: Some(total_minor),
        coupon: None,
    };
    PastEvent { order: Some(order), ..past("Order Completed", seconds) }
}

fn in_cart(cart_id: &str, past: PastEvent) -> PastEvent {
    PastEvent { cart_id: Some(cart_id.to_owned()), ..past }
}

fn identified(history: Vec<PastEvent>, seconds: i64) -> StorefrontEvent {
    let anonymous_id = Some(DEVICE.to_owned());
    StorefrontEvent { kind: EventKind::Identified, anonymous_id, history, ..track("", seconds) }
}

/// The same as if she had been known from the start.
fn known(past: &PastEvent) -> StorefrontEvent {
    let one = StorefrontEvent { history: vec![past.clone()], ..StorefrontEvent::default() };
    StorefrontEvent { user_id: Some(ANA.to_owned()), ..one.past_events().next().unwrap() }
}

/// How many of each product are in her cart, the dearest last; prices are all the same.
fn quantities(state: &SegmentationState) -> Vec<i64> {
    let lines = state.cart.iter().flat_map(|cart| &cart.lines);
    let mut quantities: Vec<i64> = lines.map(|line| line.quantity).collect();
    quantities.sort_unstable();
    quantities
}

#[test]
fn what_she_did_before_counts_at_its_own_times() {
    let page = PastEvent { kind: EventKind::Page, ..past("Home", 0) };
    let mut viewed = past("Product Viewed", DAY);
    viewed.product = put_in("mug", 1, 0).product;
    let history = vec![page, viewed, put_in("mug", 2, 2 * DAY), past("Video Watched", 3 * DAY)];
    let (mut shop, mut from_the_start) = (Shop::with(&[]), Shop::with(&[]));
    for past in &history {
        from_the_start.tell(known(past));
    }
    shop.tell(identified(history, 4 * DAY));
    for shop in [&mut shop, &mut from_the_start] {
        shop.tell(track("Product Viewed", 5 * DAY));
    }
    let (mut state, expected) = (shop.state(), from_the_start.state());
    assert_eq!(std::mem::take(&mut state.ids), [DEVICE]);
    assert_eq!(state, expected);
    assert_eq!(state.cart.unwrap().changed_at, at(2 * DAY), "a reminder is due by when she touched it");
    assert_eq!(state.seen.iter().find(|seen| seen.kind == Did::Any).unwrap().first_at, at(0));
}

#[test]
fn segments_are_judged_once_with_all_of_it() {
    let mut shop = Shop::with(&[
        "segment: looks\nversion: 1\nenter: customer.last_30d.cart_additions >= 2\n",
        "segment: one\nversion: 1\nenter: customer.last_30d.cart_additions == 1\n",
    ]);
    shop.tell(identified(vec![put_in("mug", 1, 0), put_in("cup", 1, HOUR)], 2 * HOUR));
    let records = shop.records();
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].segment.as_str(), records[0].at), ("looks", at(2 * HOUR).as_millis()));
    assert_eq!((records[0].cause, &records[0].trigger_name), (ChangeCause::Event, &None));
}

#[test]
fn an_order_that_the_server_told_of_first_counts_once_and_ends_what_was_put_in_before_it() {
    let mut shop = Shop::with(&[]);
    shop.tell(order("o1", 1_000, HOUR));
    // The browser's tells of it twice, too, and she goes on shopping.
    let history = vec![
        put_in("mug", 1, 0),
        past_order("o1", 1_000, HOUR + 1),
        put_in("cup", 3, 2 * HOUR),
        past_order("o1", 1_000, 2 * HOUR + 1),
    ];
    shop.tell(identified(history, 3 * HOUR));
    let rows = customer_rows(ANA, &shop.state(), at(3 * HOUR), None);
    assert_eq!((rows[0].frequency, rows[0].monetary_minor), (1, 1_000));
    assert_eq!(quantities(&shop.state()), [3]);
    // And the other way around.
    let mut shop = Shop::with(&[]);
    shop.tell(identified(vec![put_in("mug", 1, 0), past_order("o1", 1_000, HOUR)], 2 * HOUR));
    shop.tell(order("o1", 1_000, HOUR));
    let rows = customer_rows(ANA, &shop.state(), at(3 * HOUR), None);
    assert_eq!((rows[0].frequency, rows[0].monetary_minor, quantities(&shop.state())), (1, 1_000, vec![]));
}

#[test]
fn an_order_of_hers_ends_what_was_put_in_before_it_on_the_device() {
    let mut shop = Shop::with(&[]);
    shop.tell(order("o1", 1_000, HOUR));
    shop.tell(identified(vec![put_in("mug", 1, 0)], 2 * HOUR));
    assert_eq!(shop.state().cart, None);
    let mut shop = Shop::with(&[]);
    shop.tell(order("o1", 1_000, HOUR));
    shop.tell(identified(vec![put_in("mug", 1, 0), put_in("cup", 2, 90 * 60)], 2 * HOUR));
    assert_eq!(quantities(&shop.state()), [2]);
}

#[test]
fn an_order_of_the_device_ends_a_cart_of_hers_that_was_not_touched_since() {
    for (touched, left) in [(0, vec![]), (2 * HOUR, vec![1])] {
        let mut shop = Shop::with(&[]);
        shop.tell(known(&put_in("mug", 1, touched)));
        shop.tell(identified(vec![past_order("o1", 1_000, HOUR)], 3 * HOUR));
        assert_eq!(quantities(&shop.state()), left);
    }
    // Of carts with names, only the one that it names.
    let mut shop = Shop::with(&[]);
    shop.tell(known(&in_cart("c1", put_in("mug", 1, 0))));
    shop.tell(identified(vec![in_cart("c2", past_order("o1", 1_000, HOUR))], 3 * HOUR));
    assert_eq!(quantities(&shop.state()), [1]);
}

#[test]
fn two_carts_become_one_in_which_nothing_counts_twice() {
    let merged = |own: PastEvent, of_device: Vec<PastEvent>| {
        let mut shop = Shop::with(&[]);
        shop.tell(known(&own));
        shop.tell(identified(of_device, DAY));
        let state = shop.state();
        (quantities(&state), state.cart.unwrap())
    };
    let (both, cart) = merged(put_in("mug", 1, HOUR), vec![put_in("cup", 2, 0)]);
    assert_eq!((both, cart.changed_at), (vec![1, 2], at(HOUR)));
    // The same product in both may be the same thing, told twice.
    let own = || in_cart("c1", put_in("mug", 1, 0));
    let (same, cart) = merged(own(), vec![put_in("mug", 2, HOUR), put_in("cup", 5, 2 * HOUR)]);
    assert_eq!((same, cart.cart_id.as_deref(), cart.changed_at), (vec![2, 5], Some("c1"), at(2 * HOUR)));
    // Of two carts with names, the one that she used last.
    let (one, cart) = merged(own(), vec![in_cart("c2", put_in("cup", 7, HOUR))]);
    assert_eq!((one, cart.cart_id.as_deref()), (vec![7], Some("c2")));
    let (other, cart) = merged(in_cart("c1", put_in("mug", 1, 2 * HOUR)), vec![in_cart("c2", put_in("cup", 7, HOUR))]);
    assert_eq!((other, cart.cart_id.as_deref()), (vec![1], Some("c1")));
}

#[test]
fn a_device_cart_that_nobody_touched_for_long_is_not_open() {
    let mut shop = Shop::with(&[]);
    shop.tell(identified(vec![put_in("mug", 1, 0)], 30 * DAY));
    assert_eq!((shop.state().cart, shop.state().totals.cart_additions), (None, 1));
}

#[test]
fn a_no_on_the_device_is_a_no_and_a_yes_counts_where_she_has_said_nothing() {
    for (own, on_the_device, expected) in [
        (None, vec![Some(true)], Some(true)),
        (None, vec![Some(true), Some(false)], Some(false)),
        (None, vec![Some(false), Some(true)], Some(true)),
        (Some(false), vec![Some(true), None], Some(false)),
        (Some(true), vec![Some(false), None], Some(false)),
        (Some(true), vec![None], Some(true)),
    ] {
        let mut shop = Shop::with(&[]);
        shop.tell(StorefrontEvent { consent_marketing: own, ..track("Product Viewed", 0) });
        let said = on_the_device.iter().map(|said| PastEvent { consent_marketing: *said, ..past("Said", 0) });
        shop.tell(identified(said.collect(), HOUR));
        assert_eq!(shop.state().consent_marketing, expected, "{own:?} {on_the_device:?}");
    }
}

#[test]
fn a_word_that_was_not_taken_over_does_not_date_the_one_that_stands() {
    let mut shop = Shop::with(&[]);
    let says = |yes, seconds| StorefrontEvent { consent_marketing: Some(yes), ..track("Product Viewed", seconds) };
    shop.tell(says(false, 10));
    shop.tell(identified(vec![PastEvent { consent_marketing: Some(true), ..past("Said", 30) }], HOUR));
    assert_eq!(shop.state().consent_marketing, Some(false));
    shop.tell(says(true, 20));
    assert_eq!(shop.state().consent_marketing, Some(true), "she said it after the no");
}

#[test]
fn what_was_known_of_the_old_id_is_forgotten_and_its_segments_are_left() {
    let mut shop = Shop::with(&["segment: looks\nversion: 1\nenter: customer.total.product_views > 0\n"]);
    let visitor =
        StorefrontEvent { user_id: None, anonymous_id: Some(DEVICE.to_owned()), ..track("Product Viewed", 0) };
    shop.tell_of(DEVICE, visitor);
    shop.records();
    let moved = || StorefrontEvent { kind: EventKind::Moved, ..identified(Vec::new(), HOUR) };
    shop.tell_of(DEVICE, moved());
    let left = shop.records();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].change, left[0].cause, &*left[0].customer_id), (Change::Left, ChangeCause::Forgotten, DEVICE));
    assert_eq!((shop.driver.states(), left[0].at), (0, at(HOUR).as_millis()));
    // Of whom nothing is known there is nothing to forget.
    shop.tell_of(DEVICE, moved());
    assert_eq!((shop.driver.states(), shop.records().len()), (0, 0));
}

#[test]
fn a_customer_of_the_shop_is_moved_by_nobody() {
    let mut shop = Shop::with(&["segment: looks\nversion: 1\nenter: customer.total.product_views > 0\n"]);
    shop.tell(track("Product Viewed", 0));
    shop.records();
    shop.tell(StorefrontEvent { kind: EventKind::Moved, ..identified(Vec::new(), HOUR) });
    assert_eq!((shop.driver.outputs().len(), shop.segments()), (0, vec!["looks".to_owned()]));
}

#[test]
fn whom_a_device_is_linked_to_is_known_and_not_forgotten_as_a_visitor_is() {
    let mut shop = Shop::with(&[]);
    shop.tell(identified(vec![put_in("mug", 1, 0)], HOUR));
    let later =
        StorefrontEvent { user_id: None, anonymous_id: Some(DEVICE.to_owned()), ..track("Product Viewed", DAY) };
    shop.tell(later);
    shop.driver.advance_to(at(200 * DAY));
    assert!(shop.state().known);
    assert_eq!(shop.state().ends_at(), None);
}

#[test]
fn a_device_that_came_by_a_link_of_a_message_makes_nobody_a_customer_whom_the_shop_does_not_know() {
    let by_a_link =
        |seconds| StorefrontEvent { source: LINKS.to_owned(), ..identified(vec![put_in("mug", 1, 0)], seconds) };
    let mut shop = Shop::with(&[]);
    shop.tell(by_a_link(HOUR));
    assert!(!shop.state().known && !shop.state().is_nobody());
    shop.tell(order("o1", 1_000, 2 * HOUR));
    shop.tell(by_a_link(3 * HOUR));
    assert!(shop.state().known, "and none a stranger whom it knows");
}

#[test]
fn the_last_sixteen_of_her_ids_are_listed_each_once() {
    let mut shop = Shop::with(&[]);
    for number in (0..20).chain([19, 10]) {
        let anonymous_id = Some(format!("d{number}"));
        shop.tell(StorefrontEvent { anonymous_id, ..identified(Vec::new(), number) });
    }
    let ids = shop.state().ids;
    assert_eq!((ids.len(), &*ids[0], &*ids[MAX_IDS - 1]), (MAX_IDS, "d4", "d10"));
    assert_eq!(ids.iter().filter(|id| *id == "d19").count(), 1);
}

#[test]
fn however_much_she_buys_no_order_and_no_cart_costs_her_one_of_her_devices() {
    let mut shop = Shop::with(&[]);
    let recognise = |shop: &mut Shop, id: String, seconds| {
        shop.tell(StorefrontEvent { anonymous_id: Some(id), ..identified(Vec::new(), seconds) });
    };
    for number in 0..2 {
        recognise(&mut shop, format!("d{number}"), number);
    }
    for number in 2..40_i64 {
        let what = ["shopify-order", "shopify-cart", "woocommerce-order"][number as usize % 3];
        recognise(&mut shop, format!("{what}-{number}"), number);
    }
    let ids = shop.state().ids;
    assert_eq!((ids.len(), &ids[..2]), (MAX_IDS, &["d0".to_owned(), "d1".to_owned()][..]));
    assert_eq!(ids.last().unwrap(), "shopify-order-39");
    for number in 2..20 {
        recognise(&mut shop, format!("d{number}"), 40 + number);
    }
    recognise(&mut shop, "shopify-order-99".to_owned(), 99);
    assert!(shop.state().ids.iter().all(|id| id.starts_with('d')), "{:?}", shop.state().ids);
}

#[test]
fn that_an_order_is_hers_is_no_visit_and_no_word_of_her_traits() {
    let told = |traits: &str, seconds| StorefrontEvent {
        kind: EventKind::Identify,
        traits_json: Some(traits.to_owned()),
        ..track("", seconds)
    };
    let whose = |seconds| StorefrontEvent {
        kind: EventKind::Identify,
        anonymous_id: Some("shopify-order-1".to_owned()),
        ..track("", seconds)
    };
    let (mut with, mut without) = (Shop::with(&[]), Shop::with(&[]));
    for shop in [&mut with, &mut without] {
        shop.tell(order("o1", 1_000, HOUR));
        shop.tell(told("{\"tier\":\"gold\"}", HOUR));
    }
    with.tell(whose(DAY));
    for shop in [&mut with, &mut without] {
        shop.tell(told("{\"tier\":\"silver\"}", 2 * HOUR));
    }
    assert_eq!(with.state(), without.state());
    assert!(with.state().traits_json.unwrap().contains("silver"));
}

#[test]
fn an_alias_merges_nobody_and_is_counted_as_that() {
    let mut shop = Shop::with(&[]);
    shop.tell(StorefrontEvent { kind: EventKind::Alias, previous_id: Some("bea".to_owned()), ..track("", 0) });
    assert_eq!(shop.driver.states(), 0);
    let counted =
        shop.driver.counts().iter().any(|(what, count)| format!("{what:?}").contains("\"alias\"") && *count == 1);
    assert!(counted, "{:?}", shop.driver.counts());
}

#[test]
fn a_recognition_that_is_told_late_does_not_take_her_back_to_another_shop() {
    for (seconds, expected) in [(HOUR, "madrid"), (3 * HOUR, "lisbon")] {
        let mut shop = Shop::with(&[]);
        shop.tell_in("madrid", known(&put_in("mug", 1, 2 * HOUR)));
        let history = vec![PastEvent { shop: "lisbon".to_owned(), ..past("Product Viewed", HOUR / 2) }];
        shop.tell_in("lisbon", identified(history, seconds));
        assert_eq!(shop.state().shop, expected, "{seconds}");
    }
}
