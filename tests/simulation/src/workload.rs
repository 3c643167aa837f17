//! The shop: few customers who fill carts and buy soon, late or never; people who are recognised at any time on several devices
//! (`identity/`); and visitors who only look. Its events are the input log of a run, and all that the checker starts from.
//!
//! Wanted properties:
//! - each click reaches the broker at its own time: what is due before it is due before the broker has it;
//! - nobody sends a message again after the resolver may have forgotten it.

use std::collections::{BTreeMap, BTreeSet};

use devbroker::core::records::BatchBuilder;
use devbroker::core::topics::TopicPartition;
use domain::HumanDuration;
use ingestion::partition_of;
use schemas::{Contact, EventKind, Product, StorefrontEvent};

use crate::SCHEMAS;
use crate::chance::Chance;
use crate::identity::story::{Happening, told};
use crate::identity::{Told, received_key};
use crate::scores::{self, Scored};
use crate::wishes::{self, Wish};
use crate::world::{BEGIN_MS, MS, Micros, World};

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
/// Clicks are so far apart at least, and time leaps to the end of a step less so much: so a click is never behind its time.
const APART_MS: i64 = 2_000;
/// Time moves by at most so much at once.
const STEP_MS: i64 = 5 * HOUR_MS;
/// At most so many things are done by those who are recognised.
const HAPPENINGS: u64 = 40;
/// How many times it moves while there are events.
const STEPS: i64 = 24;

/// What a customer did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Click {
    /// Under which message id she said so.
    pub message: String,
    /// Who.
    pub customer: String,
    /// With which cart.
    pub cart: String,
    /// When.
    pub at_ms: i64,
    /// She bought it; else she added to it.
    pub bought: bool,
}

/// A visitor looks at a page. The clock of her device goes as it likes, and who wrote it down may not have known where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Under which message id.
    pub message: String,
    /// Who.
    pub visitor: String,
    /// When, as her device has it.
    pub claimed_ms: i64,
}

/// What arrives at the broker.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrival {
    /// Of a customer.
    Click(Click),
    /// Of somebody who may be recognised: on a device, or by the shop's server.
    Told(Box<Told>),
    /// Of a visitor.
    Visit(Visit),
}

/// Something that is sent, once more perhaps.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// What.
    pub arrival: Arrival,
    /// Where to, if that is not its key's partition.
    pub astray: Option<i32>,
    /// It was sent before.
    pub again: bool,
}

/// All events of a run, in the order in which they reach the log.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// By step of time: what happened in it, and when it ends.
    pub steps: Vec<(Vec<Sent>, i64)>,
    /// For how long the resolver remembers a message.
    pub window: HumanDuration,
    /// What customers want of messages.
    pub wishes: Vec<Wish>,
    /// What the shop's own models score of them.
    pub scores: Vec<Scored>,
}

impl Workload {
    /// Draws one.
    pub fn draw(chance: &mut Chance) -> Self {
        let lasts = chance.between(30, 150) as i64 * HOUR_MS;
        let mut acts: Vec<Arrival> = clicks(chance, lasts).into_iter().map(Arrival::Click).collect();
        acts.extend(told_by_people(chance, lasts));
        settle_times(chance, lasts, &mut acts);
        let end = acts.last().map_or(BEGIN_MS, Arrival::at_ms) + 1;
        let open = lasts + acts.len() as i64;
        let step = (open.min(end - BEGIN_MS) / STEPS).max(10 * APART_MS);
        let mut steps: Vec<(Vec<Sent>, i64)> = Vec::new();
        let mut until = BEGIN_MS;
        let mut rest = acts.into_iter().peekable();
        while until < end + TAIL_MS {
            let closed = rest.peek().map_or(0, |act| act.at_ms() - until);
            until += match closed {
                closed if closed > CLOSED_MS / 2 => closed,
                _ if until < end => step,
                _ => STEP_MS,
            };
            let mut here = Vec::new();
            while let Some(arrival) = rest.next_if(|act| act.at_ms() < until) {
                here.push(Sent { arrival, astray: None, again: false });
            }
            steps.push((here, until));
        }
        // What is forgotten soon is sent again soon, and where it belongs: a forwarded record is younger than what it says.
        let forgets = chance.below(2) == 0;
        let window = if forgets { HumanDuration::from_hours(24) } else { HumanDuration::from_hours(24 * 365) };
        let mut workload = Self { steps, window, wishes: Vec::new(), scores: Vec::new() };
        workload.send_again(chance, forgets);
        workload.let_visitors_in(chance, forgets);
        workload.wishes = wishes::draw(chance, workload.steps.len());
        workload.scores = scores::draw(chance, &workload.steps);
        workload
    }

    /// Some senders hear no answer.
    fn send_again(&mut self, chance: &mut Chance, at_home: bool) {
        let steps = self.steps.len() as u64;
        for number in 0..self.steps.len() {
            for place in (0..self.steps[number].0.len()).rev() {
                let original = &self.steps[number].0[place];
                if original.again || chance.below(6) > 0 {
                    continue;
                }
                // A device's own order says whose what is: what is forwarded has lost it.
                let at_home = at_home || matches!(original.arrival, Arrival::Told(_));
                let astray = (!at_home && chance.below(2) == 0).then(|| chance.below(PARTITIONS as u64) as i32);
                let copy = Sent { astray, again: true, ..original.clone() };
                let soon = chance.below(2) == 0;
                let step = if soon { number } else { chance.between(number as u64, steps) as usize };
                let first = if step == number { place + 1 } else { 0 };
                let there = &mut self.steps[step].0;
                let index = chance.between(first as u64, there.len() as u64 + 1) as usize;
                there.insert(index, copy);
            }
        }
    }

    fn let_visitors_in(&mut self, chance: &mut Chance, at_home: bool) {
        for number in 0..chance.below(24) {
            let step = chance.below(self.steps.len() as u64) as usize;
            let wild = [0, BEGIN_MS / 2, self.steps[step].1, i64::MAX, -1, BEGIN_MS + 900 * 24 * HOUR_MS];
            let visit = Visit {
                message: format!("visit-{number}"),
                visitor: format!("visitor-{}", chance.below(5)),
                claimed_ms: *chance.one_of(&wild),
            };
            for copy in 0..*chance.one_of(&[1, 1, 2, 3]) {
                let astray = (!at_home || copy == 0) && chance.below(2) == 0;
                let astray = astray.then(|| chance.below(PARTITIONS as u64) as i32);
                let there = &mut self.steps[step].0;
                let index = chance.below(there.len() as u64 + 1) as usize;
                there.insert(index, Sent { arrival: Arrival::Visit(visit.clone()), astray, again: copy > 0 });
                if at_home && astray.is_some() {
                    break;
                }
            }
        }
    }

    /// How far time comes.
    pub fn end_ms(&self) -> i64 {
        self.steps.last().map_or(BEGIN_MS, |(_, until)| *until)
    }

    /// All that is sent, in its order.
    pub fn sent(&self) -> impl Iterator<Item = &Sent> {
        self.steps.iter().flat_map(|(sent, _)| sent)
    }

    /// All that customers did, each once, in its order.
    pub fn clicks(&self) -> impl Iterator<Item = &Click> {
        self.sent().filter(|sent| !sent.again).filter_map(|sent| match &sent.arrival {
            Arrival::Click(click) => Some(click),
            Arrival::Told(_) | Arrival::Visit(_) => None,
        })
    }

    /// All that was done by those who may be recognised, each once, in its order; when the broker had it, its book says.
    pub fn told(&self, stored_at: &BTreeMap<String, i64>) -> Vec<Told> {
        let told = self.sent().filter(|sent| !sent.again).filter_map(|sent| match &sent.arrival {
            Arrival::Told(told) => Some(&**told),
            Arrival::Click(_) | Arrival::Visit(_) => None,
        });
        told.map(|told| Told {
            at_ms: stored_at.get(&told.event.message_id).copied().unwrap_or(told.at_ms),
            event: told.event.clone(),
        })
        .collect()
    }

    /// Lets the shop go on by itself, a step each so often.
    pub fn begin(&self, world: &mut World, pace: Micros) {
        let window_ms = self.window.as_millis();
        for (number, (sent, until)) in self.steps.iter().enumerate() {
            let begins = pace * number as Micros;
            for (place, sent) in sent.iter().enumerate() {
                let (sent, gap) = (sent.clone(), (pace / 40 * (place as Micros + 1)).min(pace - MS));
                world.after(begins + gap, move |world| world.arrive(&sent, window_ms));
            }
            for (place, wish) in self.wishes.iter().enumerate().filter(|(_, wish)| wish.step == number) {
                let wish = wish.clone();
                world.after(begins + pace / 20 * (place as Micros + 1), move |world| world.wish(&wish, place));
            }
            for (place, scored) in self.scores.iter().enumerate().filter(|(_, scored)| scored.step == number) {
                let scored = scored.clone();
                let gap = (pace / 30 * (place as Micros + 1)).min(pace - MS);
                world.after(begins + gap, move |world| world.score(&scored));
            }
            let until = *until - APART_MS;
            world.after(begins + pace, move |world| world.wall_comes_to(until));
        }
    }
}

/// What customers do, in the order of time.
fn clicks(chance: &mut Chance, lasts: i64) -> Vec<Click> {
    let mut clicks = Vec::new();
    for customer in 0..chance.between(3, 9) {
        // One of them is half of the shop.
        let carts = if customer == 0 { chance.between(3, 8) } else { chance.below(4) };
        let mut at = BEGIN_MS + chance.below(lasts as u64 / 2) as i64;
        for cart in 0..carts {
            let name = format!("customer-{customer}");
            let mut click = |at_ms, bought| {
                let message = format!("{name}/{cart}-{}", clicks.len());
                let cart = format!("{name}/{cart}");
                clicks.push(Click { message, customer: name.clone(), cart, at_ms, bought });
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
    clicks
}

/// What people do who may be recognised. That a message comes again is the senders' matter.
fn told_by_people(chance: &mut Chance, lasts: i64) -> impl Iterator<Item = Arrival> {
    let count = chance.below(2) * chance.between(4, HAPPENINGS);
    let longest = lasts / 1_000 / (count.max(8) as i64) * 2;
    let happenings: Vec<Happening> = (0..count).map(|_| Happening::draw(chance, longest as u64)).collect();
    let begin = BEGIN_MS + chance.below(lasts as u64 / 4) as i64;
    let mut seen = BTreeSet::new();
    let all = told(&happenings, begin, chance.below(2) == 0).into_iter();
    all.filter(move |told| seen.insert(told.event.message_id.clone())).map(|told| Arrival::Told(Box::new(told)))
}

/// Puts all in the order of time, far enough apart.
fn settle_times(chance: &mut Chance, lasts: i64, acts: &mut [Arrival]) {
    acts.sort_by_key(Arrival::at_ms);
    // Sometimes the shop is closed for so long that customers are forgotten meanwhile.
    let reopens = (chance.below(2) == 0).then(|| BEGIN_MS + chance.between(lasts as u64 / 8, lasts as u64) as i64);
    let mut earliest = BEGIN_MS;
    // What is told again says when it happened.
    let mut moved: BTreeMap<i64, i64> = BTreeMap::new();
    for act in acts {
        let at_ms = act.at_ms();
        let closed = if reopens.is_some_and(|reopens| at_ms >= reopens) { CLOSED_MS } else { 0 };
        let settled = (at_ms + closed).max(earliest);
        earliest = settled + APART_MS;
        match act {
            Arrival::Click(click) => click.at_ms = settled,
            Arrival::Visit(visit) => visit.claimed_ms = settled,
            Arrival::Told(told) => {
                moved.insert(at_ms, settled);
                told.at_ms = settled;
                let event = &mut told.event;
                event.event_time = moved.get(&event.event_time).copied().unwrap_or(settled);
                event.received_at = settled;
            }
        }
    }
}

impl Arrival {
    /// Its message id, and the key under which it lies.
    pub fn names(&self) -> (&str, &str) {
        match self {
            Self::Click(click) => (&click.message, &click.customer),
            Self::Visit(visit) => (&visit.message, &visit.visitor),
            Self::Told(told) => (&told.event.message_id, received_key(&told.event)),
        }
    }

    /// When, as whoever tells of it has it.
    fn at_ms(&self) -> i64 {
        match self {
            Self::Click(click) => click.at_ms,
            Self::Visit(visit) => visit.claimed_ms,
            Self::Told(told) => told.at_ms,
        }
    }

    fn event(&self) -> StorefrontEvent {
        let (message, key) = self.names();
        let event = StorefrontEvent {
            message_id: message.to_owned(),
            shop: "shop".to_owned(),
            source: "simulation".to_owned(),
            ..StorefrontEvent::default()
        };
        match self {
            Self::Told(told) => told.event.clone(),
            Self::Visit(visit) => StorefrontEvent {
                kind: EventKind::Page,
                name: "Page Viewed".to_owned(),
                anonymous_id: Some(key.to_owned()),
                event_time: visit.claimed_ms,
                received_at: visit.claimed_ms,
                ..event
            },
            Self::Click(click) => {
                // Of half of the customers nobody knows who they are, nor how to reach them.
                let is_anonymous = key.bytes().last().is_some_and(|digit| digit % 2 == 0);
                let contact = Contact { email: Some(wishes::address(key)), ..Contact::default() };
                StorefrontEvent {
                    kind: EventKind::Track,
                    name: if click.bought { "Order Completed" } else { "Product Added" }.to_owned(),
                    user_id: (!is_anonymous).then(|| key.to_owned()),
                    anonymous_id: is_anonymous.then(|| key.to_owned()),
                    event_time: click.at_ms,
                    received_at: click.at_ms,
                    cart_id: Some(click.cart.clone()),
                    contact: (!is_anonymous).then_some(contact),
                    product: (!click.bought)
                        .then(|| Product { product_id: Some("p".to_owned()), ..Product::default() }),
                    ..event
                }
            }
        }
    }
}

impl World {
    fn arrive(&mut self, sent: &Sent, window_ms: i64) {
        let (message, key) = sent.arrival.names();
        if let (Arrival::Click(_) | Arrival::Told(_), false) = (&sent.arrival, sent.again) {
            self.wall_comes_to(sent.arrival.at_ms());
        }
        let present = self.wall_ms();
        let stored_at = *self.stored_at.entry(message.to_owned()).or_insert(present);
        // Who sends again after the window sends something new.
        if present - stored_at >= window_ms {
            return;
        }
        let mut value = Vec::new();
        if SCHEMAS.encode("storefront.received", &sent.arrival.event(), &mut value).is_ok() {
            let partition = sent.astray.unwrap_or_else(|| partition_of(key.as_bytes(), PARTITIONS));
            self.tell(|| format!("{message} of {key} arrives in {partition} at {present}"));
            self.append("storefront.received", partition, key.as_bytes(), &value);
        }
    }

    /// Appends a record of somebody who has no transaction and no faults.
    pub fn append(&mut self, dataset: &str, partition: i32, key: &[u8], value: &[u8]) {
        let at = TopicPartition::new(schemas::topic_name(PREFIX, dataset), partition);
        let batch = BatchBuilder::new().record(Some(key), Some(value), self.now_ms()).build(None);
        if let Err(refusal) = self.produce(&at, &batch) {
            self.breach("the_simulation_is_sound", format!("{dataset}: {:?} {refusal}", refusal.code));
        }
        self.deliver();
    }
}
