//! What journeys knows of one customer, and what she waits for.
//!
//! Wanted properties:
//! - bounded: runs, carts, lines and memories are counted, texts are cut, so that a state is always far smaller than a
//!   record may be; what nobody can ask for again is forgotten by a timer;
//! - [`JourneysState::due`] needs no policy: what a run waits for is written into it when the wait begins.
//!
//! The fields are documented in `schemas/journeys/journeys_state.avsc`.

use std::fmt;
use std::sync::Arc;

use domain::{HumanDuration, Timestamp};
use schemas::{AvroSchema, CustomerView, JOURNEYS_CHANGELOG, StateContract};
use serde::{Deserialize, Serialize};
use stream::{Due, State};

/// At most so many active runs a customer.
pub const MAX_RUNS: usize = 24;
/// At most so many open carts a customer.
pub const MAX_CARTS: usize = 4;
/// At most so many lines a cart, or products of an event.
pub const MAX_ITEMS: usize = 20;
/// At most so many bytes of texts in the lines of a cart; the eldest lines go first.
pub const MAX_CART_BYTES: usize = 16 * 1024;
/// At most so many bytes of texts in the products that a run keeps of its trigger.
pub const MAX_TRIGGER_BYTES: usize = 8 * 1024;
/// At most so many steps are kept with a run; those that came to their end, and have no name, go first.
pub const MAX_KEPT_STEPS: usize = 32;
/// At most so many steps are kept with a run that ended: the last ones.
pub const MAX_PAST_STEPS: usize = 8;
/// At most so many ended runs and exits are remembered; more than the journeys of any shop.
pub const MAX_PAST: usize = 64;
/// A cart that nobody touches for so long is no longer open.
pub const CART_IDLE: HumanDuration = HumanDuration::from_hours(30 * 24);
/// The state of a customer whom we can't name or reach ends after so long.
pub const ANONYMOUS_IDLE: HumanDuration = HumanDuration::from_hours(90 * 24);

/// What journeys knows of one customer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema, which a test holds to having every field documented")]
pub struct JourneysState {
    pub contact: Option<CustomerContact>,
    #[serde(default)]
    pub known: bool,
    pub touched_at: Option<Timestamp>,
    pub policy_seen: Option<Timestamp>,
    #[serde(default)]
    pub carts: Vec<Cart>,
    #[serde(default)]
    pub arms: Vec<ArmChoice>,
    #[serde(default)]
    pub runs: Vec<Run>,
    #[serde(default)]
    pub past_runs: Vec<PastRun>,
    #[serde(default)]
    pub past_exits: Vec<PastExit>,
    pub customer: Option<Box<CustomerView>>,
}

/// How the customer can be reached. Personal data: `Debug` tells only what is there.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct CustomerContact {
    pub email: Option<String>,
    pub phone: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub locale: Option<String>,
    pub time_zone: Option<String>,
    pub seen_time_zone: Option<String>,
    pub told_at: Option<Timestamp>,
    pub email_at: Option<Timestamp>,
}

/// A cart that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Cart {
    pub cart_id: Option<String>,
    pub changed_at: Timestamp,
    pub url: Option<String>,
    #[serde(default)]
    pub lines: Vec<Item>,
}

/// A product, as the storefront described it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Item {
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
}

/// The arm of a journey that was drawn for the customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct ArmChoice {
    pub journey: Arc<str>,
    #[serde(default)]
    pub holdout: bool,
}

/// A run of a journey.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Run {
    pub journey: Arc<str>,
    #[serde(default)]
    pub version: i32,
    pub run_id: Arc<str>,
    pub key: Arc<str>,
    #[serde(default)]
    pub holdout: bool,
    pub shop: Arc<str>,
    pub started_at: Timestamp,
    #[serde(default)]
    pub ordinal: i32,
    pub trigger: Trigger,
    #[serde(default)]
    pub position: i32,
    pub step: Arc<str>,
    #[serde(default)]
    pub waits_for: WaitsFor,
    pub wakes_at: Option<Timestamp>,
    pub held_since: Option<Timestamp>,
    #[serde(default)]
    pub restarts: i32,
    #[serde(default)]
    pub steps: Vec<StepState>,
    pub traceparent: Option<Arc<str>>,
    #[serde(default)]
    pub hops: i32,
}

/// What a run waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// An event, with a time limit.
    Event,
    /// The outcome of a message, with a time limit.
    Outcome,
    /// Its journey is paused.
    Policy,
    /// A time; also what a reader sees of something that it does not know.
    #[default]
    #[serde(other)]
    Time,
}

/// The event that opened a run or last restarted a wait of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct Trigger {
    pub name: Arc<str>,
    pub message_id: String,
    pub event_time: Timestamp,
    pub cart_id: Option<String>,
    #[serde(default)]
    pub products: Vec<Item>,
    pub order: Option<TriggerOrder>,
    pub properties_json: Option<String>,
}

/// The order or checkout of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct TriggerOrder {
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

/// What became of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct StepState {
    pub label: Arc<str>,
    pub message_id: Option<Arc<str>>,
    pub template: Arc<str>,
    pub due_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub outcome: Option<String>,
    pub channel: Option<String>,
    pub decided_at: Option<Timestamp>,
    #[serde(default)]
    pub clicked: bool,
    #[serde(default)]
    pub timed_out: bool,
    #[serde(default)]
    pub cancel_asked: bool,
}

/// The last run that ended, by journey and correlation key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct PastRun {
    pub journey: Arc<str>,
    #[serde(default)]
    pub version: i32,
    pub run_id: Arc<str>,
    pub key: Arc<str>,
    #[serde(default)]
    pub holdout: bool,
    pub started_at: Timestamp,
    #[serde(default)]
    pub ordinal: i32,
    pub step: Arc<str>,
    pub end: String,
    pub reason: Option<String>,
    #[serde(default)]
    pub steps: Vec<StepState>,
    pub ended_at: Timestamp,
    pub forget_at: Timestamp,
}

/// The latest exit event, by journey and correlation key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "documented in the schema")]
pub struct PastExit {
    pub journey: Arc<str>,
    pub key: Option<Arc<str>>,
    pub at: Timestamp,
    pub forget_at: Timestamp,
}

impl StateContract for JourneysState {
    const NAME: &'static str = "JourneysChangelog";

    fn changelog() -> &'static AvroSchema {
        &JOURNEYS_CHANGELOG
    }
}

impl State for JourneysState {
    fn due(&self) -> Due {
        let runs = self.runs.iter().filter_map(|run| run.wakes_at);
        let memories = self.past_runs.iter().map(|past| past.forget_at);
        let exits = self.past_exits.iter().map(|past| past.forget_at);
        let carts = self.carts.iter().map(Cart::closes_at);
        let timer = runs.chain(memories).chain(exits).chain(carts).chain(self.ends_at()).min();
        Due { timer, held: self.policy_seen, ..Due::default() }
    }
}

impl JourneysState {
    /// When the whole state ends, because the customer is anonymous and nothing goes on.
    pub fn ends_at(&self) -> Option<Timestamp> {
        let idle = !self.known && self.runs.is_empty();
        self.touched_at.filter(|_| idle).map(|touched| touched + ANONYMOUS_IDLE)
    }

    /// The cart that the customer used last.
    pub fn open_cart(&self) -> Option<&Cart> {
        self.carts.last()
    }

    /// Forgets what nobody can ask for any more at `now`. Returns whether anything was.
    pub(crate) fn forget(&mut self, now: Timestamp) -> bool {
        let before = self.past_runs.len() + self.past_exits.len() + self.carts.len();
        self.past_runs.retain(|past| past.forget_at > now);
        self.past_exits.retain(|past| past.forget_at > now);
        self.carts.retain(|cart| cart.closes_at() > now);
        let after = self.past_runs.len() + self.past_exits.len() + self.carts.len();
        if self.ends_at().is_some_and(|end| end <= now) {
            *self = Self::default();
            return true;
        }
        before != after
    }
}

impl Cart {
    /// When it no longer counts as open.
    pub fn closes_at(&self) -> Timestamp {
        self.changed_at + CART_IDLE
    }
}

impl Run {
    /// It waits to hear of the policy: it is on hold, or has messages that a pause or a stop would cancel.
    pub fn waits_for_policy(&self) -> bool {
        self.held_since.is_some() || self.steps.iter().any(StepState::is_open)
    }

    /// The step of that label, if it left a trace.
    pub fn step(&self, label: &str) -> Option<&StepState> {
        self.steps.iter().find(|step| &*step.label == label)
    }

    pub(crate) fn step_mut(&mut self, label: &Arc<str>) -> &mut StepState {
        let index = self.steps.iter().position(|step| step.label == *label).unwrap_or_else(|| {
            if self.steps.len() >= MAX_KEPT_STEPS {
                self.steps.remove(self.least_needed());
            }
            self.steps.push(StepState { label: Arc::clone(label), ..StepState::default() });
            self.steps.len() - 1
        });
        &mut self.steps[index]
    }

    /// The kept step that is the least likely to be asked for again.
    fn least_needed(&self) -> usize {
        let closed = |step: &StepState| !step.is_open();
        let nameless = |step: &StepState| step.label.starts_with(|c: char| c.is_ascii_digit());
        let both = self.steps.iter().position(|step| closed(step) && nameless(step));
        both.or_else(|| self.steps.iter().position(closed)).unwrap_or(0)
    }
}

impl StepState {
    /// It asked for a message whose outcome is not known and that was not cancelled.
    pub fn is_open(&self) -> bool {
        self.message_id.is_some() && self.outcome.is_none() && !self.cancel_asked
    }
}

impl Item {
    /// How many bytes its texts have.
    fn text_bytes(&self) -> usize {
        let texts = [
            &self.product_id,
            &self.sku,
            &self.category,
            &self.name,
            &self.brand,
            &self.variant,
            &self.coupon,
            &self.url,
            &self.image_url,
            &self.currency,
        ];
        texts.into_iter().flatten().map(String::len).sum()
    }
}

/// Keeps the last products, at most [`MAX_ITEMS`] and as many bytes of texts.
pub(crate) fn keep_last(items: &mut Vec<Item>, max_bytes: usize) {
    let mut bytes = 0;
    let kept = items.iter().rev().take(MAX_ITEMS).take_while(|item| {
        bytes += item.text_bytes();
        bytes <= max_bytes
    });
    let dropped = items.len() - kept.count();
    items.drain(..dropped);
}

impl CustomerContact {
    /// The name of her time zone: her trait, else where she was last seen.
    pub fn zone(&self) -> Option<&str> {
        self.time_zone.as_deref().or(self.seen_time_zone.as_deref())
    }
}

impl fmt::Debug for CustomerContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            ("email", &self.email),
            ("phone", &self.phone),
            ("first_name", &self.first_name),
            ("last_name", &self.last_name),
            ("locale", &self.locale),
            ("time_zone", &self.time_zone),
            ("seen_time_zone", &self.seen_time_zone),
        ];
        let present: Vec<&str> = fields.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| *name).collect();
        f.debug_tuple("CustomerContact").field(&present).finish()
    }
}
