//! The state fits its schema, and lookups read what the store holds.

use journeys::lookups::{Happened, active_runs, explain};
use journeys::{JourneysState, WaitsFor};
use schemas::Outcome;
use schemas::conformance::check_state;

use crate::support::{HOUR, World};

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
