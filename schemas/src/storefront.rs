//! The storefront event: what `storefront.received` and `storefront.events` hold.
//!
//! Field order is schema order, which lets the encoder write without buffering.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::AvroSchema;
use crate::contract::record_contract;
use crate::history::PastEvent;

/// Schema text of [`StorefrontEvent`].
pub(crate) const STOREFRONT_EVENT_AVSC: &str = include_str!("../storefront/storefront_event.avsc");

/// Schema of [`StorefrontEvent`].
pub static STOREFRONT_EVENT: AvroSchema = AvroSchema::record("StorefrontEvent", STOREFRONT_EVENT_AVSC);

record_contract!(StorefrontEvent, STOREFRONT_EVENT);

/// What a customer did or what became known about her. The fields are documented in `storefront_event.avsc`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct StorefrontEvent {
    pub message_id: String,
    pub kind: EventKind,
    #[serde(default)]
    pub name: String,
    pub shop: String,
    pub source: String,
    pub library: Option<String>,
    pub user_id: Option<String>,
    pub anonymous_id: Option<String>,
    pub previous_id: Option<String>,
    pub group_id: Option<String>,
    pub customer_id: Option<String>,
    /// Milliseconds since 1970.
    pub event_time: i64,
    /// Milliseconds since 1970.
    pub received_at: i64,
    /// Milliseconds since 1970.
    pub sent_at: Option<i64>,
    #[serde(default)]
    pub historical: bool,
    pub consent_marketing: Option<bool>,
    pub traceparent: Option<String>,
    #[serde(default)]
    pub hops: i32,
    pub contact: Option<Contact>,
    pub cart_id: Option<String>,
    pub product: Option<Product>,
    #[serde(default)]
    pub products: Vec<Product>,
    pub order: Option<Order>,
    pub traits_json: Option<String>,
    pub properties_json: Option<String>,
    pub context_json: Option<String>,
    pub address_id: Option<String>,
    #[serde(default)]
    pub history: Vec<PastEvent>,
    pub said_at: Option<i64>,
}

/// What the links and the picture of a message tell; `machine` says whether a program did it.
const ENGAGEMENTS: [&str; 2] = ["Email Opened", "Email Link Clicked"];

/// The source of events that the links and the picture of a message tell.
pub const LINKS: &str = "links";

/// What webhooks of Shopify call a cart; its token follows.
pub const SHOPIFY_CART: &str = "shopify-cart-";
/// What webhooks of Shopify call an order; its number follows.
pub const SHOPIFY_ORDER: &str = "shopify-order-";
/// What webhooks of WooCommerce call an order; its number follows.
pub const WOOCOMMERCE_ORDER: &str = "woocommerce-order-";

/// Whether an anonymous id is what webhooks call an order of which they say no more: no device has it.
pub fn names_an_order(anonymous_id: &str) -> bool {
    [SHOPIFY_ORDER, WOOCOMMERCE_ORDER].iter().any(|name| anonymous_id.starts_with(name))
}

/// Whether an anonymous id is what webhooks call an order or a cart. There is one for each of hers, however many.
pub fn names_an_order_or_a_cart(anonymous_id: &str) -> bool {
    names_an_order(anonymous_id) || anonymous_id.starts_with(SHOPIFY_CART)
}

/// Language and time zone that an event tells of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct LocaleAndZone {
    /// BCP 47 language tag.
    pub locale: Option<String>,
    /// IANA time zone.
    #[serde(rename = "timezone")]
    pub time_zone: Option<String>,
}

impl LocaleAndZone {
    /// Longer than any that is real; such a one is not taken over.
    const MAX_BYTES: usize = 320;

    /// Those that can be real.
    fn usable(self) -> Self {
        let keep = |text: Option<String>| {
            text.filter(|text| !text.trim().is_empty() && text.len() <= Self::MAX_BYTES)
                .map(|text| text.trim().to_owned())
        };
        Self { locale: keep(self.locale), time_zone: keep(self.time_zone) }
    }
}

impl StorefrontEvent {
    /// What the customer chose: her traits. The door puts what her device says into the contact where her traits say nothing:
    /// so it is a trait only in an `identify`, and only where the context does not say the same.
    pub fn chosen_locale_and_zone(&self) -> LocaleAndZone {
        let Some(contact) = self.contact.as_ref().filter(|_| self.kind == EventKind::Identify) else {
            return LocaleAndZone::default();
        };
        if contact.locale.is_none() && contact.time_zone.is_none() {
            return LocaleAndZone::default();
        }
        let device = self.context_locale_and_zone();
        let chosen = |told: &Option<String>, device: Option<String>| told.clone().filter(|_| *told != device);
        LocaleAndZone {
            locale: chosen(&contact.locale, device.locale),
            time_zone: chosen(&contact.time_zone, device.time_zone),
        }
        .usable()
    }

    /// What her device says.
    pub fn device_locale_and_zone(&self) -> LocaleAndZone {
        let mut device = self.context_locale_and_zone();
        if let Some(contact) = self.contact.as_ref().filter(|_| self.kind != EventKind::Identify) {
            device.time_zone = device.time_zone.or_else(|| contact.time_zone.clone());
            device.locale = device.locale.or_else(|| contact.locale.clone());
        }
        device.usable()
    }

    fn context_locale_and_zone(&self) -> LocaleAndZone {
        let context = self.context_json.as_deref().filter(|json| json.contains("timezone") || json.contains("locale"));
        context.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }
}

impl StorefrontEvent {
    /// Whether it says that a customer of the shop did it. A link of a message only says whom that went to.
    pub fn names_a_customer(&self) -> bool {
        self.user_id.is_some() && self.source != LINKS
    }

    /// Whether a program opened a message, or followed its link: nobody did anything.
    pub fn is_of_a_machine(&self) -> bool {
        if self.kind != EventKind::Track || !ENGAGEMENTS.contains(&self.name.as_str()) {
            return false;
        }
        let properties = self.properties_json.as_deref().map(serde_json::from_str::<serde_json::Value>);
        matches!(properties, Some(Ok(properties)) if properties.get("machine") == Some(&true.into()))
    }
}

/// Which call of the Segment specification an event came as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Something that the customer did.
    Track,
    /// Who the customer is.
    Identify,
    /// A page seen.
    Page,
    /// A screen seen.
    Screen,
    /// An account or group joined.
    Group,
    /// One id in place of another.
    Alias,
    /// The resolver's own, under a customer: a device is hers, and this is what was done on it before.
    Identified,
    /// The resolver's own, under an anonymous id: what is held of it is now a customer's.
    Moved,
    /// Nothing of what happened to the customer until then is to be known any more.
    Erased,
    /// A kind that this reader does not know.
    #[default]
    #[serde(other)]
    Other,
}

/// How the customer can be reached. Personal data: `Debug` tells only what is there.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Contact {
    pub email: Option<String>,
    pub phone: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub locale: Option<String>,
    pub time_zone: Option<String>,
}

impl fmt::Debug for Contact {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { email, phone, first_name, last_name, locale, time_zone } = self;
        let fields = [
            ("email", email),
            ("phone", phone),
            ("first_name", first_name),
            ("last_name", last_name),
            ("locale", locale),
            ("time_zone", time_zone),
        ];
        crate::contract::debug_present(formatter, "Contact", &fields)
    }
}

/// A product as the storefront described it. Amounts are minor units of the currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Product {
    pub product_id: Option<String>,
    pub sku: Option<String>,
    pub category: Option<String>,
    pub name: Option<String>,
    pub brand: Option<String>,
    pub variant: Option<String>,
    pub coupon: Option<String>,
    pub url: Option<String>,
    pub image_url: Option<String>,
    pub price_minor: Option<i64>,
    pub currency: Option<String>,
    pub quantity: Option<i64>,
    pub position: Option<i64>,
}

/// An order or a checkout; its products are in the event's `products`. Amounts are minor units of the currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Order {
    pub order_id: Option<String>,
    pub checkout_id: Option<String>,
    pub affiliation: Option<String>,
    pub coupon: Option<String>,
    pub currency: Option<String>,
    pub total_minor: Option<i64>,
    pub revenue_minor: Option<i64>,
    pub subtotal_minor: Option<i64>,
    pub shipping_minor: Option<i64>,
    pub tax_minor: Option<i64>,
    pub discount_minor: Option<i64>,
}
