//! The state fits its schema, and lookups read what the store holds.

use journeys::lookups::{Happened, active_runs, explain};
use journeys::{JourneysState, MAX_PAST, MAX_RUNS, WaitsFor};
use schemas::conformance::check_state;
use schemas::{ChangelogRecord, Outcome, Product};

use crate::support::{ANA, HOUR, World, encode, track};

#[test]
fn the_state_fits_its_schema() {
    check_state::<JourneysState>().unwrap();
}

const TWO: &str = "
journey: j
trigger: Product Added
correlate: cart_id
exit: { event: Order Completed, same: cart_id }
steps:
  - wait: 1h
  - message: { as: first, template: t, category: cart }
  - wait: { for: { event: Email Link Clicked, about: first }, timeout: 2h }
  - message: { as: second, template: t, category: cart }
";

#[test]
fn a_lookup_tells_where_she_stands_and_what_happened_so_far() {
    let mut world = World::new(TWO);
    world.track_cart("Product Added", "c1", 0);
    world.advance(HOUR);
    let request = world.written.requests[0].clone();
    world.outcome(&request, Outcome::Sent);

    let runs = active_runs(&world.state());
    assert_eq!(runs.len(), 1);
    assert_eq!((&*runs[0].journey, &*runs[0].correlation_key, &*runs[0].step), ("j", "c1", "3"));
    assert_eq!(runs[0].waits_for, WaitsFor::Event);
    assert_eq!(runs[0].next_due_at.map(domain::Timestamp::as_millis), Some(3 * HOUR * 1000));

    world.track_cart("Order Completed", "c1", HOUR + 60);
    assert!(active_runs(&world.state()).is_empty());
    let told: Vec<_> = explain(&world.state(), Some(&request.message_id)).into_iter().map(|said| said.what).collect();
    assert!(matches!(told[0], Happened::Entered));
    assert!(matches!(&told[1], Happened::Requested { message_id, .. } if **message_id == *request.message_id));
    assert!(matches!(&told[2], Happened::Outcome { outcome, .. } if outcome == "sent"));
    assert!(
        matches!(&told[3], Happened::Ended { decision, reason } if decision == "exited" && reason.as_deref() == Some("Order Completed"))
    );
    assert!(explain(&world.state(), Some("no such message")).is_empty());
}

/// A customer who does everything, with the longest texts, in a shop with the longest journeys.
#[test]
fn the_largest_state_is_smaller_than_a_record_may_be() {
    let journey = |n: usize| {
        let messages = "  - message: { template: t }\n".repeat(60);
        format!(
            "---\njourney: {}-{n}\ntrigger: Product Added\ncorrelate: cart_id\nexit: Cart Viewed\nsteps:\n{messages}  - wait: 1d\n  - when: event.properties.note == 'x'\n    then: [ end ]\n",
            "j".repeat(60)
        )
    };
    let mut world = World::new(&(0..30).map(journey).collect::<String>());
    let long = |n: usize, length: usize| Some(format!("{n}{}", "ñ".repeat(length)));
    let product = |n: usize| Product {
        product_id: long(n, 200),
        sku: long(n, 200),
        category: long(n, 200),
        name: long(n, 200),
        brand: long(n, 200),
        variant: long(n, 200),
        coupon: long(n, 200),
        url: long(n, 490),
        image_url: long(n, 490),
        currency: long(n, 200),
        ..Product::default()
    };
    for round in 0..6_usize {
        let mut event = track(ANA, "Product Added", round as i64);
        event.cart_id = long(round, 200);
        event.products = (0..40).map(product).collect();
        event.properties_json = Some(format!(r#"{{"note":"{}"}}"#, "x".repeat(2_000)));
        world.event(&event);
        world.track("Cart Viewed", round as i64);
    }
    let mut event = track(ANA, "Product Added", 10);
    event.products = (0..40).map(product).collect();
    world.event(&event);
    let state = world.state();
    assert_eq!((state.runs.len(), state.past_runs.len()), (MAX_RUNS, MAX_PAST));
    let record = ChangelogRecord { header: None, time: Some(0), state: Some(state) };
    let size = encode("journeys.changelog", &record).len();
    assert!(size < 800_000, "{size}");
    assert!(
        world
            .written
            .requests
            .iter()
            .filter_map(|request| request.context_json.as_ref())
            .all(|json| json.len() < 60_000)
    );
}
