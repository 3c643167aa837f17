//! A storefront event as journeys look at it: its fields to go by, its products, its properties (read at most once).

use std::borrow::Cow;
use std::cell::OnceCell;

use definitions::{EventPattern, Field, Journey, SegmentName};
use domain::Timestamp;
use schemas::{EventKind, Order, Product, StorefrontEvent};
use serde_json::{Map, Value};

use crate::ids;
use crate::policy::CompiledJourney;
use crate::state::{Item, MAX_ITEMS, MAX_TRIGGER_BYTES, Run, Trigger, TriggerOrder, keep_last};

/// The longest text of a product that is kept.
const MAX_TEXT: usize = 200;
/// The longest address of a page or picture that is kept; a longer one is left out, since half of one leads nowhere.
const MAX_URL: usize = 1_000;
/// The longest correlation key that is kept as it is.
const MAX_KEY: usize = 128;
/// At most so many bytes of properties are kept with a run.
const MAX_PROPERTIES: usize = 2_048;

/// An event that is being looked at.
pub(crate) struct EventView<'e> {
    pub(crate) event: &'e StorefrontEvent,
    /// The segment that the customer entered or left, where that is what happened.
    segment: Option<&'e str>,
    /// It is a visitor's past, heard of when she was recognised.
    pub(crate) is_past: bool,
    properties: OnceCell<Map<String, Value>>,
}

impl<'e> EventView<'e> {
    pub(crate) fn new(event: &'e StorefrontEvent) -> Self {
        Self { event, segment: None, is_past: false, properties: OnceCell::new() }
    }

    /// One that stands for a segment entered or left.
    pub(crate) fn of_segment(event: &'e StorefrontEvent, segment: &'e str) -> Self {
        Self { segment: Some(segment), ..Self::new(event) }
    }

    /// One that a visitor did before she was recognised.
    pub(crate) fn of_past(event: &'e StorefrontEvent) -> Self {
        Self { is_past: true, ..Self::new(event) }
    }

    /// When it happened.
    pub(crate) fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.event.event_time)
    }

    /// Whether it is something that the customer did, of that name.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.event.kind == EventKind::Track && self.event.name == name
    }

    /// Whether it opens runs of a journey.
    pub(crate) fn triggers(&self, journey: &Journey) -> bool {
        journey.triggers.iter().any(|trigger| self.is(trigger.event()) && self.is_about(trigger.segment()))
    }

    /// Whether it is about that segment; about none where there is none.
    pub(crate) fn is_about(&self, segment: Option<&SegmentName>) -> bool {
        self.segment == segment.map(|segment| &*segment.name)
    }

    /// Its properties; none if they are no JSON object.
    pub(crate) fn properties(&self) -> &Map<String, Value> {
        self.properties.get_or_init(|| object(self.event.properties_json.as_deref()))
    }

    /// A property that is a text or a number.
    pub(crate) fn property(&self, name: &str) -> Option<Cow<'_, str>> {
        scalar(self.properties().get(name)?)
    }

    /// All its products.
    pub(crate) fn products(&self) -> impl Iterator<Item = &Product> {
        self.event.product.iter().chain(&self.event.products)
    }

    /// The values of a field to go by; none: the event lacks it.
    fn values(&self, field: &Field) -> Vec<Cow<'_, str>> {
        let order = self.event.order.as_ref();
        let of_products = |pick: fn(&Product) -> Option<&String>| -> Vec<Cow<'_, str>> {
            self.products().filter_map(pick).map(|text| Cow::Borrowed(text.as_str())).collect()
        };
        let mut values: Vec<Cow<'_, str>> = match field {
            Field::CartId => borrowed(self.event.cart_id.as_ref()),
            Field::OrderId => borrowed(order.and_then(|order| order.order_id.as_ref())),
            Field::CheckoutId => borrowed(order.and_then(|order| order.checkout_id.as_ref())),
            Field::ProductId => of_products(|product| product.product_id.as_ref()),
            Field::Sku => of_products(|product| product.sku.as_ref()),
            Field::Category => of_products(|product| product.category.as_ref()),
            Field::Property(name) => self.property(name).into_iter().collect(),
        };
        values.retain(|value| !value.is_empty());
        values
    }

    /// The correlation key of a run that it would open; empty where there is nothing to go by.
    pub(crate) fn correlation_key(&self, field: Option<&Field>, open_cart: Option<&str>) -> String {
        let Some(field) = field else { return String::new() };
        match self.values(field).into_iter().next() {
            Some(value) => bounded_key(&value),
            None if *field == Field::CartId => open_cart.map(bounded_key).unwrap_or_default(),
            None => String::new(),
        }
    }

    /// Whether it is what the pattern names, and the run's. An event that lacks the field matches every run, and so does
    /// one whose run does not know the field: when in doubt, don't send.
    pub(crate) fn matches(&self, pattern: &EventPattern, run: &Run, compiled: &CompiledJourney) -> bool {
        if !self.is(&pattern.event) || !self.is_about(pattern.segment.as_ref()) {
            return false;
        }
        let Some(field) = &pattern.same else { return true };
        let own = self.values(field);
        let of_run = values_of_run(field, run, compiled);
        own.is_empty() || of_run.is_empty() || own.iter().any(|value| of_run.contains(&bounded_key(value)))
    }

    /// What a run keeps of it.
    pub(crate) fn trigger(&self, compiled: &CompiledJourney) -> Trigger {
        let event = self.event;
        let mut products: Vec<Item> = self.products().take(MAX_ITEMS).map(item).collect();
        keep_last(&mut products, MAX_TRIGGER_BYTES);
        Trigger {
            name: event.name.as_str().into(),
            message_id: cut(&event.message_id, MAX_TEXT),
            event_time: self.time(),
            cart_id: event.cart_id.as_deref().map(|id| cut(id, MAX_TEXT)),
            products,
            order: event.order.as_ref().map(order),
            properties_json: self.kept_properties(compiled),
        }
    }

    fn kept_properties(&self, compiled: &CompiledJourney) -> Option<String> {
        if !compiled.all_properties && compiled.properties.is_empty() {
            return None;
        }
        let wanted =
            |name: &str| compiled.all_properties || compiled.properties.iter().any(|property| **property == *name);
        let kept: Map<String, Value> = self
            .properties()
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        // A condition that misses one of them takes its default branch.
        Some(Value::Object(kept).to_string()).filter(|text| text.len() <= MAX_PROPERTIES)
    }
}

fn borrowed(text: Option<&String>) -> Vec<Cow<'_, str>> {
    text.map(|text| Cow::Borrowed(text.as_str())).into_iter().collect()
}

/// The object that a JSON text holds; empty if it holds none.
pub(crate) fn object(json: Option<&str>) -> Map<String, Value> {
    match json.map(serde_json::from_str) {
        Some(Ok(Value::Object(object))) => object,
        _ => Map::new(),
    }
}

fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

fn values_of_run(field: &Field, run: &Run, compiled: &CompiledJourney) -> Vec<String> {
    if compiled.journey.correlate.as_ref() == Some(field) {
        return if run.key.is_empty() { Vec::new() } else { vec![run.key.to_string()] };
    }
    let trigger = &run.trigger;
    let of_products = |pick: fn(&Item) -> Option<&String>| -> Vec<String> {
        trigger.products.iter().filter_map(pick).map(|text| bounded_key(text)).collect()
    };
    let one = |text: Option<&String>| text.map(|text| bounded_key(text)).into_iter().collect();
    let order = trigger.order.as_ref();
    match field {
        Field::CartId => one(trigger.cart_id.as_ref()),
        Field::OrderId => one(order.and_then(|order| order.order_id.as_ref())),
        Field::CheckoutId => one(order.and_then(|order| order.checkout_id.as_ref())),
        Field::ProductId => of_products(|item| item.product_id.as_ref()),
        Field::Sku => of_products(|item| item.sku.as_ref()),
        Field::Category => of_products(|item| item.category.as_ref()),
        Field::Property(name) => {
            let properties = object(trigger.properties_json.as_deref());
            properties.get(&**name).and_then(scalar).map(|value| bounded_key(&value)).into_iter().collect()
        }
    }
}

fn bounded_key(key: &str) -> String {
    if key.len() <= MAX_KEY { key.to_owned() } else { ids::long_key(key) }
}

/// What is kept of a product.
pub(crate) fn item(product: &Product) -> Item {
    let text = |text: &Option<String>| text.as_deref().map(|text| cut(text, MAX_TEXT));
    let url = |url: &Option<String>| url.clone().filter(|url| url.len() <= MAX_URL);
    Item {
        product_id: text(&product.product_id),
        sku: text(&product.sku),
        category: text(&product.category),
        name: text(&product.name),
        brand: text(&product.brand),
        variant: text(&product.variant),
        coupon: text(&product.coupon),
        url: url(&product.url),
        image_url: url(&product.image_url),
        price_minor: product.price_minor,
        currency: text(&product.currency),
        quantity: product.quantity,
    }
}

fn order(order: &Order) -> TriggerOrder {
    let text = |text: &Option<String>| text.as_deref().map(|text| cut(text, MAX_TEXT));
    TriggerOrder {
        order_id: text(&order.order_id),
        checkout_id: text(&order.checkout_id),
        affiliation: text(&order.affiliation),
        coupon: text(&order.coupon),
        currency: text(&order.currency),
        total_minor: order.total_minor,
        revenue_minor: order.revenue_minor,
        subtotal_minor: order.subtotal_minor,
        shipping_minor: order.shipping_minor,
        tax_minor: order.tax_minor,
        discount_minor: order.discount_minor,
    }
}

/// At most `limit` bytes, at a character's end.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// An address that is kept whole or not at all.
pub(crate) fn whole_url(url: &str) -> Option<String> {
    (!url.is_empty() && url.len() <= MAX_URL).then(|| url.to_owned())
}
