//! A customer asks to be erased, under one of her ids.
//!
//! Wanted properties:
//! - whoever reads `storefront.events` hears of it, in the order of that id, with the date until which nothing is to be known;
//! - what was done on the device and whose it is is forgotten here; which messages came is not, so that no repeat is taken for new;
//! - what happened until that date and is told later goes no further than here: it links nobody and is nobody's past;
//! - any browser may call itself as a customer is called: what is asked of an id as somebody's device touches nothing that came
//!   under it as a customer's;
//! - a wish that comes again changes nothing but its date.

use std::convert::Infallible;

use domain::Timestamp;
use schemas::{EventKind, PrivacyKind, PrivacyRequest, StorefrontEvent};
use stream::{Context, Disposition, Effects};

use crate::output::Resolved;
use crate::state::ResolverState;

pub(crate) fn receive(
    state: &mut ResolverState,
    request: PrivacyRequest,
    context: &Context<'_>,
    effects: &mut Effects<Resolved, Infallible>,
) -> Disposition {
    match request.kind {
        PrivacyKind::Erase => {}
        PrivacyKind::EraseShop => return Disposition::Ignored("erase_shop"),
        PrivacyKind::Export => return Disposition::Ignored("export"),
        PrivacyKind::Other => return Disposition::Ignored("newer_than_this_reader"),
    }
    // A clock that goes ahead must not erase what is still to come.
    let at = context.stored_at.map_or(request.at, |stored_at| request.at.min(stored_at.as_millis()));
    state.erase(Timestamp::from_millis(at), request.of_device);
    effects.emit(Resolved::Event(Box::new(StorefrontEvent {
        message_id: request.request_id,
        kind: EventKind::Erased,
        shop: request.shop,
        source: request.source,
        // Only who knows the customers can tell whether the device's id is one's.
        anonymous_id: request.of_device.then(|| context.key.to_string()),
        customer_id: Some(context.key.to_string()),
        event_time: at,
        received_at: at,
        ..StorefrontEvent::default()
    })));
    Disposition::Emitted
}
