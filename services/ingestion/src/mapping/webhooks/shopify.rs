//! Shopify's webhooks. They name a cart by its token, and customers only once they are known: what holds both links them.

use domain::Currency;
use schemas::{PrivacyKind, SHOPIFY_CART, SHOPIFY_ORDER};

use super::{
    Head, Meaning, Payload, PrivacyWish, Webhook, Who, first_time, objects, platform_id, products, sums, visitor,
};
use crate::mapping::Refusal;
use crate::mapping::draft::Draft;
use crate::mapping::json::{self, Object};

/// What is known here.
pub(super) const TOPICS: [&str; 13] = [
    "carts/create",
    "carts/update",
    "checkouts/create",
    "checkouts/update",
    "orders/create",
    "orders/paid",
    "orders/cancelled",
    "refunds/create",
    "customers/create",
    "customers/update",
    "customers/data_request",
    "customers/redact",
    "shop/redact",
];

/// Names of a product that an event about one product has at its top.
const PRODUCT: [(&str, &str); 7] = [
    ("product_id", "product_id"),
    ("sku", "sku"),
    ("name", "title"),
    ("variant", "variant_title"),
    ("brand", "vendor"),
    ("price", "price"),
    ("quantity", "quantity"),
];

/// `id` is a product's in some events of the specification, and never here.
const MEANS_SOMETHING_ELSE: [&str; 1] = ["id"];

pub(super) fn read(webhook: &Webhook<'_>, payload: Payload<'_>) -> Result<Meaning, Refusal> {
    let message_id = webhook.message_id(payload.text);
    let object = payload.object;
    let events = match webhook.topic {
        "carts/create" | "carts/update" => vec![cart(webhook, &message_id, object)?],
        "checkouts/create" => {
            vec![checkout(webhook, &message_id, object, "Checkout Started", &["created_at", "updated_at"])?]
        }
        "checkouts/update" => {
            vec![checkout(webhook, &message_id, object, "Checkout Step Completed", &["updated_at", "created_at"])?]
        }
        "orders/create" => placed(webhook, &message_id, object)?,
        "orders/paid" => vec![order(webhook, &message_id, object, "Order Updated", &["updated_at", "processed_at"])?],
        "orders/cancelled" => {
            vec![order(webhook, &message_id, object, "Order Cancelled", &["cancelled_at", "updated_at"])?]
        }
        "refunds/create" => vec![refund(webhook, &message_id, object)?],
        "customers/create" => vec![customer(webhook, &message_id, object, &["created_at", "updated_at"])],
        "customers/update" => vec![customer(webhook, &message_id, object, &["updated_at", "created_at"])],
        "customers/redact" => return wish(PrivacyKind::Erase, message_id, &object),
        "customers/data_request" => return wish(PrivacyKind::Export, message_id, &object),
        "shop/redact" => return wish(PrivacyKind::EraseShop, message_id, &object),
        _ => return Err(Refusal::UnknownTopic),
    };
    Ok(Meaning::Events(events))
}

/// A cart that changed. Shopify does not say what changed in it: with something in it, something was added, else removed.
fn cart(webhook: &Webhook<'_>, message_id: &str, mut cart: Object<'_>) -> Result<String, Refusal> {
    let token = cart.text("token").or_else(|| cart.text("id"));
    let cart_id = token.as_deref().map(cart_name);
    let who = Who { user_id: None, anonymous_id: anonymous_id(&cart, cart_id) };
    let at = first_time(&cart, &["updated_at", "created_at"]);
    for name in ["token", "id"] {
        if cart.text(name).as_deref() == cart_id {
            cart.remove(name);
        }
    }
    let mut properties = Draft::default();
    properties.text_if("cart_id", cart_id);
    let last = objects(&cart, "line_items").pop();
    let name = if last.is_some() { "Product Added" } else { "Product Removed" };
    if let Some(line) = last {
        for (name, from) in PRODUCT {
            properties.value_if(name, line.get(from));
        }
    }
    add_products(&mut properties, &mut cart)?;
    properties.rest(&cart, &MEANS_SOMETHING_ELSE);
    Ok(Head { message_id, who: &who, at }.track(name, properties, webhook.context()))
}

fn checkout(
    webhook: &Webhook<'_>,
    message_id: &str,
    mut checkout: Object<'_>,
    name: &str,
    times: &[&str],
) -> Result<String, Refusal> {
    let token = ["cart_token", "token"].iter().find_map(|name| checkout.text(name));
    let who = who(&checkout, token.as_deref().map(cart_name));
    let at = first_time(&checkout, times);
    let context = context_with_person(webhook, &mut checkout);
    let shipping: Vec<String> =
        objects(&checkout, "shipping_lines").iter().filter_map(|line| line.text("price")).collect();
    let mut properties = Draft::default();
    properties.take("checkout_id", &mut checkout, "id");
    properties.text_if("shipping", sums::sum(&shipping, currency(&checkout, webhook)).as_deref());
    add_order(&mut properties, &mut checkout)?;
    properties.rest(&checkout, &MEANS_SOMETHING_ELSE);
    Ok(Head { message_id, who: &who, at }.track(name, properties, context))
}

/// An order that was placed, and whose it is: refunds name their order alone, so that they are hers by this.
fn placed(webhook: &Webhook<'_>, message_id: &str, placed: Object<'_>) -> Result<Vec<String>, Refusal> {
    let times = ["processed_at", "created_at"];
    let (owner, at) = (user_id(&placed), first_time(&placed, &times));
    let whose = owner.zip(placed.text("id")).map(|(user_id, order_id)| {
        let who = Who { user_id: Some(user_id), anonymous_id: Some(order_name(&order_id)) };
        // It tells nothing else of her: the order itself does.
        Head { message_id: &format!("{message_id}-1"), who: &who, at }.identify(Draft::default(), webhook.context())
    });
    Ok([order(webhook, message_id, placed, "Order Completed", &times)?].into_iter().chain(whose).collect())
}

fn order(
    webhook: &Webhook<'_>,
    message_id: &str,
    mut order: Object<'_>,
    name: &str,
    times: &[&str],
) -> Result<String, Refusal> {
    // An order without a cart (from a till, by an app) has neither of the first two.
    let token = ["cart_token", "checkout_token", "token"].iter().find_map(|name| order.text(name));
    let who = who(&order, token.as_deref().map(cart_name));
    let at = first_time(&order, times);
    let context = context_with_person(webhook, &mut order);
    let mut properties = Draft::default();
    properties.take("order_id", &mut order, "id");
    properties.value_if("shipping", shop_money(&order, "total_shipping_price_set").get("amount"));
    add_order(&mut properties, &mut order)?;
    properties.rest(&order, &MEANS_SOMETHING_ELSE);
    Ok(Head { message_id, who: &who, at }.track(name, properties, context))
}

/// What checkouts and orders have in common.
fn add_order(properties: &mut Draft, order: &mut Object<'_>) -> Result<(), Refusal> {
    if let Some(token) = order.text("cart_token") {
        properties.text("cart_id", cart_name(&token));
        if cart_name(&token) == token {
            order.remove("cart_token");
        }
    }
    for (name, from) in [
        ("total", "total_price"),
        ("subtotal", "subtotal_price"),
        ("tax", "total_tax"),
        ("discount", "total_discounts"),
    ] {
        properties.take(name, order, from);
    }
    let coupons = objects(order, "discount_codes");
    properties.value_if("coupon", coupons.first().and_then(|coupon| coupon.get("code")));
    add_products(properties, order)
}

fn refund(webhook: &Webhook<'_>, message_id: &str, mut refund: Object<'_>) -> Result<String, Refusal> {
    // `user_id` is the member of the staff who refunded.
    let anonymous_id = refund.text("order_id").map(|id| order_name(&id));
    let who = Who { user_id: None, anonymous_id };
    let at = first_time(&refund, &["processed_at", "created_at"]);
    let failed = |transaction: &Object<'_>| {
        transaction.text("status").is_some_and(|status| matches!(status.as_str(), "failure" | "error"))
    };
    let transactions: Vec<Object<'_>> =
        objects(&refund, "transactions").into_iter().filter(|transaction| !failed(transaction)).collect();
    let currencies: Vec<Option<String>> = transactions.iter().map(|transaction| transaction.text("currency")).collect();
    let mut properties = Draft::default();
    properties.take("order_id", &mut refund, "order_id");
    properties.take("refund_id", &mut refund, "id");
    if currencies.windows(2).all(|pair| pair[0] == pair[1]) {
        let amounts: Vec<String> =
            transactions.iter().map(|transaction| transaction.text("amount").unwrap_or_default()).collect();
        let said = transactions.first().and_then(|transaction| transaction.get("currency"));
        properties.value_if("currency", said);
        let currency = transactions.first().map_or(webhook.currency, |transaction| currency(transaction, webhook));
        properties.text_if("total", sums::sum(&amounts, currency).as_deref());
    }
    let products = products(&mut refund, "refund_line_items", refunded_product)?;
    if let Some(products) = products {
        properties.raw("products", &products);
    }
    properties.rest(&refund, &MEANS_SOMETHING_ELSE);
    Ok(Head { message_id, who: &who, at }.track("Order Refunded", properties, webhook.context()))
}

/// A product as far as it was refunded; its price is in the shop's currency, whatever the customer paid in.
fn refunded_product(mut refunded: Object<'_>) -> Draft {
    let mut product = Draft::default();
    product.take("quantity", &mut refunded, "quantity");
    let line = refunded.object("line_item");
    product.value_if("currency", shop_money(&line, "price_set").get("currency_code"));
    fill_product(&mut product, line);
    refunded.remove("line_item");
    let mut rest = Draft::default();
    rest.rest(&refunded, &[]);
    product.raw("refund_line_item", &rest.finish());
    product
}

/// A customer's fields are her traits; the mapping knows their names.
fn customer(webhook: &Webhook<'_>, message_id: &str, mut customer: Object<'_>, times: &[&str]) -> String {
    let who = Who { user_id: user_id_of(&customer), anonymous_id: None };
    let at = first_time(&customer, times);
    let mut context = webhook.context();
    add_consent(&mut context, consent(&customer).or_else(|| customer.get("accepts_marketing").and_then(json::boolean)));
    customer.remove("id");
    let mut traits = Draft::default();
    traits.rest(&customer, &[]);
    Head { message_id, who: &who, at }.identify(traits, context)
}

fn wish(kind: PrivacyKind, request_id: String, object: &Object<'_>) -> Result<Meaning, Refusal> {
    let customer = object.object("customer");
    let mut wish = PrivacyWish { request_id, kind, customer_id: None, address: None };
    if kind != PrivacyKind::EraseShop {
        wish.customer_id = platform_id(&customer, "id");
        wish.address = customer.text("email").or_else(|| customer.text("phone"));
        if wish.customer_id.is_none() && wish.address.is_none() {
            return Err(Refusal::NoId);
        }
    }
    Ok(Meaning::Privacy(wish))
}

/// Some tokens of carts have a key behind them, which orders don't repeat.
fn cart_name(token: &str) -> &str {
    token.split('?').next().unwrap_or(token)
}

fn order_name(order_id: &str) -> String {
    format!("{SHOPIFY_ORDER}{order_id}")
}

/// The storefront's visitor where the shop noted her on the cart, else the cart.
fn anonymous_id(object: &Object<'_>, cart_id: Option<&str>) -> Option<String> {
    visitor(object, "note_attributes", "name").or_else(|| cart_id.map(|id| format!("{SHOPIFY_CART}{id}")))
}

fn who(order: &Object<'_>, cart_id: Option<&str>) -> Who {
    Who { user_id: user_id(order), anonymous_id: anonymous_id(order, cart_id) }
}

/// The customer, else the address that a guest left.
fn user_id(order: &Object<'_>) -> Option<String> {
    user_id_of(&order.object("customer"))
        .or_else(|| ["email", "contact_email"].iter().find_map(|name| order.text(name)))
}

fn user_id_of(customer: &Object<'_>) -> Option<String> {
    platform_id(customer, "id").or_else(|| customer.text("email"))
}

/// The context of an event with what it says of the person: her traits there, so that they are not properties of the order.
fn context_with_person(webhook: &Webhook<'_>, order: &mut Object<'_>) -> Draft {
    let customer = order.object("customer");
    let mut traits = Draft::default();
    for name in ["email", "phone"] {
        traits.take(name, order, name);
        traits.value_if(name, customer.get(name));
    }
    let address = order.object("billing_address");
    for name in ["first_name", "last_name"] {
        traits.value_if(name, customer.get(name).or_else(|| address.get(name)));
    }
    traits.value_if("locale", order.get("customer_locale"));
    let mut context = webhook.context();
    context.raw("traits", &traits.finish());
    // A box that was left empty takes no consent back that was given before.
    let agreed = order.get("buyer_accepts_marketing").and_then(json::boolean).filter(|agreed| *agreed);
    add_consent(&mut context, consent(&customer).or(agreed));
    context
}

/// What her record at Shopify says of e-mail marketing.
fn consent(customer: &Object<'_>) -> Option<bool> {
    match customer.object("email_marketing_consent").text("state")?.as_str() {
        "subscribed" => Some(true),
        "not_subscribed" | "unsubscribed" | "pending" => Some(false),
        _ => None,
    }
}

fn add_consent(context: &mut Draft, marketing: Option<bool>) {
    if let Some(marketing) = marketing {
        context.raw("consent", &format!(r#"{{"marketing":{marketing}}}"#));
    }
}

fn currency(object: &Object<'_>, webhook: &Webhook<'_>) -> Currency {
    object.text("currency").and_then(|code| Currency::parse(&code).ok()).unwrap_or(webhook.currency)
}

fn shop_money<'a>(object: &Object<'a>, name: &str) -> Object<'a> {
    object.object(name).object("shop_money")
}

fn add_products(properties: &mut Draft, order: &mut Object<'_>) -> Result<(), Refusal> {
    if let Some(products) = products(order, "line_items", product)? {
        properties.raw("products", &products);
    }
    Ok(())
}

fn product(line: Object<'_>) -> Draft {
    let mut product = Draft::default();
    fill_product(&mut product, line);
    product
}

fn fill_product(product: &mut Draft, mut line: Object<'_>) {
    product.take("line_item_id", &mut line, "id");
    for (name, from) in PRODUCT {
        product.take(name, &mut line, from);
    }
    product.rest(&line, &MEANS_SOMETHING_ELSE);
}
