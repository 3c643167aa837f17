//! Journeys that segments open and end, and that ask who the customer is.

use schemas::{
    Change, ChangeCause, CustomerEvent, CustomerView, Decision, DefinitionStatus, Occasion, OccasionKind, Score,
    Transition,
};

use crate::support::{ANA, DAY, EVENTS, HOUR, SHOP, World, encode, story, told_of, track};

const WELCOME: &str = "
segment: vip
enter: customer.frequency >= 10
---
journey: welcome
trigger: { segment: vip }
exit: [ { segment: vip, left: true } ]
steps: [ { wait: 1h }, { message: { as: first, template: t, category: marketing } } ]
";

const BRANCHES: &str = "
journey: cart
trigger: Product Added
steps:
  - wait: 10d
  - when: CONDITION
    then: [ { message: { as: yes, template: t, category: cart } } ]
    else: [ { message: { as: no, template: t, category: cart } } ]
";

fn change(segment: &str, change: Change) -> Transition {
    Transition { segment: segment.to_owned(), segment_version: 1, change, cause: ChangeCause::Time }
}

fn who(segments: &[&str]) -> CustomerView {
    let segments = segments.iter().map(|segment| (*segment).to_owned()).collect();
    CustomerView { known: true, segments, ..CustomerView::default() }
}

/// Something changed without an event, at that second.
fn changed(seconds: i64, changes: Vec<Transition>, customer: CustomerView) -> CustomerEvent {
    CustomerEvent {
        customer_id: ANA.to_owned(),
        at: seconds * 1000,
        shop: SHOP.to_owned(),
        changes,
        customer,
        ..CustomerEvent::default()
    }
}

impl World {
    fn hear(&mut self, told: &CustomerEvent) {
        let at = domain::Timestamp::from_millis(told.at);
        self.driver.input(EVENTS, ANA, &encode(EVENTS, told), at);
        self.advance(0);
    }

    fn hear_of(&mut self, name: &str, seconds: i64, customer: CustomerView, changes: &[Transition]) {
        let event = track(ANA, name, seconds);
        self.driver.input(EVENTS, ANA, &told_of(&event, customer, changes), crate::support::at(seconds));
        self.advance(0);
    }
}

#[test]
fn who_enters_the_segment_enters_the_journey_and_leaves_it_with_the_segment() {
    let mut world = World::new(WELCOME);
    world.hear(&changed(0, vec![change("other", Change::Entered)], who(&["other"])));
    world.hear(&changed(60, vec![change("vip", Change::Entered)], who(&["other", "vip"])));
    world.advance(2 * HOUR);
    world.hear(&changed(3 * HOUR, vec![change("vip", Change::Entered)], who(&["vip"])));
    world.hear(&changed(3 * HOUR + 60, vec![change("vip", Change::Left)], who(&[])));
    world.advance(DAY);
    let expected = [
        "Entered@60",
        "WaitEnded 1 (elapsed)@3660",
        "MessageRequested first@3660",
        "Completed@3660",
        "Entered@10800",
        "Exited 1 (Segment Left)@10860",
    ];
    assert_eq!(story(&world.written.decisions), expected);
}

#[test]
fn what_an_event_changes_opens_a_run_behind_what_the_event_itself_does() {
    let both = WELCOME.to_owned()
        + "---
journey: bought
trigger: Order Completed
steps: [ { wait: 2h }, { message: { template: t, category: marketing } } ]
";
    let mut world = World::new(&both);
    world.hear_of("Order Completed", 0, who(&["vip"]), &[change("vip", Change::Entered)]);
    let journeys: Vec<_> = world.written.decisions.iter().map(|decision| decision.journey.as_str()).collect();
    assert_eq!(journeys, ["bought", "welcome"]);
    let triggers: Vec<_> =
        world.written.decisions.iter().map(|decision| decision.trigger_message_id.as_deref().unwrap()).collect();
    assert_eq!(triggers[0], "ana-Order Completed-0");
    assert_eq!(triggers[1].len(), 32, "what stands for the change: {}", triggers[1]);
    assert!(world.state().known);
}

#[test]
fn what_came_of_a_new_definition_or_of_history_opens_nothing() {
    let mut world = World::new(WELCOME);
    let entered = changed(0, vec![change("vip", Change::Entered)], who(&["vip"]));
    world.hear(&CustomerEvent { historical: true, ..entered });
    assert_eq!(world.written.decisions.len(), 0);
    assert_eq!(world.driver.counts()[&(EVENTS, "ignored", "historical")], 1);
}

#[test]
fn what_a_device_tells_too_late_opens_no_journey_by_the_segment_that_it_leads_to() {
    let mut world = World::new(WELCOME);
    let late = schemas::StorefrontEvent { received_at: 3 * DAY * 1000, ..track(ANA, "Order Completed", 0) };
    let told = told_of(&late, who(&["vip"]), &[change("vip", Change::Entered)]);
    world.driver.input(EVENTS, ANA, &told, crate::support::at(3 * DAY));
    world.advance(0);
    assert_eq!(world.written.refusals(), ["too_late"]);
}

#[test]
fn a_storefront_event_that_is_called_like_a_change_is_none() {
    let mut world = World::new(WELCOME);
    let event = schemas::StorefrontEvent {
        properties_json: Some(r#"{"segment":"vip"}"#.to_owned()),
        ..track(ANA, "Segment Entered", 0)
    };
    world.event(&event);
    assert_eq!(story(&world.written.decisions), [""; 0]);
}

#[test]
fn a_paused_journey_takes_in_nobody_who_enters_its_segment_and_says_so() {
    let mut world = World::new(WELCOME);
    world.control("welcome", 1, DefinitionStatus::Paused, 0);
    world.hear(&changed(60, vec![change("vip", Change::Entered)], who(&["vip"])));
    assert_eq!(world.written.refusals(), ["paused"]);
}

#[test]
fn a_wait_for_a_segment_ends_when_she_enters_it() {
    let mut world = World::new(
        "
segment: vip
enter: customer.frequency >= 10
---
journey: cart
trigger: Product Added
steps: [ { wait: { for: { segment: vip }, timeout: 2d } }, { message: { as: first, template: t, category: cart } } ]
",
    );
    world.hear_of("Product Added", 0, who(&[]), &[]);
    world.hear(&changed(HOUR, vec![change("vip", Change::Entered)], who(&["vip"])));
    assert_eq!(world.written.messages(), [("first", HOUR)]);
}

/// Which way a condition takes ten days after she was told to be `then`, where `later` was told meanwhile.
fn way(condition: &str, then: &CustomerView, later: Option<&CustomerView>) -> String {
    let mut world = World::new(&BRANCHES.replace("CONDITION", &format!("\"{condition}\"")));
    world.hear_of("Product Added", 0, then.clone(), &[]);
    if let Some(later) = later {
        world.hear_of("Product Viewed", DAY, later.clone(), &[]);
    }
    world.restart();
    world.advance(11 * DAY);
    assert!(world.state().customer.is_none(), "nobody asks any more");
    assert_eq!(world.written.of_journey("cart").filter(|record| record.decision == Decision::Failed).count(), 0);
    world.written.messages().iter().map(|(step, _)| *step).collect()
}

#[test]
fn a_condition_sees_who_she_is_as_of_her_last_record_also_after_a_restart() {
    let vip = CustomerView {
        frequency: 12,
        monetary_minor: Some(50_000),
        currency: Some("EUR".to_owned()),
        last_order_at: Some(-5 * DAY * 1000),
        lead_score: 92,
        ..who(&["regular", "vip"])
    };
    assert_eq!(way("'vip' in customer.segments", &vip, None), "yes");
    assert_eq!(way("'vip' in customer.segments", &who(&[]), None), "no");
    assert_eq!(way("'vip' in customer.segments", &who(&[]), Some(&vip)), "yes");
    assert_eq!(way("'vip' in customer.segments", &vip, Some(&who(&[]))), "no");
    assert_eq!(
        way("customer.lead_score > 90 && customer.frequency >= 12 && customer.currency == 'EUR'", &vip, None),
        "yes"
    );
    // Five days before, and ten since.
    assert_eq!(way("customer.recency_days == 15", &vip, None), "yes");
    assert_eq!(way("has(customer.recency_days)", &who(&[]), None), "no");
    assert_eq!(way("customer.monetary_minor >= 50000", &vip, None), "yes");
    assert_eq!(way("customer.known && !has(customer.consent_marketing)", &vip, None), "yes");
    let reached = |has_email, reachable_email| CustomerView { has_email, reachable_email, ..who(&[]) };
    assert_eq!(way("customer.reachable.email", &reached(true, Some(true)), None), "yes");
    assert_eq!(way("customer.reachable.email", &reached(true, Some(true)), Some(&reached(true, Some(false)))), "no");
    assert_eq!(way("customer.reachable.email", &reached(true, None), None), "yes", "nobody knew more than that");
    let score = |name: &str, value, label: Option<&str>| Score {
        name: name.to_owned(),
        value,
        label: label.map(str::to_owned),
    };
    let scored = CustomerView {
        scores: vec![score("churn", Some(80), None), score("tier", None, Some("gold"))],
        tier: Some("gold".to_owned()),
        ..who(&[])
    };
    assert_eq!(way("customer.scores.churn >= 70 && customer.tier == 'gold'", &scored, None), "yes");
    assert_eq!(way("customer.scores.churn > 80", &scored, None), "no");
    assert_eq!(way("has(customer.scores.churn)", &scored, Some(&who(&[]))), "no", "it was withdrawn since");
    assert_eq!(way("has(customer.scores.tier) || has(customer.scores.points)", &scored, None), "no", "no numbers");
    assert_eq!(way("has(customer.scores.churn) || has(customer.tier)", &who(&[]), None), "no");
}

#[test]
fn nothing_is_kept_of_who_she_is_where_no_run_asks() {
    let mut world = World::new(
        "
journey: cart
trigger: Product Added
steps: [ { wait: 1h }, { message: { template: t, category: cart } } ]
",
    );
    world.hear_of("Product Added", 0, who(&["vip"]), &[]);
    assert_eq!(world.state().customer, None);
    world.hear_of("Product Viewed", 60, who(&[]), &[]);
    assert_eq!(world.driver.counts()[&(EVENTS, "ignored", "no_journey")], 1, "and nothing is written for it");
}

const BIRTHDAY: &str = "
journey: birthday
trigger: { date: customer.traits.birthday, every: year, at: \"10:00\" }
steps: [ { message: { as: first, template: t, category: marketing } } ]
---
segment: vip
enter: customer.frequency >= 10
---
journey: welcome
trigger: { segment: vip, existing: 2000/h }
steps: [ { message: { as: first, template: t, category: marketing } } ]
---
journey: another
trigger: { segment: vip }
steps: [ { message: { as: first, template: t, category: marketing } } ]
";

fn occasion(journey: &str, kind: OccasionKind, of: &str) -> Occasion {
    Occasion { journey: journey.to_owned(), kind, of: of.to_owned() }
}

#[test]
fn a_date_opens_the_journey_that_waits_for_it_and_no_other() {
    let mut world = World::new(BIRTHDAY);
    let come = vec![occasion("birthday", OccasionKind::Date, "birthday")];
    world.hear(&CustomerEvent { occasions: come, ..changed(60, vec![], who(&[])) });
    assert_eq!(story(&world.written.decisions), ["Entered@60", "MessageRequested first@60", "Completed@60"]);
    let decision = &world.written.decisions[0];
    assert_eq!(decision.journey, "birthday");
    assert_eq!(decision.trigger_message_id.as_deref().map(str::len), Some(32));
}

#[test]
fn who_is_in_the_segment_already_is_let_into_the_journey_that_asks_for_it_alone() {
    let mut world = World::new(BIRTHDAY);
    let come = vec![
        occasion("welcome", OccasionKind::Existing, "vip"),
        // Journeys that are gone by now, or never asked for it.
        occasion("another", OccasionKind::Existing, "vip"),
        occasion("gone", OccasionKind::Existing, "vip"),
        occasion("birthday", OccasionKind::Date, "wedding"),
    ];
    world.hear(&CustomerEvent { occasions: come, ..changed(60, vec![], who(&["vip"])) });
    let journeys: Vec<_> = world.written.of_journey("welcome").map(|decision| decision.decision).collect();
    assert_eq!(journeys, [Decision::Entered, Decision::MessageRequested, Decision::Completed]);
    assert_eq!(world.written.decisions.len(), 3);
    // Who enters it is let into both.
    world.hear(&changed(120, vec![change("vip", Change::Entered)], who(&["vip"])));
    assert_eq!(world.written.decisions.len(), 3 + 6);
}
