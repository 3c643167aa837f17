//! Whoever is recognised when: her profile is what it would be if she had been known from the start.
//!
//! The resolver's step, then segmentation's, without a broker, on any interleaving of what is done on several devices, logged in
//! or not, of what the shop's server tells of orders, before or after the browser does, of second persons on a device, of
//! guests' orders with an address, and of messages that come twice. Beside it segmentation alone, which is told of each event
//! once, under the customer whose it turns out to be.
//!
//! What differs by design is said where it is compared, and in `services/segmentation/README.md`.

#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::{BTreeMap, BTreeSet};

use domain::Timestamp;
use ingestion::{RECEIVED, Resolved, Resolver, ResolverPolicy};
use proptest::prelude::*;
use schemas::{EventKind, Order, Product, StorefrontEvent};
use segmentation::lookups::{Customer, CustomerView};
use segmentation::{Did, Policy, Segmentation, SegmentationState};
use stream::TestDriver;
use stream::test_driver::encode;

const EVENTS: &str = "storefront.events";
const USERS: [&str; 2] = ["ana", "luis"];
/// Whom a guest's order belongs to.
const GUEST: &str = "address-1";
/// 2026-03-02, a Monday, at midnight UTC.
const START: i64 = 1_772_409_600;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(START + seconds)
}

/// Where it is done.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// On a device, logged in or not.
    Device(u8, Option<usize>),
    /// By the shop's server, which knows who she is.
    Server(usize),
}

#[derive(Clone, Copy, Debug)]
enum What {
    Page,
    View(u8),
    Add(i64),
    Remove,
    Checkout,
    /// An order; of a guest with her address.
    Order {
        minor: i64,
        coupon: bool,
        address: bool,
    },
    /// An order that was told before is told once more, by whoever it is.
    OrderAgain(prop::sample::Index),
    /// A part of an order is paid back.
    Refund(prop::sample::Index),
    /// The message before comes again.
    Repeat,
}

#[derive(Clone, Copy, Debug)]
struct Happening {
    place: Place,
    what: What,
    after: i64,
}

fn happening() -> impl Strategy<Value = Happening> {
    let place = prop_oneof![
        8 => (0_u8..3, prop::option::weighted(0.15, 0_usize..2)).prop_map(|(device, user)| Place::Device(device, user)),
        2 => (0_usize..2).prop_map(Place::Server),
    ];
    let order = (1..10_000_i64, any::<bool>(), prop::bool::weighted(0.2));
    let what = prop_oneof![
        2 => Just(What::Page),
        3 => (0_u8..5).prop_map(What::View),
        4 => (1..4_i64).prop_map(What::Add),
        1 => Just(What::Remove),
        1 => Just(What::Checkout),
        2 => order.prop_map(|(minor, coupon, address)| What::Order { minor, coupon, address }),
        1 => any::<prop::sample::Index>().prop_map(What::OrderAgain),
        1 => any::<prop::sample::Index>().prop_map(What::Refund),
        1 => Just(What::Repeat),
    ];
    (place, what, 1..6 * 3_600_i64).prop_map(|(place, what, after)| Happening { place, what, after })
}

/// Builds the events, in the order in which they reach the log.
#[derive(Default)]
struct Story {
    now: i64,
    told: Vec<StorefrontEvent>,
    /// The orders so far, and which of them were paid back.
    orders: Vec<StorefrontEvent>,
    refunded: BTreeSet<usize>,
}

impl Story {
    fn of(happenings: &[Happening]) -> Vec<(i64, StorefrontEvent)> {
        let mut story = Self::default();
        let mut log: Vec<(i64, StorefrontEvent)> = Vec::new();
        for happening in happenings {
            if matches!(happening.what, What::Repeat) {
                // Soon enough for the resolver to know it, however often.
                story.now += 60;
                let again = log.last().map(|(_, event)| (story.now, event.clone()));
                log.extend(again);
                continue;
            }
            story.now += happening.after;
            let Some(event) = story.event(happening.place, happening.what) else { continue };
            story.told.push(event.clone());
            log.push((story.now, event));
        }
        log
    }

    fn event(&mut self, place: Place, what: What) -> Option<StorefrontEvent> {
        let (anonymous_id, user) = match place {
            Place::Device(device, user) => (Some(format!("d{device}")), user),
            Place::Server(user) => (None, Some(user)),
        };
        let blank = StorefrontEvent {
            message_id: format!("m{}", self.told.len()),
            kind: EventKind::Track,
            shop: "shop".to_owned(),
            // Each device has things of its own: what is in two carts is a matter of its own (see segmentation's tests).
            product: Some(product(anonymous_id.as_deref().unwrap_or("server"), 1)),
            anonymous_id,
            user_id: user.map(|user| USERS[user].to_owned()),
            event_time: at(self.now).as_millis(),
            received_at: at(self.now).as_millis(),
            ..StorefrontEvent::default()
        };
        let named = |name: &str| StorefrontEvent { name: name.to_owned(), ..blank.clone() };
        Some(match what {
            What::Page => StorefrontEvent { kind: EventKind::Page, product: None, ..named("Home") },
            What::View(category) => {
                let seen = Product { category: Some(format!("category-{category}")), ..product("shown", 1) };
                StorefrontEvent { product: Some(seen), ..named("Product Viewed") }
            }
            What::Add(quantity) => {
                let thing = blank.product.clone().map(|thing| Product { quantity: Some(quantity), ..thing });
                StorefrontEvent { product: thing, ..named("Product Added") }
            }
            What::Remove => named("Product Removed"),
            What::Checkout => StorefrontEvent { product: None, ..named("Checkout Started") },
            What::Order { minor, coupon, address } => {
                let order = Order {
                    order_id: Some(format!("o{}", self.orders.len())),
                    coupon: coupon.then(|| "TEN".to_owned()),
                    currency: Some(if minor % 2 == 0 { "EUR" } else { "USD" }.to_owned()),
                    total_minor: Some(minor),
                    ..Order::default()
                };
                let address_id = (address && blank.user_id.is_none()).then(|| GUEST.to_owned());
                let event = StorefrontEvent { order: Some(order), address_id, ..named("Order Completed") };
                self.orders.push(event.clone());
                event
            }
            What::OrderAgain(which) => {
                // Somebody's order is told again in the name of whoever is here: of another customer it is another order.
                let order = (!self.orders.is_empty()).then(|| which.get(&self.orders))?;
                StorefrontEvent {
                    event_time: order.event_time,
                    order: order.order.clone(),
                    product: order.product.clone(),
                    ..named("Order Completed")
                }
            }
            What::Refund(which) => {
                let place = (!self.orders.is_empty()).then(|| which.index(self.orders.len()))?;
                if !self.refunded.insert(place) {
                    return None;
                }
                let order = self.orders[place].order.clone()?;
                let refund = Order { total_minor: order.total_minor.map(|total| total / 2), coupon: None, ..order };
                StorefrontEvent { order: Some(refund), product: None, ..named("Order Refunded") }
            }
            What::Repeat => return None,
        })
    }
}

fn product(id: &str, quantity: i64) -> Product {
    Product {
        product_id: Some(id.to_owned()),
        category: Some(format!("category of {id}")),
        brand: Some("a brand".to_owned()),
        price_minor: Some(100),
        quantity: Some(quantity),
        ..Product::default()
    }
}

/// Whose each event turns out to be: the device's owner at that time, and before it had one, its first.
fn owners(log: &[(i64, StorefrontEvent)]) -> Vec<String> {
    let mut linked: BTreeMap<&str, String> = BTreeMap::new();
    let mut waiting: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut owners = vec![String::new(); log.len()];
    for (place, (_, event)) in log.iter().enumerate() {
        let Some(device) = event.anonymous_id.as_deref() else {
            owners[place] = event.user_id.clone().unwrap();
            continue;
        };
        let known = linked.get(device);
        let guest = event.address_id.as_ref().filter(|_| known.is_none());
        if let Some(user) = event.user_id.as_ref().or(guest) {
            linked.insert(device, user.clone());
            for before in waiting.remove(device).into_iter().flatten() {
                owners[before].clone_from(user);
            }
            owners[place].clone_from(user);
        } else if let Some(user) = known {
            owners[place].clone_from(user);
        } else {
            waiting.entry(device).or_default().push(place);
            device.clone_into(&mut owners[place]);
        }
    }
    owners
}

/// The resolver, and segmentation behind it.
fn pipeline(log: &[(i64, StorefrontEvent)]) -> TestDriver<Segmentation> {
    let mut resolver = TestDriver::<Resolver>::new(ResolverPolicy::default());
    let mut segmentation = TestDriver::<Segmentation>::new(Policy::default());
    for (seconds, event) in log {
        let key = ingestion::ids::received_key(event).unwrap();
        resolver.input(RECEIVED, key, &encode(RECEIVED, event), at(*seconds));
        for output in resolver.outputs() {
            let Resolved::Event(event) = output else { panic!("nothing is forwarded here") };
            let customer = event.customer_id.clone().unwrap();
            segmentation.input(EVENTS, &customer, &encode(EVENTS, &*event), at(*seconds));
        }
    }
    assert!(resolver.dead_letters().is_empty() && segmentation.dead_letters().is_empty());
    segmentation
}

/// Segmentation alone, told of each event once and under whom it belongs to.
fn from_the_start(log: &[(i64, StorefrontEvent)], owners: &[String]) -> TestDriver<Segmentation> {
    let mut segmentation = TestDriver::<Segmentation>::new(Policy::default());
    let mut seen = BTreeSet::new();
    for ((seconds, event), owner) in log.iter().zip(owners) {
        if !seen.insert(&event.message_id) {
            continue;
        }
        let is_a_visitor = event.anonymous_id.as_ref() == Some(owner);
        let event = StorefrontEvent {
            customer_id: Some(owner.clone()),
            user_id: (!is_a_visitor).then(|| owner.clone()),
            ..event.clone()
        };
        segmentation.input(EVENTS, owner, &encode(EVENTS, &event), at(*seconds));
    }
    segmentation
}

fn view(state: SegmentationState, now: Timestamp) -> CustomerView {
    Customer { as_of: now, state }.at(now).unwrap()
}

/// What is in a cart: how many of each thing.
fn cart(state: &SegmentationState) -> BTreeMap<i64, i64> {
    let lines = state.cart.iter().flat_map(|cart| &cart.lines);
    lines.map(|line| (line.product, line.quantity)).collect()
}

/// How dear each category and brand is. Of what is told later a half-life's rounding may differ.
fn weights(state: &SegmentationState) -> BTreeMap<String, i64> {
    let favourites = state.categories.iter().chain(&state.brands);
    favourites.map(|favourite| (favourite.name.clone(), favourite.weight >> 10)).collect()
}

/// What is the same however late she was recognised.
fn counted(view: &CustomerView) -> impl PartialEq + std::fmt::Debug + use<> {
    let seen = view.seen.iter().filter(|seen| seen.kind != Did::Any);
    let mut seen: Vec<_> = seen.map(|seen| format!("{seen:?}")).collect();
    seen.sort_unstable();
    let mut spending = view.spending.clone();
    spending.sort_by(|one, other| one.currency.cmp(&other.currency));
    // Counts only: the currency of the amounts may be another where she ordered as often in two.
    let windows = view.windows.map(|window| {
        let counters = [window.page_views, window.product_views, window.cart_additions, window.checkouts];
        (counters, window.orders)
    });
    (seen, spending, windows, (view.frequency, view.recency_days, view.coupon_percent), view.known)
}

/// Of each currency, what she ordered and got back in each window.
fn rows(customer: &str, state: &SegmentationState, now: Timestamp) -> BTreeMap<String, [i64; 15]> {
    let rows = segmentation::customer_rows(customer, state, now, None).into_iter();
    rows.map(|row| (row.currency, row.windows)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn whenever_she_is_recognised_her_profile_is_what_it_would_be_had_she_been_known_from_the_start(
        happenings in prop::collection::vec(happening(), 1..60),
    ) {
        let log = Story::of(&happenings);
        let owners = owners(&log);
        let (late, early) = (pipeline(&log), from_the_start(&log, &owners));
        let now = at(log.last().map_or(0, |(seconds, _)| *seconds));
        let customers: BTreeSet<&String> = owners.iter().collect();
        for customer in &customers {
            let (state, expected) = (late.state(customer).unwrap(), early.state(customer).unwrap());
            prop_assert_eq!(rows(customer, &state, now), rows(customer, &expected, now));
            prop_assert_eq!(weights(&state), weights(&expected));
            let orders: Vec<_> = log.iter().zip(&owners).filter(|((_, event), owner)| {
                *owner == *customer && event.name == "Order Completed"
            }).map(|((_, event), _)| event).collect();
            let is_late = orders.iter().any(|order| order.event_time < order.received_at);
            let by_whom_nobody_knew = orders.iter().any(|order| order.user_id.is_none());
            let (held, whole) = (cart(&state), cart(&expected));
            if is_late {
                // An order that is told late ends what is in the cart when it is heard of: what is added later counts by its time.
            } else if by_whom_nobody_knew {
                // A cart of hers that was touched after a device's order stays whole: nobody knows what was put in when.
                prop_assert!(whole.iter().all(|(thing, number)| held.get(thing).is_some_and(|held| held >= number)));
            } else {
                prop_assert_eq!(held, whole);
                // What is taken out of a cart leaves no trace of when, where nothing is left in it.
                let removed = happenings.iter().any(|happening| matches!(happening.what, What::Remove));
                if let (Some(cart), Some(whole), false) = (&state.cart, &expected.cart, removed) {
                    prop_assert_eq!(cart.changed_at, whole.changed_at);
                }
            }
            // A refund is nothing that she did, unless nothing else is known of her: then it is when she was first heard of.
            let refunded = happenings.iter().any(|happening| matches!(happening.what, What::Refund(_)));
            let seen = |state: &SegmentationState| state.seen(Did::Any).cloned();
            prop_assert!(refunded || seen(&state) == seen(&expected));
            prop_assert_eq!(counted(&view(state, now)), counted(&view(expected, now)));
        }
        // Nothing is left under the old ids, and whoever was recognised has them.
        for device in ["d0", "d1", "d2"].map(str::to_owned) {
            prop_assert_eq!(late.state(&device).is_some(), customers.contains(&device));
            let users = log.iter().zip(&owners).filter(|((_, event), owner)| {
                event.anonymous_id.as_ref() == Some(&device) && **owner != device
            });
            for (_, user) in users {
                prop_assert!(late.state(user).unwrap().ids.contains(&device));
            }
        }
    }
}
