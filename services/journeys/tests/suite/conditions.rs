//! Conditions: what they see, and what happens where they have no answer.

use schemas::{Contact, Decision, EventKind, Order, Product, StorefrontEvent};

use crate::support::{ANA, DAY, HOUR, World, track};

fn journey(condition: &str) -> String {
    format!(
        "
journey: j
trigger: Product Added
correlate: cart_id
steps:
  - wait: 1h
    restart_on: Product Viewed
  - when: {condition:?}
    then: [ {{ message: {{ as: yes, template: t }} }} ]
    else: [ {{ message: {{ as: no, template: t }} }} ]
"
    )
}

/// Which way the condition takes an hour after a rich trigger.
fn way(condition: &str) -> (String, Decision, Option<String>) {
    let mut world = World::new(&journey(condition));
    let contact = Contact {
        email: Some("ana@example.com".to_owned()),
        first_name: Some("Ana".to_owned()),
        locale: Some("es".to_owned()),
        ..Contact::default()
    };
    world.event(&StorefrontEvent { kind: EventKind::Identify, contact: Some(contact), ..track(ANA, "", 0) });
    world.event(&StorefrontEvent {
        cart_id: Some("c1".to_owned()),
        product: Some(Product {
            product_id: Some("p1".to_owned()),
            category: Some("Shoes".to_owned()),
            price_minor: Some(4_999),
            ..Product::default()
        }),
        order: Some(Order { total_minor: Some(12_000), ..Order::default() }),
        properties_json: Some(r#"{"size":42,"tags":["new","red"],"gift":true,"deep":{"a":1.5}}"#.to_owned()),
        ..track(ANA, "Product Added", 60)
    });
    world.advance(DAY);
    let step = world.written.messages()[0].0.to_owned();
    let judged = world.written.decisions.iter().find(|decision| decision.step.as_deref() == Some("2"));
    let judged = judged.expect("the condition was judged");
    (step, judged.decision, judged.reason.clone())
}

#[test]
fn conditions_see_the_customer_the_event_the_run_and_the_time() {
    for condition in [
        "customer.first_name == 'Ana' && customer.has_email && !customer.has_phone",
        "customer.id == 'ana' && customer.locale.startsWith('es')",
        "customer.last_name == null",
        "event.name == 'Product Added' && event.cart_id == 'c1' && event.shop == 'demo'",
        "event.product.category == 'Shoes' && event.product.price_minor > 4000",
        "event.products.exists(p, p.product_id == 'p1') && event.products.size() == 1",
        "event.order.total_minor >= 12000",
        "event.properties.size == 42 && event.properties.gift",
        "'red' in event.properties.tags && event.properties['deep'].a > 1.0",
        "has(event.properties.size) && !has(event.properties.colour)",
        "now - event.time == millis('1h') && now - run.started_at == millis('60m')",
        "run.key == 'c1' && run.restarts == 0",
    ] {
        assert_eq!(way(condition), ("yes".to_owned(), Decision::Branched, Some("then".to_owned())), "{condition}");
    }
    assert_eq!(way("event.product.category == 'Hats'").2.as_deref(), Some("else"));
}

#[test]
fn a_condition_without_an_answer_takes_the_other_way_and_says_why() {
    for (condition, reason) in [
        ("event.properties.colour == 'red'", "missing_value"),
        ("event.product.quantity > 1", "wrong_type"),
        ("event.properties.size", "not_boolean"),
        ("event.order.total_minor / (event.order.total_minor - 12000) > 1", "arithmetic"),
        ("now - event.time > millis(event.properties.gift ? 'x' : 'y')", "failed"),
    ] {
        let (step, decision, said) = way(condition);
        assert_eq!((step.as_str(), decision, said.as_deref()), ("no", Decision::Failed, Some(reason)), "{condition}");
    }
}

#[test]
fn only_the_properties_that_conditions_read_are_kept() {
    let mut world = World::new(&journey("event.properties.size == 42"));
    let properties = Some(r#"{"size":42,"secret":"not needed"}"#.to_owned());
    world.event(&StorefrontEvent { properties_json: properties, ..track(ANA, "Product Added", 0) });
    assert_eq!(world.state().runs[0].trigger.properties_json.as_deref(), Some(r#"{"size":42}"#));
}

#[test]
fn conditions_inside_conditions_each_take_their_way() {
    let journey = "
journey: j
trigger: Product Added
steps:
  - when: 'true'
    then:
      - when: 'false'
        then: [ { message: { as: a, template: t } } ]
        else: [ { message: { as: b, template: t } }, { wait: 1h } ]
      - message: { as: c, template: t }
    else: [ end ]
  - message: { as: d, template: t }
";
    let mut world = World::new(journey);
    world.track("Product Added", 0);
    world.advance(DAY);
    assert_eq!(world.written.messages(), [("b", 0), ("c", HOUR), ("d", HOUR)]);
}
