//! Orders, refunds and cancellations.
//!
//! Wanted properties:
//! - an order counts once, also where the browser and the shop's server both tell of it (as long as it is among the last
//!   that are remembered);
//! - what is refunded or cancelled is taken off what she spent, and never more of an order than it came to, where the order is
//!   remembered; a cancelled order still counts as one;
//! - money is never mixed across currencies; what is ordered in one too many counts as an order, and in no amount.

use domain::Timestamp;
use schemas::{Order, StorefrontEvent};
use xxhash_rust::xxh3::xxh3_64;

use crate::cart::products;
use crate::state::{Did, MAX_CURRENCIES, MAX_ORDERS, PastOrder, SegmentationState, Spending};
use crate::windows;

/// The currency of an order that names none.
const NO_CURRENCY: &str = "XXX";

/// Whether an order was told before.
pub(crate) fn is_counted(state: &SegmentationState, event: &StorefrontEvent) -> bool {
    order_id(event).is_some_and(|id| state.orders.iter().any(|order| order.order == id))
}

/// An order is complete that was not counted before.
pub(crate) fn complete(state: &mut SegmentationState, event: &StorefrontEvent, now: Timestamp) {
    let id = order_id(event);
    let currency = place(state, event).unwrap_or_else(|| make_place(state, code(event)));
    let total_minor = if state.currencies[currency].is_of_one() { total(event).unwrap_or(0) } else { 0 };
    let with_coupon = event.order.as_ref().is_some_and(|order| order.coupon.is_some())
        || products(event).any(|product| product.coupon.is_some());
    let spending = &mut state.currencies[currency];
    spending.orders += 1;
    spending.coupon_orders += i64::from(with_coupon);
    spending.spent_minor = spending.spent_minor.saturating_add(total_minor);
    let at = Timestamp::from_millis(event.event_time);
    if let Some(bucket) = windows::bucket(&mut state.buckets, at, now) {
        let money = bucket.money_mut(currency);
        money.orders += 1;
        money.spent_minor = money.spent_minor.saturating_add(total_minor);
    }
    if let Some(order) = id {
        if state.orders.len() >= MAX_ORDERS {
            state.orders.remove(0);
        }
        state.orders.push(PastOrder { order, currency: currency as i32, left_minor: total_minor });
    }
    state.note(Did::Orders, at);
}

/// An order, or a part of it, was paid back.
pub(crate) fn refund(state: &mut SegmentationState, event: &StorefrontEvent, now: Timestamp) {
    let told = total(event).map(i64::saturating_abs);
    take_off(state, event, told, now);
}

/// An order will not be: all that is left of it is taken off.
pub(crate) fn cancel(state: &mut SegmentationState, event: &StorefrontEvent, now: Timestamp) {
    let told = if is_counted(state, event) { None } else { total(event).map(i64::saturating_abs) };
    take_off(state, event, told, now);
}

fn take_off(state: &mut SegmentationState, event: &StorefrontEvent, told: Option<i64>, now: Timestamp) {
    let id = order_id(event);
    let order = id.and_then(|id| state.orders.iter_mut().find(|order| order.order == id));
    let (currency, amount) = match order {
        Some(order) => {
            // What says no amount means all of it.
            let amount = told.unwrap_or(order.left_minor).min(order.left_minor.max(0));
            order.left_minor -= amount;
            (Some(order.currency as usize), amount)
        }
        None => (place(state, event), told.unwrap_or(0)),
    };
    let at = Timestamp::from_millis(event.event_time);
    state.note(Did::Refunds, at);
    let Some(currency) = currency else { return };
    let spending = &mut state.currencies[currency];
    spending.refunded_minor = spending.refunded_minor.saturating_add(amount);
    if let Some(bucket) = windows::bucket(&mut state.buckets, at, now) {
        let money = bucket.money_mut(currency);
        money.refunded_minor = money.refunded_minor.saturating_add(amount);
    }
}

/// The order, by a hash: two shops may number theirs alike.
fn order_id(event: &StorefrontEvent) -> Option<i64> {
    let id = event.order.as_ref()?.order_id.as_deref().filter(|id| !id.is_empty())?;
    Some(hash(&format!("{}\u{0}{id}", event.shop)))
}

/// A stable hash: it is kept in the state.
pub(crate) fn hash(text: &str) -> i64 {
    xxh3_64(text.as_bytes()).cast_signed()
}

/// What the customer paid, or gets back; else the sum of the products.
fn total(event: &StorefrontEvent) -> Option<i64> {
    let of_order = |order: &Order| order.total_minor.or(order.revenue_minor).or(order.subtotal_minor);
    event.order.as_ref().and_then(of_order).or_else(|| {
        let mut priced = products(event)
            .filter_map(|product| Some(product.price_minor?.saturating_mul(product.quantity.unwrap_or(1).max(0))));
        let first = priced.next()?;
        Some(priced.fold(first, i64::saturating_add))
    })
}

fn code(event: &StorefrontEvent) -> &str {
    let of_order = event.order.as_ref().and_then(|order| order.currency.as_deref());
    let named = of_order.or_else(|| products(event).find_map(|product| product.currency.as_deref()));
    named.filter(|code| code.len() == 3).unwrap_or(NO_CURRENCY)
}

/// The place of the event's currency among hers; none where she has too many.
fn place(state: &mut SegmentationState, event: &StorefrontEvent) -> Option<usize> {
    let code = code(event);
    let place = state.currencies.iter().position(|spending| spending.currency == code);
    place.or_else(|| {
        (state.currencies.len() < MAX_CURRENCIES).then(|| {
            state.currencies.push(Spending::of(code));
            state.currencies.len() - 1
        })
    })
}

/// A place for an order where she has too many currencies: that of one in which she only got something back, else the one of all
/// others.
fn make_place(state: &mut SegmentationState, code: &str) -> usize {
    if let Some(place) = state.currencies.iter().position(|spending| spending.orders == 0) {
        state.currencies[place] = Spending::of(code);
        for bucket in &mut state.buckets {
            bucket.money.retain(|money| money.currency as usize != place);
        }
        return place;
    }
    if state.currencies.len() == MAX_CURRENCIES {
        state.currencies.push(Spending::of(""));
    }
    state.currencies.len() - 1
}
