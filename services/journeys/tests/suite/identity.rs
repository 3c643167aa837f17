//! A visitor is recognised: her open cart may begin a run then, and nothing else does.

use schemas::{CustomerView, EventKind, Order, PastEvent, PastProduct, StorefrontEvent};

use journeys::Settings;

use crate::support::{ANA, DAY, EVENTS, HOUR, SHOP, World, replay, story, told_of, track};

const JOURNEYS: &str = "
journey: cart
trigger: Product Added
correlate: cart_id
exit: { event: Order Completed, same: cart_id }
steps: [ { wait: 1h }, { message: { as: first, template: t, category: cart } } ]
";

fn past(name: &str, cart: &str, seconds: i64) -> PastEvent {
    PastEvent {
        message_id: format!("{name}-{cart}-{seconds}"),
        kind: EventKind::Track,
        name: name.to_owned(),
        shop: SHOP.to_owned(),
        event_time: seconds * 1000,
        cart_id: Some(cart.to_owned()),
        product: Some(PastProduct { product_id: Some(format!("p-{seconds}")), ..PastProduct::default() }),
        ..PastEvent::default()
    }
}

impl World {
    /// She is recognised at that second, and this is what her device did before.
    fn recognise(&mut self, seconds: i64, history: Vec<PastEvent>) {
        self.recognise_as(seconds, history, CustomerView { known: true, ..CustomerView::default() });
    }

    fn recognise_as(&mut self, seconds: i64, history: Vec<PastEvent>, customer: CustomerView) {
        let event = StorefrontEvent {
            kind: EventKind::Identified,
            user_id: Some(ANA.to_owned()),
            anonymous_id: Some("device".to_owned()),
            history,
            ..track(ANA, "", seconds)
        };
        self.driver.input(EVENTS, ANA, &told_of(&event, customer, &[]), crate::support::at(seconds));
        self.advance(0);
    }

    fn buy(&mut self, cart: &str, seconds: i64) {
        let order = Some(Order { order_id: Some(format!("o-{cart}")), ..Order::default() });
        let event = track(ANA, "Order Completed", seconds);
        self.event(&StorefrontEvent { cart_id: Some(cart.to_owned()), order, ..event });
    }
}

#[test]
fn the_open_cart_begins_a_run_at_the_moment_of_recognition_and_nothing_is_sent_then() {
    let mut world = World::new(JOURNEYS);
    world.recognise(5 * HOUR, vec![past("Product Viewed", "", 0), past("Product Added", "c1", HOUR)]);
    assert_eq!(story(&world.written.decisions), [format!("Entered@{}", 5 * HOUR)]);
    assert_eq!(world.written.messages(), []);
    let state = world.state();
    assert!(state.known);
    assert_eq!(state.carts.iter().map(|cart| cart.cart_id.as_deref()).collect::<Vec<_>>(), [Some("c1")]);
    world.advance(DAY);
    assert_eq!(world.written.messages(), [("first", 6 * HOUR)]);
}

#[test]
fn what_was_bought_on_the_device_or_by_an_order_that_overtook_begins_nothing() {
    let mut world = World::new(JOURNEYS);
    world.recognise(5 * HOUR, vec![past("Product Added", "c1", HOUR), past("Order Completed", "c1", 2 * HOUR)]);
    assert_eq!(world.written.refusals(), ["exited_later"]);
    assert!(world.state().carts.is_empty());

    let mut world = World::new(JOURNEYS);
    world.buy("c1", 2 * HOUR);
    let customer = CustomerView { last_order_at: Some(2 * HOUR * 1000), ..CustomerView::default() };
    world.recognise_as(5 * HOUR, vec![past("Product Added", "c1", HOUR)], customer);
    assert_eq!(world.written.refusals(), ["exited_later"]);
    assert!(world.state().carts.is_empty());
    world.advance(DAY);
    assert_eq!(world.written.messages(), []);
}

#[test]
fn what_was_bought_on_the_device_ends_the_run_that_began_before_it_and_no_other() {
    let mut world = World::new(JOURNEYS);
    world.track_cart("Product Added", "c1", HOUR);
    world.track_cart("Product Added", "c2", HOUR);
    let order = past("Order Completed", "c1", HOUR + 600);
    world.recognise(HOUR + 1_200, vec![order.clone()]);
    let state = world.state();
    assert_eq!(state.carts.iter().map(|cart| cart.cart_id.as_deref()).collect::<Vec<_>>(), [Some("c2")]);
    world.advance(DAY);
    assert_eq!(world.written.messages(), [("first", 2 * HOUR)]);
    assert_eq!(world.written.count("cart", schemas::Decision::Exited, None), 1);

    // What she put in since was not bought by it.
    let mut world = World::new(JOURNEYS);
    world.track_cart("Product Added", "c1", HOUR + 900);
    world.recognise(HOUR + 1_200, vec![order]);
    assert_eq!(world.state().carts.len(), 1);
    world.advance(DAY);
    assert_eq!(world.written.messages(), [("first", 2 * HOUR + 900)]);
}

#[test]
fn an_order_after_recognition_ends_the_run() {
    let mut world = World::new(JOURNEYS);
    world.recognise(5 * HOUR, vec![past("Product Added", "c1", HOUR)]);
    world.buy("c1", 5 * HOUR + 60);
    world.advance(DAY);
    assert_eq!(world.written.messages(), []);
}

#[test]
fn a_cart_that_was_left_longer_ago_than_is_late_begins_nothing_and_is_known_all_the_same() {
    for settings in [Settings::default(), replay()] {
        let mut world = World::with(JOURNEYS, settings);
        world.recognise(3 * DAY, vec![past("Product Added", "c1", HOUR)]);
        assert_eq!(world.written.refusals(), ["too_late"]);
        assert_eq!(world.state().carts.len(), 1);
    }
}

#[test]
fn of_many_additions_to_a_cart_the_last_one_counts_and_each_cart_has_its_run() {
    let mut world = World::new(JOURNEYS);
    let mut history: Vec<_> = (0..50).map(|number| past("Product Added", "c1", HOUR + number)).collect();
    history.push(past("Product Added", "c2", 2 * HOUR));
    world.recognise(5 * HOUR, history);
    assert_eq!(story(&world.written.decisions).len(), 2, "{:?}", story(&world.written.decisions));
    let triggers: Vec<_> =
        world.written.decisions.iter().map(|decision| decision.trigger_message_id.as_deref().unwrap()).collect();
    assert_eq!(triggers, ["Product Added-c2-7200", "Product Added-c1-3649"]);
}

#[test]
fn a_cart_that_she_is_reminded_of_already_begins_no_second_run() {
    let mut world = World::new(JOURNEYS);
    world.track_cart("Product Added", "c1", 4 * HOUR);
    world.recognise(4 * HOUR + 60, vec![past("Product Added", "c1", HOUR)]);
    world.advance(DAY);
    assert_eq!(world.written.messages(), [("first", 5 * HOUR)]);
}

#[test]
fn a_cart_that_she_has_been_reminded_of_since_begins_no_second_run() {
    // While that run was active, and before it.
    for added in [HOUR + 600, HOUR - 600] {
        let mut world = World::new(JOURNEYS);
        world.track_cart("Product Added", "c1", HOUR);
        world.advance(3 * HOUR);
        world.recognise(3 * HOUR, vec![past("Product Added", "c1", added)]);
        world.advance(DAY);
        assert_eq!(world.written.messages(), [("first", 2 * HOUR)]);
        assert_eq!(world.written.refusals(), ["ran_since"]);
    }
    // What was put in when it was over is new.
    let mut world = World::new(JOURNEYS);
    world.track_cart("Product Added", "c1", HOUR);
    world.advance(3 * HOUR);
    world.recognise(3 * HOUR, vec![past("Product Added", "c1", 2 * HOUR + 600)]);
    world.advance(DAY);
    assert_eq!(world.written.messages(), [("first", 2 * HOUR), ("first", 4 * HOUR)]);
}

#[test]
fn an_addition_that_is_told_late_of_a_run_that_has_gone_all_its_way_begins_no_second_one() {
    let mut world = World::new(JOURNEYS);
    world.track_cart("Product Added", "c1", HOUR);
    world.advance(3 * HOUR);
    let added = track(ANA, "Product Added", HOUR + 600);
    world.event(&StorefrontEvent { cart_id: Some("c1".to_owned()), received_at: 3 * HOUR * 1000, ..added });
    world.advance(DAY);
    assert_eq!(world.written.messages(), [("first", 2 * HOUR)]);
    assert_eq!(world.written.refusals(), ["ran_since"]);
}

#[test]
fn her_own_cart_stays_the_one_that_she_used_last() {
    let mut world = World::new(JOURNEYS);
    world.track_cart("Product Added", "own", 4 * HOUR);
    world.recognise(4 * HOUR + 60, vec![past("Product Added", "device", HOUR)]);
    let state = world.state();
    assert_eq!(state.open_cart().and_then(|cart| cart.cart_id.as_deref()), Some("own"));
    assert_eq!(state.carts.len(), 2);
}

#[test]
fn under_the_visitors_id_everything_ends_and_what_waits_is_cancelled() {
    let mut world = World::new(
        "
journey: cart
trigger: Product Added
steps: [ { message: { as: first, template: t, category: cart } }, { wait: 1d } ]
",
    );
    world.track("Product Added", 0);
    let moved = StorefrontEvent {
        kind: EventKind::Moved,
        anonymous_id: Some(ANA.to_owned()),
        user_id: Some("somebody".to_owned()),
        ..track(ANA, "", HOUR)
    };
    world.event(&moved);
    assert!(world.driver.state(ANA).is_none());
    assert_eq!(story(&world.written.decisions).last().unwrap(), "Exited 2 (recognised)@3600");
    let run = world.written.decisions[0].run_id.clone().unwrap();
    assert_eq!(world.written.cancelled(), [(run.as_str(), "recognised")]);
    world.event(&moved);
    assert_eq!(world.driver.counts()[&(EVENTS, "ignored", "nothing_known")], 1);
}

#[test]
fn a_device_of_which_nothing_is_open_changes_nothing() {
    let mut world = World::new(JOURNEYS);
    world.recognise(HOUR, vec![past("Product Viewed", "", 0)]);
    assert!(world.driver.state(ANA).is_none());
    assert_eq!(world.driver.counts()[&(EVENTS, "ignored", "nothing_open")], 1);
}
