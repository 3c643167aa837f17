//! The service that is measured: a profile of each customer, of sixteen fields, and a record to others for what is put into
//! a cart (about one event in eight). It exists only here.

mod check;

use std::sync::Arc;

use domain::Timestamp;
use schemas::{AvroSchema, Contract, EncodeError, EventKind, Schemas, StateContract, StorefrontEvent};
use serde::{Deserialize, Serialize};
use stream::{
    Cause, Clock, Context, Dataset, Decoded, Disposition, Due, Effects, Input, Output, Poison, RecordRef, Service,
    State, Topology,
};

pub(crate) use check::{Found, Wanted};

pub(crate) const CHANGELOG: &str = "profile.changelog";
pub(crate) const CHANGES: &str = "profile.changes";

static TOPOLOGY: Topology = Topology {
    service: "profile",
    inputs: &[Input { dataset: "storefront.events", clock: Clock::Marks("ingestion.marks") }],
    tables: &[],
    outputs: &[CHANGES],
    changelog: CHANGELOG,
    marks: None,
};

static CHANGELOG_SCHEMA: AvroSchema =
    AvroSchema::changelog("ProfileChangelog", "vuelve.bench", include_str!("profile_state.avsc"));
static CHANGED_SCHEMA: AvroSchema = AvroSchema::record("ProfileChanged", include_str!("profile_changed.avsc"));

/// The schemas of what it keeps and writes, by their data sets.
pub(crate) fn schemas() -> [(&'static str, &'static AvroSchema); 2] {
    [(CHANGELOG, &CHANGELOG_SCHEMA), (CHANGES, &CHANGED_SCHEMA)]
}

/// A customer, as her events tell of her.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProfileState {
    pub(crate) first_seen_at: i64,
    pub(crate) last_seen_at: i64,
    pub(crate) events: i64,
    pub(crate) pages: i64,
    pub(crate) views: i64,
    pub(crate) adds: i64,
    pub(crate) checkouts: i64,
    pub(crate) orders: i64,
    pub(crate) spent_minor: i64,
    pub(crate) currency: Option<String>,
    pub(crate) last_product_id: Option<String>,
    pub(crate) last_category: Option<String>,
    pub(crate) cart_id: Option<String>,
    pub(crate) last_order_id: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) time_zone: Option<String>,
}

impl StateContract for ProfileState {
    const NAME: &'static str = "ProfileChangelog";

    fn changelog() -> &'static AvroSchema {
        &CHANGELOG_SCHEMA
    }
}

impl State for ProfileState {
    fn due(&self) -> Due {
        Due::default()
    }
}

/// Something was put into a cart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProfileChanged {
    pub(crate) customer_id: String,
    pub(crate) cause_id: String,
    pub(crate) at: i64,
    pub(crate) cart_id: Option<String>,
    pub(crate) product_id: Option<String>,
    pub(crate) events: i64,
    pub(crate) orders: i64,
    pub(crate) spent_minor: i64,
}

impl Contract for ProfileChanged {
    const NAME: &'static str = "ProfileChanged";

    fn schema() -> &'static AvroSchema {
        &CHANGED_SCHEMA
    }
}

impl Output for ProfileChanged {
    fn dataset(&self) -> Dataset {
        CHANGES
    }

    fn key(&self) -> &str {
        &self.customer_id
    }

    fn encode(&self, schemas: &Schemas, buffer: &mut Vec<u8>) -> Result<bool, EncodeError> {
        schemas.encode(CHANGES, self, buffer)?;
        Ok(true)
    }
}

/// Of an event what the profile takes, borrowed from the record.
#[derive(Debug, Deserialize)]
struct EventView<'e> {
    message_id: &'e str,
    kind: EventKind,
    #[serde(default)]
    name: &'e str,
    customer_id: Option<&'e str>,
    event_time: i64,
    #[serde(borrow)]
    contact: Option<ContactView<'e>>,
    cart_id: Option<&'e str>,
    #[serde(borrow)]
    product: Option<ProductView<'e>>,
    #[serde(borrow)]
    order: Option<OrderView<'e>>,
}

#[derive(Debug, Default, Deserialize)]
struct ContactView<'e> {
    locale: Option<&'e str>,
    time_zone: Option<&'e str>,
}

#[derive(Debug, Default, Deserialize)]
struct ProductView<'e> {
    product_id: Option<&'e str>,
    category: Option<&'e str>,
}

#[derive(Debug, Default, Deserialize)]
struct OrderView<'e> {
    order_id: Option<&'e str>,
    currency: Option<&'e str>,
    total_minor: Option<i64>,
}

/// The same as it waits for its batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    what: What,
    locale: Option<Box<str>>,
    time_zone: Option<Box<str>>,
    cart_id: Option<Box<str>>,
    product_id: Option<Box<str>>,
    category: Option<Box<str>>,
    order_id: Option<Box<str>>,
    currency: Option<Box<str>>,
    total_minor: Option<i64>,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Page,
    Viewed,
    /// By which event, and when.
    Added(Box<str>, i64),
    CheckoutStarted,
    Ordered,
    Other,
}

impl Seen {
    fn of(event: &EventView<'_>) -> Self {
        let what = match (event.kind, event.name) {
            (EventKind::Page, _) => What::Page,
            (_, "Product Viewed") => What::Viewed,
            (_, "Product Added") => What::Added(event.message_id.into(), event.event_time),
            (_, "Checkout Started") => What::CheckoutStarted,
            (_, "Order Completed") => What::Ordered,
            _ => What::Other,
        };
        let (contact, product, order) = (event.contact.as_ref(), event.product.as_ref(), event.order.as_ref());
        let order = order.filter(|_| what == What::Ordered);
        let owned = |text: Option<&str>| text.map(Box::from);
        Self {
            locale: owned(contact.and_then(|contact| contact.locale)),
            time_zone: owned(contact.and_then(|contact| contact.time_zone)),
            cart_id: owned(event.cart_id),
            product_id: owned(product.and_then(|product| product.product_id)),
            category: owned(product.and_then(|product| product.category)),
            order_id: owned(order.and_then(|order| order.order_id)),
            currency: owned(order.and_then(|order| order.currency)),
            total_minor: order.and_then(|order| order.total_minor),
            what,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile;

impl Service for Profile {
    type Policy = ();
    type State = ProfileState;
    type Input = Box<Seen>;
    type Output = ProfileChanged;
    type Action = std::convert::Infallible;
    type Completion = std::convert::Infallible;

    fn topology() -> &'static Topology {
        &TOPOLOGY
    }

    fn decode(schemas: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Self::Input>, Poison> {
        let poison = |detail: String| Poison { reason: "malformed", detail };
        let value = record.value.ok_or_else(|| poison("no value".to_owned()))?;
        let event: EventView<'_> =
            schemas.decode_view::<StorefrontEvent, _>(value).map_err(|error| poison(error.to_string()))?;
        let customer = event.customer_id.ok_or_else(|| poison("no customer".to_owned()))?;
        let input = Box::new(Seen::of(&event));
        Ok(Decoded { key: Arc::from(customer), at: Timestamp::from_millis(event.event_time), input })
    }

    fn apply_table((): &mut (), _: &Schemas, _: &RecordRef<'_>) -> Result<bool, Poison> {
        Ok(false)
    }

    fn step(
        (): &(),
        state: &mut ProfileState,
        cause: Cause<Self::Input, Self::Completion>,
        context: &Context<'_>,
        effects: &mut Effects<ProfileChanged, Self::Action>,
    ) -> Disposition {
        let Cause::Record(event) = cause else { return Disposition::Ignored("no_record") };
        state.seen(&event, context.now.as_millis());
        match &event.what {
            What::Page => state.pages += 1,
            What::Viewed => state.views += 1,
            What::Added(..) => state.adds += 1,
            What::CheckoutStarted => state.checkouts += 1,
            What::Ordered => state.ordered(&event),
            What::Other => {}
        }
        if let What::Added(cause_id, at) = &event.what {
            effects.emit(ProfileChanged {
                customer_id: (**context.key).to_owned(),
                cause_id: (**cause_id).to_owned(),
                at: *at,
                cart_id: event.cart_id.as_deref().map(str::to_owned),
                product_id: event.product_id.as_deref().map(str::to_owned),
                events: state.events,
                orders: state.orders,
                spent_minor: state.spent_minor,
            });
        }
        Disposition::Emitted
    }
}

impl ProfileState {
    /// What every event tells.
    fn seen(&mut self, event: &Seen, now: i64) {
        if self.events == 0 {
            self.first_seen_at = now;
        }
        self.last_seen_at = now;
        self.events += 1;
        take(&mut self.locale, event.locale.as_deref());
        take(&mut self.time_zone, event.time_zone.as_deref());
        take(&mut self.last_product_id, event.product_id.as_deref());
        take(&mut self.last_category, event.category.as_deref());
        take(&mut self.cart_id, event.cart_id.as_deref());
    }

    fn ordered(&mut self, event: &Seen) {
        self.orders += 1;
        self.cart_id = None;
        self.spent_minor += event.total_minor.unwrap_or_default();
        take(&mut self.currency, event.currency.as_deref());
        take(&mut self.last_order_id, event.order_id.as_deref());
    }
}

/// Takes what is told, where something is.
fn take(field: &mut Option<String>, told: Option<&str>) {
    if let Some(told) = told
        && field.as_deref() != Some(told)
    {
        *field = Some(told.to_owned());
    }
}
