//! Whose events are, and what is kept of devices, for any events in any order.

use std::collections::BTreeMap;

use domain::HumanDuration;
use ingestion::{MOST_HISTORY_BYTES, ResolverPolicy};
use proptest::prelude::*;
use schemas::{EventKind, MAX_VALUE_BYTES, Order, Product, Schemas, StorefrontEvent};
use stream::test_driver::encode;

use crate::identity::{Shop, at, track, viewed};

fn any_text() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        1 => Just(None),
        2 => (0_usize..300).prop_map(|length| Some("x".repeat(length))),
        1 => Just(Some("ñ".repeat(400))),
    ]
}

fn any_product() -> impl Strategy<Value = Product> {
    (any_text(), any_text(), any_text(), any_text(), any::<Option<i64>>()).prop_map(|(id, name, url, brand, number)| {
        Product {
            product_id: id.clone(),
            sku: id,
            category: name.clone(),
            name,
            brand,
            url: url.clone(),
            image_url: url,
            price_minor: number,
            quantity: number,
            ..Product::default()
        }
    })
}

fn any_event() -> impl Strategy<Value = StorefrontEvent> {
    (any_text(), prop::collection::vec(any_product(), 0..70), any_text(), any::<Option<i64>>()).prop_map(
        |(name, products, cart_id, total_minor)| {
            let order = total_minor.map(|total| Order {
                order_id: cart_id.clone(),
                total_minor: Some(total),
                ..Order::default()
            });
            StorefrontEvent { products, cart_id, order, ..track(&name.unwrap_or_default()) }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever visitors do and whatever the settings say, the state and the record that hands it over stay far below the size
    /// of a record.
    #[test]
    fn a_history_is_bounded_by_bytes(
        events in prop::collection::vec(any_event(), 1..30),
        history_bytes in prop_oneof![Just(0), Just(32_768_usize), Just(usize::MAX)],
    ) {
        let history_events = 1_000_000;
        let mut shop = Shop::with(ResolverPolicy { history_bytes, history_events, ..ResolverPolicy::default() });
        for event in events {
            shop.tell(Some("d1"), None, event);
        }
        let most = history_bytes.min(MOST_HISTORY_BYTES);
        let size = |history: Vec<schemas::PastEvent>| {
            let event = StorefrontEvent { history, ..StorefrontEvent::default() };
            encode("storefront.events", &event).len() - encode("storefront.events", &StorefrontEvent::default()).len()
        };
        prop_assert!(size(shop.state("d1").history) <= most + 8, "a block of an array takes its count");
        shop.tell(Some("d1"), Some("ana"), viewed());
        let identified = shop.events().into_iter().find(|event| event.kind == EventKind::Identified).unwrap();
        let mut value = Vec::new();
        Schemas::offline().encode("storefront.events", &identified, &mut value).unwrap();
        prop_assert!(value.len() < most + 2_000 && value.len() < MAX_VALUE_BYTES / 2);
    }
}

#[test]
fn an_event_as_large_as_a_record_makes_no_record_larger() {
    let mut shop = Shop::with(ResolverPolicy { history_bytes: usize::MAX, ..ResolverPolicy::default() });
    for _ in 0..100 {
        let products = vec![Product { name: Some("x".repeat(100)), ..Product::default() }; 50];
        shop.tell(Some("d1"), None, StorefrontEvent { products, ..viewed() });
    }
    shop.events();
    let large = || "x".repeat(450_000);
    let event = StorefrontEvent {
        source: large(),
        traceparent: Some(large()),
        address_id: Some("a".repeat(255)),
        ..track("Order Completed")
    };
    shop.tell(Some("d1"), None, event);
    let events = shop.events();
    assert_eq!(events.len(), 3);
    for event in events {
        let mut value = Vec::new();
        Schemas::offline().encode("storefront.events", &event, &mut value).unwrap();
        assert!(event.kind == EventKind::Track || value.len() < MAX_VALUE_BYTES / 2, "{}", value.len());
    }
}

#[derive(Clone, Debug)]
enum Happening {
    /// Somebody does something on a device; with a user id if she is logged in.
    Does {
        device: u8,
        user: Option<u8>,
    },
    Restart,
    Abort,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        12 => (0_u8..3, prop::option::weighted(0.3, 0_u8..6)).prop_map(|(device, user)| Happening::Does { device, user }),
        1 => Just(Happening::Restart),
        1 => Just(Happening::Abort),
    ]
}

/// The rules of the module, without bounds, as a plain computation.
#[derive(Clone, Debug, Default)]
struct Device {
    linked_to: Option<String>,
    customers: Vec<String>,
    history: Vec<String>,
    was_anonymous: bool,
}

impl Device {
    fn expected(&mut self, device: &str, user: Option<&str>, message: &str) -> Vec<String> {
        let mut told = Vec::new();
        let Some(user) = user else {
            let whose = self.linked_to.clone().unwrap_or_else(|| device.to_owned());
            if self.linked_to.is_none() && self.customers.len() <= 3 {
                self.history.push(message.to_owned());
                self.was_anonymous = true;
            }
            return vec![format!("{whose}: {message}")];
        };
        if !self.customers.iter().any(|known| known == user) {
            self.customers.push(user.to_owned());
            if self.customers.len() <= 3 {
                if self.was_anonymous {
                    told.push(format!("{device}: moved to {user}"));
                }
                told.push(format!("{user}: identified [{}]", self.history.join(" ")));
            }
            self.history.clear();
            self.was_anonymous = false;
        }
        self.linked_to = (self.customers.len() <= 3).then(|| user.to_owned());
        told.push(format!("{user}: {message}"));
        told
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn events_go_to_whom_the_rules_say_whoever_restarts(happenings in prop::collection::vec(happening(), 1..60)) {
        let mut shop = Shop::new();
        let mut devices: BTreeMap<u8, Device> = BTreeMap::new();
        let mut expected = Vec::new();
        for happening in happenings {
            match happening {
                Happening::Does { device, user } => {
                    let (id, user) = (format!("d{device}"), user.map(|user| format!("u{user}")));
                    shop.tell(Some(&id), user.as_deref(), viewed());
                    let message = format!("m{}", shop.sent);
                    expected.extend(devices.entry(device).or_default().expected(&id, user.as_deref(), &message));
                }
                Happening::Restart => shop.driver.restart(ResolverPolicy::default()),
                Happening::Abort => shop.driver.abort_next_commit(),
            }
        }
        prop_assert_eq!(shop.told(), expected);
    }

    #[test]
    fn no_state_outlives_its_silence(happenings in prop::collection::vec(happening(), 1..40)) {
        let mut shop = Shop::new();
        for happening in happenings {
            if let Happening::Does { device, user } = happening {
                let user = user.map(|user| format!("u{user}"));
                shop.tell(Some(&format!("d{device}")), user.as_deref(), viewed());
            }
        }
        shop.driver.advance_to(at(shop.now) + HumanDuration::from_hours(365 * 24));
        prop_assert_eq!(shop.driver.states(), 0);
    }
}
