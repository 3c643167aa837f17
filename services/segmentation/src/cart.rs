//! Her open cart: what is in it, what that is worth, and when she last changed it.

use domain::Timestamp;
use schemas::{Product, StorefrontEvent};

use crate::orders::hash;
use crate::state::{CartLine, Did, MAX_CART_LINES, MAX_NAME_BYTES, OpenCart, SegmentationState};

const MAX_QUANTITY: i64 = 1_000_000;

/// Products were put in; where the whole cart is told, as shop platforms do, it is that.
pub(crate) fn add(state: &mut SegmentationState, event: &StorefrontEvent, now: Timestamp) {
    if is_past(state, event) {
        return;
    }
    if !event.products.is_empty() {
        return replace(state, event, now);
    }
    let cart = open(state, event, now);
    for product in products(event) {
        let line = line(product);
        if let Some(other) = cart.lines.iter_mut().find(|other| other.product == line.product) {
            other.quantity = (other.quantity + line.quantity).min(MAX_QUANTITY);
            other.price_minor = line.price_minor;
        } else if cart.lines.len() < MAX_CART_LINES {
            cart.lines.push(line);
        }
    }
}

/// Products were taken out; all of a product where no number is said, and everything where no product is.
pub(crate) fn remove(state: &mut SegmentationState, event: &StorefrontEvent, now: Timestamp) {
    if is_past(state, event) {
        return;
    }
    let Some(cart) = state.cart.as_mut().filter(|cart| is_meant(cart, event)) else { return };
    if products(event).next().is_none() {
        state.cart = None;
        return;
    }
    for product in products(event) {
        let gone = line(product);
        let all = product.quantity.is_none();
        for other in cart.lines.iter_mut().filter(|other| other.product == gone.product) {
            other.quantity -= if all { other.quantity } else { gone.quantity };
        }
    }
    cart.lines.retain(|line| line.quantity > 0);
    cart.changed_at = now;
    if cart.lines.is_empty() {
        state.cart = None;
    }
}

/// The whole cart was told.
pub(crate) fn replace(state: &mut SegmentationState, event: &StorefrontEvent, now: Timestamp) {
    if products(event).next().is_none() || is_past(state, event) {
        return;
    }
    let cart = open(state, event, now);
    cart.lines = products(event).take(MAX_CART_LINES).map(line).collect();
}

/// The cart was bought: the one that is named, or whichever where the order or the cart has no name.
pub(crate) fn close(state: &mut SegmentationState, event: &StorefrontEvent) {
    if state.cart.as_ref().is_some_and(|cart| is_meant(cart, event)) {
        state.cart = None;
    }
}

/// The cart that was bought at a moment, where it was not touched since.
pub(crate) fn is_bought(cart: &OpenCart, order: &StorefrontEvent, at: Timestamp) -> bool {
    is_meant(cart, order) && cart.changed_at <= at
}

/// Puts her cart and that of a device together, which turned out to be hers. Of carts with different names it is the one that
/// was touched last. What is in both may be the same thing told twice: the greater number counts.
pub(crate) fn merge(own: Option<OpenCart>, of_device: Option<OpenCart>) -> Option<OpenCart> {
    let (Some(own), Some(of_device)) = (&own, &of_device) else { return own.or(of_device) };
    let (later, earlier) = if of_device.changed_at > own.changed_at { (of_device, own) } else { (own, of_device) };
    let mut cart = later.clone();
    if matches!((&own.cart_id, &of_device.cart_id), (Some(one), Some(other)) if one != other) {
        return Some(cart);
    }
    cart.cart_id = cart.cart_id.or_else(|| earlier.cart_id.clone());
    for line in &earlier.lines {
        if let Some(other) = cart.lines.iter_mut().find(|other| other.product == line.product) {
            other.quantity = other.quantity.max(line.quantity);
        } else if cart.lines.len() < MAX_CART_LINES {
            cart.lines.push(*line);
        }
    }
    Some(cart)
}

fn open<'s>(state: &'s mut SegmentationState, event: &StorefrontEvent, now: Timestamp) -> &'s mut OpenCart {
    let cart_id = event.cart_id.as_deref().filter(|id| id.len() <= MAX_NAME_BYTES).map(str::to_owned);
    if state.cart.as_ref().is_some_and(|cart| !is_meant(cart, event)) {
        // Another cart: the one that she uses counts.
        state.cart = None;
    }
    let cart = state.cart.get_or_insert_with(|| OpenCart { cart_id: None, changed_at: now, lines: Vec::new() });
    cart.cart_id = cart_id.or(cart.cart_id.take());
    cart.changed_at = now;
    cart
}

fn is_meant(cart: &OpenCart, event: &StorefrontEvent) -> bool {
    match (cart.cart_id.as_deref(), event.cart_id.as_deref()) {
        (Some(own), Some(told)) => own == told,
        _ => true,
    }
}

/// Whether she has ordered since: a device that tells late opens no cart that is bought, and takes nothing out of the next one.
fn is_past(state: &SegmentationState, event: &StorefrontEvent) -> bool {
    state.seen(Did::Orders).is_some_and(|ordered| event.event_time < ordered.last_at.as_millis())
}

/// The event's products. Where a list and one product are told, the one is of the list.
pub(crate) fn products(event: &StorefrontEvent) -> impl Iterator<Item = &Product> {
    let single = event.product.iter().filter(|_| event.products.is_empty());
    single.chain(&event.products)
}

fn line(product: &Product) -> CartLine {
    let id = product.product_id.as_deref().or(product.sku.as_deref()).or(product.name.as_deref()).unwrap_or_default();
    let variant = product.variant.as_deref().unwrap_or_default();
    CartLine {
        product: hash(&format!("{id}\u{0}{variant}")),
        quantity: product.quantity.unwrap_or(1).clamp(1, MAX_QUANTITY),
        price_minor: product.price_minor.unwrap_or(0).max(0),
    }
}
