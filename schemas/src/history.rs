//! What somebody did before she was recognised: in the resolver's state, and in the `identified` record that hands it over.
//!
//! Field order is schema order.

use serde::{Deserialize, Serialize};

use crate::storefront::{EventKind, Order, Product, StorefrontEvent};

/// An event of an anonymous history: as much of it as is counted at its own time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct PastEvent {
    pub message_id: String,
    pub kind: EventKind,
    #[serde(default)]
    pub name: String,
    pub shop: String,
    /// Milliseconds since 1970.
    pub event_time: i64,
    #[serde(default)]
    pub historical: bool,
    pub consent_marketing: Option<bool>,
    pub cart_id: Option<String>,
    pub product: Option<PastProduct>,
    #[serde(default)]
    pub products: Vec<PastProduct>,
    pub order: Option<PastOrder>,
}

/// A product of a past event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct PastProduct {
    pub product_id: Option<String>,
    pub sku: Option<String>,
    pub category: Option<String>,
    pub name: Option<String>,
    pub brand: Option<String>,
    pub variant: Option<String>,
    pub url: Option<String>,
    pub image_url: Option<String>,
    pub price_minor: Option<i64>,
    pub currency: Option<String>,
    pub quantity: Option<i64>,
}

/// The order of a past event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct PastOrder {
    pub order_id: Option<String>,
    pub coupon: Option<String>,
    pub currency: Option<String>,
    pub total_minor: Option<i64>,
}

impl StorefrontEvent {
    /// The events of an `identified` record's history, as the customer's own, in the order in which they were told. Each
    /// happened at its own time, and reached us when she was recognised: how late it came is judged by that.
    pub fn past_events(&self) -> impl Iterator<Item = Self> {
        self.history.iter().map(|past| Self {
            message_id: past.message_id.clone(),
            kind: past.kind,
            name: past.name.clone(),
            shop: past.shop.clone(),
            source: self.source.clone(),
            user_id: self.user_id.clone(),
            anonymous_id: self.anonymous_id.clone(),
            customer_id: self.customer_id.clone(),
            event_time: past.event_time,
            received_at: self.received_at,
            historical: past.historical,
            consent_marketing: past.consent_marketing,
            traceparent: self.traceparent.clone(),
            hops: self.hops,
            cart_id: past.cart_id.clone(),
            product: past.product.as_ref().map(Product::from),
            products: past.products.iter().map(Product::from).collect(),
            order: past.order.as_ref().map(Order::from),
            ..Self::default()
        })
    }
}

impl From<&PastProduct> for Product {
    fn from(past: &PastProduct) -> Self {
        Self {
            product_id: past.product_id.clone(),
            sku: past.sku.clone(),
            category: past.category.clone(),
            name: past.name.clone(),
            brand: past.brand.clone(),
            variant: past.variant.clone(),
            url: past.url.clone(),
            image_url: past.image_url.clone(),
            price_minor: past.price_minor,
            currency: past.currency.clone(),
            quantity: past.quantity,
            ..Self::default()
        }
    }
}

impl From<&PastOrder> for Order {
    fn from(past: &PastOrder) -> Self {
        Self {
            order_id: past.order_id.clone(),
            coupon: past.coupon.clone(),
            currency: past.currency.clone(),
            total_minor: past.total_minor,
            ..Self::default()
        }
    }
}
