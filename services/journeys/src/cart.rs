//! The customer's open carts: what is in them, so that a reminder can show it, and which one an event means.

use domain::Timestamp;

use crate::event::{EventView, item, whole_url};
use crate::state::{Cart, Item, MAX_CART_BYTES, MAX_CARTS, MAX_ITEMS, keep_last};

/// Takes over what an event says of a cart. Returns whether something changed.
pub(crate) fn observe(carts: &mut Vec<Cart>, event: &EventView<'_>, now: Timestamp) -> bool {
    let change: fn(&mut Cart, &EventView<'_>) = match event.event.name.as_str() {
        // Shop platforms tell of the whole cart, and name the line that was added last besides.
        "Product Added" if !event.event.products.is_empty() => |cart, event| {
            cart.lines = event.event.products.iter().take(MAX_ITEMS).map(item).collect();
        },
        "Product Added" => |cart, event| event.products().map(item).for_each(|item| add(&mut cart.lines, item)),
        "Product Removed" if event.products().next().is_none() => |cart, _| cart.lines.clear(),
        "Product Removed" => |cart, event| event.products().map(item).for_each(|item| remove(&mut cart.lines, &item)),
        "Cart Viewed" | "Checkout Started" if event.products().next().is_some() => |cart, event| {
            cart.lines = event.products().take(MAX_ITEMS).map(item).collect();
        },
        _ => return false,
    };
    let adds = event.event.name != "Product Removed";
    let Some(mut cart) = take(carts, event.event.cart_id.as_deref(), now, adds) else { return false };
    change(&mut cart, event);
    keep_last(&mut cart.lines, MAX_CART_BYTES);
    cart.changed_at = now;
    if event.event.properties_json.as_deref().is_some_and(|json| json.contains("cart_url")) {
        cart.url = event.property("cart_url").and_then(|url| whole_url(&url)).or(cart.url);
    }
    carts.push(cart);
    if carts.len() > MAX_CARTS {
        carts.remove(0);
    }
    true
}

/// Closes what was bought: the cart that the event names and any without a name, or all if it names none.
pub(crate) fn close(carts: &mut Vec<Cart>, cart_id: Option<&str>) -> bool {
    let before = carts.len();
    carts.retain(|cart| !is_bought(cart, cart_id));
    carts.len() != before
}

/// The same of an order of the past: what was touched since was not bought by it.
pub(crate) fn close_past(carts: &mut Vec<Cart>, cart_id: Option<&str>, at: Timestamp) {
    carts.retain(|cart| cart.changed_at > at || !is_bought(cart, cart_id));
}

fn is_bought(cart: &Cart, cart_id: Option<&str>) -> bool {
    match (cart_id, cart.cart_id.as_deref()) {
        (Some(bought), Some(cart)) => bought == cart,
        _ => true,
    }
}

/// The cart that an event means, out of the list; a new one if `create`.
fn take(carts: &mut Vec<Cart>, cart_id: Option<&str>, now: Timestamp, create: bool) -> Option<Cart> {
    let index = match cart_id {
        Some(id) => carts.iter().position(|cart| cart.cart_id.as_deref() == Some(id)),
        None => carts.len().checked_sub(1),
    };
    match index {
        Some(index) => Some(carts.remove(index)),
        None if create => {
            Some(Cart { cart_id: cart_id.map(str::to_owned), changed_at: now, url: None, lines: Vec::new() })
        }
        None => None,
    }
}

fn add(lines: &mut Vec<Item>, mut item: Item) {
    let quantity = item.quantity.unwrap_or(1).clamp(1, 1_000_000);
    let before = position(lines, &item).map(|index| lines.remove(index));
    let kept = before.and_then(|before| before.quantity).unwrap_or(0);
    item.quantity = Some(kept.saturating_add(quantity).min(1_000_000));
    lines.push(item);
}

fn remove(lines: &mut Vec<Item>, item: &Item) {
    let Some(index) = position(lines, item) else { return };
    let left = lines[index].quantity.unwrap_or(1).saturating_sub(item.quantity.unwrap_or(i64::MAX).max(1));
    if left > 0 {
        lines[index].quantity = Some(left);
    } else {
        lines.remove(index);
    }
}

/// The line of the same product and variant; products without any id are told apart by name.
fn position(lines: &[Item], item: &Item) -> Option<usize> {
    let identity = |item: &Item| {
        let id = item.product_id.clone().or_else(|| item.sku.clone()).or_else(|| item.name.clone());
        id.map(|id| (id, item.variant.clone()))
    };
    let wanted = identity(item)?;
    lines.iter().position(|line| identity(line).as_ref() == Some(&wanted))
}
