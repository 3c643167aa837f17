//! What a shop gives back is taken off what its customer spent, whenever Shopify tells of it and whoever she is: the door's
//! mapping, the resolver and segmentation, without a broker. A refund names its order alone.

#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use domain::{Currency, HumanDuration, Timestamp};
use ingestion::mapping::webhooks::{Meaning, Platform, Sender, Webhook, call};
use ingestion::mapping::{Envelope, Scope, Source, id_of_address, map};
use ingestion::{RECEIVED, Resolved, Resolver, ResolverPolicy};
use links::Secret;
use proptest::prelude::*;
use schemas::{EventKind, StorefrontEvent};
use segmentation::{Did, Segmentation, SegmentationState};
use simulation::identity::{driver, encode, received_key};
use stream::TestDriver;

const EVENTS: &str = "storefront.events";
/// 2026-03-02, a Monday, at midnight UTC.
const START: Timestamp = Timestamp::from_millis(1_772_409_600_000);
const DAY: HumanDuration = HumanDuration::from_hours(24);

fn secret() -> Secret {
    Secret::new("an address secret of many bytes").unwrap()
}

/// A webhook of Shopify.
#[derive(Clone, Debug)]
struct Told {
    topic: &'static str,
    payload: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Buyer {
    Customer,
    Guest,
}

impl Buyer {
    fn id(self) -> String {
        match self {
            Self::Customer => "115".to_owned(),
            Self::Guest => id_of_address("ana@example.com", &secret()),
        }
    }
}

fn time_of(at: Timestamp) -> String {
    let seconds = at.as_millis() / 1000 - START.as_millis() / 1000;
    format!("2026-03-{:02}T{:02}:00:00Z", 2 + seconds / 86_400, seconds / 3_600 % 24)
}

fn placed(order: u32, cents: i64, buyer: Buyer, at: Timestamp) -> Told {
    let customer = if buyer == Buyer::Customer { r#"{"id":115}"# } else { "null" };
    let payload = format!(
        r#"{{"id":{order},"customer":{customer},"email":"Ana@Example.com","cart_token":"c{order}","currency":"EUR",
            "total_price":"{}.{:02}","created_at":"{}"}}"#,
        cents / 100,
        cents % 100,
        time_of(at)
    );
    Told { topic: "orders/create", payload }
}

fn refunded(refund: u32, order: u32, cents: i64, at: Timestamp) -> Told {
    let payload = format!(
        r#"{{"id":{refund},"order_id":{order},"created_at":"{}","transactions":[
            {{"status":"success","amount":"{}.{:02}","currency":"EUR"}}]}}"#,
        time_of(at),
        cents / 100,
        cents % 100
    );
    Told { topic: "refunds/create", payload }
}

/// The door's mapping, the resolver, segmentation behind it.
struct Shop {
    resolver: TestDriver<Resolver>,
    segmentation: TestDriver<Segmentation>,
    now: Timestamp,
    sent: usize,
    /// All that segmentation was told.
    told: Vec<StorefrontEvent>,
}

impl Shop {
    fn new() -> Self {
        Self {
            resolver: driver(ResolverPolicy::default()),
            segmentation: driver(segmentation::Policy::default()),
            now: START,
            sent: 0,
            told: Vec::new(),
        }
    }

    fn advance_to(&mut self, time: Timestamp) {
        self.now = time;
        self.resolver.advance_to(time);
        self.segmentation.advance_to(time);
    }

    fn hear(&mut self, told: &Told) {
        self.sent += 1;
        let (id, secret, currency) = (format!("w{}", self.sent), secret(), Currency::parse("EUR").unwrap());
        let sender = Sender::Platform(Platform::Shopify);
        let webhook = Webhook { sender, topic: told.topic, id: Some(&id), shop: "madrid", currency };
        let Meaning::Events(events) = webhook.read(webhook.payload(&told.payload).unwrap()).unwrap() else {
            panic!("no event")
        };
        let envelope = Envelope {
            received_at: self.now,
            source: Source { id: "madrid", shop: "madrid", currency, scope: Scope::Server },
            traceparent: None,
            address_secret: &secret,
            random: self.sent as u128,
        };
        for index in 0..events.len() {
            let event = map(&call(&events), index, &envelope).unwrap();
            self.resolver.input(RECEIVED, received_key(&event), &encode(RECEIVED, &event), self.now);
        }
        for output in self.resolver.outputs() {
            let Resolved::Event(event) = output else { panic!("nothing is forwarded here") };
            let customer = event.customer_id.clone().unwrap();
            self.segmentation.input(EVENTS, &customer, &encode(EVENTS, &*event), self.now);
            self.told.push(*event);
        }
        assert!(self.resolver.dead_letters().is_empty() && self.segmentation.dead_letters().is_empty());
    }

    fn profile(&self, id: &str) -> Option<SegmentationState> {
        self.segmentation.state(id).filter(|state| !state.is_nobody())
    }

    fn monetary_minor(&self, buyer: Buyer) -> i64 {
        self.profile(&buyer.id()).unwrap().currencies.iter().map(segmentation::Spending::monetary_minor).sum()
    }
}

#[test]
fn an_order_and_what_is_given_back_of_it_weeks_later_are_hers_whoever_she_is() {
    for buyer in [Buyer::Customer, Buyer::Guest] {
        let mut shop = Shop::new();
        shop.hear(&placed(1, 5_000, buyer, shop.now));
        shop.advance_to(START + HumanDuration::from_hours(20 * 24));
        shop.hear(&refunded(9, 1, 1_250, shop.now));
        assert_eq!(shop.monetary_minor(buyer), 3_750, "in part");
        shop.advance_to(START + HumanDuration::from_hours(28 * 24));
        shop.hear(&refunded(10, 1, 3_750, shop.now));
        assert_eq!(shop.monetary_minor(buyer), 0, "and all of it");
        assert_eq!(shop.profile("shopify-order-1"), None);
        assert!(shop.told.iter().all(|event| event.customer_id == Some(buyer.id())), "nobody in between");
        let profile = shop.profile(&buyer.id()).unwrap();
        assert_eq!(profile.seen(Did::Any).unwrap().last_at, START, "she did nothing since");
        assert!(profile.ids.contains(&"shopify-order-1".to_owned()), "who erases her reaches it");
    }
}

#[test]
fn a_refund_that_overtook_its_order_is_handed_over() {
    for buyer in [Buyer::Customer, Buyer::Guest] {
        let mut shop = Shop::new();
        shop.hear(&refunded(9, 1, 1_250, START));
        assert!(shop.profile("shopify-order-1").is_some());
        shop.hear(&placed(1, 5_000, buyer, START));
        assert_eq!(shop.profile("shopify-order-1"), None, "it moved to her");
        assert_eq!(shop.monetary_minor(buyer), 3_750);
    }
}

#[test]
fn whoever_calls_himself_an_order_before_it_is_placed_has_no_part_in_its_refund() {
    let mut shop = Shop::new();
    let event = StorefrontEvent {
        message_id: "m1".to_owned(),
        kind: EventKind::Track,
        name: "Product Viewed".to_owned(),
        shop: "madrid".to_owned(),
        anonymous_id: Some("shopify-order-1".to_owned()),
        user_id: Some("mal".to_owned()),
        event_time: START.as_millis(),
        received_at: START.as_millis(),
        ..StorefrontEvent::default()
    };
    shop.resolver.input(RECEIVED, "shopify-order-1", &encode(RECEIVED, &event), START);
    shop.hear(&placed(1, 5_000, Buyer::Customer, START));
    shop.hear(&refunded(9, 1, 1_250, START));
    assert_eq!(shop.monetary_minor(Buyer::Customer), 3_750);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Orders, each with its refunds, in any order of telling.
    #[test]
    fn in_whatever_order_webhooks_come_she_has_spent_her_orders_less_her_refunds(
        orders in prop::collection::vec((prop::collection::vec(1_i64..10_000, 1..4), 0_i64..10_000), 1..5),
        order in any::<prop::sample::Index>(),
        shuffle in prop::collection::vec(any::<u32>(), 20),
    ) {
        let buyer = if order.index(2) == 0 { Buyer::Customer } else { Buyer::Guest };
        let mut told = Vec::new();
        for (number, (refunds, kept)) in orders.iter().enumerate() {
            let number = number as u32 + 1;
            told.push(placed(number, refunds.iter().sum::<i64>() + kept, buyer, START));
            for (place, cents) in refunds.iter().enumerate() {
                told.push(refunded(number * 100 + place as u32, number, *cents, START + DAY));
            }
        }
        let mut told: Vec<_> = told.into_iter().zip(shuffle).collect();
        told.sort_by_key(|(_, place)| *place);
        let mut shop = Shop::new();
        shop.advance_to(START + DAY);
        for (told, _) in &told {
            shop.hear(told);
        }
        prop_assert_eq!(shop.monetary_minor(buyer), orders.iter().map(|(_, kept)| kept).sum::<i64>());
        for number in 1..=orders.len() {
            prop_assert_eq!(shop.profile(&format!("shopify-order-{number}")), None);
        }
    }
}
