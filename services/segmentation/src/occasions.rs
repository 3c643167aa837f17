//! The moments at which journeys let a customer in that nothing but time brings: a date of hers, and her turn where a journey lets
//! in who is in its segment already.
//!
//! Wanted properties:
//! - each comes at its very moment, once: also where the journey is applied anew, or a worker starts again;
//! - a date follows what the shop tells of her last: its trait, her time zone; what has come is not undone, and does not come
//!   again on its day where another clock has yet to strike;
//! - who are let in at a rate are spread over the time that it takes, each at a moment of her own that hangs on nothing but who
//!   she is; who has left the segment by then stays out.

use std::sync::Arc;

use definitions::MAX_DATES;
use domain::{HumanDuration, Timestamp};
use schemas::{Admission, Occasion, OccasionKind};
use serde_json::Value;
use stream::{Context, Key};
use xxhash_rust::xxh3::xxh3_64;

use crate::policy::Policy;
use crate::state::{Came, Coming, SegmentationState};
use crate::{Effects, told};

const DAY_MS: i64 = 86_400_000;

/// Says when her dates come next, after `now`, by the journeys in force and what is known of her.
pub(crate) fn plan_dates(policy: &Policy, state: &mut SegmentationState, now: Timestamp) {
    // What time has come for already is for the timer.
    state.coming.retain(|coming| coming.kind != OccasionKind::Date || coming.at <= now);
    if policy.dates().next().is_none() {
        return;
    }
    let Some(Ok(Value::Object(traits))) = state.traits_json.as_deref().map(serde_json::from_str) else { return };
    let mut coming = Vec::new();
    for (journey, trigger) in policy.dates() {
        let date = traits.get(&*trigger.trait_name).and_then(Value::as_str).and_then(definitions::CustomerDate::parse);
        let zone = policy.time_zones().meant(&trigger.zone, &state.shop, state.zone());
        let came = state.came.iter().find(|came| came.is(journey, &trigger.trait_name)).map(|came| came.day);
        let Some(next) = date.and_then(|date| date.next(trigger, &zone, now, came)) else { continue };
        let is_it = |other: &Coming| other.is(OccasionKind::Date, journey, &trigger.trait_name);
        if !state.coming.iter().any(is_it) {
            coming.push(Coming {
                journey: journey.clone(),
                kind: OccasionKind::Date,
                of: trigger.trait_name.clone(),
                at: next.at,
                day: Some(next.day),
            });
        }
    }
    state.coming.append(&mut coming);
}

/// Gives her a turn in each journey that lets in who is in its segment, if she is and was not looked at for it; and takes the
/// turns that were taken back, so that there are never more than admissions in force.
pub(crate) fn plan_admissions(policy: &Policy, state: &mut SegmentationState, customer: &Key, now: Timestamp) {
    state.coming.retain(|coming| coming.kind != OccasionKind::Existing || policy.admits(coming));
    for (offset, admission) in policy.admissions() {
        if state.admissions_seen.is_some_and(|seen| offset <= seen) {
            continue;
        }
        // One that was taken back and asked for again begins anew.
        let is_it = |coming: &Coming| coming.is(OccasionKind::Existing, &admission.journey, &admission.segment);
        state.coming.retain(|coming| !is_it(coming));
        let from = Timestamp::from_millis(admission.from);
        let is_member = |membership: &crate::state::Membership| {
            *membership.segment == *admission.segment && membership.since < from
        };
        if state.memberships.iter().any(is_member) {
            state.coming.push(Coming {
                journey: admission.journey.as_str().into(),
                kind: OccasionKind::Existing,
                of: admission.segment.as_str().into(),
                at: turn(admission, customer).max(now),
                day: None,
            });
        }
    }
    state.admissions_seen = policy.admissions_seen();
}

/// Whoever comes new is no member from before.
pub(crate) fn begin(policy: &Policy, state: &mut SegmentationState) {
    state.admissions_seen = policy.admissions_seen();
}

/// When it is her turn: somewhere in the time that it takes.
fn turn(admission: &Admission, customer: &str) -> Timestamp {
    let hash = xxh3_64(format!("{}\0{}\0{customer}", admission.journey, admission.segment).as_bytes());
    let span = admission.until.saturating_sub(admission.from).max(0);
    // The high half of the product: evenly spread, without a remainder's bias.
    let later = (u128::from(hash) * u128::from(span.unsigned_abs())) >> 64;
    Timestamp::from_millis(admission.from) + HumanDuration::from_millis(i64::try_from(later).unwrap_or(span))
}

/// Tells of those whose moment has come, if a journey in force still wants to know; and plans the next.
pub(crate) fn come(policy: &Policy, state: &mut SegmentationState, context: &Context<'_>, effects: &mut Effects) {
    let (come, coming): (Vec<_>, Vec<_>) = state.coming.drain(..).partition(|coming| coming.at <= context.now);
    state.coming = coming;
    if come.is_empty() {
        return;
    }
    let wanted = |coming: &Coming| match coming.kind {
        OccasionKind::Date => {
            policy.dates().any(|(journey, date)| coming.is(OccasionKind::Date, journey, &date.trait_name))
        }
        OccasionKind::Existing => {
            policy.admits(coming) && state.memberships.iter().any(|membership| membership.segment == coming.of)
        }
        OccasionKind::Other => false,
    };
    let occasion = |coming: &Coming| Occasion {
        journey: coming.journey.to_string(),
        kind: coming.kind,
        of: coming.of.to_string(),
    };
    let (come, occasions): (Vec<&Coming>, Vec<Occasion>) =
        come.iter().filter(|coming| wanted(coming)).map(|coming| (coming, occasion(coming))).unzip();
    note_days(&mut state.came, &come, context.now);
    plan_dates(policy, state, context.now);
    if !occasions.is_empty() {
        told::occasions(policy, state, occasions, context, effects);
    }
}

/// Keeps which days have come, as long as they may come again: by the clock of another zone, or at the hour of another version.
fn note_days(kept: &mut Vec<Came>, come: &[&Coming], now: Timestamp) {
    if come.is_empty() {
        return;
    }
    let today = now.as_millis().div_euclid(DAY_MS);
    kept.retain(|came| i64::from(came.day) >= today - 2);
    for coming in come {
        let Some(day) = coming.day else { continue };
        kept.retain(|came| !came.is(&coming.journey, &coming.of));
        kept.push(Came { journey: Arc::clone(&coming.journey), of: Arc::clone(&coming.of), day });
    }
    let surplus = kept.len().saturating_sub(MAX_DATES);
    kept.drain(..surplus);
}
