//! The shop: few customers who fill carts and buy soon, late or never. Its events are the input log of a run, and all that
//! the checker starts from.

use std::collections::BTreeMap;

use devbroker::core::records::BatchBuilder;
use devbroker::core::topics::TopicPartition;
use schemas::{Contact, EventKind, Mark, MarkEntry, OutputBound, Product, StorefrontEvent};

use crate::SCHEMAS;
use crate::chance::Chance;
use crate::clients::partition_of;
use crate::world::{BEGIN_MS, MS, Micros, SECOND, World};

/// The prefix of the installation.
pub const PREFIX: &str = "vuelve";
/// How many partitions each customer topic has.
pub const PARTITIONS: i32 = 3;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// After the last event time goes on so long, so that every timer fires.
const TAIL_MS: i64 = 90 * HOUR_MS;
/// A shop that is closed stays so for so long.
const CLOSED_MS: i64 = 100 * 24 * HOUR_MS;
/// Time moves by at most so much at once.
const STEP_MS: i64 = 5 * HOUR_MS;
/// How many times it moves while there are events.
const STEPS: i64 = 24;

/// What a customer did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Click {
    /// Who.
    pub customer: String,
    /// With which cart.
    pub cart: String,
    /// When.
    pub at_ms: i64,
    /// She bought it; else she added to it.
    pub bought: bool,
}

/// All events of a run, in the order in which they reach the log.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// By step of time: what happened in it, and when it ends.
    pub steps: Vec<(Vec<Click>, i64)>,
}

impl Workload {
    /// Draws one.
    pub fn draw(chance: &mut Chance) -> Self {
        let customers = chance.between(3, 9);
        let lasts = chance.between(30, 150) as i64 * HOUR_MS;
        let mut clicks = Vec::new();
        for customer in 0..customers {
            // One of them is half of the shop.
            let carts = if customer == 0 { chance.between(3, 8) } else { chance.below(4) };
            let mut at = BEGIN_MS + chance.below(lasts as u64 / 2) as i64;
            for cart in 0..carts {
                let name = format!("customer-{customer}");
                let mut click = |at_ms, bought| {
                    clicks.push(Click { customer: name.clone(), cart: format!("{name}/{cart}"), at_ms, bought });
                };
                for _ in 0..chance.between(1, 4) {
                    click(at, false);
                    if chance.below(20) == 0 {
                        click(at, false);
                    }
                    at += chance.between(1, *chance.clone().one_of(&[30, 90]) * MINUTE_MS as u64) as i64;
                }
                let hours = *chance.one_of(&[1, 24, 80]);
                at += chance.between(1, hours * HOUR_MS as u64) as i64;
                if chance.below(2) == 0 {
                    click(at, true);
                }
                at += chance.between(1, 6 * HOUR_MS as u64) as i64;
            }
        }
        clicks.sort_by_key(|click| click.at_ms);
        // Sometimes the shop is closed for so long that customers are forgotten meanwhile.
        if chance.below(2) == 0 {
            let reopens = BEGIN_MS + chance.between(lasts as u64 / 8, lasts as u64) as i64;
            clicks.iter_mut().filter(|click| click.at_ms >= reopens).for_each(|click| click.at_ms += CLOSED_MS);
        }
        let end = clicks.last().map_or(BEGIN_MS, |click| click.at_ms) + 1;
        let open = lasts + clicks.len() as i64;
        let step = (open.min(end - BEGIN_MS) / STEPS).max(1);
        let mut steps: Vec<(Vec<Click>, i64)> = Vec::new();
        let mut until = BEGIN_MS;
        let mut rest = clicks.into_iter().peekable();
        while until < end + TAIL_MS {
            let closed = rest.peek().map_or(0, |click| click.at_ms - until);
            until += match closed {
                closed if closed > CLOSED_MS / 2 => closed,
                _ if until < end => step,
                _ => STEP_MS,
            };
            let mut here = Vec::new();
            while let Some(click) = rest.next_if(|click| click.at_ms < until) {
                here.push(click);
            }
            // Those of different customers come late and early; those of one come in their order.
            let mut by_customer: BTreeMap<String, Vec<Click>> = BTreeMap::new();
            for click in here {
                by_customer.entry(click.customer.clone()).or_default().push(click);
            }
            let mut queues: Vec<Vec<Click>> =
                by_customer.into_values().map(|q| q.into_iter().rev().collect()).collect();
            let mut mixed = Vec::new();
            while !queues.is_empty() {
                let index = chance.below(queues.len() as u64) as usize;
                mixed.extend(queues[index].pop());
                queues.retain(|queue| !queue.is_empty());
            }
            steps.push((mixed, until));
        }
        Self { steps }
    }

    /// How time moves, and how far it comes.
    pub fn end_ms(&self) -> i64 {
        self.steps.last().map_or(BEGIN_MS, |(_, until)| *until)
    }

    /// All of it.
    pub fn clicks(&self) -> impl Iterator<Item = &Click> {
        self.steps.iter().flat_map(|(clicks, _)| clicks)
    }

    /// Lets the shop go on by itself, a step each so often.
    pub fn begin(&self, world: &mut World, pace: Micros) {
        let steps = self.steps.clone();
        let mut clicked = 0;
        for (number, (clicks, until)) in steps.into_iter().enumerate() {
            let at = pace * (number as Micros + 1);
            let mut gap = 0;
            for click in clicks {
                gap += pace / 40;
                clicked += 1;
                let number = clicked;
                world.after(at - pace + gap.min(pace - MS), move |world| world.append_click(&click, number));
            }
            world.after(at, move |world| world.append_mark(until));
        }
    }
}

impl World {
    fn append_click(&mut self, click: &Click, number: usize) {
        // Of half of the customers nobody knows who they are, nor how to reach them.
        let is_anonymous = click.customer.bytes().last().is_some_and(|digit| digit % 2 == 0);
        let event = StorefrontEvent {
            message_id: format!("{}-{}-{number}", click.cart, click.at_ms),
            kind: EventKind::Track,
            name: if click.bought { "Order Completed" } else { "Product Added" }.to_owned(),
            shop: "shop".to_owned(),
            source: "simulation".to_owned(),
            customer_id: Some(click.customer.clone()),
            user_id: (!is_anonymous).then(|| click.customer.clone()),
            anonymous_id: is_anonymous.then(|| click.customer.clone()),
            event_time: click.at_ms,
            received_at: click.at_ms,
            cart_id: Some(click.cart.clone()),
            contact: (!is_anonymous)
                .then(|| Contact { email: Some(format!("{}@example.com", click.customer)), ..Contact::default() }),
            product: (!click.bought).then(|| Product { product_id: Some("p".to_owned()), ..Product::default() }),
            ..StorefrontEvent::default()
        };
        let mut value = Vec::new();
        if SCHEMAS.encode("storefront.events", &event, &mut value).is_ok() {
            let partition = partition_of(click.customer.as_bytes(), PARTITIONS);
            self.append("storefront.events", partition, click.customer.as_bytes(), &value);
        }
    }

    /// Marks are followed from when a worker starts, and a shop's time never stands still: whoever missed one hears the next.
    pub(crate) fn let_time_go_on(&mut self) {
        if self.time_goes_on {
            self.append_mark(self.shop_time_ms + MINUTE_MS);
        }
        self.after(SECOND, Self::let_time_go_on);
    }

    /// Of all partitions upstream, all before this time is done.
    fn append_mark(&mut self, until_ms: i64) {
        let end = |partition| {
            let at = TopicPartition::new(schemas::topic_name(PREFIX, "storefront.events"), partition);
            self.core.log(&at).map_or(0, devbroker::core::log::PartitionLog::end_offset)
        };
        let bounds =
            OutputBound { dataset: "storefront.events".to_owned(), offsets: (0..PARTITIONS).map(end).collect() };
        let entries = (0..PARTITIONS).map(|partition| MarkEntry { partition, time: until_ms });
        let mark = Mark {
            service: "ingestion".to_owned(),
            transactional_id: "vuelve.ingestion.0".to_owned(),
            entries: entries.collect(),
            bounds: vec![bounds],
        };
        let mut value = Vec::new();
        if SCHEMAS.encode("ingestion.marks", &mark, &mut value).is_ok() {
            self.append("ingestion.marks", 0, b"ingestion", &value);
        }
        self.shop_time_ms = self.shop_time_ms.max(until_ms);
    }

    /// Appends a record of somebody who has no transaction and no faults.
    pub fn append(&mut self, dataset: &str, partition: i32, key: &[u8], value: &[u8]) {
        let at = TopicPartition::new(schemas::topic_name(PREFIX, dataset), partition);
        let now_ms = self.now_ms();
        let batch = BatchBuilder::new().record(Some(key), Some(value), now_ms).build(None);
        if let Err(refusal) = self.core.produce(&at, &batch, now_ms) {
            self.breach("the_simulation_is_sound", format!("{dataset}: {:?} {refusal}", refusal.code));
        }
        self.deliver();
    }
}
