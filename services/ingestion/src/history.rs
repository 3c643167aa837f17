//! What somebody did on a device before anybody knew who she is.
//!
//! Wanted properties:
//! - all that others count of an event is kept, and nothing personal: no address, no traits, no property of the shop's own;
//! - bounded by number, by age and by bytes, the eldest going first; whatever the settings say, by [`MOST_HISTORY_BYTES`].

use domain::{HumanDuration, Timestamp};
use schemas::{EventKind, PastEvent, PastOrder, PastProduct, Product, StorefrontEvent};

use crate::ids::MAX_ID_BYTES;
use crate::policy::ResolverPolicy;
use crate::state::ResolverState;

/// No history takes more bytes, as Avro.
pub const MOST_HISTORY_BYTES: usize = 256 * 1024;

/// For so long services may hold something of a visitor of whom nothing is heard: who is recognised by then was anonymous.
const ANONYMOUS_AGE: HumanDuration = HumanDuration::from_hours(90 * 24);
/// At most so many products of an event, as many as a cart has lines.
const MOST_PRODUCTS: usize = 50;
/// Longer addresses (bytes) of pages and pictures are left out.
const MAX_URL_BYTES: usize = 512;
/// What an event, a product or an order takes at most beside its texts: lengths, numbers, which fields are there.
const FIXED_BYTES: usize = 80;

impl ResolverState {
    /// Somebody unknown did something.
    pub(crate) fn remember(&mut self, policy: &ResolverPolicy, event: &StorefrontEvent, stored_at: Timestamp) {
        self.anonymous_until = Some(stored_at + ANONYMOUS_AGE.max(policy.history_age));
        let most_bytes = policy.history_bytes.min(MOST_HISTORY_BYTES);
        self.history.extend(past(event, most_bytes / 4));
        self.drop_what_is_old(policy, event.event_time);
        let surplus = self.history.len().saturating_sub(policy.history_events);
        self.history.drain(..surplus);
        let mut bytes: usize = self.history.iter().map(bytes).sum();
        let mut dropped = 0;
        while bytes > most_bytes {
            bytes -= self::bytes(&self.history[dropped]);
            dropped += 1;
        }
        self.history.drain(..dropped);
    }

    /// Forgets what happened longer ago than a history goes back, from the last thing that she did: by her time and not the
    /// broker's, which in a replay of recorded events is years later.
    pub(crate) fn drop_what_is_old(&mut self, policy: &ResolverPolicy, event_time: i64) {
        let last = self.history.iter().map(|past| past.event_time).chain([event_time]).max().unwrap_or(event_time);
        let eldest = Timestamp::from_millis(last) - policy.history_age;
        self.history.retain(|past| past.event_time > eldest.as_millis());
    }
}

/// What is kept of an event; none of one that nobody counts. Of one that is larger than a fair share, products are kept without
/// what is shown of them.
fn past(event: &StorefrontEvent, fair_bytes: usize) -> Option<PastEvent> {
    let counts = match event.kind {
        EventKind::Track => !event.is_of_a_machine(),
        EventKind::Identify | EventKind::Page | EventKind::Screen => true,
        EventKind::Group
        | EventKind::Alias
        | EventKind::Identified
        | EventKind::Moved
        | EventKind::Erased
        | EventKind::Other => false,
    };
    if !counts || event.name.len() > MAX_ID_BYTES || event.shop.len() > MAX_ID_BYTES {
        return None;
    }
    let mut past = PastEvent {
        message_id: event.message_id.clone(),
        kind: event.kind,
        name: event.name.clone(),
        shop: event.shop.clone(),
        event_time: event.event_time,
        historical: event.historical,
        consent_marketing: event.consent_marketing,
        cart_id: short(event.cart_id.as_deref()),
        product: event.product.as_ref().map(product),
        products: event.products.iter().take(MOST_PRODUCTS).map(product).collect(),
        order: order(event),
    };
    if bytes(&past) > fair_bytes {
        for product in past.product.iter_mut().chain(&mut past.products) {
            (product.url, product.image_url) = (None, None);
            // It stands in for an id where there is none.
            product.name = product.name.take().filter(|_| product.product_id.is_none() && product.sku.is_none());
        }
    }
    Some(past)
}

fn product(product: &Product) -> PastProduct {
    PastProduct {
        product_id: short(product.product_id.as_deref()),
        sku: short(product.sku.as_deref()),
        category: short(product.category.as_deref()),
        name: short(product.name.as_deref()),
        brand: short(product.brand.as_deref()),
        variant: short(product.variant.as_deref()),
        url: text(product.url.as_deref(), MAX_URL_BYTES),
        image_url: text(product.image_url.as_deref(), MAX_URL_BYTES),
        price_minor: product.price_minor,
        currency: short(product.currency.as_deref()),
        quantity: product.quantity,
    }
}

fn order(event: &StorefrontEvent) -> Option<PastOrder> {
    let order = event.order.as_ref();
    let of_products = event.products.iter().chain(&event.product).find_map(|product| product.coupon.as_deref());
    let total = order.and_then(|order| order.total_minor.or(order.revenue_minor).or(order.subtotal_minor));
    let past = PastOrder {
        order_id: short(order.and_then(|order| order.order_id.as_deref())),
        coupon: short(order.and_then(|order| order.coupon.as_deref()).or(of_products)),
        currency: short(order.and_then(|order| order.currency.as_deref())),
        total_minor: total.or_else(|| sum_of_many(&event.products)),
    };
    (past != PastOrder::default()).then_some(past)
}

/// What the products come to together, where not all of them are kept.
fn sum_of_many(products: &[Product]) -> Option<i64> {
    let all = products.get(MOST_PRODUCTS..).filter(|rest| !rest.is_empty()).and(Some(products))?;
    let prices = all.iter().filter_map(|product| {
        product.price_minor.map(|price| price.saturating_mul(product.quantity.unwrap_or(1).max(0)))
    });
    prices.reduce(i64::saturating_add)
}

fn short(value: Option<&str>) -> Option<String> {
    text(value, MAX_ID_BYTES)
}

fn text(value: Option<&str>, most_bytes: usize) -> Option<String> {
    value.filter(|text| text.len() <= most_bytes).map(str::to_owned)
}

/// No less than what the event takes as Avro.
fn bytes(past: &PastEvent) -> usize {
    let texts = |texts: &[&Option<String>]| texts.iter().copied().flatten().map(String::len).sum::<usize>();
    let products = past.product.iter().chain(&past.products).map(|product| {
        let PastProduct { product_id, sku, category, name, brand, variant, url, image_url, currency, .. } = product;
        FIXED_BYTES + texts(&[product_id, sku, category, name, brand, variant, url, image_url, currency])
    });
    let order =
        past.order.as_ref().map_or(0, |order| FIXED_BYTES + texts(&[&order.order_id, &order.coupon, &order.currency]));
    let own = past.message_id.len() + past.name.len() + past.shop.len() + texts(&[&past.cart_id]);
    FIXED_BYTES + own + products.sum::<usize>() + order
}
