//! What a track event says about carts, products and orders.
//!
//! A property leaves the rest (`properties_json`) only when its typed field says all of it: a price with more digits than its
//! currency has, a product with properties of its own, a quantity in words stay there too, to the letter.

use domain::Currency;
use schemas::{Order, Product, StorefrontEvent};

use super::amounts::{AmountsIn, take_currency, whole_number};
use super::json::{self, Object};
use super::names;

/// Fills in the typed parts from the properties of the event, whose name is canonical already.
pub(crate) fn fill(event: &mut StorefrontEvent, properties: &mut Object<'_>, shop_currency: Currency) {
    let amounts = AmountsIn::of(properties, AmountsIn::Assumed(shop_currency));
    event.cart_id = properties.take_text(&["cart_id", "cartId"]);
    let about_an_order = names::is_about_an_order(&event.name)
        || ["order_id", "orderId", "checkout_id", "checkoutId"].iter().any(|name| properties.has(name));
    if about_an_order {
        event.order = order(properties, amounts);
    }
    let v1 = names::is_about_a_product(&event.name) && properties.has("id");
    if v1 || ["product_id", "productId", "sku"].iter().any(|name| properties.has(name)) {
        let product = product(properties, amounts, v1);
        event.product = (product != Product::default()).then_some(product);
    }
    let shown = event.order.as_ref().and_then(|order| order.currency.as_ref());
    if shown.or(event.product.as_ref().and_then(|product| product.currency.as_ref())).is_some() {
        take_currency(properties);
    }
    let (products, all_said) = products(properties, amounts);
    event.products = products;
    if all_said {
        properties.remove("products");
    }
}

fn order(properties: &mut Object<'_>, amounts: AmountsIn) -> Option<Order> {
    let mut order = Order {
        order_id: properties.take_text(&["order_id", "orderId"]),
        checkout_id: properties.take_text(&["checkout_id", "checkoutId"]),
        affiliation: properties.take_text(&["affiliation"]),
        coupon: properties.take_text(&["coupon"]),
        currency: None,
        total_minor: amounts.take(properties, "total"),
        revenue_minor: amounts.take(properties, "revenue"),
        subtotal_minor: amounts.take(properties, "subtotal"),
        shipping_minor: amounts.take(properties, "shipping"),
        tax_minor: amounts.take(properties, "tax"),
        discount_minor: amounts.take(properties, "discount"),
    };
    order.currency = amounts.code(&[
        order.total_minor,
        order.revenue_minor,
        order.subtotal_minor,
        order.shipping_minor,
        order.tax_minor,
        order.discount_minor,
    ]);
    (order != Order::default()).then_some(order)
}

/// The product that an object describes; what was read is taken out of the object, but for the currency.
fn product(object: &mut Object<'_>, amounts: AmountsIn, id_is_the_products: bool) -> Product {
    let ids: &[&str] =
        if id_is_the_products { &["product_id", "productId", "id"] } else { &["product_id", "productId"] };
    let price_minor = amounts.take(object, "price");
    Product {
        product_id: object.take_text(ids),
        sku: object.take_text(&["sku"]),
        category: object.take_text(&["category"]),
        name: object.take_text(&["name"]),
        brand: object.take_text(&["brand"]),
        variant: object.take_text(&["variant"]),
        coupon: object.take_text(&["coupon"]),
        url: object.take_text(&["url"]),
        image_url: object.take_text(&["image_url", "imageUrl"]),
        price_minor,
        currency: amounts.code(&[price_minor]),
        quantity: object.take(&["quantity"], whole_number),
        position: object.take(&["position"], whole_number),
    }
}

/// The products of a cart, an order or a list, and whether they say all that is in `products`.
fn products(properties: &Object<'_>, amounts: AmountsIn) -> (Vec<Product>, bool) {
    let Some(elements) = properties.get("products").and_then(json::elements) else { return (Vec::new(), false) };
    let mut all_said = true;
    let mut products = Vec::with_capacity(elements.len());
    for element in elements {
        let Some(mut object) = Object::read(element.get()) else {
            all_said = false;
            continue;
        };
        let amounts = AmountsIn::of(&object, amounts);
        let product = product(&mut object, amounts, true);
        if product.currency.is_some() {
            take_currency(&mut object);
        }
        all_said &= object.is_empty();
        products.push(product);
    }
    (products, all_said)
}
