//! One event, in the two forms that it has on its way: the JSON that a storefront sends, and the record that services read.

use schemas::{Contact, EventKind, Order, Product, StorefrontEvent};
use serde_json::{Value, json};
use tests::clickstream::draw;

use super::installation::SHOP;

const LOCALE: &str = "es-CO";
const TIME_ZONE: &str = "America/Bogota";
/// A delivery takes a moment.
const SENT_AFTER_MS: i64 = 100;
const RECEIVED_AFTER_MS: i64 = 250;
/// A call's events share a trace.
const EVENTS_OF_A_TRACE: u32 = 100;

/// What the customer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Viewed,
    Page,
    Added,
    CheckoutStarted,
    Ordered,
}

impl What {
    /// The name of the event, or of the page.
    fn name(self) -> &'static str {
        match self {
            Self::Viewed => "Product Viewed",
            Self::Page => "Category",
            Self::Added => "Product Added",
            Self::CheckoutStarted => "Checkout Started",
            Self::Ordered => "Order Completed",
        }
    }
}

/// An event, as little of it as all the rest follows from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// Counted from nought; no two are the same.
    pub(crate) number: u32,
    pub(crate) customer: u32,
    pub(crate) what: What,
    pub(crate) product: u32,
    pub(crate) at_ms: i64,
    /// Where it has to lie; by the key where that is none.
    pub(crate) partition: Option<i32>,
}

impl Event {
    /// Whose it is: the key of `storefront.events`.
    pub(crate) fn customer_id(&self) -> String {
        format!("u-{:07}", self.customer)
    }

    /// Her device: the key of `storefront.received`.
    pub(crate) fn anonymous_id(&self) -> String {
        uuid_like(u64::from(self.customer))
    }

    /// The trace context that the door gives what comes without one: not sampled.
    pub(crate) fn traceparent(&self) -> String {
        let call = u64::from(self.number / EVENTS_OF_A_TRACE) + 1;
        format!("00-{:016x}{:016x}-{:016x}-00", draw(call, u64::MAX), draw(!call, u64::MAX), draw(call << 20, u64::MAX))
    }

    /// As an SDK sends it in a batch.
    pub(crate) fn json(&self) -> Value {
        let mut call = json!({
            "messageId": self.message_id(),
            "timestamp": timestamp(self.at_ms),
            "userId": self.customer_id(),
            "anonymousId": self.anonymous_id(),
            "properties": self.properties(),
            "context": {
                "library": { "name": "analytics.js", "version": "2.11.1" },
                "locale": LOCALE,
                "timezone": TIME_ZONE,
                "page": { "path": self.path() },
            },
        });
        let (kind, field) = if self.what == What::Page { ("page", "name") } else { ("track", "event") };
        call["type"] = json!(kind);
        call[field] = json!(self.what.name());
        call
    }

    /// As it lies in `storefront.received`, and with a customer in `storefront.events`.
    pub(crate) fn record(&self, resolved: bool) -> StorefrontEvent {
        StorefrontEvent {
            message_id: self.message_id(),
            kind: if self.what == What::Page { EventKind::Page } else { EventKind::Track },
            name: self.what.name().to_owned(),
            shop: SHOP.to_owned(),
            source: SHOP.to_owned(),
            library: Some("analytics.js/2.11.1".to_owned()),
            user_id: Some(self.customer_id()),
            anonymous_id: Some(self.anonymous_id()),
            customer_id: resolved.then(|| self.customer_id()),
            event_time: self.at_ms,
            received_at: self.at_ms + RECEIVED_AFTER_MS,
            sent_at: Some(self.at_ms + SENT_AFTER_MS),
            traceparent: Some(self.traceparent()),
            contact: Some(Contact {
                locale: Some(LOCALE.to_owned()),
                time_zone: Some(TIME_ZONE.to_owned()),
                ..Contact::default()
            }),
            cart_id: self.cart_id(),
            product: self.product(),
            order: self.order(),
            context_json: Some(json!({ "page": { "path": self.path() } }).to_string()),
            ..StorefrontEvent::default()
        }
    }

    pub(crate) fn message_id(&self) -> String {
        uuid_like(u64::from(self.number) | 1 << 40)
    }

    fn path(&self) -> String {
        if self.what == What::Page { "/c/shoes".to_owned() } else { format!("/p/{}", self.product) }
    }

    /// One cart each, which fills again after an order.
    pub(crate) fn cart_id(&self) -> Option<String> {
        matches!(self.what, What::Added | What::CheckoutStarted | What::Ordered).then(|| format!("c-{}", self.customer))
    }

    fn product(&self) -> Option<Product> {
        matches!(self.what, What::Viewed | What::Added).then(|| Product {
            product_id: Some(format!("p-{}", self.product)),
            category: Some("shoes/running".to_owned()),
            name: Some(self.product_name()),
            price_minor: Some(self.price_minor()),
            currency: Some("USD".to_owned()),
            quantity: (self.what == What::Added).then_some(1),
            ..Product::default()
        })
    }

    fn order(&self) -> Option<Order> {
        matches!(self.what, What::CheckoutStarted | What::Ordered).then(|| Order {
            order_id: (self.what == What::Ordered).then(|| self.order_id()),
            currency: Some("USD".to_owned()),
            total_minor: Some(self.price_minor()),
            ..Order::default()
        })
    }

    fn properties(&self) -> Value {
        let mut properties = json!({});
        if let Some(cart) = self.cart_id() {
            properties["cart_id"] = json!(cart);
        }
        if self.product().is_some() {
            properties["product_id"] = json!(format!("p-{}", self.product));
            properties["category"] = json!("shoes/running");
            properties["name"] = json!(self.product_name());
            properties["price"] = json!(self.price_minor() as f64 / 100.0);
            properties["currency"] = json!("USD");
        }
        if self.what == What::Added {
            properties["quantity"] = json!(1);
        }
        if self.order().is_some() {
            properties["total"] = json!(self.price_minor() as f64 / 100.0);
            properties["currency"] = json!("USD");
        }
        if self.what == What::Ordered {
            properties["order_id"] = json!(self.order_id());
        }
        properties
    }

    pub(crate) fn order_id(&self) -> String {
        format!("o-{:08}", self.number)
    }

    fn product_name(&self) -> String {
        format!("Zapatilla Ligera {}", self.product)
    }

    pub(crate) fn price_minor(&self) -> i64 {
        1_000 + i64::from(self.product)
    }
}

/// 36 characters, as the ids of SDKs have them; other numbers give other ids.
fn uuid_like(number: u64) -> String {
    let noise = draw(number, 1 << 48);
    format!("{:08x}-{:04x}-4{:03x}-8000-{noise:012x}", number as u32, number >> 32 & 0xffff, number >> 48 & 0xfff)
}

fn timestamp(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map_or_else(|_| String::new(), |at| at.to_string())
}
