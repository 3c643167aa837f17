//! Segmentation on the engine, without a broker, and the events of one customer.

use definitions::{Definition, Kind, Segment, ShopTimeZones, digest, parse_document, record_key};
use domain::Timestamp;
use links::Secret;
use schemas::{
    Change, ChangeCause, CurrencyQuintiles, DefinitionStatus, EventKind, Order, Product, Quintiles, SegmentChange,
    StorefrontEvent,
};
use segmentation::{Output, Policy, Segmentation, SegmentationState};
use stream::TestDriver;
use stream::test_driver::encode;

pub(crate) const EVENTS: &str = "storefront.events";
pub(crate) const ANA: &str = "ana";
pub(crate) const HOUR: i64 = 3_600;
pub(crate) const DAY: i64 = 24 * HOUR;
/// 2026-03-02, a Monday, at midnight UTC.
const START: i64 = 1_772_409_600;

/// What addresses are hashed with.
pub(crate) fn secret() -> Secret {
    Secret::new(*b"sixteen bytes or more").unwrap()
}

/// With nothing in force.
pub(crate) fn policy() -> Policy {
    Policy::new(ShopTimeZones::default(), secret())
}

/// The segment that a text defines.
pub(crate) fn segment(body: &str) -> Segment {
    let name = body.lines().find_map(|line| line.strip_prefix("segment: ")).unwrap();
    match parse_document(Kind::Segment, name, body) {
        Ok(Definition::Segment(segment)) => *segment,
        other => panic!("{:?}", other.map(|_| ())),
    }
}

/// So many seconds after the start.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(START + seconds)
}

/// A shop with one customer.
pub(crate) struct Shop {
    pub(crate) driver: TestDriver<Segmentation>,
    sent: usize,
}

impl Shop {
    /// With these segments from the beginning.
    pub(crate) fn with(segments: &[&str]) -> Self {
        let mut shop = Self { driver: TestDriver::new(policy()), sent: 0 };
        for segment in segments {
            shop.apply(segment, 0);
        }
        shop
    }

    /// Applies a segment, at so many seconds after the start (before it, where that is nought).
    pub(crate) fn apply(&mut self, body: &str, seconds: i64) {
        if seconds > 0 {
            self.driver.advance_to(at(seconds));
        }
        self.apply_while_behind(body, seconds);
    }

    /// The same where not all is read that happened until then.
    pub(crate) fn apply_while_behind(&mut self, body: &str, seconds: i64) {
        self.put_definition(body, seconds, DefinitionStatus::Active);
    }

    pub(crate) fn delete(&mut self, body: &str, seconds: i64) {
        self.driver.advance_to(at(seconds));
        self.put_definition(body, seconds, DefinitionStatus::Deleted);
    }

    fn put_definition(&mut self, body: &str, seconds: i64, status: DefinitionStatus) {
        let segment = segment(body);
        let name = &*segment.name;
        let record = schemas::Definition {
            kind: "segment".to_owned(),
            name: name.to_owned(),
            version: segment.version,
            body: body.to_owned(),
            digest: digest(body),
            status,
            applied_at: if seconds == 0 { 0 } else { at(seconds).as_millis() },
        };
        let key = record_key(Kind::Segment, name, segment.version);
        self.driver.table(0, &key, Some(&encode("platform.definitions", &record))).unwrap();
    }

    /// Publishes boundaries of quintiles.
    pub(crate) fn learn(&mut self, learnt: &Quintiles) {
        self.driver.table(1, "quintiles", Some(&encode("customer.quintiles", learnt))).unwrap();
    }

    /// Tells an event; the message id and the rest are filled in.
    pub(crate) fn tell(&mut self, event: StorefrontEvent) {
        self.tell_of(ANA, event);
    }

    pub(crate) fn tell_of(&mut self, customer: &str, event: StorefrontEvent) {
        self.put(customer, "shop", event);
    }

    /// Tells an event of another shop.
    pub(crate) fn tell_in(&mut self, shop: &str, event: StorefrontEvent) {
        self.put(ANA, shop, event);
    }

    fn put(&mut self, customer: &str, shop: &str, event: StorefrontEvent) {
        self.sent += 1;
        let event = StorefrontEvent {
            message_id: format!("m{}", self.sent),
            customer_id: Some(customer.to_owned()),
            received_at: event.event_time,
            shop: shop.to_owned(),
            ..event
        };
        let stored_at = Timestamp::from_millis(event.event_time);
        self.driver.input(EVENTS, customer, &encode(EVENTS, &event), stored_at);
    }

    /// What she entered (`+`) and left (`-`) since the last call, and what brought it about.
    pub(crate) fn changes(&mut self) -> Vec<String> {
        let word = |change: &SegmentChange| {
            let sign = if change.change == Change::Entered { '+' } else { '-' };
            let cause = match change.cause {
                ChangeCause::Event => "event",
                ChangeCause::Time => "time",
                ChangeCause::Definition => "definition",
                ChangeCause::Removed => "removed",
                ChangeCause::Forgotten => "forgotten",
                ChangeCause::Boundaries => "boundaries",
                ChangeCause::Reachability => "reachability",
                ChangeCause::Score => "score",
                ChangeCause::Other => "other",
            };
            format!("{sign}{} by {cause} at {}", change.segment, change.at / 1000 - START)
        };
        self.records().iter().map(word).collect()
    }

    pub(crate) fn records(&mut self) -> Vec<SegmentChange> {
        let change = |output| match output {
            Output::Change(change) => Some(*change),
            _ => None,
        };
        self.driver.outputs().into_iter().filter_map(change).collect()
    }

    pub(crate) fn state(&self) -> SegmentationState {
        self.driver.state(ANA).unwrap_or_default()
    }

    /// The segments that she is in.
    pub(crate) fn segments(&self) -> Vec<String> {
        self.state().memberships.iter().map(|membership| membership.segment.to_string()).collect()
    }
}

/// Something that a known customer did.
pub(crate) fn track(name: &str, seconds: i64) -> StorefrontEvent {
    StorefrontEvent {
        kind: EventKind::Track,
        name: name.to_owned(),
        user_id: Some(ANA.to_owned()),
        event_time: at(seconds).as_millis(),
        ..StorefrontEvent::default()
    }
}

/// An order of hers.
pub(crate) fn order(id: &str, total_minor: i64, seconds: i64) -> StorefrontEvent {
    money("Order Completed", id, total_minor, seconds)
}

/// What she got back.
pub(crate) fn refund(id: &str, total_minor: i64, seconds: i64) -> StorefrontEvent {
    money("Order Refunded", id, total_minor, seconds)
}

fn money(name: &str, id: &str, total_minor: i64, seconds: i64) -> StorefrontEvent {
    let order = Order {
        order_id: Some(id.to_owned()),
        currency: Some("EUR".to_owned()),
        total_minor: Some(total_minor),
        ..Order::default()
    };
    StorefrontEvent { order: Some(order), ..track(name, seconds) }
}

/// A product of this id, in a category.
pub(crate) fn product(id: &str, category: &str, price_minor: i64) -> Product {
    Product {
        product_id: Some(id.to_owned()),
        category: Some(category.to_owned()),
        price_minor: Some(price_minor),
        ..Product::default()
    }
}

/// Boundaries that were learnt at so many seconds after the start: of recency these, of the others any.
pub(crate) fn quintiles(seconds: i64, recency_days: [i64; 4]) -> Quintiles {
    let of_euros = CurrencyQuintiles { currency: "EUR".to_owned(), customers: 5, bounds: vec![1, 2, 3, 4] };
    Quintiles {
        learnt_at: at(seconds).as_millis(),
        customers: 5,
        recency_days: recency_days.into(),
        frequency: vec![1, 2, 3, 4],
        monetary: vec![of_euros],
    }
}
