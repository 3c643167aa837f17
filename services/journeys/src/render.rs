//! The variables of a message's template, as of the moment when it was asked for.
//!
//! Every name is always there, with null where nothing is known: a template may ask for it.

use domain::{Currency, Money};
use serde_json::{Value, json};

use crate::state::{Cart, CustomerContact, Item, Run};

/// `customer`, `cart`, `product`, `products`, `order`, `run`.
pub(crate) fn context(run: &Run, carts: &[Cart], contact: &CustomerContact) -> Value {
    let style = Style::of(contact.locale.as_deref());
    let trigger = &run.trigger;
    let products: Vec<Value> = trigger.products.iter().map(|item| product(item, style)).collect();
    json!({
        "customer": { "first_name": contact.first_name, "last_name": contact.last_name, "locale": contact.locale },
        "cart": cart(run, carts, style),
        "product": products.last().cloned().unwrap_or_else(|| product(&Item::default(), style)),
        "products": products,
        "order": {
            "order_id": trigger.order.as_ref().and_then(|order| order.order_id.clone()),
            "total": trigger.order.as_ref().and_then(|order| {
                price(order.total_minor.or(order.revenue_minor), order.currency.as_deref(), style)
            }),
            "currency": trigger.order.as_ref().and_then(|order| order.currency.clone()),
        },
        "run": { "key": &*run.key, "journey": &*run.journey },
    })
}

/// The run's cart if it is still known, else what opened the run.
fn cart(run: &Run, carts: &[Cart], style: Style) -> Value {
    let cart = carts.iter().rev().find(|cart| match (&cart.cart_id, &run.trigger.cart_id) {
        (Some(cart), Some(wanted)) => cart == wanted,
        _ => cart.cart_id.as_deref().unwrap_or_default() == &*run.key,
    });
    let lines = cart.map_or(run.trigger.products.as_slice(), |cart| cart.lines.as_slice());
    let total: Option<i64> = lines
        .iter()
        .map(|line| line.price_minor?.checked_mul(line.quantity.unwrap_or(1)))
        .try_fold(0_i64, |sum, price| sum.checked_add(price?));
    let currency = lines.first().and_then(|line| line.currency.as_deref());
    let one_currency = lines.iter().all(|line| line.currency.as_deref() == currency);
    let url = cart.and_then(|cart| cart.url.clone()).or_else(|| lines.iter().rev().find_map(|line| line.url.clone()));
    json!({
        "cart_id": cart.and_then(|cart| cart.cart_id.clone()).or_else(|| run.trigger.cart_id.clone()),
        "url": url,
        "lines": lines.iter().map(|line| product(line, style)).collect::<Vec<_>>(),
        "total": total.filter(|_| one_currency && !lines.is_empty()).and_then(|total| price(Some(total), currency, style)),
        "currency": currency,
    })
}

fn product(item: &Item, style: Style) -> Value {
    json!({
        "product_id": item.product_id,
        "sku": item.sku,
        "name": item.name.as_ref().or(item.product_id.as_ref()),
        "category": item.category,
        "brand": item.brand,
        "variant": item.variant,
        "url": item.url,
        "image_url": item.image_url,
        "quantity": item.quantity.unwrap_or(1),
        "price": price(item.price_minor, item.currency.as_deref(), style),
        "price_minor": item.price_minor,
        "currency": item.currency,
    })
}

/// How amounts are written.
#[derive(Clone, Copy)]
struct Style {
    comma: bool,
}

impl Style {
    /// Spanish writes a comma, but for the countries that write a point.
    fn of(locale: Option<&str>) -> Self {
        const POINT: [&str; 11] = ["mx", "us", "pr", "gt", "hn", "ni", "pa", "do", "sv", "pe", "419"];
        let mut parts = locale.unwrap_or_default().split(['-', '_']);
        let spanish = parts.next().is_some_and(|language| language.eq_ignore_ascii_case("es"));
        let point = parts.any(|region| POINT.iter().any(|point| region.eq_ignore_ascii_case(point)));
        Self { comma: spanish && !point }
    }
}

/// `19.99 EUR`, `19,99 EUR`.
fn price(minor: Option<i64>, currency: Option<&str>, style: Style) -> Option<String> {
    let money = Money { minor: minor?, currency: Currency::parse(currency?).ok()? }.to_string();
    Some(if style.comma { money.replacen('.', ",", 1) } else { money })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_the_customer_writes_them() {
        let write = |locale| price(Some(1_999), Some("eur"), Style::of(locale));
        assert_eq!(write(Some("en")).as_deref(), Some("19.99 EUR"));
        assert_eq!(write(Some("es")).as_deref(), Some("19,99 EUR"));
        assert_eq!(write(Some("es-ES")).as_deref(), Some("19,99 EUR"));
        assert_eq!(write(Some("es-MX")).as_deref(), Some("19.99 EUR"));
        assert_eq!(write(None).as_deref(), Some("19.99 EUR"));
        assert_eq!(price(Some(1_999), None, Style::of(None)), None);
    }
}
