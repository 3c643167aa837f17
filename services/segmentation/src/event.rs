//! The customer did something, or something became known about her: the profile grows.

use domain::Timestamp;
use schemas::{EventKind, LINKS, Product, StorefrontEvent};

use crate::state::{Did, Seen, SegmentationState, Tally};
use crate::taste::Liking;
use crate::{cart, identified, orders, taste, traits, windows};

/// What a shop's server tells of an order: nothing that the customer did just now.
const OF_THE_SHOP: [&str; 4] = ["Order Updated", "Order Refunded", "Order Cancelled", "Order Deleted"];

/// Why an event says nothing of a customer.
pub(crate) fn refusal(event: &StorefrontEvent) -> Option<&'static str> {
    match event.kind {
        EventKind::Alias => Some("alias"),
        EventKind::Group => Some("group"),
        EventKind::Moved => Some("moved"),
        EventKind::Erased => Some("erased"),
        EventKind::Other => Some("unknown_kind"),
        EventKind::Identified => None,
        EventKind::Track | EventKind::Identify | EventKind::Page | EventKind::Screen => {
            event.is_of_a_machine().then_some("machine")
        }
    }
}

/// Takes an event into the profile that says something of her.
pub(crate) fn learn(state: &mut SegmentationState, event: &StorefrontEvent, now: Timestamp) {
    if event.kind == EventKind::Identified {
        identified::take_over(state, event, now);
    } else {
        learn_one(state, event, now, now);
    }
}

/// The same of what she did herself; a cart is touched at a moment of its own, where it is told later.
pub(crate) fn learn_one(state: &mut SegmentationState, event: &StorefrontEvent, now: Timestamp, touched: Timestamp) {
    let at = Timestamp::from_millis(event.event_time);
    // Whom a server tells of without a device is the shop's customer: by its id, or by the hash of her address.
    state.known |= event.names_a_customer() || event.anonymous_id.is_none() && event.source != LINKS;
    // What she said earlier and is told of later overrules nothing that was said since, and only fills what is not there.
    let is_older = |than: Option<Timestamp>| than.is_some_and(|than| at < than);
    let seen_since = is_older(state.seen(Did::Any).map(|seen| seen.last_at));
    let told_since = is_older(state.traits_at);
    if state.shop != event.shop && !seen_since {
        state.shop.clone_from(&event.shop);
    }
    if event.consent_marketing.is_some() && !is_older(state.consent_at) {
        (state.consent_marketing, state.consent_at) = (event.consent_marketing, Some(at));
    }
    if let Some(contact) = &event.contact {
        state.has_email |= contact.email.is_some();
        state.has_phone |= contact.phone.is_some();
    }
    let chosen_zone = event.chosen_locale_and_zone().time_zone;
    // One that only says whose a device is tells of no traits.
    let tells_of_her = event.traits_json.is_some() || chosen_zone.is_some();
    traits::replace(&mut state.time_zone, chosen_zone, told_since);
    traits::replace(&mut state.seen_time_zone, event.device_locale_and_zone().time_zone, seen_since);
    match event.kind {
        EventKind::Identify => {
            if let Some(told) = &event.traits_json {
                traits::learn(&mut state.traits_json, told, told_since);
            }
            state.traits_at = state.traits_at.max(Some(at).filter(|_| tells_of_her));
        }
        EventKind::Page | EventKind::Screen => count(state, Did::PageViews, at, now),
        _ => did(state, event, now, touched),
    }
    // What a shop tells of those whom it knows is nothing that they did.
    let by_the_shop = event.kind == EventKind::Identify || OF_THE_SHOP.contains(&event.name.as_str());
    if !(by_the_shop && state.known && state.seen(Did::Any).is_some()) {
        state.note(Did::Any, at);
    }
}

fn did(state: &mut SegmentationState, event: &StorefrontEvent, now: Timestamp, touched: Timestamp) {
    let at = Timestamp::from_millis(event.event_time);
    match event.name.as_str() {
        "Product Viewed" => {
            count(state, Did::ProductViews, at, now);
            like(state, Liking::Viewed, event, at);
        }
        "Product Added" => {
            count(state, Did::CartAdditions, at, now);
            like(state, Liking::Added, event, at);
            cart::add(state, event, touched);
        }
        "Product Removed" => cart::remove(state, event, touched),
        "Cart Viewed" => cart::replace(state, event, touched),
        "Checkout Started" => {
            count(state, Did::Checkouts, at, now);
            cart::replace(state, event, touched);
        }
        // Browser and server both tell of it: it counts once, and closes no cart that was opened since.
        "Order Completed" if !orders::is_counted(state, event) => {
            cart::close(state, event);
            orders::complete(state, event, now);
            like(state, Liking::Bought, event, at);
        }
        "Order Refunded" => orders::refund(state, event, now),
        "Order Cancelled" => orders::cancel(state, event, now),
        "Email Opened" => count(state, Did::EmailOpens, at, now),
        "Email Link Clicked" => count(state, Did::EmailClicks, at, now),
        _ => {}
    }
}

fn count(state: &mut SegmentationState, kind: Did, at: Timestamp, now: Timestamp) {
    let field: fn(&mut Tally) -> &mut i64 = match kind {
        Did::PageViews => |tally| &mut tally.page_views,
        Did::ProductViews => |tally| &mut tally.product_views,
        Did::CartAdditions => |tally| &mut tally.cart_additions,
        Did::Checkouts => |tally| &mut tally.checkouts,
        Did::EmailOpens => |tally| &mut tally.email_opens,
        Did::EmailClicks => |tally| &mut tally.email_clicks,
        Did::Any | Did::Orders | Did::Refunds | Did::Other => return,
    };
    *field(&mut state.totals) += 1;
    if let Some(bucket) = windows::bucket(&mut state.buckets, at, now) {
        *field(&mut bucket.tally) += 1;
    }
    state.note(kind, at);
}

fn like(state: &mut SegmentationState, liking: Liking, event: &StorefrontEvent, at: Timestamp) {
    for Product { category, brand, .. } in cart::products(event) {
        taste::note(state, liking, category.as_deref(), brand.as_deref(), at);
    }
}

impl SegmentationState {
    /// Notes when something was done; it may be told late.
    pub(crate) fn note(&mut self, kind: Did, at: Timestamp) {
        match self.seen.iter_mut().find(|seen| seen.kind == kind) {
            Some(seen) => {
                seen.first_at = seen.first_at.min(at);
                seen.last_at = seen.last_at.max(at);
            }
            None => self.seen.push(Seen { kind, first_at: at, last_at: at }),
        }
    }
}
