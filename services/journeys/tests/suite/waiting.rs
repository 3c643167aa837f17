//! Waits: how long, until when, for what; and what begins them anew.

use definitions::ShopTimeZones;
use journeys::Settings;
use schemas::{Contact, Decision, EventKind, Outcome, StorefrontEvent};

use crate::support::{ANA, DAY, HOUR, World, story, track};

#[test]
fn each_addition_begins_the_first_wait_anew_and_after_the_first_reminder_changes_nothing() {
    let journey = "
journey: cart
trigger: Product Added
correlate: cart_id
exit: { event: Order Completed, same: cart_id }
steps:
  - wait: 1h
    restart_on: [ { event: Product Added, same: cart_id } ]
  - message: { as: first, template: t, category: cart }
  - wait: 23h
  - message: { as: second, template: t, category: cart }
";
    let mut world = World::new(journey);
    world.track("Product Added", 0);
    world.track("Product Added", 1_800);
    world.track("Product Added", 1_800 + HOUR + 60);
    world.advance(3 * DAY);
    assert_eq!(world.written.messages(), [("first", 1_800 + HOUR), ("second", 1_800 + DAY)]);
    assert_eq!(world.written.count("cart", Decision::Restarted, Some("1")), 1);
}

#[test]
fn an_addition_to_another_cart_does_not_begin_the_wait_anew() {
    let journey = "
journey: cart
trigger: Checkout Started
correlate: cart_id
steps:
  - wait: 1h
    restart_on: { event: Product Added, same: cart_id }
  - message: { as: first, template: t, category: cart }
";
    let mut world = World::new(journey);
    world.track_cart("Checkout Started", "a", 0);
    world.track_cart("Product Added", "b", 600);
    world.advance(DAY);
    assert_eq!(world.written.messages(), [("first", HOUR)]);
}

#[test]
fn a_wait_after_a_message_counts_from_the_messages_due_time() {
    let journey = "
journey: j
trigger: Product Added
steps: [ { wait: 1h }, { message: { as: first, template: t } }, { wait: 2h }, { message: { as: second, template: t } } ]
";
    let mut world = World::new(journey);
    world.track("Product Added", 0);
    // Nothing moves the time until long after: the timers fire at their own times.
    world.track("Product Viewed", 5 * DAY);
    assert_eq!(world.written.messages(), [("first", HOUR), ("second", 3 * HOUR)]);
}

const NINE: &str = "
journey: nine
trigger: Product Added
steps: [ { wait: { until: '09:00', time_zone: customer } }, { message: { as: first, template: t } } ]
";

/// 2026-03-28 in seconds, at midnight UTC: the clocks of Europe change the night after.
const MARCH_28: i64 = 1_774_656_000;

#[test]
fn until_nine_is_by_her_own_clock_her_trait_before_her_device_before_the_shop() {
    let madrid = definitions::time_zone("Europe/Madrid").unwrap();
    let settings =
        Settings { time_zones: ShopTimeZones { default: madrid, ..ShopTimeZones::default() }, ..Settings::default() };
    let identify = |zone: Option<&str>, device: Option<&str>| StorefrontEvent {
        kind: EventKind::Identify,
        contact: Some(Contact {
            email: Some("ana@example.com".to_owned()),
            time_zone: zone.map(str::to_owned),
            ..Contact::default()
        }),
        context_json: device.map(|zone| format!(r#"{{"timezone":"{zone}"}}"#)),
        ..track(ANA, "", MARCH_28)
    };
    for (event, due) in [
        (identify(None, None), 8 * HOUR),
        (identify(None, Some("Europe/London")), 9 * HOUR),
        (identify(Some("America/Mexico_City"), Some("Europe/London")), 15 * HOUR),
        (identify(Some("No/Such_Zone"), None), 8 * HOUR),
        (identify(Some("Europe/London"), Some("Europe/London")), 9 * HOUR),
    ] {
        let mut world = World::with(NINE, settings.clone());
        world.event(&event);
        world.track("Product Added", MARCH_28 + 60);
        world.advance(MARCH_28 + 3 * DAY);
        assert_eq!(world.written.messages(), [("first", MARCH_28 + due)]);
    }
}

#[test]
fn her_zone_follows_her_device_unless_she_chose_one() {
    let seen = |zone: &str, seconds| {
        let contact = Some(Contact { time_zone: Some(zone.to_owned()), ..Contact::default() });
        StorefrontEvent { contact, ..track(ANA, "Product Viewed", seconds) }
    };
    let mut world = World::new(NINE);
    world.track("Product Added", 0);
    world.event(&seen("Europe/London", 60));
    world.event(&seen("America/Mexico_City", 120));
    let contact = world.state().contact.unwrap();
    assert_eq!((contact.time_zone.as_deref(), contact.zone()), (None, Some("America/Mexico_City")));
    world.event(&StorefrontEvent { kind: EventKind::Identify, ..seen("Europe/Madrid", 180) });
    world.event(&seen("America/Mexico_City", 240));
    assert_eq!(world.state().contact.unwrap().zone(), Some("Europe/Madrid"));
}

#[test]
fn until_nine_is_nine_on_the_day_when_the_clocks_change() {
    let madrid = definitions::time_zone("Europe/Madrid").unwrap();
    let mut world = World::with(
        NINE,
        Settings { time_zones: ShopTimeZones { default: madrid, ..ShopTimeZones::default() }, ..Settings::default() },
    );
    world.track("Product Added", MARCH_28 + 12 * HOUR);
    world.advance(MARCH_28 + 3 * DAY);
    assert_eq!(world.written.messages(), [("first", MARCH_28 + DAY + 7 * HOUR)]);
}

const CLICK: &str = "
journey: j
trigger: Product Added
correlate: cart_id
steps:
  - message: { as: first, template: t }
  - wait: { as: answer, for: { event: Email Link Clicked, about: first }, timeout: 3d }
  - when: run.answer.timed_out && run.first.timed_out && !run.first.clicked
    then: [ { message: { as: again, template: t } } ]
    else: [ { message: { as: thanks, template: t } } ]
";

fn click(message_id: &str, seconds: i64) -> StorefrontEvent {
    StorefrontEvent {
        properties_json: Some(format!(r#"{{"message_id":"{message_id}"}}"#)),
        ..track(ANA, "Email Link Clicked", seconds)
    }
}

#[test]
fn a_wait_for_a_click_ends_with_the_click_on_that_very_message() {
    let mut world = World::new(CLICK);
    world.track("Product Added", 0);
    let message_id = world.written.requests[0].message_id.clone();
    world.event(&click("another", HOUR));
    world.event(&click(&message_id, 2 * HOUR));
    assert_eq!(world.written.messages(), [("first", 0), ("thanks", 2 * HOUR)]);
}

#[test]
fn a_scanner_that_follows_the_link_is_not_taken_for_the_customer() {
    let mut world = World::new(CLICK);
    world.track("Product Added", 0);
    let message_id = world.written.requests[0].message_id.clone();
    for (machine, seconds) in [(true, HOUR), (false, 2 * HOUR)] {
        let properties = format!(r#"{{"message_id":"{message_id}","machine":{machine}}}"#);
        world.event(&StorefrontEvent { properties_json: Some(properties), ..click(&message_id, seconds) });
    }
    assert_eq!(world.written.messages(), [("first", 0), ("thanks", 2 * HOUR)]);
}

#[test]
fn a_wait_for_a_click_ends_at_its_timeout_and_says_so() {
    let mut world = World::new(CLICK);
    world.track("Product Added", 0);
    world.advance(4 * DAY);
    assert_eq!(world.written.messages(), [("first", 0), ("again", 3 * DAY)]);
}

#[test]
fn a_wait_for_one_of_several_events_ends_with_the_first_of_the_run() {
    let journey = "
journey: j
trigger: Product Added
correlate: cart_id
steps:
  - wait: { for: [ { event: Checkout Started, same: cart_id }, Coupon Applied ], timeout: 2h }
  - message: { as: first, template: t }
";
    for (name, cart, due) in
        [("Checkout Started", "a", 60), ("Checkout Started", "b", 2 * HOUR), ("Coupon Applied", "b", 60)]
    {
        let mut world = World::new(journey);
        world.track_cart("Product Added", "a", 0);
        world.track_cart(name, cart, 60);
        world.advance(DAY);
        assert_eq!(world.written.messages(), [("first", due)], "{name} {cart}");
    }
}

const OUTCOME: &str = "
journey: j
trigger: Product Added
steps:
  - message: { as: first, template: t, expires: 2h }
  - wait: { for: { outcome: [ failed, no_address ], about: first }, timeout: 1d }
  - message: { as: second, template: t }
";

#[test]
fn a_wait_for_an_outcome_ends_with_it() {
    let mut world = World::new(OUTCOME);
    world.track("Product Added", 0);
    let request = world.written.requests[0].clone();
    world.track("Product Viewed", HOUR);
    world.outcome(&request, Outcome::Failed);
    assert_eq!(world.written.messages(), [("first", 0), ("second", 0)], "outcomes come at her own time");
}

#[test]
fn another_outcome_leaves_the_wait_to_its_timeout() {
    let mut world = World::new(OUTCOME);
    world.track("Product Added", 0);
    let request = world.written.requests[0].clone();
    world.outcome(&request, Outcome::Sent);
    world.advance(2 * DAY);
    assert_eq!(world.written.messages(), [("first", 0), ("second", DAY)]);
}

#[test]
fn a_condition_that_reads_an_outcome_waits_for_it() {
    let journey = "
journey: j
trigger: Product Added
steps:
  - message: { as: first, template: t, expires: 2h }
  - when: run.first.outcome == 'sent' && run.first.channel == 'email'
    then: [ { message: { as: sent, template: t } } ]
    else: [ { message: { as: not_sent, template: t } } ]
";
    let mut world = World::new(journey);
    world.track("Product Added", 0);
    assert_eq!(world.written.messages(), [("first", 0)]);
    let request = world.written.requests[0].clone();
    world.outcome(&request, Outcome::Sent);
    assert_eq!(world.written.messages(), [("first", 0), ("sent", 0)]);

    let mut world = World::new(journey);
    world.track("Product Added", 0);
    world.advance(DAY);
    assert_eq!(world.written.messages(), [("first", 0), ("not_sent", 3 * HOUR)], "an hour after it expired");
}

#[test]
fn end_ends_the_run_and_says_why() {
    let journey = "
journey: j
trigger: Product Added
steps: [ { wait: 1h }, { end: enough }, { message: { as: never, template: t } } ]
";
    let mut world = World::new(journey);
    world.track("Product Added", 0);
    world.advance(DAY);
    assert_eq!(
        story(&world.written.decisions),
        ["Entered@0", "WaitEnded 1 (elapsed)@3600", "Completed 2 (enough)@3600"].map(str::to_owned)
    );
}
