//! Those who are recognised: whose what is, who they are, and what they are reminded of.

use std::collections::{BTreeMap, BTreeSet};

use domain::Timestamp;
use schemas::{ChangelogRecord, CustomerEvent, Decision, EventKind, JourneyDecision};
use segmentation::{Segmentation, SegmentationState};
use stream::Service;

use super::stores::fold;
use super::{Breach, decisions, events, requests, told};
use crate::SCHEMAS;
use crate::identity::profile::{Compared, PROFILE, from_the_start};
use crate::identity::reminders::{self, Heard};
use crate::identity::story::DEVICES;
use crate::identity::whose::{Recognition, Whose, whose};
use crate::workload::{PARTITIONS, Workload};
use crate::world::World;

/// By message, under whom it has to lie.
pub(super) fn owners(world: &World, workload: &Workload) -> BTreeMap<String, String> {
    let log = workload.told(&world.stored_at);
    let owners = whose(&log).when_told.into_iter();
    owners.map(|(place, owner)| (log[place].event.message_id.clone(), owner)).collect()
}

/// Whoever is recognised is who she would be if she had been known from the start, and is reminded of no more than that.
pub(super) fn people_are_who_they_would_be(world: &World, workload: &Workload, breaches: &mut Vec<Breach>) {
    let log = workload.told(&world.stored_at);
    if log.is_empty() {
        return;
    }
    let whose = whose(&log);
    recognitions_are_told(world, &whose, breaches);
    let heard = by_customer(world, &whose);
    let end = Timestamp::from_millis(workload.end_ms());
    let mut early = from_the_start(&log, &whose);
    early.advance_to(end);
    let known = states(world);
    for customer in whose.owners().into_iter().chain(DEVICES).collect::<BTreeSet<_>>() {
        let expected = early.state(customer);
        let compared = Compared {
            customer,
            found: known.get(customer),
            expected: expected.as_ref(),
            log: &log,
            whose: &whose,
            in_order: heard.get(customer).is_none_or(|told| is_in_order(told)),
        };
        breaches.extend(compared.breaches(end));
    }
    for Recognition { device, customer, .. } in &whose.recognitions {
        if !known.get(customer).is_some_and(|known| known.ids.contains(device)) {
            breaches.push(Breach::new(PROFILE, format!("{customer} does not have {device}")));
        }
    }
    let people: BTreeSet<&str> = heard.keys().map(String::as_str).collect();
    let decisions: Vec<JourneyDecision> = decisions(world).into_iter().map(|(_, decision)| decision).collect();
    breaches.extend(reminders::breaches(&Heard { log: &log, whose: &whose, told: &heard, decisions: &decisions }));
    let decided = decisions.iter().filter(|decision| decision.decision == Decision::MessageRequested);
    let decided: BTreeSet<_> = decided.filter_map(|decision| decision.message_id.clone()).collect();
    let asked: Vec<String> = requests(world).into_iter().map(|(_, request)| request.message_id).collect();
    let is_one_each = asked.len() == decided.len() && asked.iter().all(|message| decided.contains(message));
    if !is_one_each {
        let detail = format!("{} were decided on, {} asked for, of {people:?}", decided.len(), asked.len());
        breaches.push(Breach::new("what_is_decided_is_asked_for", detail));
    }
}

/// Each recognition is told once under her id, and once under the device's, where anything is known under that.
fn recognitions_are_told(world: &World, whose: &Whose, breaches: &mut Vec<Breach>) {
    let text = |kind: EventKind, device: &str, customer: &str| format!("{kind:?} {device} {customer}");
    let mut expected = Vec::new();
    for Recognition { device, customer, moves, .. } in &whose.recognitions {
        expected.push(text(EventKind::Identified, device, customer));
        expected.extend(moves.then(|| text(EventKind::Moved, device, device)));
    }
    let mut found = Vec::new();
    for (_, event) in events(world) {
        if let (EventKind::Identified | EventKind::Moved, Some(device), Some(customer)) =
            (event.kind, &event.anonymous_id, &event.customer_id)
        {
            found.push(text(event.kind, device, customer));
        }
    }
    found.sort_unstable();
    expected.sort_unstable();
    if found != expected {
        let detail = format!("told is {found:?}, and not {expected:?}");
        breaches.push(Breach::new("who_is_recognised_is_told_once", detail));
    }
}

/// What is told of each of them, in its order.
fn by_customer(world: &World, whose: &Whose) -> BTreeMap<String, Vec<CustomerEvent>> {
    let mut people: BTreeMap<String, Vec<CustomerEvent>> = BTreeMap::new();
    for owner in whose.owners().into_iter().chain(whose.when_told.values().map(String::as_str)) {
        people.entry(owner.to_owned()).or_default();
    }
    for (_, record) in told(world) {
        if let Some(told) = people.get_mut(&record.customer_id) {
            told.push(record);
        }
    }
    people
}

/// Whether what she did was heard of in the order of its times.
fn is_in_order(told: &[CustomerEvent]) -> bool {
    told.iter().filter_map(|told| told.event.as_ref()).map(|event| event.event_time).is_sorted()
}

/// By customer, what segmentation knows.
fn states(world: &World) -> BTreeMap<String, SegmentationState> {
    let mut all = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let fold = fold::<SegmentationState>(world, Segmentation::topology().changelog, partition, i64::MAX);
        for (customer, (value, _)) in fold.states {
            let record = SCHEMAS.decode::<ChangelogRecord<SegmentationState>>(&value).ok();
            all.extend(record.and_then(|record| record.state).map(|state| (customer, state)));
        }
    }
    all
}
