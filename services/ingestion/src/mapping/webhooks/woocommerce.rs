//! WooCommerce's webhooks. It sends an order as it is now, not what happened to it, so that is told from its status; and what is
//! told of one status has the same message id each time.

use schemas::WOOCOMMERCE_ORDER;
use serde_json::value::RawValue;

use super::{Head, Meaning, Payload, Webhook, Who, first_time, objects, platform_id, products, sums, visitor};
use crate::mapping::draft::Draft;
use crate::mapping::json::Object;
use crate::mapping::{Refusal, time};

/// What is known here.
pub(super) const TOPICS: [&str; 15] = [
    "order.created",
    "order.updated",
    "order.deleted",
    "order.restored",
    "customer.created",
    "customer.updated",
    "customer.deleted",
    "product.created",
    "product.updated",
    "product.deleted",
    "product.restored",
    "coupon.created",
    "coupon.updated",
    "coupon.deleted",
    "coupon.restored",
];

const MEANS_SOMETHING_ELSE: [&str; 1] = ["id"];

/// Ways to pay later: such an order is taken when it is placed, the others when they are paid.
const PAID_LATER: [&str; 3] = ["bacs", "cheque", "cod"];

/// So long after an order was taken its updates still name that (ms). Repeats of it come under the same message id and are
/// dropped, which is sure only within the resolver's window of a day.
const TAKEN_MS: i64 = 12 * 60 * 60 * 1000;

pub(super) fn read(webhook: &Webhook<'_>, payload: Payload<'_>) -> Result<Meaning, Refusal> {
    let message_id = webhook.message_id(payload.text);
    let object = payload.object;
    let event = match webhook.topic {
        "order.created" | "order.updated" | "order.restored" => order(webhook, message_id, object)?,
        "order.deleted" => deleted_order(webhook, &message_id, object),
        "customer.created" | "customer.updated" => customer(webhook, &message_id, object),
        "customer.deleted" => deleted_customer(webhook, &message_id, object),
        other if other.starts_with("product.") || other.starts_with("coupon.") => return Ok(Meaning::Nothing),
        _ => return Err(Refusal::UnknownTopic),
    };
    Ok(Meaning::Events(vec![event]))
}

/// What became of an order, as far as its status tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Started,
    Taken,
    Cancelled,
    Refunded,
    Changed,
}

impl Step {
    fn of(order: &Object<'_>) -> Self {
        match order.text("status").unwrap_or_default().as_str() {
            "pending" | "checkout-draft" => Self::Started,
            "on-hold" | "processing" | "completed" if just_taken(order) => Self::Taken,
            "cancelled" => Self::Cancelled,
            "refunded" => Self::Refunded,
            _ => Self::Changed,
        }
    }

    const fn event(self) -> &'static str {
        match self {
            Self::Started => "Checkout Started",
            Self::Taken => "Order Completed",
            Self::Cancelled => "Order Cancelled",
            Self::Refunded => "Order Refunded",
            Self::Changed => "Order Updated",
        }
    }

    /// Its word in a message id. A change has none: there may be many.
    const fn word(self) -> Option<&'static str> {
        match self {
            Self::Started => Some("started"),
            Self::Taken => Some("taken"),
            Self::Cancelled => Some("cancelled"),
            Self::Refunded => Some("refunded"),
            Self::Changed => None,
        }
    }

    fn at<'a>(self, order: &Object<'a>) -> Option<&'a RawValue> {
        match self {
            Self::Started => created_at(order),
            Self::Taken => taken_at(order),
            _ => modified_at(order),
        }
    }
}

/// When an order was taken, if it was.
fn taken_at<'a>(order: &Object<'a>) -> Option<&'a RawValue> {
    let pays_later = order.text("payment_method").is_some_and(|method| PAID_LATER.contains(&method.as_str()));
    let paid_at = order.get("date_paid_gmt").filter(|_| !pays_later);
    paid_at.or_else(|| created_at(order))
}

fn just_taken(order: &Object<'_>) -> bool {
    let read = |at: Option<&RawValue>| at.and_then(time::read);
    match (read(taken_at(order)), read(modified_at(order))) {
        (Some(taken), Some(modified)) => modified.millis_since(taken) <= TAKEN_MS,
        _ => true,
    }
}

/// The shop's own time has no zone, so that of Greenwich is taken.
fn created_at<'a>(object: &Object<'a>) -> Option<&'a RawValue> {
    object.get("date_created_gmt")
}

fn modified_at<'a>(object: &Object<'a>) -> Option<&'a RawValue> {
    first_time(object, &["date_modified_gmt", "date_created_gmt"])
}

fn order(webhook: &Webhook<'_>, message_id: String, mut order: Object<'_>) -> Result<String, Refusal> {
    let step = Step::of(&order);
    let order_id = platform_id(&order, "id");
    let message_id = match step.word().zip(order_id.as_ref()) {
        Some((word, id)) => format!("woocommerce-{}-order-{id}-{word}", webhook.shop),
        None => message_id,
    };
    let billing = order.object("billing");
    let user_id = platform_id(&order, "customer_id").or_else(|| billing.text("email"));
    let named = if user_id.is_none() { order_id.as_deref().map(order_name) } else { None };
    let who = Who { user_id, anonymous_id: visitor(&order, "meta_data", "key").or(named) };
    let at = step.at(&order);
    let mut context = webhook.context();
    context.raw("traits", &person(&billing).finish());
    let mut properties = Draft::default();
    properties.take("order_id", &mut order, "id");
    if step == Step::Refunded {
        properties.text_if("total", refunded(&order, webhook).as_deref());
    }
    for (name, from) in [
        ("total", "total"),
        ("tax", "total_tax"),
        ("discount", "discount_total"),
        ("shipping_address", "shipping"),
        ("shipping", "shipping_total"),
    ] {
        properties.take(name, &mut order, from);
    }
    let coupons = objects(&order, "coupon_lines");
    properties.value_if("coupon", coupons.first().and_then(|coupon| coupon.get("code")));
    if let Some(products) = products(&mut order, "line_items", product)? {
        properties.raw("products", &products);
    }
    properties.rest(&order, &MEANS_SOMETHING_ELSE);
    Ok(Head { message_id: &message_id, who: &who, at }.track(step.event(), properties, context))
}

/// What was given back of an order: the sum of its refunds, which are written as negative amounts.
fn refunded(order: &Object<'_>, webhook: &Webhook<'_>) -> Option<String> {
    let currency = order.text("currency").and_then(|code| domain::Currency::parse(&code).ok());
    let size = |refund: &Object<'_>| refund.text("total").map(|total| total.trim_start_matches('-').to_owned());
    let amounts: Option<Vec<String>> = objects(order, "refunds").iter().map(size).collect();
    sums::sum(&amounts?, currency.unwrap_or(webhook.currency))
}

/// Of a deleted order WooCommerce tells no more than its id.
fn deleted_order(webhook: &Webhook<'_>, message_id: &str, mut order: Object<'_>) -> String {
    let who = Who { user_id: None, anonymous_id: platform_id(&order, "id").as_deref().map(order_name) };
    let mut properties = Draft::default();
    properties.take("order_id", &mut order, "id");
    properties.rest(&order, &MEANS_SOMETHING_ELSE);
    Head { message_id, who: &who, at: None }.track("Order Deleted", properties, webhook.context())
}

/// A customer's fields are her traits; the mapping knows their names.
fn customer(webhook: &Webhook<'_>, message_id: &str, mut customer: Object<'_>) -> String {
    let who = Who { user_id: platform_id(&customer, "id").or_else(|| customer.text("email")), anonymous_id: None };
    let at = modified_at(&customer);
    let billing = customer.object("billing");
    customer.remove("id");
    let mut traits = Draft::default();
    for name in ["email", "first_name", "last_name"] {
        match customer.text(name) {
            Some(_) => traits.take(name, &mut customer, name),
            None => traits.value_if(name, billing.get(name)),
        }
    }
    traits.value_if("phone", billing.get("phone"));
    traits.rest(&customer, &[]);
    Head { message_id, who: &who, at }.identify(traits, webhook.context())
}

/// Her account is gone. Whether her data are to go as well is for the shop to say.
fn deleted_customer(webhook: &Webhook<'_>, message_id: &str, mut customer: Object<'_>) -> String {
    let who = Who { user_id: platform_id(&customer, "id"), anonymous_id: None };
    customer.remove("id");
    let mut properties = Draft::default();
    properties.rest(&customer, &MEANS_SOMETHING_ELSE);
    Head { message_id, who: &who, at: None }.track("Customer Deleted", properties, webhook.context())
}

fn order_name(order_id: &str) -> String {
    format!("{WOOCOMMERCE_ORDER}{order_id}")
}

fn person(billing: &Object<'_>) -> Draft {
    let mut traits = Draft::default();
    for name in ["email", "phone", "first_name", "last_name"] {
        if billing.text(name).is_some() {
            traits.value_if(name, billing.get(name));
        }
    }
    traits
}

fn product(mut line: Object<'_>) -> Draft {
    let mut product = Draft::default();
    product.take("line_item_id", &mut line, "id");
    let image = line.object("image");
    product.value_if("image_url", image.get("src"));
    product.rest(&line, &MEANS_SOMETHING_ELSE);
    product
}
