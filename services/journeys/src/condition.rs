//! What conditions see: `customer`, `event`, `run`, `now`; built only as far as the condition looks.

use definitions::{EvaluationError, Expression, Scope};
use domain::Timestamp;
use schemas::{CustomerView, Score};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use crate::event::{item, object};
use crate::scene::Scene;
use crate::state::{Item, Run, StepState, TriggerOrder};

const DAY_MS: i64 = 86_400_000;

/// Whether the condition holds for the run.
pub(crate) fn holds(condition: &Expression, run: &Run, scene: &Scene<'_>) -> Result<bool, EvaluationError> {
    let reads = condition.reads();
    let nobody = CustomerView::default();
    let mut scope = Scope::new();
    for variable in &reads.variables {
        match *variable {
            "customer" => scope.set("customer", CustomerFacts::of(scene, &nobody)),
            "event" => scope.set("event", EventFacts::of(run, scene)),
            "run" => scope.set("run", RunFacts { run, steps: reads.steps.iter().map(|step| &**step).collect() }),
            _ => scope.set("now", scene.now.as_millis()),
        }
    }
    condition.evaluate(&scope)
}

/// What is not known is left out, so that `has()` tells.
#[derive(serde::Serialize)]
struct CustomerFacts<'a> {
    id: &'a str,
    first_name: Option<&'a str>,
    last_name: Option<&'a str>,
    locale: Option<&'a str>,
    time_zone: Option<&'a str>,
    has_email: bool,
    has_phone: bool,
    #[serde(flatten)]
    profile: ProfileFacts<'a>,
}

#[derive(serde::Serialize)]
struct ProfileFacts<'a> {
    known: bool,
    segments: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    consent_marketing: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_days: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inactive_days: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recency_days: Option<i64>,
    frequency: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a str>,
    monetary_minor: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    average_order_minor: Option<i64>,
    coupon_percent: i32,
    rfm: QuintileFacts,
    reachable: ReachableFacts,
    lead_score: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<&'a str>,
    scores: ScoreFacts<'a>,
    favourite_categories: &'a [String],
    favourite_brands: &'a [String],
}

#[derive(serde::Serialize)]
struct QuintileFacts {
    #[serde(skip_serializing_if = "Option::is_none")]
    recency: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    monetary: Option<i32>,
}

#[derive(serde::Serialize)]
struct ReachableFacts {
    email: bool,
}

/// Those that are numbers, by name.
struct ScoreFacts<'a>(&'a [Score]);

impl Serialize for ScoreFacts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().filter_map(|score| Some((&score.name, score.value?))))
    }
}

impl<'a> ProfileFacts<'a> {
    fn of(profile: &'a CustomerView, now: Timestamp) -> Self {
        let days_since = |at: Option<i64>| at.map(|at| now.millis_since(Timestamp::from_millis(at)).max(0) / DAY_MS);
        Self {
            known: profile.known,
            segments: &profile.segments,
            consent_marketing: profile.consent_marketing,
            age_days: days_since(profile.first_seen_at),
            inactive_days: days_since(profile.last_seen_at),
            recency_days: days_since(profile.last_order_at),
            frequency: profile.frequency,
            currency: profile.currency.as_deref(),
            monetary_minor: profile.monetary_minor.unwrap_or_default(),
            average_order_minor: profile.average_order_minor,
            coupon_percent: profile.coupon_percent,
            rfm: QuintileFacts {
                recency: profile.recency_quintile,
                frequency: profile.frequency_quintile,
                monetary: profile.monetary_quintile,
            },
            // Segmentation did not always know more than whether there is an address.
            reachable: ReachableFacts { email: profile.reachable_email.unwrap_or(profile.has_email) },
            lead_score: profile.lead_score,
            tier: profile.tier.as_deref(),
            scores: ScoreFacts(&profile.scores),
            favourite_categories: &profile.favourite_categories,
            favourite_brands: &profile.favourite_brands,
        }
    }
}

impl<'a> CustomerFacts<'a> {
    fn of(scene: &Scene<'a>, nobody: &'a CustomerView) -> Self {
        let contact = scene.contact;
        Self {
            id: scene.customer,
            first_name: contact.and_then(|contact| contact.first_name.as_deref()),
            last_name: contact.and_then(|contact| contact.last_name.as_deref()),
            locale: contact.and_then(|contact| contact.locale.as_deref()),
            time_zone: contact.and_then(|contact| contact.zone()),
            has_email: contact.is_some_and(|contact| contact.email.is_some()),
            has_phone: contact.is_some_and(|contact| contact.phone.is_some()),
            profile: ProfileFacts::of(scene.profile.unwrap_or(nobody), scene.now),
        }
    }
}

/// The event at hand; where a timer or an outcome led here, the one that opened the run.
#[derive(serde::Serialize)]
struct EventFacts {
    name: String,
    time: i64,
    shop: String,
    cart_id: Option<String>,
    product: Item,
    products: Vec<Item>,
    order: TriggerOrder,
    #[serde(serialize_with = "definitions::serialize_json")]
    properties: Value,
}

impl EventFacts {
    fn of(run: &Run, scene: &Scene<'_>) -> Self {
        let compiled = scene.policy.version(&run.journey, run.version);
        let (trigger, properties) = match (scene.event, compiled) {
            (Some(event), Some(compiled)) => (event.trigger(compiled), event.properties().clone()),
            _ => (run.trigger.clone(), object(run.trigger.properties_json.as_deref())),
        };
        let product = scene.event.and_then(|event| event.event.product.as_ref()).map(item);
        Self {
            name: trigger.name.to_string(),
            time: trigger.event_time.as_millis(),
            shop: run.shop.to_string(),
            cart_id: trigger.cart_id,
            product: product.or_else(|| trigger.products.first().cloned()).unwrap_or_default(),
            products: trigger.products,
            order: trigger.order.unwrap_or_default(),
            properties: Value::Object(properties),
        }
    }
}

struct RunFacts<'a> {
    run: &'a Run,
    steps: Vec<&'a str>,
}

impl Serialize for RunFacts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("started_at", &self.run.started_at.as_millis())?;
        map.serialize_entry("key", &*self.run.key)?;
        map.serialize_entry("restarts", &i64::from(self.run.restarts))?;
        let none = StepState::default();
        for label in &self.steps {
            map.serialize_entry(label, &StepFacts::of(self.run.step(label).unwrap_or(&none)))?;
        }
        map.end()
    }
}

/// What conditions see of a step; one that was not reached has no outcome and no channel.
#[derive(serde::Serialize)]
struct StepFacts<'a> {
    outcome: &'a str,
    channel: &'a str,
    clicked: bool,
    timed_out: bool,
}

impl<'a> StepFacts<'a> {
    fn of(step: &'a StepState) -> Self {
        Self {
            outcome: step.outcome.as_deref().unwrap_or_default(),
            channel: step.channel.as_deref().unwrap_or_default(),
            clicked: step.clicked,
            timed_out: step.timed_out,
        }
    }
}
