//! She is to be forgotten.

use domain::Timestamp;
use schemas::{EventKind, LINKS, PrivacyKind, PrivacyRequest, StorefrontEvent};
use stream::{Context, Disposition};

use crate::output::Output;
use crate::policy::Policy;
use crate::state::SegmentationState;
use crate::step::forget;
use crate::{Effects, ids};

/// The id of the request by which another id of somebody who is erased is asked for: it begins with [`asked_for_all_of`]. It says
/// nothing of whose the device was, but to those who know whom to ask about.
pub fn asked_for(whose: &str, id: &str, at: Timestamp) -> String {
    asked_for_all_of(whose) + &ids::hash(&[whose, id, &at.as_millis().to_string()])
}

/// What the ids of all requests begin with by which further ids of somebody are asked for: they are found by it.
pub fn asked_for_all_of(whose: &str) -> String {
    ids::hash(&[whose])
}

/// Nothing that happened until `at` is known any more, here and wherever `customer.events` is read, whatever was known here;
/// and her devices are asked for the same, under each id that she had.
pub(crate) fn erase(
    policy: &Policy,
    state: &mut SegmentationState,
    at: Timestamp,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let (ids, shop) = (std::mem::take(&mut state.ids), state.shop.clone());
    state.erased_at = state.erased_at.max(Some(at));
    forget(policy, state, context, effects);
    state.unreachable.clear();
    state.scores.clear();
    effects.emit(Output::Forgotten(context.key.clone()));
    for id in ids {
        effects.emit(ask(context.key, id, &shop, at));
    }
    Disposition::Emitted
}

/// Whether it is hers only because the resolver linked the device to her, or because somebody followed a link of an old message.
pub(crate) fn comes_by_link(event: &StorefrontEvent, customer: &str) -> bool {
    let is_of_a_device = event.anonymous_id.as_deref().is_some_and(|device| device != customer);
    event.source == LINKS || event.user_id.is_none() && is_of_a_device
}

/// Something that happened until `at` is told now: it is known to nobody. Where it says that a device is hers, or comes by that
/// alone, the resolver has linked the two, which has the date under the ids that it was asked for alone: this one is asked for,
/// too.
pub(crate) fn told_late(
    event: StorefrontEvent,
    at: Timestamp,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let names_a_device = event.kind == EventKind::Identified || comes_by_link(&event, context.key);
    match event.anonymous_id {
        Some(device) if names_a_device => {
            effects.emit(ask(context.key, device, &event.shop, at));
            Disposition::Emitted
        }
        _ => Disposition::Ignored("erased"),
    }
}

/// The request for another id of hers.
fn ask(whose: &str, id: String, shop: &str, at: Timestamp) -> Output {
    Output::Erase(Box::new(PrivacyRequest {
        request_id: asked_for(whose, &id, at),
        kind: PrivacyKind::Erase,
        customer_id: Some(id),
        shop: shop.to_owned(),
        at: at.as_millis(),
        source: "segmentation".to_owned(),
        of_device: true,
        ..PrivacyRequest::default()
    }))
}
