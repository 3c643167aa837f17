//! She is to be forgotten.

use domain::Timestamp;
use schemas::{PrivacyKind, PrivacyRequest};
use stream::{Context, Disposition};

use crate::output::Output;
use crate::policy::Policy;
use crate::state::SegmentationState;
use crate::step::forget;
use crate::{Effects, ids};

/// Nothing that happened until `at` is known any more, here and wherever `customer.events` is read, whatever was known here;
/// and her devices are asked for the same, under each id that she had.
pub(crate) fn erase(
    policy: &Policy,
    state: &mut SegmentationState,
    at: Timestamp,
    context: &Context<'_>,
    effects: &mut Effects,
) -> Disposition {
    let (ids, shop) = (std::mem::take(&mut state.ids), std::mem::take(&mut state.shop));
    state.erased_at = state.erased_at.max(Some(at));
    forget(policy, state, context, effects);
    effects.emit(Output::Forgotten(context.key.clone()));
    for id in ids {
        let request = PrivacyRequest {
            // It says nothing of whose the device was.
            request_id: ids::hash(&[context.key, &id, &at.as_millis().to_string()]),
            kind: PrivacyKind::Erase,
            customer_id: Some(id),
            shop: shop.clone(),
            at: at.as_millis(),
            source: "segmentation".to_owned(),
            ..PrivacyRequest::default()
        };
        effects.emit(Output::Erase(Box::new(request)));
    }
    Disposition::Emitted
}
