//! Versions, pause, resume and stop.

use schemas::{Decision, Definition, DefinitionStatus};

use crate::support::{DAY, HOUR, World, definitions};

const CART: &str = "
journey: cart
version: 1
trigger: Product Added
exit: Order Completed
steps:
  - wait: 1h
  - message: { as: first, template: t, category: cart }
  - wait: 23h
  - message: { as: second, template: t, category: cart }
";

#[test]
fn a_run_ends_on_the_version_that_it_began_with() {
    let mut world = World::new(CART);
    world.track("Product Added", 0);
    world.apply_text(&CART.replace("version: 1", "version: 2").replace("wait: 1h", "wait: 2h"));
    world.advance(2 * DAY);
    assert_eq!(world.written.messages(), [("first", HOUR), ("second", DAY)]);
    world.track("Product Added", 3 * DAY);
    world.advance(3 * DAY + 3 * HOUR);
    assert_eq!(world.written.messages().last(), Some(&("first", 3 * DAY + 2 * HOUR)));
}

#[test]
fn a_run_whose_version_is_gone_ends_and_says_so() {
    let mut world = World::new(CART);
    world.track("Product Added", 0);
    let (key, definition) = definitions(CART).into_iter().find(|(key, _)| key == "journey/cart/1").unwrap();
    world.apply(&key, &Definition { status: DefinitionStatus::Deleted, ..definition });
    world.advance(DAY);
    let last = world.written.decisions.last().unwrap();
    assert_eq!((last.decision, last.reason.as_deref()), (Decision::Exited, Some("definition_gone")));
    assert!(world.written.messages().is_empty());
    world.track("Product Added", 2 * DAY);
    assert!(world.state().runs.is_empty());
}

#[test]
fn a_paused_run_holds_before_its_next_message_and_goes_on_when_it_is_resumed() {
    let mut world = World::new(CART);
    world.track("Product Added", 0);
    world.control("cart", 1, DefinitionStatus::Paused, 60);
    world.advance(5 * HOUR);
    assert!(world.written.messages().is_empty());
    assert_eq!(world.written.count("cart", Decision::Paused, Some("first")), 1);
    world.restart();
    world.control("cart", 2, DefinitionStatus::Active, 6 * HOUR);
    assert_eq!(world.written.messages(), [("first", 6 * HOUR)], "due when it was resumed");
    world.advance(2 * DAY);
    assert_eq!(world.written.messages()[1], ("second", 29 * HOUR));
}

#[test]
fn a_pause_cancels_what_is_not_claimed_and_lets_nobody_in() {
    let mut world = World::new(CART);
    world.track("Product Added", 0);
    world.advance(HOUR);
    world.control("cart", 1, DefinitionStatus::Paused, HOUR + 60);
    assert_eq!(world.written.cancelled().len(), 1);
    assert_eq!(world.written.cancelled()[0].1, "paused");
    world.control("cart", 2, DefinitionStatus::Active, HOUR + 120);
    world.advance(2 * DAY);
    assert_eq!(world.written.messages(), [("first", HOUR), ("second", DAY)], "the wait was not held up");
    assert_eq!(world.written.cancelled().len(), 1);
    world.control("cart", 3, DefinitionStatus::Paused, 3 * DAY);
    world.track("Product Added", 3 * DAY + 60);
    assert_eq!(world.written.refusals(), ["paused"]);
}

#[test]
fn an_exit_ends_a_paused_run_too() {
    let mut world = World::new(CART);
    world.track("Product Added", 0);
    world.control("cart", 1, DefinitionStatus::Paused, 60);
    world.advance(5 * HOUR);
    world.track("Order Completed", 6 * HOUR);
    world.control("cart", 2, DefinitionStatus::Active, 7 * HOUR);
    world.advance(3 * DAY);
    assert!(world.written.messages().is_empty());
    assert_eq!(world.written.count("cart", Decision::Exited, None), 1);
}

#[test]
fn a_stop_cancels_at_once_what_is_not_claimed_and_ends_the_others_when_they_are_due() {
    let mut world = World::new(CART);
    world.track("Product Added", 0);
    world.advance(HOUR);
    world.control("cart", 1, DefinitionStatus::Stopped, HOUR + 60);
    assert_eq!(world.written.cancelled().len(), 1);
    assert_eq!(world.written.count("cart", Decision::Stopped, None), 1);

    let mut world = World::new(CART);
    world.track("Product Added", 0);
    world.control("cart", 1, DefinitionStatus::Stopped, 60);
    assert_eq!(world.state().runs.len(), 1, "nothing is to be cancelled: its timer ends it");
    world.advance(HOUR);
    assert!(world.state().runs.is_empty());
    assert!(world.written.messages().is_empty());
    world.track("Product Added", DAY);
    assert_eq!(world.written.refusals(), ["stopped"]);
}

#[test]
fn what_was_stopped_stays_stopped_when_the_journey_is_resumed() {
    let mut world = World::new(CART);
    world.track("Product Added", 0);
    world.control("cart", 1, DefinitionStatus::Stopped, 60);
    world.control("cart", 2, DefinitionStatus::Active, 120);
    world.advance(DAY);
    assert!(world.written.messages().is_empty());
    world.track("Product Added", 2 * DAY);
    world.advance(2 * DAY + HOUR);
    assert_eq!(world.written.messages(), [("first", 2 * DAY + HOUR)]);
}

#[test]
fn a_definition_that_can_not_be_read_leaves_the_policy_as_it_was() {
    let mut world = World::new(CART);
    let bad = Definition {
        kind: "journey".to_owned(),
        name: "cart".to_owned(),
        version: 2,
        body: "journey: cart\nversion: 2\ntrigger: Product Added\nsteps: [ { wiat: 1h } ]\n".to_owned(),
        ..Definition::default()
    };
    let value = crate::support::encode("platform.definitions", &bad);
    let poison = world.driver.table(0, "journey/cart/2", Some(&value)).unwrap_err();
    assert_eq!(poison.reason, "invalid_definition");
    assert!(poison.detail.contains("there is no step `wiat`; did you mean `wait`?"), "{}", poison.detail);
    world.track("Product Added", 0);
    world.advance(HOUR);
    assert_eq!(world.written.messages(), [("first", HOUR)]);
}

#[test]
fn kinds_of_definitions_that_are_not_for_journeys_are_passed_over() {
    let mut world = World::new(CART);
    world.driver.table(0, "segment/vip/1", Some(b"whatever")).unwrap();
    world.driver.table(0, "template/t/1", None).unwrap();
    assert_eq!(world.driver.table(0, "nonsense", None).unwrap_err().reason, "malformed");
}
