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

#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile;

impl Service for Profile {
    type Policy = ();
    type State = ProfileState;
    type Input = Box<StorefrontEvent>;
    type Output = ProfileChanged;
    type Action = std::convert::Infallible;
    type Completion = std::convert::Infallible;

    fn topology() -> &'static Topology {
        &TOPOLOGY
    }

    fn decode(schemas: &Schemas, record: &RecordRef<'_>) -> Result<Decoded<Self::Input>, Poison> {
        let poison = |detail: String| Poison { reason: "malformed", detail };
        let value = record.value.ok_or_else(|| poison("no value".to_owned()))?;
        let event: StorefrontEvent = schemas.decode(value).map_err(|error| poison(error.to_string()))?;
        let customer = event.customer_id.as_deref().ok_or_else(|| poison("no customer".to_owned()))?;
        Ok(Decoded { key: Arc::from(customer), at: Timestamp::from_millis(event.event_time), input: Box::new(event) })
    }

    fn apply_table((): &mut (), _: &Schemas, _: &RecordRef<'_>) -> Result<(), Poison> {
        Ok(())
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
        match (event.kind, event.name.as_str()) {
            (EventKind::Page, _) => state.pages += 1,
            (_, "Product Viewed") => state.views += 1,
            (_, "Product Added") => state.adds += 1,
            (_, "Checkout Started") => state.checkouts += 1,
            (_, "Order Completed") => state.ordered(&event),
            _ => {}
        }
        if event.name == "Product Added" {
            effects.emit(state.changed(context.key, *event));
        }
        Disposition::Emitted
    }
}

impl ProfileState {
    /// What every event tells.
    fn seen(&mut self, event: &StorefrontEvent, now: i64) {
        if self.events == 0 {
            self.first_seen_at = now;
        }
        self.last_seen_at = now;
        self.events += 1;
        if let Some(contact) = &event.contact {
            take(&mut self.locale, contact.locale.as_deref());
            take(&mut self.time_zone, contact.time_zone.as_deref());
        }
        if let Some(product) = &event.product {
            take(&mut self.last_product_id, product.product_id.as_deref());
            take(&mut self.last_category, product.category.as_deref());
        }
        take(&mut self.cart_id, event.cart_id.as_deref());
    }

    fn ordered(&mut self, event: &StorefrontEvent) {
        self.orders += 1;
        self.cart_id = None;
        if let Some(order) = &event.order {
            self.spent_minor += order.total_minor.unwrap_or_default();
            take(&mut self.currency, order.currency.as_deref());
            take(&mut self.last_order_id, order.order_id.as_deref());
        }
    }

    fn changed(&self, customer_id: &str, event: StorefrontEvent) -> ProfileChanged {
        ProfileChanged {
            customer_id: customer_id.to_owned(),
            cause_id: event.message_id,
            at: event.event_time,
            cart_id: event.cart_id,
            product_id: event.product.and_then(|product| product.product_id),
            events: self.events,
            orders: self.orders,
            spent_minor: self.spent_minor,
        }
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
