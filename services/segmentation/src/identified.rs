//! A device turned out to be hers: what was done on it before becomes hers, at the times at which it was done.
//!
//! Wanted properties:
//! - counts, windows, favourites, orders and amounts are what they would be if she had been known from the start; an order that
//!   she was counted for already, because the shop's server told of it, does not count again;
//! - the device's cart is put to hers. What was bought since is not in it: an order of hers that came after an addition ends
//!   it, as with any addition that is told late; and an order of the device ends a cart of hers that was not touched since;
//! - who said no to marketing on the device has said no; a yes counts only where she has said nothing under her own id.
//!
//! Not taken over, because a history has nothing personal: traits, and how to reach her.

use domain::Timestamp;
use schemas::{EventKind, StorefrontEvent, names_an_order_or_a_cart};

use crate::state::{Did, MAX_IDS, SegmentationState};
use crate::{cart, event, orders};

pub(crate) fn take_over(state: &mut SegmentationState, identified: &StorefrontEvent, now: Timestamp) {
    state.known |= identified.names_a_customer();
    if let Some(id) = &identified.anonymous_id {
        learn_id(&mut state.ids, id);
    }
    // Told late, it does not take her back to a shop that she left since.
    let seen_since = state.seen(Did::Any).is_some_and(|seen| identified.event_time < seen.last_at.as_millis());
    let (consent, said_at) = (state.consent_marketing.take(), state.consent_at.take());
    let mut own = state.cart.take();
    // In the state are the device's cart and consent meanwhile.
    for past in identified.past_events().filter(|past| event::refusal(past).is_none()) {
        let at = Timestamp::from_millis(past.event_time);
        let is_an_order = past.kind == EventKind::Track && past.name == "Order Completed";
        if is_an_order && !orders::is_counted(state, &past) {
            own = own.filter(|cart| !cart::is_bought(cart, &past, at));
        }
        event::learn_one(state, &past, now, at.min(now));
    }
    state.cart = cart::merge(own, state.cart.take());
    state.close_idle_cart(now);
    let (device, own) = ((state.consent_marketing, state.consent_at), (consent, said_at));
    (state.consent_marketing, state.consent_at) = match (device.0, own.0) {
        (said, own_word) if said == own_word => (said, device.1.max(own.1)),
        (Some(false), _) | (_, None) => device,
        _ => own,
    };
    if !seen_since {
        state.shop.clone_from(&identified.shop);
    }
}

/// What webhooks call an order or a cart goes first: there is one for each that she buys, and none may cost her a device.
fn learn_id(ids: &mut Vec<String>, id: &str) {
    ids.retain(|known| known != id);
    ids.push(id.to_owned());
    while ids.len() > MAX_IDS {
        ids.remove(ids.iter().position(|id| names_an_order_or_a_cart(id)).unwrap_or_default());
    }
}
