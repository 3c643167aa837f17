//! Lookups tell of what the store holds, as it is at the moment that is asked for.

use domain::Timestamp;
use schemas::{Contact, EventKind, Schemas, StorefrontEvent};
use schemas::{CurrencyQuintiles, Quintiles};
use segmentation::lookups::{self, Counters, Customer, CustomerView, RfmView};
use segmentation::{ANONYMOUS_IDLE, Boundaries, CART_IDLE, Did, WINDOW_DAYS};

use crate::support::{ANA, DAY, HOUR, Shop, at, order, product, refund, track};

const LOYAL: &str = "segment: loyal\nversion: 7\nenter: customer.frequency >= 2\n";
const ACTIVE: &str = "segment: active\nversion: 1\nenter: customer.last_7d.orders >= 1\n";

fn customer(shop: &Shop) -> Option<Customer> {
    lookups::read(&Schemas::offline(), shop.driver.stored(ANA)).unwrap()
}

fn seen_at(shop: &Shop, moment: Timestamp) -> Option<CustomerView> {
    customer(shop)?.at(moment, None)
}

fn counts(view: &CustomerView, counter: fn(&Counters) -> i64) -> Vec<i64> {
    view.windows.iter().chain([&view.total]).map(counter).collect()
}

/// A customer with two orders, a refund, an open cart, and what the shop tells of her.
fn regular() -> Shop {
    let mut shop = Shop::with(&[LOYAL, ACTIVE]);
    shop.tell(StorefrontEvent {
        kind: EventKind::Identify,
        name: String::new(),
        traits_json: Some(r#"{"plan":"gold"}"#.to_owned()),
        consent_marketing: Some(true),
        contact: Some(Contact { email: Some("ana@example.com".to_owned()), ..Contact::default() }),
        ..track("", 0)
    });
    shop.tell(order("o1", 1_000, HOUR));
    let mut dollars = order("o2", 700, 3 * DAY);
    dollars.order.as_mut().unwrap().currency = Some("USD".to_owned());
    dollars.order.as_mut().unwrap().coupon = Some("TEN".to_owned());
    shop.tell(dollars);
    shop.tell(order("o3", 500, 9 * DAY));
    shop.tell(refund("o3", 200, 9 * DAY + HOUR));
    shop.tell(StorefrontEvent { product: Some(product("p1", "Shoes", 4_000)), ..track("Product Viewed", 10 * DAY) });
    shop.tell(StorefrontEvent {
        product: Some(schemas::Product { quantity: Some(2), ..product("p1", "Shoes", 4_000) }),
        cart_id: Some("cart-1".to_owned()),
        ..track("Product Added", 10 * DAY + 60)
    });
    shop
}

#[test]
fn of_whom_nothing_was_told_nothing_is_known() {
    let mut shop = Shop::with(&[]);
    assert_eq!(lookups::read(&Schemas::offline(), None).unwrap(), None);
    assert_eq!(customer(&shop), None);
    shop.tell(track("Product Viewed", 0));
    assert!(customer(&shop).is_some());
    assert!(lookups::read(&Schemas::offline(), Some(b"\x00\x00")).is_err());
}

#[test]
fn a_profile_is_told_whole() {
    let shop = regular();
    let view = seen_at(&shop, at(10 * DAY + 6 * HOUR)).unwrap();
    assert_eq!((view.as_of, view.at), (at(10 * DAY + 60), at(10 * DAY + 6 * HOUR)));
    assert_eq!((view.known, view.consent_marketing, view.has_email, view.has_phone), (true, Some(true), true, false));
    assert_eq!(view.traits_json.as_deref(), Some(r#"{"plan":"gold"}"#));
    let orders = view.seen.iter().find(|seen| seen.kind == Did::Orders).unwrap();
    assert_eq!((orders.first_at, orders.last_at), (at(HOUR), at(9 * DAY)));
    assert_eq!((view.age_days, view.inactive_days, view.recency_days), (Some(10), Some(0), Some(1)));
    assert_eq!((view.frequency, view.currency.as_deref(), view.coupon_percent), (3, Some("EUR"), 33));
    assert_eq!((view.monetary_minor, view.average_order_minor), (1_300, Some(750)));
    let spending: Vec<_> = view
        .spending
        .iter()
        .map(|of| (&*of.currency, of.orders, of.coupon_orders, of.spent_minor, of.refunded_minor, of.monetary_minor()))
        .collect();
    assert_eq!(spending, [("EUR", 2, 0, 1_500, 200, 1_300), ("USD", 1, 1, 700, 0, 700)]);
    assert_eq!(WINDOW_DAYS, [1, 7, 30, 90, 365]);
    assert_eq!(counts(&view, |of| of.orders), [0, 1, 3, 3, 3, 3]);
    assert_eq!(counts(&view, |of| of.spent_minor), [0, 500, 1_500, 1_500, 1_500, 1_500]);
    assert_eq!(counts(&view, |of| of.refunded_minor), [0, 200, 200, 200, 200, 200]);
    assert_eq!(counts(&view, |of| of.product_views), [1; 6]);
    assert_eq!(counts(&view, |of| of.cart_additions), [1; 6]);
    let cart = view.cart.unwrap();
    assert_eq!((cart.cart_id.as_deref(), cart.changed_at), (Some("cart-1"), at(10 * DAY + 60)));
    assert_eq!((cart.value_minor, cart.items, cart.idle_hours), (8_000, 2, 5));
    assert_eq!(view.favourite_categories, ["Shoes"]);
    assert_eq!(view.favourite_brands, [""; 0]);
    let factors = [("recency", 25), ("interest", 3), ("intent", 12), ("loyalty", 17), ("reach", 7)];
    assert_eq!((view.lead_score, view.lead_score_factors), (64, factors));
}

#[test]
fn who_does_all_that_the_document_names_has_each_factor_at_its_most() {
    let mut shop = regular();
    (0..8).for_each(|n| shop.tell(order(&format!("more-{n}"), 100, 11 * DAY + n)));
    (0..10).for_each(|n| {
        shop.tell(StorefrontEvent { product: Some(product("p1", "Shoes", 1)), ..track("Product Added", 12 * DAY + n) });
    });
    shop.tell(track("Checkout Started", 12 * DAY + 60));
    shop.tell(track("Email Opened", 12 * DAY + 61));
    shop.tell(StorefrontEvent {
        kind: EventKind::Identify,
        name: String::new(),
        contact: Some(Contact { phone: Some("+34600000000".to_owned()), ..Contact::default() }),
        ..track("", 12 * DAY + 62)
    });
    let view = seen_at(&shop, at(12 * DAY + 120)).unwrap();
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/segments.md")).unwrap();
    let rows = document.split("## Lead score").nth(1).unwrap().lines().filter(|line| line.starts_with("| `"));
    let documented: Vec<String> = rows.map(|row| row.split('|').take(3).collect::<Vec<_>>().join("|")).collect();
    let most = view.lead_score_factors.map(|(factor, points)| format!("| `{factor}` | {points} "));
    assert_eq!((view.lead_score, &documented[..5]), (100, &most[..]));
}

#[test]
fn segments_are_told_with_their_version_and_since_when_she_is_in_them() {
    let shop = regular();
    let view = seen_at(&shop, at(11 * DAY)).unwrap();
    let segments: Vec<_> = view.segments.iter().map(|of| (&*of.segment, of.version, of.since)).collect();
    // Without an order for a week she would not be active; her second one came in between.
    assert_eq!(segments, [("active", 1, at(HOUR)), ("loyal", 7, at(3 * DAY))]);
    // Judging is the worker's: nobody leaves a segment by being asked for.
    assert_eq!(seen_at(&shop, at(100 * DAY)).unwrap().segments, view.segments);
}

#[test]
fn where_she_stands_in_her_life_as_a_customer_is_told_by_the_segment_of_that_group_as_she_was_judged() {
    let of = |text: &str, group: &str| format!("{text}group: {group}\npriority: 1\n");
    let mut shop = Shop::with(&[&of(LOYAL, "lifecycle"), &of(ACTIVE, "other")]);
    shop.tell(order("o1", 1_000, 0));
    assert_eq!(seen_at(&shop, at(HOUR)).unwrap().lifecycle, None);
    shop.tell(order("o2", 1_000, HOUR));
    assert_eq!(seen_at(&shop, at(HOUR)).unwrap().lifecycle.as_deref(), Some("loyal"));
    // With a definition that is of no group any more, as soon as she is judged by it.
    shop.apply(LOYAL, 2 * HOUR);
    shop.driver.advance_to(at(3 * HOUR));
    let view = seen_at(&shop, at(3 * HOUR)).unwrap();
    assert_eq!((view.segments.len(), view.lifecycle), (2, None));
}

#[test]
fn a_customer_is_found_under_the_segments_that_she_is_in() {
    let mut shop = regular();
    let found = |shop: &Shop| ["active", "loyal", "vip"].map(|segment| shop.driver.found_under(segment));
    assert_eq!(found(&shop), [vec![ANA.into()], vec![ANA.into()], vec![]]);
    // By time alone she leaves one; by another definition she enters one, and by a deleted one leaves it.
    shop.driver.advance_to(at(20 * DAY));
    assert_eq!(found(&shop), [vec![], vec![ANA.into()], vec![]]);
    shop.apply("segment: vip\nversion: 1\nenter: customer.frequency >= 3\n", 21 * DAY);
    shop.delete(LOYAL, 22 * DAY);
    shop.driver.advance_to(at(23 * DAY));
    assert_eq!(found(&shop), [vec![], vec![], vec![ANA.into()]]);
}

#[test]
fn time_alone_moves_what_depends_on_it_and_nothing_else() {
    let shop = regular();
    let now = seen_at(&shop, at(10 * DAY + HOUR)).unwrap();
    let later = seen_at(&shop, at(41 * DAY)).unwrap();
    assert_eq!((later.age_days, later.inactive_days, later.recency_days), (Some(41), Some(30), Some(32)));
    assert_eq!(counts(&later, |of| of.orders), [0, 0, 0, 3, 3, 3]);
    assert_eq!(counts(&later, |of| of.cart_additions), [0, 0, 0, 1, 1, 1]);
    assert!(later.lead_score < now.lead_score);
    assert_eq!((&later.spending, &later.seen, &later.total), (&now.spending, &now.seen, &now.total));
    assert_eq!((later.frequency, &later.favourite_categories), (now.frequency, &now.favourite_categories));
}

#[test]
fn she_is_never_told_of_as_she_was_before_what_the_state_knows() {
    let shop = regular();
    let then = seen_at(&shop, at(10 * DAY + 60)).unwrap();
    for early in [Timestamp::MIN, at(0), at(10 * DAY)] {
        assert_eq!(seen_at(&shop, early).as_ref(), Some(&then));
    }
}

#[test]
fn what_time_has_ended_has_ended_also_where_no_timer_has_fired() {
    let mut shop = regular();
    let closes = at(10 * DAY + 60) + CART_IDLE;
    let before = seen_at(&shop, Timestamp::from_millis(closes.as_millis() - 1)).unwrap();
    let after = seen_at(&shop, closes).unwrap();
    assert_eq!((before.cart.is_some(), after.cart.is_some()), (true, false));
    // As it is once the timer has fired.
    shop.driver.advance_to(closes);
    let fired = seen_at(&shop, closes).unwrap();
    let rest = |view: CustomerView| (view.cart, view.lead_score_factors, view.windows);
    assert_eq!(rest(fired), rest(after));

    let mut shop = Shop::with(&[]);
    shop.tell(StorefrontEvent { user_id: None, anonymous_id: Some("a1".to_owned()), ..track("Product Viewed", 0) });
    let ends = at(0) + ANONYMOUS_IDLE;
    assert!(seen_at(&shop, Timestamp::from_millis(ends.as_millis() - 1)).is_some());
    assert_eq!(seen_at(&shop, ends), None);
    assert_eq!(customer(&shop).unwrap().at(Timestamp::MAX, None), None);
}

#[test]
fn quintiles_are_told_as_of_the_moment_where_she_has_ordered_and_boundaries_are_published() {
    let boundaries = Boundaries::of(&Quintiles {
        learnt_at: at(9 * DAY).as_millis(),
        customers: 9,
        recency_days: vec![1, 5, 20, 50],
        frequency: vec![1, 2, 3, 8],
        monetary: vec![CurrencyQuintiles { currency: "EUR".to_owned(), customers: 9, bounds: vec![1, 2, 3, 4_000] }],
    })
    .unwrap();
    let shop = regular();
    let told = |moment| customer(&shop).unwrap().at(moment, Some(&boundaries)).unwrap().rfm;
    let rfm = RfmView { recency: 5, frequency: 3, monetary: Some(4), learnt_at: at(9 * DAY) };
    assert_eq!(told(at(10 * DAY + HOUR)), Some(rfm));
    assert_eq!(told(at(35 * DAY)), Some(RfmView { recency: 2, ..rfm }), "time alone makes it worse");
    assert_eq!(seen_at(&shop, at(11 * DAY)).unwrap().rfm, None, "nothing is published");

    let mut shop = Shop::with(&[]);
    shop.tell(track("Product Viewed", 0));
    assert_eq!(customer(&shop).unwrap().at(at(1), Some(&boundaries)).unwrap().rfm, None, "she never ordered");
}
