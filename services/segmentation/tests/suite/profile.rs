//! What becomes known of a customer.

use schemas::{Contact, EventKind, StorefrontEvent};
use segmentation::{Did, customer_rows};

use crate::support::{ANA, DAY, HOUR, Shop, at, order, policy, product, refund, track};

#[test]
fn an_order_that_the_browser_and_the_server_both_tell_of_counts_once() {
    let mut shop = Shop::with(&[]);
    shop.tell(order("o1", 1_000, 0));
    shop.tell(order("o1", 1_000, 60));
    let rows = customer_rows(ANA, &shop.state(), at(HOUR), None);
    assert_eq!((rows[0].frequency, rows[0].monetary_minor), (1, 1_000));
}

#[test]
fn a_repeated_order_tells_how_to_reach_her_and_closes_no_cart_that_was_opened_since() {
    let mut shop = Shop::with(&["segment: reachable\nversion: 1\nenter: customer.has_email && customer.cart.open\n"]);
    shop.tell(order("o1", 1_000, 0));
    shop.tell(track("Product Added", 60));
    let contact = Some(Contact { email: Some("ana@example.com".to_owned()), ..Contact::default() });
    shop.tell(StorefrontEvent { contact, consent_marketing: Some(true), ..order("o1", 1_000, 120) });
    shop.driver.restart(policy());
    assert_eq!(shop.changes(), ["+reachable by event at 120"]);
    assert_eq!((shop.state().has_email, shop.state().consent_marketing), (true, Some(true)));
}

#[test]
fn two_shops_may_number_their_orders_alike() {
    let mut shop = Shop::with(&[]);
    shop.tell(order("1001", 1_000, 0));
    shop.tell_in("other-shop", order("1001", 500, 1));
    assert_eq!(customer_rows(ANA, &shop.state(), at(HOUR), None)[0].frequency, 2);
}

/// What a shop platform tells of a cart: all of it, and the last line besides; no product where it was emptied.
fn whole_cart(lines: &[(&str, i64)], seconds: i64) -> StorefrontEvent {
    let products: Vec<_> = lines.iter().map(|(id, price)| product(id, "kitchen", *price)).collect();
    let name = if lines.is_empty() { "Product Removed" } else { "Product Added" };
    let cart_id = Some("c1".to_owned());
    StorefrontEvent { product: products.last().cloned(), products, cart_id, ..track(name, seconds) }
}

#[test]
fn a_cart_that_is_told_whole_is_that_and_is_closed_when_it_is_emptied() {
    let mut shop = Shop::with(&[]);
    shop.tell(whole_cart(&[("mug", 1_200)], 0));
    shop.tell(whole_cart(&[("mug", 1_200), ("plate", 1_990)], 60));
    let cart = shop.state().cart.unwrap();
    assert_eq!(cart.lines.iter().map(|line| line.quantity * line.price_minor).collect::<Vec<_>>(), [1_200, 1_990]);
    shop.tell(whole_cart(&[], 120));
    assert_eq!(shop.state().cart, None);
}

#[test]
fn what_a_device_tells_late_opens_no_cart_that_was_bought_since() {
    let mut shop = Shop::with(&[]);
    shop.tell(order("o1", 1_000, HOUR));
    shop.tell(track("Product Added", HOUR - 60));
    assert_eq!(shop.state().cart, None);
    assert_eq!(shop.state().totals.cart_additions, 1);
    shop.tell(track("Product Added", HOUR + 60));
    assert!(shop.state().cart.is_some());
}

#[test]
fn traits_have_room_for_what_fits_and_the_first_stay() {
    let mut shop = Shop::with(&[]);
    let identify = |name: &str, bytes: usize, seconds| StorefrontEvent {
        kind: EventKind::Identify,
        traits_json: Some(format!(r#"{{"{name}":"{}"}}"#, "x".repeat(bytes))),
        ..track("", seconds)
    };
    shop.tell(identify("first", 4_000, 0));
    shop.tell(identify("second", 100, 1));
    shop.tell(identify("first", 3_000, 2));
    shop.tell(identify("third", 1_000, 3));
    let kept = shop.state().traits_json.unwrap();
    assert!(
        kept.len() <= segmentation::MAX_TRAITS_BYTES && kept.contains("third") && !kept.contains("second"),
        "{kept}"
    );
}

#[test]
fn refunds_and_cancellations_are_taken_off_and_never_more_than_the_order_came_to() {
    let mut shop = Shop::with(&[]);
    shop.tell(order("o1", 1_000, 0));
    shop.tell(order("o2", 500, 1));
    shop.tell(refund("o1", 300, 2));
    shop.tell(refund("o1", 900, 3));
    shop.tell(StorefrontEvent { name: "Order Cancelled".to_owned(), ..order("o2", 0, 4) });
    // Of an order that nobody remembers, what is said counts.
    shop.tell(refund("long ago", 250, 5));
    let rows = customer_rows(ANA, &shop.state(), at(HOUR), None);
    assert_eq!((rows[0].frequency, rows[0].monetary_minor), (2, -250));
    assert_eq!(shop.state().seen(Did::Refunds).unwrap().last_at, at(5));
}

#[test]
fn currencies_are_kept_apart_and_a_customer_without_an_order_has_no_row() {
    let mut shop = Shop::with(&[]);
    shop.tell(refund("o0", 100, 0));
    assert_eq!(customer_rows(ANA, &shop.state(), at(HOUR), None), []);
    let mut dollars = order("o1", 700, 0);
    dollars.order.as_mut().unwrap().currency = Some("USD".to_owned());
    shop.tell(dollars);
    shop.tell(order("o2", 300, DAY));
    let rows = customer_rows(ANA, &shop.state(), at(3 * DAY), None);
    let seen: Vec<_> =
        rows.iter().map(|row| (&*row.currency, row.recency_days, row.frequency, row.monetary_minor)).collect();
    assert_eq!(seen, [("EUR", 2, 1, 200), ("USD", 2, 1, 700)]);
}

#[test]
fn a_bot_that_opens_a_message_is_nobody() {
    let mut shop = Shop::with(&[]);
    shop.tell(StorefrontEvent { properties_json: Some(r#"{"machine":true}"#.to_owned()), ..track("Email Opened", 0) });
    assert_eq!(shop.driver.states(), 0);
    shop.tell(track("Email Opened", 1));
    assert_eq!(shop.state().totals.email_opens, 1);
}

#[test]
fn what_a_shop_tells_of_its_customers_every_night_keeps_nobody_active() {
    let mut shop = Shop::with(&["segment: away\nversion: 1\nenter: customer.inactive_days >= 30\n"]);
    shop.tell(track("Product Viewed", 0));
    for day in 1..40 {
        shop.tell(StorefrontEvent { kind: EventKind::Identify, ..track("", day * DAY + 60) });
    }
    assert_eq!(shop.changes(), [format!("+away by time at {}", 30 * DAY)]);
}

#[test]
fn traits_replace_each_other_null_takes_one_away_and_addresses_are_only_known_to_be_there() {
    let mut shop = Shop::with(&[]);
    let identify = |json: &str, seconds| StorefrontEvent {
        kind: EventKind::Identify,
        traits_json: Some(json.to_owned()),
        contact: Some(Contact { email: Some("ana@example.com".to_owned()), ..Contact::default() }),
        consent_marketing: Some(seconds == 0),
        ..track("", seconds)
    };
    shop.tell(identify(r#"{"plan":"gold","age":41,"city":"Quito"}"#, 0));
    shop.tell(identify(r#"{"plan":"silver","city":null}"#, 1));
    let state = shop.state();
    assert_eq!(state.traits_json.as_deref(), Some(r#"{"age":41,"plan":"silver"}"#));
    assert_eq!((state.has_email, state.has_phone, state.consent_marketing), (true, false, Some(false)));
}

#[test]
fn favourites_are_by_what_she_did_and_what_is_long_past_weighs_less() {
    let mut shop = Shop::with(&[]);
    let of = |name: &str, category: &str, seconds| StorefrontEvent {
        product: Some(product("p1", category, 100)),
        ..track(name, seconds)
    };
    let dearest =
        |shop: &Shop| -> Vec<String> { shop.state().categories.iter().map(|category| category.name.clone()).collect() };
    shop.tell(of("Product Viewed", "hats", 0));
    shop.tell(of("Product Added", "shoes", 0));
    assert_eq!(dearest(&shop), ["shoes", "hats"]);
    // Three half-lives later one view outweighs what was put into the cart then.
    shop.tell(of("Product Viewed", "hats", 90 * DAY));
    assert_eq!(dearest(&shop), ["hats", "shoes"]);
}

#[test]
fn an_open_cart_has_a_value_until_it_is_bought_or_long_untouched() {
    let mut shop = Shop::with(&[
        "segment: rich-cart\nversion: 1\nenter: customer.cart.value_minor >= 500 && customer.cart.items == 3\n",
    ]);
    let added = |id: &str, price, seconds| StorefrontEvent {
        product: Some(product(id, "shoes", price)),
        cart_id: Some("c1".to_owned()),
        ..track("Product Added", seconds)
    };
    shop.tell(added("p1", 200, 0));
    shop.tell(added("p1", 200, 1));
    shop.tell(added("p2", 100, 2));
    assert_eq!(shop.changes(), ["+rich-cart by event at 2"]);
    shop.tell(StorefrontEvent { cart_id: Some("c1".to_owned()), ..order("o1", 500, 3) });
    assert_eq!(shop.changes(), ["-rich-cart by event at 3"]);
    shop.tell(added("p1", 600, 4));
    shop.tell(added("p1", 600, 5));
    shop.tell(added("p1", 600, 6));
    shop.driver.advance_to(at(31 * DAY));
    assert_eq!(
        shop.changes(),
        ["+rich-cart by event at 6".to_owned(), format!("-rich-cart by time at {}", 30 * DAY + 6)]
    );
}

#[test]
fn what_she_said_earlier_and_is_told_later_overrules_nothing() {
    let mut shop = Shop::with(&[]);
    let says = |consent, zone: &str, traits: &str, seconds| StorefrontEvent {
        kind: EventKind::Identify,
        consent_marketing: consent,
        traits_json: Some(traits.to_owned()),
        context_json: Some(format!(r#"{{"timezone":"{zone}"}}"#)),
        ..track("", seconds)
    };
    shop.tell(says(Some(false), "Europe/Madrid", r#"{"plan":"gold"}"#, DAY));
    // A device that was offline, or an import of old customers.
    shop.tell(says(Some(true), "Asia/Tokyo", r#"{"plan":"none","birthday":"1990-03-05"}"#, HOUR));
    let state = shop.state();
    assert_eq!(state.consent_marketing, Some(false));
    assert_eq!(state.traits_json.as_deref(), Some(r#"{"birthday":"1990-03-05","plan":"gold"}"#), "it only adds");
    assert_eq!(state.seen_time_zone.as_deref(), Some("Europe/Madrid"));
    shop.tell(says(Some(true), "Asia/Tokyo", r#"{"plan":"none"}"#, 2 * DAY));
    let state = shop.state();
    assert_eq!(state.consent_marketing, Some(true));
    assert_eq!(state.traits_json.as_deref(), Some(r#"{"birthday":"1990-03-05","plan":"none"}"#));
    assert_eq!(state.seen_time_zone.as_deref(), Some("Asia/Tokyo"));
}

#[test]
fn a_device_that_tells_late_takes_nothing_out_of_a_cart_that_was_begun_after_an_order() {
    let mut shop = Shop::with(&[]);
    let with = |name: &str, seconds| StorefrontEvent {
        product: Some(product("mug", "kitchen", 1_200)),
        ..track(name, seconds)
    };
    shop.tell(order("o1", 1_200, 11 * HOUR));
    shop.tell(with("Product Added", 12 * HOUR));
    shop.tell(with("Product Removed", 10 * HOUR));
    shop.tell(track("Product Removed", 10 * HOUR));
    assert_eq!(shop.state().cart.map(|cart| cart.lines.len()), Some(1));
    shop.tell(with("Product Removed", 13 * HOUR));
    assert_eq!(shop.state().cart, None);
}

fn in_currency(code: &str, event: StorefrontEvent) -> StorefrontEvent {
    let order = event.order.map(|order| schemas::Order { currency: Some(code.to_owned()), ..order });
    StorefrontEvent { order, ..event }
}

const CODES: [&str; 8] = ["USD", "GBP", "CHF", "JPY", "MXN", "SEK", "NOK", "DKK"];

#[test]
fn an_order_in_a_ninth_currency_is_counted_once_and_is_in_no_amount() {
    let mut shop = Shop::with(&["segment: frequent\nversion: 1\nenter: customer.last_7d.orders >= 10\n"]);
    for (number, code) in CODES.into_iter().enumerate() {
        shop.tell(in_currency(code, order(code, 1_000, number as i64)));
    }
    for number in 0..2 {
        shop.tell(order("ninth", 500, DAY + number));
        shop.tell(order("tenth", 500, DAY + HOUR + number));
    }
    shop.tell(refund("ninth", 500, 2 * DAY));
    let state = shop.state();
    assert_eq!(state.seen(Did::Orders).unwrap().last_at, at(DAY + HOUR));
    assert_eq!(state.seen(Did::Refunds).unwrap().last_at, at(2 * DAY));
    assert_eq!(state.memberships.len(), 1, "ten orders");
    let rows = customer_rows(ANA, &state, at(3 * DAY), None);
    let seen: Vec<_> = rows.iter().map(|row| (&*row.currency, row.frequency, row.monetary_minor)).collect();
    assert_eq!(seen, CODES.map(|code| (code, 1, 1_000)));
    // Not even where she orders most often in those.
    assert_eq!(state.main_currency(), Some(0));
}

#[test]
fn a_refund_takes_no_currencys_place() {
    let mut shop = Shop::with(&[]);
    for (number, code) in CODES.into_iter().enumerate() {
        shop.tell(in_currency(code, refund(code, 1_000, number as i64)));
    }
    shop.tell(order("o1", 500, DAY));
    // It was told before the order of which it is.
    shop.tell(in_currency("DKK", order("o2", 3_000, DAY + 1)));
    let rows = customer_rows(ANA, &shop.state(), at(2 * DAY), None);
    let seen: Vec<_> =
        rows.iter().map(|row| (&*row.currency, row.monetary_minor, row.windows[3..6].to_vec())).collect();
    assert_eq!(seen, [("EUR", 500, vec![1, 500, 0]), ("DKK", 2_000, vec![1, 3_000, 1_000])]);
}
