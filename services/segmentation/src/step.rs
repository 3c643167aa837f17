//! Dispatches.

use std::convert::Infallible;

use domain::{HumanDuration, Timestamp};
use schemas::{EventKind, StorefrontEvent};
use stream::{Cause, Context, Disposition};

use crate::input::Input;
use crate::judge::{Occasion, judge, leave_all};
use crate::policy::Policy;
use crate::state::SegmentationState;
use crate::{Effects, erased, event, occasions, reachability, scores, told};

const MILLISECOND: HumanDuration = HumanDuration::from_millis(1);

pub(crate) fn step(
    policy: &Policy,
    state: &mut SegmentationState,
    cause: Cause<Input, Infallible>,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    match cause {
        Cause::Record(Input::Event(event)) => receive(policy, state, event, context, effects),
        // A customer of the shop is no device, whatever a browser calls itself.
        Cause::Record(Input::Moved(_) | Input::DeviceErased(_)) if state.known => Disposition::Ignored("is_a_customer"),
        Cause::Record(Input::Erased(at) | Input::DeviceErased(at)) => {
            erased::erase(policy, state, at, context, effects)
        }
        Cause::Record(Input::Moved(event)) => {
            let changes = effects.outputs.len();
            forget(policy, state, context, effects);
            told::event(policy, state, event, changes, context, effects);
            Disposition::Emitted
        }
        Cause::Record(Input::Reachability(told)) => reachability::receive(policy, state, told, context, effects),
        Cause::Record(Input::Scored(told)) => scores::receive(policy, state, *told, context, effects),
        Cause::Timer if state.scores_end_at().is_some_and(|end| end <= context.now) => {
            state.scores.clear();
            Disposition::Emitted
        }
        // Of whom nothing is known nothing is to be judged or forgotten.
        _ if state.is_nobody() => Disposition::Ignored("nothing_known"),
        Cause::Timer if state.ends_at().is_some_and(|end| end <= context.now) => {
            let left = effects.outputs.len();
            forget(policy, state, context, effects);
            told::changes(policy, &SegmentationState::default(), left, context.now, context, effects);
            Disposition::Emitted
        }
        Cause::Timer => {
            // As of just before: what this very moment does to her is time's doing, and news.
            hear_of_definitions(policy, state, context.now - MILLISECOND, context, effects);
            state.close_idle_cart(context.now);
            let changes = effects.outputs.len();
            judge(policy, state, Occasion::Time, context.now, context, effects);
            told::changes(policy, state, changes, context.now, context, effects);
            occasions::come(policy, state, context, effects);
            Disposition::Emitted
        }
        Cause::PolicyChanged => {
            // Of somebody silent, her own time stands still. What new definitions make of her, they make of her as of when
            // they were applied: what time did to her before is no news then. But never of more than is known by now.
            let applied_at = policy.applied_at().map_or(context.now, |applied_at| applied_at.min(context.watermark));
            judge_by_definitions(policy, state, applied_at.max(context.now), context, effects);
            Disposition::Emitted
        }
        Cause::Completed(_, never) => match never {},
        Cause::Claim | Cause::Abandoned => Disposition::Ignored("no_claims"),
    }
}

fn receive(
    policy: &Policy,
    state: &mut SegmentationState,
    mut event: Box<StorefrontEvent>,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    // Who was recognised by what was said before is not known by it, whatever was done on the device since; nor does a device that
    // is linked by it still bring her back, or a link of a message that she once got: that takes a word of hers.
    let said_at = event.said_at.unwrap_or(event.event_time);
    let by_link_alone = || erased::comes_by_link(&event, context.key) && state.is_nobody();
    if let Some(at) = state.erased_at.filter(|_| state.is_erased(said_at.min(event.event_time)) || by_link_alone()) {
        return erased::told_late(*event, at, context, effects);
    }
    event.history.retain(|past| !state.is_erased(past.event_time));
    if let Some(reason) = event::refusal(&event) {
        told::event(policy, state, event, effects.outputs.len(), context, effects);
        return Disposition::Ignored(reason);
    }
    hear_of_definitions(policy, state, context.now, context, effects);
    if state.is_nobody() {
        occasions::begin(policy, state);
    }
    let waits_for_dates = policy.dates().next().is_some();
    let place = waits_for_dates.then(|| (state.zone().map(str::to_owned), state.shop.clone()));
    event::learn(state, &event, context.now);
    reachability::learn_address(policy, state, &event);
    // Her dates are among what a shop tells of her, and come by the clock where she is.
    let moved = |(zone, shop): (Option<String>, String)| zone.as_deref() != state.zone() || shop != state.shop;
    if place.is_some_and(|place| event.kind == EventKind::Identify || moved(place)) {
        occasions::plan_dates(policy, state, context.now);
    }
    let changes = effects.outputs.len();
    judge(policy, state, Occasion::Event(&event), context.now, context, effects);
    state.policy_seen = Some(context.revision);
    told::event(policy, state, event, changes, context, effects);
    Disposition::Emitted
}

/// What new definitions make of her is not put down to what she does, or time, before she is told of them.
pub(crate) fn hear_of_definitions(
    policy: &Policy,
    state: &mut SegmentationState,
    now: Timestamp,
    context: &Context<'_>,
    effects: &mut Effects,
) {
    if state.policy_seen.is_some_and(|seen| seen != context.revision) {
        judge_by_definitions(policy, state, now, context, effects);
    }
}

fn judge_by_definitions(
    policy: &Policy,
    state: &mut SegmentationState,
    now: Timestamp,
    context: &Context<'_>,
    effects: &mut Effects,
) {
    let changes = effects.outputs.len();
    judge(policy, state, Occasion::Definition, now, context, effects);
    state.policy_seen = Some(context.revision);
    occasions::plan_dates(policy, state, now);
    occasions::plan_admissions(policy, state, context.key, now);
    told::changes(policy, state, changes, now, context, effects);
}

pub(crate) fn forget(policy: &Policy, state: &mut SegmentationState, context: &Context<'_>, effects: &mut Effects) {
    leave_all(policy, state, context, effects);
    // What others have told they may not tell again before she comes back.
    let (unreachable, scores) = (std::mem::take(&mut state.unreachable), std::mem::take(&mut state.scores));
    *state = SegmentationState { erased_at: state.erased_at, unreachable, scores, ..SegmentationState::default() };
}
