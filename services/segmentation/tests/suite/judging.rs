//! Segments are entered and left at the right moment, once, with what brought it about.

use schemas::{EventKind, StorefrontEvent};

use segmentation::{Policy, preview};

use crate::support::{ANA, DAY, HOUR, Shop, at, order, segment, track};

const LAPSED: &str = "segment: lapsed\nversion: 1\nenter: customer.frequency > 0 && customer.recency_days >= 90\n";
const BUYER: &str = "segment: buyer\nversion: 1\nenter: customer.last_30d.orders >= 2\n";

#[test]
fn no_order_for_ninety_days_needs_no_event_and_happens_at_the_very_moment_and_once() {
    let mut shop = Shop::with(&[LAPSED]);
    shop.tell(order("o1", 1_000, 5 * HOUR));
    shop.driver.advance_to(at(90 * DAY + 5 * HOUR - 1));
    assert_eq!(shop.changes(), [""; 0]);
    shop.driver.advance_to(at(200 * DAY));
    assert_eq!(shop.changes(), [format!("+lapsed by time at {}", 90 * DAY + 5 * HOUR)]);
    shop.driver.advance_to(at(400 * DAY));
    shop.tell(order("o2", 1_000, 401 * DAY));
    assert_eq!(shop.changes(), [format!("-lapsed by event at {}", 401 * DAY)]);
}

#[test]
fn an_order_in_time_puts_the_moment_off() {
    let mut shop = Shop::with(&[LAPSED]);
    shop.tell(order("o1", 1_000, 0));
    shop.tell(order("o2", 1_000, 89 * DAY));
    shop.driver.advance_to(at(178 * DAY));
    assert_eq!(shop.changes(), [""; 0]);
    shop.driver.advance_to(at(179 * DAY));
    assert_eq!(shop.changes(), [format!("+lapsed by time at {}", 179 * DAY)]);
}

#[test]
fn a_window_is_left_with_the_day_that_falls_out_of_it() {
    let mut shop = Shop::with(&[BUYER]);
    shop.tell(order("o1", 1_000, 5 * HOUR));
    shop.tell(order("o2", 1_000, 10 * DAY + 7 * HOUR));
    assert_eq!(shop.changes(), [format!("+buyer by event at {}", 10 * DAY + 7 * HOUR)]);
    // The first order's day is in the window of 30 days until the 30th day after it begins.
    shop.driver.advance_to(at(100 * DAY));
    assert_eq!(shop.changes(), [format!("-buyer by time at {}", 30 * DAY)]);
}

#[test]
fn who_is_in_a_segment_with_a_condition_to_leave_stays_until_that_holds() {
    let mut shop = Shop::with(&[
        "segment: keen\nversion: 1\nenter: customer.last_7d.product_views >= 3\nleave: customer.inactive_days >= 20\n",
    ]);
    for hour in 0..3 {
        shop.tell(track("Product Viewed", hour * HOUR));
    }
    shop.driver.advance_to(at(19 * DAY));
    assert_eq!(shop.changes(), [format!("+keen by event at {}", 2 * HOUR)]);
    shop.driver.advance_to(at(30 * DAY));
    assert_eq!(shop.changes(), [format!("-keen by time at {}", 20 * DAY + 2 * HOUR)]);
}

#[test]
fn nobody_comes_in_who_would_have_to_leave_at_once() {
    let mut shop = Shop::with(&[
        "segment: often\nversion: 1\nenter: customer.frequency >= 1\nleave: customer.recency_days >= 10\n",
    ]);
    shop.tell(order("o1", 1_000, 0));
    shop.driver.advance_to(at(20 * DAY));
    shop.tell(track("Product Viewed", 21 * DAY));
    shop.tell(order("o2", 1_000, 22 * DAY));
    let expected = [
        "+often by event at 0".to_owned(),
        format!("-often by time at {}", 10 * DAY),
        format!("+often by event at {}", 22 * DAY),
    ];
    assert_eq!(shop.changes(), expected);
}

#[test]
fn nobody_leaves_before_the_minimum_stay_is_over_and_then_at_once() {
    let mut shop = Shop::with(&["segment: open\nversion: 1\nenter: customer.cart.open\nminimum_stay: 3d\n"]);
    shop.tell(track("Product Added", 0));
    shop.tell(order("o1", 1_000, HOUR));
    shop.driver.advance_to(at(3 * DAY - 1));
    assert_eq!((shop.changes(), shop.segments()), (vec!["+open by event at 0".to_owned()], vec!["open".to_owned()]));
    shop.driver.advance_to(at(4 * DAY));
    assert_eq!(shop.changes(), [format!("-open by time at {}", 3 * DAY)]);
}

fn of_group(name: &str, priority: i32, enter: &str) -> String {
    format!("segment: {name}\nversion: 1\ngroup: lifecycle\npriority: {priority}\nenter: {enter}\n")
}

#[test]
fn of_a_group_she_is_in_the_one_that_holds_and_has_the_highest_priority_and_leaves_before_she_enters() {
    let vip = of_group("vip", 9, "customer.monetary_minor >= 100000");
    let loyal = of_group("loyal", 5, "customer.frequency >= 2");
    let new = of_group("new", 1, "true");
    let mut shop = Shop::with(&[&new, &vip, &loyal]);
    shop.tell(order("o1", 1_000, 0));
    shop.tell(order("o2", 1_000, 1));
    shop.tell(order("o3", 100_000, 2));
    let expected = [
        "+new by event at 0",
        "-new by event at 1",
        "+loyal by event at 1",
        "-loyal by event at 2",
        "+vip by event at 2",
    ];
    assert_eq!(shop.changes(), expected);
    assert_eq!(shop.segments(), ["vip"]);
}

#[test]
fn a_new_segment_takes_in_who_is_there_as_of_when_it_was_applied_and_as_history() {
    let mut shop = Shop::with(&[]);
    shop.tell(order("o1", 1_000, 0));
    shop.driver.advance_to(at(200 * DAY));
    shop.apply(LAPSED, 200 * DAY);
    let changes = shop.records();
    let seen: Vec<_> =
        changes.iter().map(|change| (&*change.segment, change.at, change.historical, change.segment_version)).collect();
    assert_eq!(seen, [("lapsed", at(200 * DAY).as_millis(), true, 1)]);
}

#[test]
fn a_preview_says_what_applying_would_do_and_does_nothing() {
    let open = "segment: open\nversion: 1\nenter: customer.cart.open\nminimum_stay: 30d\n";
    let mut shop = Shop::with(&[open]);
    shop.tell(order("o1", 1_000, 0));
    shop.tell(track("Product Added", 95 * DAY));
    shop.tell(StorefrontEvent { cart_id: None, ..track("Product Viewed", 96 * DAY) });
    let before = shop.state();
    let mut policy = Policy::default();
    for text in [open, LAPSED, BUYER] {
        policy.insert(segment(text));
    }
    let seen = preview(&policy, &ANA.into(), &before, at(100 * DAY));
    shop.apply(LAPSED, 100 * DAY);
    shop.apply(BUYER, 100 * DAY);
    assert_eq!(seen.iter().map(|name| &**name).collect::<Vec<_>>(), ["lapsed", "open"]);
    assert_eq!(seen.iter().map(ToString::to_string).collect::<Vec<_>>(), shop.segments());
}

#[test]
fn what_time_does_after_a_definition_was_applied_is_no_history() {
    let mut shop = Shop::with(&[]);
    shop.tell(order("o1", 1_000, 0));
    shop.driver.advance_to(at(50 * DAY));
    shop.apply(LAPSED, 50 * DAY);
    shop.driver.advance_to(at(100 * DAY));
    let changes = shop.records();
    let seen: Vec<_> = changes.iter().map(|change| (change.at, change.historical)).collect();
    assert_eq!(seen, [(at(90 * DAY).as_millis(), false)]);
}

#[test]
fn what_time_does_at_the_moment_at_which_she_hears_of_a_definition_is_times_doing_and_news() {
    let mut shop = Shop::with(&[LAPSED]);
    shop.tell(order("o1", 1_000, 0));
    // Before she is told of it her timer comes: both are read in one batch.
    shop.apply(BUYER, 90 * DAY - 1);
    shop.driver.advance_to(at(90 * DAY));
    let changes = shop.records();
    let lapsed: Vec<_> = changes.iter().map(|change| (&*change.segment, change.cause, change.historical)).collect();
    assert_eq!(lapsed, [("lapsed", schemas::ChangeCause::Time, false)]);
}

#[test]
fn what_a_new_definition_makes_of_her_is_not_put_down_to_what_she_did_then() {
    let mut shop = Shop::with(&[]);
    shop.tell(order("o1", 1_000, 0));
    shop.apply("segment: bought\nversion: 1\nenter: customer.frequency >= 1\n", DAY);
    shop.tell(track("Product Viewed", 2 * DAY));
    assert_eq!(shop.changes(), [format!("+bought by definition at {DAY}")]);
}

#[test]
fn before_her_backlog_is_read_nobody_is_judged_as_of_a_later_time() {
    let mut shop = Shop::with(&[]);
    shop.tell(track("Product Added", 0));
    shop.driver.advance_to(at(HOUR));
    // Applied a day later, while what she did since still waits.
    shop.apply_while_behind(
        "segment: left\nversion: 1\nenter: customer.cart.open && customer.cart.idle_hours >= 12\n",
        DAY,
    );
    shop.tell(order("o1", 1_000, 2 * HOUR));
    shop.driver.advance_to(at(DAY));
    assert_eq!(shop.changes(), [""; 0]);
}

#[test]
fn what_a_machine_does_right_after_a_definition_was_applied_writes_nothing_that_is_not_kept() {
    let mut shop = Shop::with(&[]);
    shop.tell(order("o1", 1_000, 0));
    let bot = Some(r#"{"machine":true}"#.to_owned());
    shop.apply("segment: bought\nversion: 1\nenter: customer.frequency >= 1\n", DAY);
    shop.tell(StorefrontEvent { properties_json: bot, ..track("Email Opened", 2 * DAY) });
    shop.tell(track("Product Viewed", 3 * DAY));
    assert_eq!(shop.changes(), [format!("+bought by definition at {DAY}")]);
}

#[test]
fn each_of_several_changes_at_one_moment_of_hers_has_an_id_of_its_own() {
    let mut shop = Shop::with(&["segment: open\nversion: 1\nenter: customer.cart.open\n"]);
    shop.tell(track("Product Viewed", HOUR));
    for (name, seconds) in [("Product Added", 1), ("Product Removed", 2), ("Product Added", 3)] {
        shop.tell(track(name, seconds));
    }
    let ids: std::collections::BTreeSet<String> = shop.records().into_iter().map(|change| change.change_id).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn a_definition_makes_no_state_of_whom_nothing_is_known() {
    let mut shop = Shop::with(&[]);
    shop.driver.input_traced(crate::support::EVENTS, ANA, None, at(0), None);
    shop.apply("segment: nobody\nversion: 1\nenter: '!customer.known'\n", DAY);
    shop.driver.advance_to(at(2 * DAY));
    assert!(shop.state().is_nobody());
    assert_eq!((shop.driver.states(), shop.changes().len()), (1, 0), "that she was erased is all that is kept");
}

#[test]
fn a_segment_that_is_gone_is_left_and_one_that_says_something_else_is_judged_anew() {
    let bought = "segment: bought\nversion: 1\nenter: customer.frequency >= 1\n";
    let mut shop = Shop::with(&[bought]);
    shop.tell(order("o1", 1_000, 0));
    shop.apply("segment: bought\nversion: 2\nenter: customer.frequency >= 2\n", DAY);
    shop.apply("segment: bought\nversion: 3\nenter: customer.frequency >= 1\n", 2 * DAY);
    for version in [3, 2, 1] {
        shop.delete(&bought.replace("version: 1", &format!("version: {version}")), 3 * DAY);
    }
    let changes = shop.changes();
    assert_eq!(
        changes[..3],
        [
            "+bought by event at 0".to_owned(),
            format!("-bought by definition at {DAY}"),
            format!("+bought by definition at {}", 2 * DAY),
        ]
    );
    assert_eq!(changes.last().unwrap(), &format!("-bought by removed at {}", 3 * DAY));
}

#[test]
fn records_of_other_definitions_touch_nobody() {
    let mut shop = Shop::with(&[LAPSED]);
    shop.tell(order("o1", 1_000, 0));
    let before = shop.state();
    let template = schemas::Definition { kind: "template".to_owned(), name: "t".to_owned(), ..Default::default() };
    let value = stream::encode("platform.definitions", &template);
    shop.driver.table(0, "template/t/1", Some(&value)).unwrap();
    shop.driver.advance_to(at(DAY));
    assert_eq!(shop.state(), before);
}

#[test]
fn a_change_says_what_its_condition_read_but_no_trait_and_which_event_brought_it_about() {
    let mut shop =
        Shop::with(&["segment: gold\nversion: 4\nenter: customer.traits.plan == 'gold' && customer.frequency >= 1\n"]);
    shop.tell(StorefrontEvent {
        kind: EventKind::Identify,
        traits_json: Some(r#"{"plan": "gold"}"#.to_owned()),
        ..track("", 0)
    });
    shop.tell(order("o1", 1_000, HOUR));
    let [change] = &shop.records()[..] else { panic!("one change") };
    assert_eq!(change.detail_json.as_deref(), Some(r#"{"frequency":1}"#));
    assert_eq!(
        (change.trigger_name.as_deref(), change.trigger_message_id.as_deref()),
        (Some("Order Completed"), Some("m2"))
    );
    assert_eq!((change.segment_version, change.hops, &*change.shop), (4, 1, "shop"));
}

#[test]
fn a_lead_score_falls_with_time_and_its_segment_is_left_at_the_moment() {
    let mut shop = Shop::with(&["segment: hot\nversion: 1\nenter: customer.lead_score >= 30\n"]);
    // Just seen 25, an open cart 12, two points of interest for what is in it.
    shop.tell(track("Product Added", 0));
    shop.driver.advance_to(at(60 * DAY));
    // After a day 18 + 12 + 2; after a week 10 + 12 + 2.
    assert_eq!(shop.changes(), ["+hot by event at 0".to_owned(), format!("-hot by time at {}", 7 * DAY)]);
}

#[test]
fn who_is_erased_or_not_known_and_silent_for_long_leaves_everything() {
    let seen = "segment: seen\nversion: 1\nenter: 'true'\n";
    let mut shop = Shop::with(&[seen]);
    shop.tell(StorefrontEvent { user_id: None, anonymous_id: Some("a1".to_owned()), ..track("Product Viewed", 0) });
    shop.driver.advance_to(at(90 * DAY));
    assert_eq!(shop.changes(), ["+seen by event at 0".to_owned(), format!("-seen by forgotten at {}", 90 * DAY)]);
    assert_eq!(shop.driver.states(), 0);
    shop.tell(track("Product Viewed", 91 * DAY));
    shop.driver.input_traced(crate::support::EVENTS, crate::support::ANA, None, at(92 * DAY), None);
    assert_eq!(shop.changes().len(), 2);
    assert!(shop.state().is_nobody());
}
