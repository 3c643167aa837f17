//! What people do on their devices, and what the shop's server tells of it, as events in the order in which they are told.

use std::collections::BTreeSet;

use schemas::{Contact, EventKind, Order, Product, StorefrontEvent};

use super::Told;
use crate::chance::Chance;

/// Devices; on each somebody acts whom nobody knows, or a user.
pub const DEVICES: [&str; 3] = ["d0", "d1", "d2"];
/// Customers. A device on which more than three of them were is nobody's.
pub const USERS: [&str; 5] = ["ana", "luis", "mar", "noa", "pau"];
/// Whom a guest's order belongs to.
pub const GUEST: &str = "address-1";
/// Carts that have a name; a further number is one without.
const CARTS: u8 = 3;
/// A message that comes again comes so soon that the resolver knows it, however often.
const AGAIN_AFTER_SECONDS: i64 = 60;

/// Where something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On a device, logged in or not.
    Device(usize, Option<usize>),
    /// By the shop's server, which knows who she is.
    Server(usize),
}

/// What is done. Numbers of things stand for one of those that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A page is looked at.
    Page,
    /// A product of a category is.
    View(u8),
    /// So many of a thing are put into the cart.
    Add(i64),
    /// The thing is taken out.
    Remove,
    /// To the checkout.
    Checkout,
    /// She says who she is, if she does, and nothing else.
    Identify,
    /// An order; of a guest with her address.
    Order {
        /// What it comes to.
        minor: i64,
        /// With a coupon.
        coupon: bool,
        /// With the address of a guest.
        address: bool,
    },
    /// An order that was told before is told once more, by whoever it is.
    OrderAgain(usize),
    /// A part of an order is paid back.
    Refund(usize),
    /// The message before comes again.
    Repeat,
}

/// Something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Happening {
    /// Where.
    pub place: Place,
    /// What.
    pub what: What,
    /// With which cart.
    pub cart: u8,
    /// So many seconds after what was done before; 1 at least.
    pub after: i64,
}

impl Happening {
    /// Draws one.
    pub fn draw(chance: &mut Chance, longest: u64) -> Self {
        let users = if chance.below(8) == 0 { USERS.len() } else { 2 };
        let user = chance.below(users as u64) as usize;
        let place = match chance.below(10) {
            0 | 1 => Place::Server(user),
            _ => Place::Device(chance.below(3) as usize, (chance.below(7) == 0).then_some(user)),
        };
        let minor = chance.between(1, 10_000) as i64;
        let what = match chance.below(18) {
            0 | 1 => What::Page,
            2..=4 => What::View(chance.below(5) as u8),
            5..=9 => What::Add(chance.between(1, 4) as i64),
            10 => What::Remove,
            11 => What::Checkout,
            12 => What::Identify,
            13 | 14 => What::Order { minor, coupon: chance.below(2) == 0, address: chance.below(5) == 0 },
            15 => What::OrderAgain(chance.below(1 << 20) as usize),
            16 => What::Refund(chance.below(1 << 20) as usize),
            _ => What::Repeat,
        };
        Self { place, what, cart: chance.below(4) as u8, after: chance.between(1, longest.max(2)) as i64 }
    }
}

/// Builds the events.
#[derive(Debug, Default)]
struct Story {
    now_ms: i64,
    /// Carts have names.
    carts_have_names: bool,
    told: usize,
    /// The orders so far, and which of them were paid back.
    orders: Vec<StorefrontEvent>,
    refunded: BTreeSet<usize>,
}

/// The events of these happenings from a time on, in the order in which they reach the log.
pub fn told(happenings: &[Happening], begin_ms: i64, carts_have_names: bool) -> Vec<Told> {
    let mut story = Story { now_ms: begin_ms, carts_have_names, ..Story::default() };
    let mut log: Vec<Told> = Vec::new();
    for happening in happenings {
        if happening.what == What::Repeat {
            story.now_ms += AGAIN_AFTER_SECONDS * 1_000;
            let again = log.last().map(|told| Told { at_ms: story.now_ms, ..told.clone() });
            log.extend(again);
            continue;
        }
        story.now_ms += happening.after.max(1) * 1_000;
        let Some(event) = story.event(happening) else { continue };
        story.told += 1;
        log.push(Told { at_ms: story.now_ms, event });
    }
    log
}

impl Story {
    fn event(&mut self, happening: &Happening) -> Option<StorefrontEvent> {
        let (device, user) = match happening.place {
            Place::Device(device, user) => (Some(DEVICES[device % DEVICES.len()]), user),
            Place::Server(user) => (None, Some(user)),
        };
        let user = user.map(|user| USERS[user % USERS.len()]);
        let cart_id = (self.carts_have_names && happening.cart < CARTS).then(|| format!("cart-{}", happening.cart));
        let contact = user.map(|user| Contact { email: Some(format!("{user}@example.com")), ..Contact::default() });
        let blank = StorefrontEvent {
            message_id: format!("told-{}", self.told),
            kind: EventKind::Track,
            shop: "shop".to_owned(),
            source: "simulation".to_owned(),
            // Each device has things of its own: what is in two carts is a matter of its own (see segmentation's tests).
            product: Some(product(device.unwrap_or("server"), 1)),
            anonymous_id: device.map(str::to_owned),
            user_id: user.map(str::to_owned),
            event_time: self.now_ms,
            received_at: self.now_ms,
            contact,
            ..StorefrontEvent::default()
        };
        let named = |name: &str| StorefrontEvent { name: name.to_owned(), ..blank.clone() };
        let of_cart = |name: &str| StorefrontEvent { cart_id: cart_id.clone(), ..named(name) };
        Some(match happening.what {
            What::Page => StorefrontEvent { kind: EventKind::Page, product: None, ..named("Home") },
            What::Identify => StorefrontEvent { kind: EventKind::Identify, product: None, ..named("") },
            What::View(category) => {
                let seen = Product { category: Some(format!("category-{category}")), ..product("shown", 1) };
                StorefrontEvent { product: Some(seen), ..named("Product Viewed") }
            }
            What::Add(quantity) => {
                let thing = blank.product.clone().map(|thing| Product { quantity: Some(quantity), ..thing });
                StorefrontEvent { product: thing, ..of_cart("Product Added") }
            }
            What::Remove => of_cart("Product Removed"),
            What::Checkout => StorefrontEvent { product: None, ..of_cart("Checkout Started") },
            What::Order { minor, coupon, address } => {
                let order = Order {
                    order_id: Some(format!("o{}", self.orders.len())),
                    coupon: coupon.then(|| "TEN".to_owned()),
                    currency: Some(if minor % 2 == 0 { "EUR" } else { "USD" }.to_owned()),
                    total_minor: Some(minor),
                    ..Order::default()
                };
                let address_id = (address && blank.user_id.is_none()).then(|| GUEST.to_owned());
                let event = StorefrontEvent { order: Some(order), address_id, ..of_cart("Order Completed") };
                self.orders.push(event.clone());
                event
            }
            What::OrderAgain(which) => {
                // Somebody's order is told again in the name of whoever is here: of another customer it is another order.
                let order = self.orders.get(which % self.orders.len().max(1))?;
                StorefrontEvent {
                    event_time: order.event_time,
                    order: order.order.clone(),
                    product: order.product.clone(),
                    cart_id: order.cart_id.clone(),
                    ..named("Order Completed")
                }
            }
            What::Refund(which) => {
                let place = which % self.orders.len().max(1);
                let order = self.orders.get(place).filter(|_| self.refunded.insert(place))?.order.clone()?;
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
