//! What others score: segmentation knows the latest of all that was published, tells it, and has judged by it.

use std::collections::BTreeMap;

use domain::{HumanDuration, Timestamp};
use schemas::{CustomerProfile, CustomerScore, Score};
use segmentation::{ANONYMOUS_IDLE, Did, KeptScore, SegmentationState};

use super::reachability::{last, states};
use super::{Breach, at, committed};
use crate::SCHEMAS;
use crate::definitions::{CHURNS, RISKY};
use crate::workload::PARTITIONS;
use crate::world::World;

const KNOWN: &str = "of_each_name_the_latest_score_is_known";
const TOLD: &str = "scores_are_told";
const JUDGED: &str = "who_is_scored_is_judged";

/// So far back a history goes that she is recognised by.
const HISTORY: HumanDuration = HumanDuration::from_hours(30 * 24);

/// Of each name: as of when, and what is published.
type Latest = BTreeMap<String, (i64, CustomerScore)>;

/// Everything that is wrong about it.
pub(super) fn scores_are_the_latest(world: &World, breaches: &mut Vec<Breach>) {
    let published = published(world);
    let profiles = last::<CustomerProfile>(world, "customer.profiles");
    for (customer, state) in states::<SegmentationState>(world, "segmentation.changelog") {
        let mut expected = published.get(&customer).cloned().unwrap_or_default();
        // What came again after that may be what is known, or nothing.
        expected.retain(|_, (at, _)| !may_have_ended(*at, &state, world));
        let known: Latest = state.scores.iter().map(|kept| (kept.name.to_string(), of(&customer, kept))).collect();
        let is_known = |(name, (at, score)): (&String, &(i64, CustomerScore))| {
            known.get(name).is_some_and(|(known_at, known)| {
                (known_at, known.value, &known.label) == (at, score.value, &score.label)
            })
        };
        if !expected.iter().all(is_known) {
            let detail = format!("{customer}: {expected:?} is published, and known is {:?}", state.scores);
            breaches.push(Breach::new(KNOWN, detail));
        }
        let churns = known.get("churn").and_then(|(_, score)| score.value).is_some_and(|value| value >= CHURNS);
        let is_risky = state.memberships.iter().any(|membership| *membership.segment == *RISKY);
        if is_risky != (churns && !state.is_nobody()) {
            let detail = format!("{customer} is in {RISKY}: {is_risky}, with {known:?}");
            breaches.push(Breach::new(JUDGED, detail));
        }
        let Some(profile) = profiles.get(&customer) else { continue };
        let stands = known.into_values().map(|(_, score)| score);
        let stands = stands.filter(|score| score.value.is_some() || score.label.is_some());
        let stands = stands.map(|CustomerScore { name, value, label, .. }| Score { name, value, label });
        if !stands.eq(profile.customer.scores.iter().cloned()) {
            breaches.push(Breach::new(TOLD, format!("{customer} is told to have {:?}", profile.customer.scores)));
        }
    }
    for (customer, latest) in published {
        let is_there = states::<SegmentationState>(world, "segmentation.changelog").contains_key(&customer);
        let nobody = SegmentationState::default();
        if !is_there && !latest.values().all(|(at, _)| may_have_ended(*at, &nobody, world)) {
            breaches.push(Breach::new(KNOWN, format!("{customer}: {latest:?} is published, and she is not there")));
        }
    }
}

/// What is kept, as it was published.
fn of(customer: &str, kept: &KeptScore) -> (i64, CustomerScore) {
    let KeptScore { name, value, label, scored_at, version } = kept.clone();
    let (customer_id, name, scored_at) = (customer.to_owned(), name.to_string(), scored_at.as_millis());
    (scored_at, CustomerScore { customer_id, name, value, label, scored_at, version, hops: 0 })
}

/// Whether what was scored then may be kept no longer, as nobody knew of her for so long after it. She may have been recognised by
/// what she did before that.
fn may_have_ended(at_ms: i64, state: &SegmentationState, world: &World) -> bool {
    let ends = Timestamp::from_millis(at_ms) + ANONYMOUS_IDLE;
    let was_nobody = state.seen(Did::Any).is_none_or(|seen| seen.first_at + HISTORY > ends);
    was_nobody && ends <= Timestamp::from_millis(world.wall_ms())
}

/// The latest of each customer and name; none is of later than the broker got it.
fn published(world: &World) -> BTreeMap<String, Latest> {
    let mut published: BTreeMap<String, Latest> = BTreeMap::new();
    for record in (0..PARTITIONS).flat_map(|partition| committed(world, &at("customer.scores", partition))) {
        let score = record.value.as_deref().and_then(|value| SCHEMAS.decode::<CustomerScore>(value).ok());
        let Some(score) = score else { continue };
        let scored_at = score.scored_at.min(record.timestamp_ms);
        let of_name = published.entry(score.customer_id.clone()).or_default();
        if of_name.get(&score.name).is_none_or(|(latest, _)| scored_at >= *latest) {
            of_name.insert(score.name.clone(), (scored_at, score));
        }
    }
    published
}
