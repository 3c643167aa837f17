//! Which reminders of carts should not have been asked for, and which are missing: from the input log, and from where it came to
//! lie in what journeys were told. Nothing here walks through a journey.
//!
//! Wanted properties, of the preset's cart recovery:
//! - *bought*: nobody is reminded of a cart that was bought after it was last filled, where the order was told before the
//!   reminder was due, by whomever, and known by then to be hers; nor of one for which she ordered, whenever that was, since the
//!   run began;
//! - *twice*: of what was in a cart when she was reminded of it by one run, no other run reminds her; of an addition from before
//!   a run of its cart was over, none begins;
//! - *at login*: what was left before she was recognised begins its wait at that moment, so that nothing is asked for then;
//! - *moved*: under the device's id nothing is asked for from the moment on at which the shop hears that it is hers;
//! - *forgotten*: a cart that was left on the device within a day, and that nobody has bought, is one that she is reminded of.
//!
//! By design: what was asked for while nobody knew her was asked for under the device's id, for what was known under that. An
//! order that the shop's server told of under her own id does not end it, and once recognised she may be reminded once more.
//! A login counts from when it happened, as all that a device tells late.

use std::collections::BTreeMap;

use schemas::{CustomerEvent, Decision, EventKind, JourneyDecision};

use super::Told;
use super::whose::{Recognition, Whose};
use crate::Breach;

/// The invariants, by name.
pub const BOUGHT: &str = "nobody_is_reminded_of_what_she_bought";
/// See [`BOUGHT`].
pub const TWICE: &str = "nobody_is_reminded_twice_of_the_same";
/// See [`BOUGHT`].
pub const AT_LOGIN: &str = "nobody_is_reminded_at_the_moment_of_login";
/// See [`BOUGHT`].
pub const MOVED: &str = "who_is_recognised_is_reminded_as_a_visitor_no_more";
/// See [`BOUGHT`].
pub const FORGOTTEN: &str = "who_is_recognised_is_reminded_of_what_she_left";

const HOUR_MS: i64 = 3_600_000;
/// A past that is older opens no run.
const LATE_MS: i64 = 24 * HOUR_MS;

/// What journeys were told, and what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// All that happened.
    pub log: &'a [Told],
    /// Whose it is.
    pub whose: &'a Whose,
    /// By customer, in its order.
    pub told: &'a BTreeMap<String, Vec<CustomerEvent>>,
    /// In their order.
    pub decisions: &'a [JourneyDecision],
}

/// Something that a customer is known to have done.
#[derive(Clone, Copy, Debug)]
struct Known<'a> {
    /// When she did it.
    time: i64,
    /// When what tells of it reached the broker.
    told_at: i64,
    /// What it opens counts from then: when she did it, or was recognised.
    counts_from: i64,
    /// Where that lies among what is told of her.
    position: usize,
    /// It was done before she was recognised.
    is_past: bool,
    name: &'a str,
    cart: Option<&'a str>,
}

#[derive(Debug)]
struct Run<'a> {
    customer: &'a str,
    key: &'a str,
    began_at: i64,
    /// Where what opened it lies among what is told of her, and whether it was done before she was recognised.
    opened_by: Known<'a>,
    /// What was put in last, of what the run began with or began anew.
    last: Known<'a>,
    restarted: bool,
    ended_at: i64,
    completed: bool,
    /// By step, when it is due.
    asked: Vec<(&'a str, i64)>,
}

impl Known<'_> {
    /// Whether it may have bought what a run is about: whoever names no cart means any.
    fn buys(&self, key: &str) -> bool {
        self.name == "Order Completed" && (key.is_empty() || self.cart.is_none_or(|cart| cart == key))
    }
}

/// What is wrong with the reminders.
pub fn breaches(heard: &Heard<'_>) -> Vec<Breach> {
    let places: BTreeMap<&str, usize> =
        heard.log.iter().enumerate().rev().map(|(place, told)| (told.event.message_id.as_str(), place)).collect();
    let known: BTreeMap<&str, BTreeMap<&str, Known<'_>>> =
        heard.told.keys().map(|customer| (customer.as_str(), known(heard, &places, customer))).collect();
    let runs = runs(heard, &known);
    let mut breaches = Vec::new();
    for run in &runs {
        bought(heard, run, &known[run.customer], &mut breaches);
        at_login(run, &mut breaches);
    }
    twice(heard, &runs, &mut breaches);
    for recognition in &heard.whose.recognitions {
        moved(&runs, &recognition.device, heard.log[recognition.by].at_ms, &mut breaches);
    }
    forgotten(heard, &runs, &known, &mut breaches);
    breaches
}

/// By message, all that is known of a customer.
fn known<'a>(heard: &Heard<'a>, places: &BTreeMap<&'a str, usize>, customer: &str) -> BTreeMap<&'a str, Known<'a>> {
    let mut known = BTreeMap::new();
    let mut note = |message: &str, position, by: Option<&Recognition>| {
        let Some((message, place)) = places.get_key_value(message) else { return };
        let Told { at_ms, event } = &heard.log[*place];
        let entry = Known {
            time: event.event_time,
            told_at: by.map_or(*at_ms, |by| heard.log[by.by].at_ms),
            counts_from: by.map_or(event.event_time, |by| by.at_ms),
            position,
            is_past: by.is_some(),
            name: &event.name,
            cart: event.cart_id.as_deref(),
        };
        known.insert(*message, entry);
    };
    for (position, told) in heard.told[customer].iter().enumerate() {
        let Some(event) = &told.event else { continue };
        if event.kind != EventKind::Identified {
            note(&event.message_id, position, None);
            continue;
        }
        let mut recognitions = heard.whose.recognitions.iter();
        let by = recognitions.find(|recognition| {
            recognition.customer == customer && event.anonymous_id.as_ref() == Some(&recognition.device)
        });
        let Some(by) = by else { continue };
        for place in &by.history {
            note(&heard.log[*place].event.message_id, position, Some(by));
        }
    }
    known
}

/// The runs of cart recovery, in the order in which they began.
fn runs<'a>(heard: &Heard<'a>, known: &BTreeMap<&'a str, BTreeMap<&'a str, Known<'a>>>) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'a>> = Vec::new();
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    for decision in heard.decisions {
        let Some(id) = decision.run_id.as_deref() else { continue };
        let trigger = decision.trigger_message_id.as_deref();
        let trigger = trigger.and_then(|message| known.get(decision.customer_id.as_str())?.get(message).copied());
        if let (Decision::Entered, Some(opened_by)) = (decision.decision, trigger) {
            numbers.insert(id, runs.len());
            runs.push(Run {
                customer: &decision.customer_id,
                key: decision.correlation_key.as_deref().unwrap_or_default(),
                began_at: decision.at,
                opened_by,
                last: opened_by,
                restarted: false,
                ended_at: i64::MAX,
                completed: false,
                asked: Vec::new(),
            });
        }
        let Some(run) = numbers.get(id).map(|number| &mut runs[*number]) else { continue };
        match decision.decision {
            Decision::Restarted => {
                run.last = trigger.filter(|added| added.time > run.last.time).unwrap_or(run.last);
                run.restarted = true;
            }
            Decision::MessageRequested => {
                run.asked.push((decision.step.as_deref().unwrap_or_default(), decision.due_at.unwrap_or(decision.at)));
            }
            Decision::Completed | Decision::Exited => {
                run.ended_at = decision.at;
                run.completed = decision.decision == Decision::Completed;
            }
            _ => {}
        }
    }
    runs
}

/// To when her time has come with what lies there.
fn her_time(heard: &Heard<'_>, customer: &str, position: usize) -> i64 {
    heard.told[customer][..=position].iter().map(time_of).max().unwrap_or_default()
}

/// When what is told happened: it moves the customer's time.
fn time_of(told: &CustomerEvent) -> i64 {
    told.event.as_ref().map_or(told.at, |event| event.event_time)
}

fn bought(heard: &Heard<'_>, run: &Run<'_>, known: &BTreeMap<&str, Known<'_>>, breaches: &mut Vec<Breach>) {
    for order in known.values().filter(|order| order.buys(run.key)) {
        let since = order.time >= run.last.time || !order.is_past && order.position > run.last.position;
        let before = &heard.told[run.customer][..order.position];
        // Her own time may have passed the moment at which it was due before she was known to have ordered.
        let was_told = |due: i64| order.told_at <= due && before.iter().all(|told| time_of(told) <= due);
        for (step, due) in run.asked.iter().filter(|(_, due)| since && was_told(*due)) {
            let detail = format!("{}: {step} at {due} of cart {:?}, and {order:?}, {run:?}", run.customer, run.key);
            breaches.push(Breach::new(BOUGHT, detail));
        }
    }
}

fn at_login(run: &Run<'_>, breaches: &mut Vec<Breach>) {
    let counts_from = run.opened_by.counts_from;
    let too_soon = run.asked.iter().any(|(_, due)| *due < counts_from.max(run.began_at) + HOUR_MS);
    if too_soon || run.began_at < counts_from {
        breaches.push(Breach::new(AT_LOGIN, format!("{}: known at {counts_from}, {run:?}", run.customer)));
    }
}

fn twice(heard: &Heard<'_>, runs: &[Run<'_>], breaches: &mut Vec<Breach>) {
    let mut before: BTreeMap<(&str, &str), &Run<'_>> = BTreeMap::new();
    for run in runs {
        let Some(earlier) = before.insert((run.customer, run.key), run) else { continue };
        let reminded = run.asked.iter().any(|(step, _)| earlier.asked.iter().any(|(asked, _)| asked == step));
        if reminded && !is_new(heard, earlier, run) {
            breaches.push(Breach::new(TWICE, format!("{}: {earlier:?}, then {run:?}", run.customer)));
        }
    }
    for run in runs {
        let mut steps: Vec<&str> = run.asked.iter().map(|(step, _)| *step).collect();
        steps.sort_unstable();
        steps.dedup();
        if steps.len() < run.asked.len() {
            breaches.push(Breach::new(TWICE, format!("{}: {run:?}", run.customer)));
        }
    }
}

/// Whether a run is about something that an earlier one of the same cart was not about.
fn is_new(heard: &Heard<'_>, earlier: &Run<'_>, run: &Run<'_>) -> bool {
    let Known { time, position, is_past, .. } = run.opened_by;
    let behind = her_time(heard, run.customer, position) - time;
    // What waited behind another partition until her time was a day ahead comes when it is not known any more what was.
    if !is_past && behind > LATE_MS {
        return true;
    }
    let was_active = earlier.completed && time < earlier.ended_at && (is_past || time >= earlier.began_at);
    // What is told late of a cart that was bought by something earlier still is news.
    let is_later = time > earlier.last.time || !is_past && behind > 0;
    run.began_at >= earlier.ended_at && is_later && !was_active
}

fn moved(runs: &[Run<'_>], device: &str, at: i64, breaches: &mut Vec<Breach>) {
    let visits = runs.iter().filter(|run| run.customer == device && run.opened_by.time < at);
    for run in visits.filter(|run| run.asked.iter().any(|(_, due)| *due >= at)) {
        breaches.push(Breach::new(MOVED, format!("{device} is recognised at {at}: {run:?}")));
    }
}

fn forgotten(
    heard: &Heard<'_>,
    runs: &[Run<'_>],
    known: &BTreeMap<&str, BTreeMap<&str, Known<'_>>>,
    breaches: &mut Vec<Breach>,
) {
    for (customer, known) in known {
        let mut left: BTreeMap<(usize, &str), &Known<'_>> = BTreeMap::new();
        for past in known.values().filter(|known| known.is_past && known.name == "Product Added") {
            let Some(cart) = past.cart else { continue };
            let last = left.entry((past.position, cart)).or_insert(past);
            *last = if past.time > last.time { past } else { last };
        }
        for ((position, cart), added) in left {
            // Timers of hers may have fired by when it was told: her time is no later than that.
            let at = her_time(heard, customer, position).max(added.told_at);
            let orders = || known.values().filter(|order| order.buys(cart));
            if at - added.time > LATE_MS || orders().any(|order| order.time > added.time && order.position <= position)
            {
                continue;
            }
            let mut own = runs.iter().filter(|run| run.customer == *customer && run.key == cart);
            let run = own.rfind(|run| run.opened_by.position <= position && run.ended_at >= added.time);
            let Some(run) = run else {
                let detail = format!("{customer} left {cart} at {}, is recognised at {at}, and has no run", added.time);
                breaches.push(Breach::new(FORGOTTEN, detail));
                continue;
            };
            let due = run.began_at + HOUR_MS;
            let is_hers = run.opened_by.position == position && !run.restarted;
            let ordered = orders().any(|order| order.position > position && order.told_at.min(order.time) <= due);
            if is_hers && !ordered && !run.asked.iter().any(|(_, asked)| *asked == due) {
                let detail = format!("{customer} left {cart}, and is not reminded of it at {due}: {run:?}");
                breaches.push(Breach::new(FORGOTTEN, detail));
            }
        }
    }
}
