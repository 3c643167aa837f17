//! What a message request says, what its outcome does, and what ends with the run.

use domain::Timestamp;
use schemas::{Arm, Contact, Decision, EventKind, Outcome, Product, RequestAction, StorefrontEvent};
use serde_json::Value;

use crate::support::{ANA, DAY, EVENTS, HOUR, World, product, told, track};

const CART: &str = "
journey: cart
version: 3
trigger: Product Added
correlate: cart_id
exit: { event: Order Completed, same: cart_id }
steps:
  - wait: 1h
    restart_on: { event: Product Added, same: cart_id }
  - message: { as: first, template: t, channel: [email, push], category: cart, expires: 6h }
  - wait: 23h
  - message: { as: second, template: t, category: cart }
";

fn addition(id: &str, price_minor: i64, seconds: i64) -> StorefrontEvent {
    let product = Product {
        product_id: Some(id.to_owned()),
        name: Some(format!("Product {id}")),
        url: Some(format!("https://shop.example.com/{id}")),
        price_minor: Some(price_minor),
        currency: Some("EUR".to_owned()),
        quantity: Some(2),
        ..Product::default()
    };
    let cart_id = Some("c1".to_owned());
    StorefrontEvent { product: Some(product), cart_id, ..track(ANA, "Product Added", seconds) }
}

fn identify(seconds: i64) -> StorefrontEvent {
    let contact = Contact {
        email: Some("ana@example.com".to_owned()),
        first_name: Some("Ana".to_owned()),
        locale: Some("es-ES".to_owned()),
        time_zone: Some("Europe/Madrid".to_owned()),
        ..Contact::default()
    };
    StorefrontEvent { kind: EventKind::Identify, contact: Some(contact), ..track(ANA, "", seconds) }
}

#[test]
fn an_address_that_she_had_earlier_and_is_told_later_replaces_none() {
    let mut world = World::new(CART);
    world.event(&identify(HOUR));
    let contact = Contact {
        email: Some("ana@old.example.com".to_owned()),
        last_name: Some("Vera".to_owned()),
        ..Contact::default()
    };
    world.event(&StorefrontEvent { contact: Some(contact), ..identify(0) });
    let contact = world.state().contact.unwrap();
    assert_eq!(contact.email.as_deref(), Some("ana@example.com"));
    assert_eq!(contact.last_name.as_deref(), Some("Vera"));
}

#[test]
fn her_address_is_the_one_that_she_was_told_to_have_last_whatever_else_is_told() {
    let with = |email: &str| Contact { email: Some(email.to_owned()), ..Contact::default() };
    let (mut world, named) = (World::new(CART), Contact { first_name: Some("Eva".to_owned()), ..Contact::default() });
    for (contact, seconds) in [(with("a@example.com"), 10), (named, 30), (with("b@example.com"), 20)] {
        world.event(&StorefrontEvent { contact: Some(contact), ..identify(seconds) });
    }
    assert_eq!(world.state().contact.unwrap().email.as_deref(), Some("b@example.com"));
    let mut world = World::new(CART);
    for (email, seconds) in [("a@example.com", 10), ("a@example.com", 20), ("b@example.com", 15)] {
        world.event(&StorefrontEvent { contact: Some(with(email)), ..identify(seconds) });
    }
    assert_eq!(world.state().contact.unwrap().email.as_deref(), Some("a@example.com"));
}

#[test]
fn what_she_said_once_more_is_as_new_as_when_she_last_said_it() {
    let with = |phone: &str| Contact { phone: Some(phone.to_owned()), ..Contact::default() };
    let mut world = World::new(CART);
    for (phone, seconds) in [("+34600000001", 10), ("+34600000001", 100), ("+34600000002", 50)] {
        world.event(&StorefrontEvent { contact: Some(with(phone)), ..identify(seconds) });
    }
    assert_eq!(world.state().contact.unwrap().phone.as_deref(), Some("+34600000001"));
}

#[test]
fn a_request_says_who_what_when_and_what_is_in_the_cart() {
    let mut world = World::new(CART);
    world.event(&identify(0));
    world.event(&addition("p1", 1_999, 60));
    world.event(&addition("p2", 500, 120));
    world.event(&addition("p1", 1_999, 180));
    world.advance(2 * HOUR);
    let request = &world.written.requests[0];
    assert_eq!(request.action, RequestAction::Request);
    assert_eq!((request.journey.as_str(), request.journey_version, request.step.as_str()), ("cart", 3, "first"));
    assert_eq!((request.template.as_str(), request.category.as_str()), ("t", "cart"));
    assert_eq!(request.channels, ["email", "push"]);
    let due = (180 + HOUR) * 1000;
    assert_eq!((request.due_at, request.requested_at, request.expires_at), (due, due, due + 6 * HOUR * 1000));
    let recipient = request.recipient.as_ref().unwrap();
    assert_eq!(recipient.email.as_deref(), Some("ana@example.com"));
    assert_eq!(recipient.time_zone.as_deref(), Some("Europe/Madrid"));
    let context: Value = serde_json::from_str(request.context_json.as_deref().unwrap()).unwrap();
    assert_eq!(context["customer"]["first_name"], "Ana");
    assert_eq!(context["cart"]["cart_id"], "c1");
    assert_eq!(context["cart"]["lines"][0]["name"], "Product p2");
    assert_eq!(context["cart"]["lines"][1]["quantity"], 4);
    assert_eq!(context["cart"]["lines"][1]["price"], "19,99 EUR");
    assert_eq!(context["cart"]["total"], "89,96 EUR");
    assert_eq!(context["cart"]["url"], "https://shop.example.com/p1");
    assert_eq!(context["product"]["product_id"], "p1");
    assert!(context["order"]["total"].is_null(), "what is not known is there as null");
}

#[test]
fn what_was_taken_out_of_the_cart_is_not_shown() {
    let mut world = World::new(CART);
    world.event(&addition("p1", 100, 0));
    world.event(&addition("p2", 100, 60));
    world.event(&StorefrontEvent { name: "Product Removed".to_owned(), ..addition("p1", 100, 120) });
    world.advance(2 * HOUR);
    let context: Value = serde_json::from_str(world.written.requests[0].context_json.as_deref().unwrap()).unwrap();
    let lines = context["cart"]["lines"].as_array().unwrap();
    assert_eq!(lines.iter().map(|line| line["product_id"].as_str().unwrap()).collect::<Vec<_>>(), ["p2"]);
}

#[test]
fn a_cart_that_is_told_whole_is_shown_as_it_is() {
    let mut world = World::new(CART);
    // As shop platforms do: all lines, and the last one besides.
    let whole = |ids: &[&str], seconds| StorefrontEvent {
        products: ids.iter().map(|id| product(id)).collect(),
        ..addition(ids.last().unwrap_or(&""), 100, seconds)
    };
    world.event(&whole(&["p1"], 0));
    world.event(&whole(&["p1", "p2"], 60));
    let lines = |world: &World| -> Vec<(String, Option<i64>)> {
        let cart = &world.state().carts[0];
        cart.lines.iter().map(|line| (line.product_id.clone().unwrap_or_default(), line.quantity)).collect()
    };
    assert_eq!(lines(&world), [("p1".to_owned(), None), ("p2".to_owned(), None)]);
    let emptied = StorefrontEvent { product: None, ..whole(&[], 120) };
    world.event(&StorefrontEvent { name: "Product Removed".to_owned(), ..emptied });
    assert_eq!(lines(&world), []);
}

#[test]
fn a_cart_is_bounded_and_texts_are_cut() {
    let mut world = World::new(CART);
    for n in 0..50 {
        let mut event = addition(&format!("p{n}"), 100, n);
        event.product.as_mut().unwrap().name = Some("ñ".repeat(1_000));
        world.event(&event);
    }
    let cart = &world.state().carts[0];
    assert_eq!(cart.lines.len(), journeys::MAX_ITEMS);
    assert_eq!(cart.lines.last().unwrap().product_id.as_deref(), Some("p49"));
    assert_eq!(cart.lines[0].name.as_ref().unwrap().len(), 200);
}

#[test]
fn an_exit_cancels_what_was_asked_for_and_has_no_outcome() {
    let mut world = World::new(CART);
    world.event(&addition("p1", 100, 0));
    world.advance(HOUR);
    let run_id = world.written.requests[0].run_id.clone();
    world.track_cart("Order Completed", "c1", HOUR + 60);
    assert_eq!(world.written.cancelled(), [(run_id.as_str(), "Order Completed")]);
    let cancel = world.written.requests.last().unwrap();
    assert_eq!((&cancel.message_id, &cancel.customer_id), (&run_id, &ANA.to_owned()));
    world.advance(5 * DAY);
    assert_eq!(world.written.messages().len(), 1);
}

#[test]
fn an_exit_after_the_outcome_has_nothing_to_cancel() {
    let mut world = World::new(CART);
    world.event(&addition("p1", 100, 0));
    world.advance(HOUR);
    let request = world.written.requests[0].clone();
    world.outcome(&request, Outcome::Sent);
    world.track_cart("Order Completed", "c1", HOUR + 60);
    assert!(world.written.cancelled().is_empty());
}

#[test]
fn an_outcome_reaches_the_run_once_and_is_recorded() {
    let mut world = World::new(CART);
    world.event(&addition("p1", 100, 0));
    world.advance(HOUR);
    let request = world.written.requests[0].clone();
    world.outcome(&request, Outcome::Sent);
    world.outcome(&request, Outcome::Sent);
    assert_eq!(world.written.count("cart", Decision::MessageOutcome, Some("first")), 1);
    assert_eq!(world.driver.counts()[&("messaging.outcomes", "ignored", "outcome_known")], 1);
    assert_eq!(world.state().runs[0].step("first").unwrap().outcome.as_deref(), Some("sent"));
}

#[test]
fn the_outcome_of_a_run_that_is_over_is_recorded_all_the_same() {
    let mut world = World::new(CART);
    world.event(&addition("p1", 100, 0));
    world.advance(HOUR);
    let request = world.written.requests[0].clone();
    world.track_cart("Order Completed", "c1", HOUR + 60);
    world.outcome(&request, Outcome::Cancelled);
    let last = world.written.decisions.last().unwrap();
    assert_eq!((last.decision, last.reason.as_deref()), (Decision::MessageOutcome, Some("cancelled")));
    assert_eq!(last.message_id.as_deref(), Some(request.message_id.as_str()));
}

#[test]
fn the_trace_of_the_trigger_leads_to_what_a_timer_asks_for_a_day_later() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut world = World::new(CART);
    let value = told(&addition("p1", 100, 0));
    world.driver.input_traced(EVENTS, ANA, Some(&value), Timestamp::from_millis(0), Some(trace));
    world.restart();
    world.driver.advance_to(Timestamp::from_seconds(DAY));
    let outputs = world.driver.traced_outputs();
    assert!(!outputs.is_empty());
    assert!(outputs.iter().all(|emitted| emitted.trace.as_deref() == Some(trace)));
    let requests = outputs.iter().filter_map(|emitted| match &emitted.output {
        journeys::Output::Request(request) => request.traceparent.as_deref().filter(|_| emitted.by_timer),
        journeys::Output::Decision(_) | journeys::Output::Forgotten(_) => None,
    });
    assert_eq!(requests.collect::<Vec<_>>(), [trace, trace]);
}

#[test]
fn a_held_out_customer_walks_the_same_steps_and_gets_nothing() {
    let held_out = format!("{CART}holdout: 100%\n");
    let (mut treated, mut held) = (World::new(CART), World::new(&held_out));
    for world in [&mut treated, &mut held] {
        world.event(&addition("p1", 100, 0));
        world.event(&addition("p1", 100, 600));
        world.advance(HOUR + 600);
        world.track_cart("Order Completed", "c1", 5 * HOUR);
        world.advance(3 * DAY);
    }
    assert!(held.written.requests.is_empty());
    assert!(held.written.decisions.iter().all(|decision| decision.arm == Arm::Holdout));
    let tell = |world: &World| -> Vec<_> {
        let plain =
            |decision| if decision == Decision::MessageWithheld { Decision::MessageRequested } else { decision };
        let decisions = world.written.decisions.iter();
        decisions.map(|d| (plain(d.decision), d.step.clone(), d.at, d.message_id.clone())).collect()
    };
    assert_eq!(tell(&treated), tell(&held));
}

#[test]
fn her_arm_is_drawn_once_and_kept_when_the_share_changes() {
    let mut world = World::new(CART);
    world.event(&addition("p1", 100, 0));
    world.track_cart("Order Completed", "c1", 60);
    world.apply_text(&format!("{}holdout: 100%\n", CART.replace("version: 3", "version: 4")));
    world.event(&addition("p1", 100, DAY));
    world.advance(DAY + HOUR);
    assert_eq!(world.written.messages().len(), 1);
    assert_eq!(world.written.requests[0].journey_version, 4);
}
