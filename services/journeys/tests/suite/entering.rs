//! Triggers: what opens a run, what does not, and which runs are one.

use journeys::Settings;
use schemas::{Contact, Decision, EventKind, StorefrontEvent};

use crate::support::{ANA, DAY, EVENTS, HOUR, World, story, track};

const CART: &str = "
journey: cart
trigger: { event: Product Added }
correlate: cart_id
exit: [ { event: Order Completed, same: cart_id } ]
steps: [ { wait: 1h }, { message: { as: first, template: t, category: cart } } ]
";

#[test]
fn a_trigger_while_the_run_is_active_opens_no_second_one() {
    let mut world = World::new(CART);
    world.track("Product Added", 0);
    world.track("Product Added", 600);
    world.advance(DAY);
    assert_eq!(world.written.messages(), [("first", HOUR)]);
    assert_eq!(world.driver.counts()[&(EVENTS, "emitted", "")], 2, "the second one changes the cart");
}

#[test]
fn each_cart_has_its_run_and_is_left_by_its_own_purchase_alone() {
    let mut world = World::new(CART);
    world.track_cart("Product Added", "a", 0);
    world.track_cart("Product Added", "b", 60);
    world.track_cart("Order Completed", "a", 120);
    world.advance(DAY);
    assert_eq!(world.written.messages(), [("first", 60 + HOUR)]);
}

#[test]
fn a_purchase_that_names_no_cart_leaves_all_of_them() {
    let mut world = World::new(CART);
    world.track_cart("Product Added", "a", 0);
    world.track_cart("Product Added", "b", 60);
    world.track("Order Completed", 120);
    world.advance(DAY);
    assert_eq!(world.written.messages(), []);
    assert_eq!(world.written.count("cart", Decision::Exited, None), 2);
}

#[test]
fn an_addition_that_names_no_cart_means_the_open_one() {
    let mut world = World::new(CART);
    world.track_cart("Product Added", "a", 0);
    world.track("Product Added", 60);
    assert_eq!(world.written.count("cart", Decision::Entered, None), 1);
    assert_eq!(world.state().carts.len(), 1);
}

#[test]
fn a_run_of_a_nameless_cart_is_left_by_any_purchase() {
    let mut world = World::new(CART);
    world.track("Product Added", 0);
    world.track_cart("Order Completed", "whatever", 60);
    world.advance(DAY);
    assert_eq!(world.written.messages(), []);
}

#[test]
fn what_a_run_is_correlated_by_of_a_property_ends_it_and_is_told_by_its_hash_alone() {
    let journey = "
journey: quote
trigger: { event: Quote Asked }
correlate: properties.mail
exit: [ { event: Quote Declined, same: properties.mail } ]
steps: [ { wait: 1h }, { message: { as: first, template: t } } ]
";
    let mut world = World::new(journey);
    let about = |event: &str, mail: &str, seconds| StorefrontEvent {
        properties_json: Some(format!(r#"{{"mail":"{mail}"}}"#)),
        ..track(ANA, event, seconds)
    };
    world.event(&about("Quote Asked", "ana@example.com", 0));
    world.event(&about("Quote Asked", "work@example.com", 60));
    world.event(&about("Quote Declined", "ana@example.com", 120));
    world.advance(DAY);
    assert_eq!(world.written.messages(), [("first", 60 + HOUR)]);
    assert!(!world.written.decisions.is_empty());
    for decision in &world.written.decisions {
        let key = decision.correlation_key.as_deref().unwrap();
        assert!(key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    }
}

#[test]
fn after_a_run_reentry_says_how_long_until_another() {
    let journey = "
journey: browse
trigger: Product Viewed
reentry: { after: 7d }
steps: [ { wait: 4h }, { message: { as: first, template: t } } ]
";
    let mut world = World::new(journey);
    world.track("Product Viewed", 0);
    world.track("Product Viewed", 2 * DAY);
    world.track("Product Viewed", 7 * DAY + 4 * HOUR - 1);
    world.track("Product Viewed", 7 * DAY + 4 * HOUR);
    world.advance(30 * DAY);
    assert_eq!(world.written.messages(), [("first", 4 * HOUR), ("first", 7 * DAY + 8 * HOUR)]);
    assert_eq!(world.written.refusals(), ["reentry", "reentry"]);
}

#[test]
fn a_trigger_that_comes_after_an_exit_that_happened_later_opens_no_run() {
    let mut world = World::new(CART);
    world.track_cart("Order Completed", "a", HOUR);
    world.track_cart("Product Added", "a", HOUR - 60);
    world.track_cart("Product Added", "b", HOUR - 60);
    assert_eq!(world.written.refusals(), ["exited_later"]);
    assert_eq!(world.written.count("cart", Decision::Entered, None), 1, "the other cart was not bought");
}

#[test]
fn an_exit_is_remembered_for_a_day_and_then_forgotten() {
    let mut world = World::new(CART);
    world.track("Order Completed", 0);
    assert_eq!(world.state().past_exits.len(), 1);
    world.advance(DAY);
    assert!(world.state().past_exits.is_empty());
}

#[test]
fn a_trigger_that_reached_the_broker_a_day_late_opens_no_run_but_in_a_replay() {
    let late = StorefrontEvent { received_at: (DAY + 1) * 1000, ..track(ANA, "Product Added", 0) };
    let just = StorefrontEvent { received_at: DAY * 1000, ..track(ANA, "Product Added", 0) };
    for (event, settings, refusals) in [
        (&late, Settings::default(), vec!["too_late"]),
        (&just, Settings::default(), vec![]),
        (&late, Settings { replay: true, ..Settings::default() }, vec![]),
    ] {
        let mut world = World::with(CART, settings);
        world.event(event);
        assert_eq!(world.written.refusals(), refusals);
    }
}

#[test]
fn imported_history_opens_no_run_unless_the_installation_says_so() {
    let event = StorefrontEvent { historical: true, ..track(ANA, "Product Added", 0) };
    let mut world = World::new(CART);
    world.event(&event);
    assert!(world.written.decisions.is_empty());
    let mut world = World::with(CART, Settings { open_from_history: true, ..Settings::default() });
    world.event(&event);
    assert_eq!(world.written.count("cart", Decision::Entered, None), 1);
}

#[test]
fn imported_history_from_before_the_run_does_not_end_it() {
    let mut world = World::new(CART);
    world.track("Product Added", DAY);
    world.event(&StorefrontEvent { historical: true, ..track(ANA, "Order Completed", 0) });
    assert_eq!(world.state().runs.len(), 1);
}

#[test]
fn what_went_round_too_often_opens_no_run() {
    let mut world = World::new(CART);
    world.event(&StorefrontEvent { hops: 16, ..track(ANA, "Product Added", 0) });
    assert_eq!(world.written.refusals(), ["too_many_hops"]);
}

#[test]
fn several_events_may_open_a_run() {
    let journey = "
journey: either
trigger: [ { event: Product Viewed }, { event: Product Added } ]
steps: [ { wait: 1h }, { message: { template: t } } ]
";
    for name in ["Product Viewed", "Product Added"] {
        let mut world = World::new(journey);
        world.track(name, 0);
        world.advance(DAY);
        assert_eq!(world.written.messages(), [("2", HOUR)]);
    }
}

#[test]
fn a_page_named_like_an_event_is_none() {
    let mut world = World::new(CART);
    world.event(&StorefrontEvent { kind: EventKind::Page, ..track(ANA, "Product Added", 0) });
    assert!(world.written.decisions.is_empty());
    assert_eq!(world.driver.counts()[&(EVENTS, "ignored", "no_journey")], 1);
}

#[test]
fn an_alias_and_a_group_are_ignored_by_name() {
    let mut world = World::new(CART);
    for kind in [EventKind::Alias, EventKind::Group] {
        world.event(&StorefrontEvent { kind, ..track(ANA, "", 0) });
    }
    assert_eq!(world.driver.counts()[&(EVENTS, "ignored", "alias")], 1);
    assert_eq!(world.driver.counts()[&(EVENTS, "ignored", "group")], 1);
}

#[test]
fn an_event_that_ends_a_run_may_open_the_next() {
    let journey = "
journey: again
trigger: Checkout Started
exit: Checkout Started
steps: [ { wait: 1h }, { message: { as: first, template: t } } ]
";
    let mut world = World::new(journey);
    world.track("Checkout Started", 0);
    world.track("Checkout Started", 600);
    world.advance(DAY);
    assert_eq!(world.written.messages(), [("first", 600 + HOUR)]);
    assert_eq!(
        story(&world.written.decisions)[..3],
        ["Entered@0", "Exited 1 (Checkout Started)@600", "Entered@600"].map(str::to_owned)
    );
}

#[test]
fn runs_that_begin_at_the_same_moment_have_ids_of_their_own() {
    let journey = "
journey: again
trigger: Checkout Started
exit: Checkout Started
steps: [ { wait: 1h }, { message: { as: first, template: t } } ]
";
    let mut world = World::new(journey);
    for n in 0..3 {
        world.event(&StorefrontEvent { message_id: format!("m{n}"), ..track(ANA, "Checkout Started", 0) });
    }
    let mut ids: Vec<_> = world
        .written
        .decisions
        .iter()
        .filter(|decision| decision.decision == Decision::Entered)
        .map(|decision| decision.run_id.clone())
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[test]
fn an_anonymous_customer_is_forgotten_after_three_months_and_a_known_one_is_not() {
    let mut world = World::new(CART);
    world.track("Product Added", 0);
    world.advance(200 * DAY);
    assert!(world.driver.state(ANA).is_none());
    let mut world = World::new(CART);
    world.track("Product Added", 0);
    let contact = Some(Contact { email: Some("ana@example.com".to_owned()), ..Contact::default() });
    world.event(&StorefrontEvent { kind: EventKind::Identify, contact, ..track(ANA, "", 60) });
    world.advance(200 * DAY);
    let state = world.state();
    assert!(state.runs.is_empty() && state.carts.is_empty() && state.past_runs.is_empty());
    assert_eq!(state.contact.and_then(|contact| contact.email).as_deref(), Some("ana@example.com"));
}

#[test]
fn who_is_forgotten_is_asked_for_nothing_more_and_messaging_hears_of_it() {
    let mut world = World::new(CART);
    world.track("Product Added", 0);
    world.advance(2 * HOUR);
    world.track("Product Added", 3 * HOUR);
    world.driver.input_traced(EVENTS, ANA, None, crate::support::at(3 * HOUR + 60), None);
    world.advance(DAY);
    assert!(world.driver.state(ANA).is_none());
    assert_eq!(world.written.messages(), [("first", HOUR)], "the second run came to nothing");
    assert_eq!(story(&world.written.decisions).last().unwrap(), "Exited 1 (erased)@10800");
    assert_eq!(world.written.forgotten, [ANA]);
}

#[test]
fn messaging_hears_also_of_who_is_forgotten_and_was_not_known_here() {
    let mut world = World::new(CART);
    world.driver.input_traced(EVENTS, ANA, None, crate::support::at(60), None);
    world.advance(DAY);
    assert_eq!((world.written.forgotten, world.written.decisions.len()), (vec![ANA.to_owned()], 0));
}

#[test]
fn what_can_not_be_read_goes_to_the_dead_letters_with_its_reason() {
    let mut world = World::new(CART);
    world.driver.input(EVENTS, ANA, b"\x00\x00\x00", crate::support::at(0));
    world.driver.input(EVENTS, "", b"", crate::support::at(0));
    let reasons: Vec<_> = world.driver.dead_letters().iter().map(|letter| letter.poison.reason).collect();
    assert_eq!(reasons, ["malformed", "no_key"]);
}
