//! The shop's customers: what they look at, put into the cart, leave there, buy, and how they take a reminder.
//!
//! Wanted properties:
//! - pure: the seed, the number of customers, the beginning and the reminders that were read give the calls, to the byte;
//! - the calls come in the order of their times, and never one that lies before what was asked for already;
//! - every call is one that a storefront could have sent: whoever buys has it in the cart, whoever acts is known;
//! - what is kept is bounded by the number of customers.

use std::collections::{BTreeMap, HashMap};

use domain::{HumanDuration, Locale, Timestamp};
use serde_json::{Value, json};

use super::chance::Chance;
use super::shop::{CATALOGUE, FIRST_NAMES, Product, amount};
use crate::written::rfc3339;

/// Who comes to the shop, and when it opens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shop {
    pub(super) seed: u64,
    pub(super) customers: u32,
    pub(super) opens_at: Timestamp,
}

/// A call that the storefront sends, with what the demo's pages show of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ShopCall {
    pub(super) message_id: String,
    pub(super) customer: String,
    pub(super) at: Timestamp,
    /// The event's name; `identify` for who she is.
    pub(super) event: &'static str,
    /// The product's name, if it is about one.
    pub(super) product: Option<&'static str>,
    pub(super) cart: Option<String>,
    /// As Segment's API takes it.
    pub(super) json: String,
}

/// A reminder that lies in a customer's mailbox.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reminder<'a> {
    pub(super) customer: &'a str,
    pub(super) journey: &'a str,
    pub(super) step: &'a str,
    pub(super) at: Timestamp,
}

/// The shop's customers, from now on.
#[derive(Debug)]
pub(super) struct Simulator {
    chance: Chance,
    people: Vec<Person>,
    by_id: HashMap<String, usize>,
    /// What is to come, by time and then by the order in which it was planned.
    plan: BTreeMap<(Timestamp, u64), (usize, Act)>,
    planned: u64,
    sent: u64,
    asked_until: Timestamp,
}

#[derive(Debug)]
struct Person {
    id: String,
    first_name: &'static str,
    locale: Locale,
    /// How often she came.
    visits: u64,
    /// How many carts she has begun.
    carts: u64,
    cart: Option<Cart>,
}

#[derive(Debug)]
struct Cart {
    id: String,
    lines: Vec<Product>,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    /// She comes to the shop; `to_buy` if a message brought her.
    Visit {
        to_buy: bool,
    },
    Identify,
    View(Product),
    Add(Product),
    Buy,
}

const fn minutes(count: i64) -> HumanDuration {
    HumanDuration::from_millis(count * 60_000)
}

const fn days(count: i64) -> HumanDuration {
    HumanDuration::from_hours(count * 24)
}

/// Customers come for the first time within so long.
const OPENING: HumanDuration = HumanDuration::from_hours(8);
/// Of a hundred visits, so many put something into the cart.
const ADD_PERCENT: u64 = 65;
/// Of a hundred carts, so many are bought at once.
const BUY_AT_ONCE_PERCENT: u64 = 35;

impl Simulator {
    /// The shop before it opens.
    pub(super) fn new(shop: Shop) -> Self {
        let chance = Chance::new(shop.seed);
        let people: Vec<Person> = (1..=shop.customers).map(|number| Person::new(chance, number)).collect();
        let by_id = people.iter().enumerate().map(|(index, person)| (person.id.clone(), index)).collect();
        let mut simulator =
            Self { chance, people, by_id, plan: BTreeMap::new(), planned: 0, sent: 0, asked_until: shop.opens_at };
        for index in 0..simulator.people.len() {
            let after = chance.between(&format!("{index} comes first"), minutes(1), OPENING);
            simulator.plan(shop.opens_at + after, index, Act::Visit { to_buy: false });
        }
        simulator
    }

    /// The calls up to `to`, in order.
    pub(super) fn calls_until(&mut self, to: Timestamp) -> anyhow::Result<Vec<ShopCall>> {
        let mut calls = Vec::new();
        self.asked_until = self.asked_until.max(to);
        while let Some(entry) = self.plan.first_entry().filter(|entry| entry.key().0 <= to) {
            let ((at, _), (index, act)) = entry.remove_entry();
            calls.extend(self.act(index, act, at)?);
        }
        Ok(calls)
    }

    /// She reads a reminder: some come back for what they left.
    pub(super) fn read(&mut self, reminder: Reminder<'_>) {
        let Some(&index) = self.by_id.get(reminder.customer) else { return };
        let person = &self.people[index];
        let question = format!("{index} in visit {} by {} {}", person.visits, reminder.journey, reminder.step);
        let percent = match (&person.cart, reminder.step) {
            (Some(_), "first") => 30,
            (Some(_), "second") => 25,
            (Some(_), _) => 15,
            (None, _) => 20,
        };
        if !self.chance.happens(&format!("{question} comes back"), percent) {
            return;
        }
        let act = if person.cart.is_some() { Act::Buy } else { Act::Visit { to_buy: true } };
        let after = self.chance.between(&format!("{question} after"), minutes(20), minutes(180));
        self.plan(reminder.at.max(self.asked_until) + after, index, act);
    }

    fn plan(&mut self, at: Timestamp, index: usize, act: Act) {
        self.planned += 1;
        self.plan.insert((at, self.planned), (index, act));
    }

    fn act(&mut self, index: usize, act: Act, at: Timestamp) -> anyhow::Result<Option<ShopCall>> {
        match act {
            Act::Visit { to_buy } => {
                self.visit(index, to_buy, at);
                Ok(None)
            }
            Act::Identify => {
                let person = &self.people[index];
                let traits = json!({ "email": person.address(), "firstName": person.first_name });
                let call = json!({ "type": "identify", "traits": traits });
                self.call(index, "identify", None, at, call).map(Some)
            }
            Act::View(product) => {
                let properties = self.people[index].shown(&product);
                self.track(index, "Product Viewed", Some(product), at, properties).map(Some)
            }
            Act::Add(product) => {
                let person = &mut self.people[index];
                let carts = &mut person.carts;
                let cart = person.cart.get_or_insert_with(|| {
                    *carts += 1;
                    Cart { id: format!("cart-{}-{carts}", index + 1), lines: Vec::new() }
                });
                cart.lines.push(product);
                let mut properties = person.shown(&product);
                properties["quantity"] = json!(1);
                properties["cart_url"] = json!("https://shop.example.com/cart");
                self.track(index, "Product Added", Some(product), at, properties).map(Some)
            }
            Act::Buy => self.buy(index, at),
        }
    }

    /// Plans a visit, and the one after it.
    fn visit(&mut self, index: usize, to_buy: bool, at: Timestamp) {
        let chance = self.chance;
        let person = &mut self.people[index];
        person.visits += 1;
        // A cart that nobody came back for: the shop has emptied it.
        person.cart = None;
        let visit = format!("{index} visit {}", person.visits);
        let mut now = at;
        if person.visits == 1 {
            self.plan(now, index, Act::Identify);
        }
        let product =
            |n: u64| CATALOGUE[chance.below(&format!("{visit} product {n}"), CATALOGUE.len() as u64) as usize];
        let looks = 1 + chance.below(&format!("{visit} looks"), 4);
        for n in 0..looks {
            now = now + chance.between(&format!("{visit} look {n}"), minutes(1), minutes(6));
            self.plan(now, index, Act::View(product(n)));
        }
        let adds = if to_buy || chance.happens(&format!("{visit} adds"), ADD_PERCENT) {
            1 + chance.below(&format!("{visit} additions"), looks.min(3))
        } else {
            0
        };
        for n in 0..adds {
            now = now + chance.between(&format!("{visit} addition {n}"), minutes(1), minutes(5));
            self.plan(now, index, Act::Add(product(n)));
        }
        if adds > 0 && (to_buy || chance.happens(&format!("{visit} buys"), BUY_AT_ONCE_PERCENT)) {
            now = now + chance.between(&format!("{visit} bought"), minutes(2), minutes(20));
            self.plan(now, index, Act::Buy);
        }
        // Not while she is still reminded of this cart. Who was brought by a message comes by herself as before.
        if !to_buy {
            let soonest = if adds > 0 { days(4) } else { days(1) };
            let after = chance.between(&format!("{visit} next"), soonest, days(8));
            self.plan(now + after, index, Act::Visit { to_buy: false });
        }
    }

    /// Nothing, if she has bought it meanwhile.
    fn buy(&mut self, index: usize, at: Timestamp) -> anyhow::Result<Option<ShopCall>> {
        let person = &mut self.people[index];
        let Some(cart) = person.cart.take() else { return Ok(None) };
        let lines: Vec<Value> = cart
            .lines
            .iter()
            .map(|line| json!({ "product_id": line.id, "name": line.name(person.locale), "price": amount(line.price_cents), "quantity": 1 }))
            .collect();
        let total_cents = cart.lines.iter().map(|line| line.price_cents).sum();
        let properties = json!({
            "order_id": cart.id.replace("cart", "order"),
            "cart_id": cart.id,
            "total": amount(total_cents),
            "currency": "EUR",
            "products": lines,
        });
        let call = json!({ "type": "track", "event": "Order Completed", "properties": properties });
        let mut call = self.call(index, "Order Completed", None, at, call)?;
        call.cart = Some(cart.id);
        Ok(Some(call))
    }

    fn track(
        &mut self,
        index: usize,
        event: &'static str,
        product: Option<Product>,
        at: Timestamp,
        mut properties: Value,
    ) -> anyhow::Result<ShopCall> {
        let cart = self.people[index].cart.as_ref().filter(|_| event == "Product Added").map(|cart| cart.id.clone());
        if let Some(cart) = &cart {
            properties["cart_id"] = json!(cart);
        }
        let call = json!({ "type": "track", "event": event, "properties": properties });
        let mut call = self.call(index, event, product, at, call)?;
        call.cart = cart;
        Ok(call)
    }

    fn call(
        &mut self,
        index: usize,
        event: &'static str,
        product: Option<Product>,
        at: Timestamp,
        mut call: Value,
    ) -> anyhow::Result<ShopCall> {
        self.sent += 1;
        let person = &self.people[index];
        let message_id = format!("demo-{}", self.sent);
        call["messageId"] = json!(message_id);
        call["userId"] = json!(person.id);
        call["timestamp"] = json!(rfc3339(at)?);
        call["context"] = json!({ "locale": person.locale.tag() });
        Ok(ShopCall {
            message_id,
            customer: person.id.clone(),
            at,
            event,
            product: product.map(|product| product.name(person.locale)),
            cart: None,
            json: call.to_string(),
        })
    }
}

impl Person {
    fn new(chance: Chance, number: u32) -> Self {
        let name = chance.below(&format!("{number} is called"), FIRST_NAMES.len() as u64) as usize;
        let locale = if chance.happens(&format!("{number} speaks Spanish"), 50) { Locale::Es } else { Locale::En };
        Self {
            id: format!("customer-{number}"),
            first_name: FIRST_NAMES[name],
            locale,
            visits: 0,
            carts: 0,
            cart: None,
        }
    }

    fn address(&self) -> String {
        format!("{}@example.com", self.id)
    }

    fn shown(&self, product: &Product) -> Value {
        json!({
            "product_id": product.id,
            "category": product.category,
            "name": product.name(self.locale),
            "price": amount(product.price_cents),
            "currency": "EUR",
            "url": product.url(),
        })
    }
}

#[cfg(test)]
mod tests;
