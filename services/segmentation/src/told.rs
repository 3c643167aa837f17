//! What others are told: what happened to the customer, what changed by it, and who she is as of it.

use domain::Timestamp;
use schemas::{
    CustomerEvent, CustomerProfile, CustomerView, MAX_HOPS, Occasion, SegmentChange, StorefrontEvent, Transition,
};
use stream::{Context, Key};

use crate::Effects;
use crate::field::{Field, Profile, Value};
use crate::output::Output;
use crate::policy::Policy;
use crate::state::{Did, SegmentationState};

/// Tells of a storefront event; the changes that it brought about lie among the outputs from `changes` on.
pub(crate) fn event(
    policy: &Policy,
    state: &SegmentationState,
    event: Box<StorefrontEvent>,
    changes: usize,
    context: &Context<'_>,
    effects: &mut Effects,
) {
    let told = CustomerEvent {
        customer_id: context.key.to_string(),
        at: context.now.as_millis(),
        shop: event.shop.clone(),
        historical: event.historical,
        hops: event.hops,
        changes: written(&effects.outputs[changes..]).map(transition).collect(),
        customer: view(policy, state, context.now),
        occasions: Vec::new(),
        event: Some(event),
    };
    effects.emit(Output::Event(Box::new(told)));
}

/// Tells of changes that came of no event: they lie among the outputs from `changes` on, and there may be none. What is history
/// and what is news are told apart: a definition and boundaries of quintiles may be new at once.
pub(crate) fn changes(
    policy: &Policy,
    state: &SegmentationState,
    changes: usize,
    now: Timestamp,
    context: &Context<'_>,
    effects: &mut Effects,
) {
    for historical in [true, false] {
        let of_kind = || written(&effects.outputs[changes..]).filter(|change| change.historical == historical);
        let Some(first) = of_kind().next() else { continue };
        let told = CustomerEvent {
            shop: first.shop.clone(),
            historical,
            hops: first.hops,
            changes: of_kind().map(transition).collect(),
            ..between_events(policy, state, now, context)
        };
        effects.emit(Output::Event(Box::new(told)));
    }
}

/// Tells what others told of her: that she can be reached, or no more, or how she is scored. The changes that it brought about lie
/// among the outputs from `changes` on. It is told without any, too: conditions of journeys read it.
pub(crate) fn heard(
    policy: &Policy,
    state: &SegmentationState,
    changes: usize,
    now: Timestamp,
    hops: i32,
    context: &Context<'_>,
    effects: &mut Effects,
) {
    let told = CustomerEvent {
        hops: hops.saturating_add(1).min(MAX_HOPS),
        changes: written(&effects.outputs[changes..]).map(transition).collect(),
        ..between_events(policy, state, now, context)
    };
    effects.emit(Output::Event(Box::new(told)));
}

/// Tells that the moment has come at which journeys are to let her in.
pub(crate) fn occasions(
    policy: &Policy,
    state: &SegmentationState,
    occasions: Vec<Occasion>,
    context: &Context<'_>,
    effects: &mut Effects,
) {
    let told = CustomerEvent { occasions, ..between_events(policy, state, context.now, context) };
    effects.emit(Output::Event(Box::new(told)));
}

/// Who she is at a moment, where no event says so.
fn between_events(policy: &Policy, state: &SegmentationState, now: Timestamp, context: &Context<'_>) -> CustomerEvent {
    CustomerEvent {
        customer_id: context.key.to_string(),
        at: now.as_millis(),
        shop: state.shop.clone(),
        customer: view(policy, state, now),
        ..CustomerEvent::default()
    }
}

fn written(outputs: &[stream::Emitted<Output>]) -> impl Iterator<Item = &SegmentChange> {
    outputs.iter().filter_map(|emitted| match &emitted.output {
        Output::Change(change) => Some(&**change),
        _ => None,
    })
}

fn transition(change: &SegmentChange) -> Transition {
    Transition {
        segment: change.segment.clone(),
        segment_version: change.segment_version,
        change: change.change,
        cause: change.cause,
    }
}

/// Who she is, for those who want nothing else.
pub(crate) fn summary(policy: &Policy, key: &Key, state: Option<&SegmentationState>, now: Timestamp) -> Output {
    let Some(state) = state.filter(|state| !state.is_nobody()) else { return Output::NoProfile(Key::clone(key)) };
    Output::Profile(Box::new(CustomerProfile {
        customer_id: key.to_string(),
        as_of: now.as_millis(),
        shop: state.shop.clone(),
        customer: view(policy, state, now),
    }))
}

/// Who she is at a moment, in short.
pub(crate) fn view(policy: &Policy, state: &SegmentationState, now: Timestamp) -> CustomerView {
    let profile = Profile::new(state, now).by(policy.boundaries());
    let int = |field| match profile.value(&field) {
        Value::Int(value) => Some(value),
        _ => None,
    };
    let small = |field| int(field).and_then(|value| i32::try_from(value).ok());
    let percent = |field| small(field).unwrap_or_default();
    let texts = |field| match profile.value(&field) {
        Value::Texts(texts) => texts.into_iter().map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let currency = match profile.value(&Field::Currency) {
        Value::Text(currency) => Some(currency.to_owned()),
        _ => None,
    };
    let seen = state.seen(Did::Any);
    let lifecycle = state.memberships.iter().find(|membership| policy.is_of_lifecycle(&membership.segment));
    CustomerView {
        known: state.known,
        segments: state.memberships.iter().map(|membership| membership.segment.to_string()).collect(),
        consent_marketing: state.consent_marketing,
        has_email: state.has_email,
        has_phone: state.has_phone,
        first_seen_at: seen.map(|seen| seen.first_at.as_millis()),
        last_seen_at: seen.map(|seen| seen.last_at.as_millis()),
        last_order_at: state.seen(Did::Orders).map(|seen| seen.last_at.as_millis()),
        frequency: int(Field::Frequency).unwrap_or_default(),
        monetary_minor: currency.is_some().then(|| int(Field::MonetaryMinor)).flatten(),
        average_order_minor: int(Field::AverageOrderMinor),
        currency,
        coupon_percent: percent(Field::CouponPercent),
        recency_quintile: small(Field::RecencyQuintile),
        frequency_quintile: small(Field::FrequencyQuintile),
        monetary_quintile: small(Field::MonetaryQuintile),
        lead_score: percent(Field::LeadScore),
        favourite_categories: texts(Field::FavouriteCategories),
        favourite_brands: texts(Field::FavouriteBrands),
        reachable_email: Some(state.can_be_mailed()),
        lifecycle: lifecycle.map(|membership| membership.segment.to_string()),
        scores: state.told_scores(),
        tier: state.tier().map(str::to_owned),
    }
}
