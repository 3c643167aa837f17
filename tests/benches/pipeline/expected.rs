//! What the preset's journeys have to decide on the events, computed customer by customer without the engine: no timers, no
//! store, no batches. Only what her own events make due is counted: the benchmark moves no watermark.

use std::collections::{BTreeMap, HashMap};

use anyhow::ensure;
use schemas::{Decision, RequestAction};

use crate::shared::event::{Event, What};

/// How often what was decided.
pub(crate) type Tally = BTreeMap<String, u64>;

const BROWSE: &str = "browse-follow-up";
const CART: &str = "cart-recovery";
const HOUR_MS: i64 = 3_600_000;
/// Waits of `presets/basic`.
const BROWSE_WAIT_MS: i64 = 4 * HOUR_MS;
const BROWSE_REENTRY_MS: i64 = 7 * 24 * HOUR_MS;
const CART_WAITS_MS: [i64; 3] = [HOUR_MS, 23 * HOUR_MS, 48 * HOUR_MS];

pub(crate) fn decision_name(journey: &str, decision: Decision) -> String {
    format!("{journey} {decision:?}")
}

pub(crate) fn request_name(journey: &str, action: RequestAction) -> String {
    format!("{journey} asks {action:?}")
}

/// The same, or the differences.
pub(crate) fn compare(found: &Tally, expected: &Tally) -> anyhow::Result<()> {
    let count = |tally: &Tally, name: &String| tally.get(name).copied().unwrap_or_default();
    let names = found.keys().chain(expected.keys().filter(|name| !found.contains_key(*name)));
    let differences: Vec<String> = names
        .filter(|name| count(found, name) != count(expected, name))
        .map(|name| format!("{name}: {}, not {}", count(found, name), count(expected, name)))
        .collect();
    ensure!(differences.is_empty(), "no score: {}", differences.join("; "));
    Ok(())
}

/// Counts what events, in the order of their times, lead to.
pub(crate) fn decisions<'a>(events: impl Iterator<Item = &'a Event>) -> Tally {
    let mut tally = Counter::default();
    let mut customers: HashMap<u32, Customer> = HashMap::new();
    for event in events {
        let customer = customers.entry(event.customer).or_default();
        customer.browse(event, &mut tally);
        customer.cart(event, &mut tally);
    }
    tally.0
}

#[derive(Debug, Default)]
struct Counter(Tally);

impl Counter {
    fn decided(&mut self, journey: &str, decisions: &[Decision]) {
        for decision in decisions {
            *self.0.entry(decision_name(journey, *decision)).or_default() += 1;
        }
    }

    /// A wait ended, and a message was asked for.
    fn asked_for(&mut self, journey: &str) {
        self.decided(journey, &[Decision::WaitEnded, Decision::MessageRequested]);
        *self.0.entry(request_name(journey, RequestAction::Request)).or_default() += 1;
    }
}

#[derive(Debug, Default)]
struct Customer {
    /// When the run wakes.
    browsing: Option<i64>,
    browsing_ended_at_ms: Option<i64>,
    cart: Option<CartRun>,
}

#[derive(Clone, Copy, Debug)]
struct CartRun {
    /// How many reminders were asked for.
    reminders: usize,
    wakes_at_ms: i64,
}

impl Customer {
    fn browse(&mut self, event: &Event, tally: &mut Counter) {
        if let Some(due) = self.browsing.filter(|due| *due < event.at_ms) {
            tally.asked_for(BROWSE);
            tally.decided(BROWSE, &[Decision::Completed]);
            (self.browsing, self.browsing_ended_at_ms) = (None, Some(due));
        }
        match event.what {
            What::Viewed if self.browsing.is_some() => {
                tally.decided(BROWSE, &[Decision::Restarted]);
                self.browsing = Some(event.at_ms + BROWSE_WAIT_MS);
            }
            What::Viewed if self.browsing_ended_at_ms.is_some_and(|ended| event.at_ms < ended + BROWSE_REENTRY_MS) => {
                tally.decided(BROWSE, &[Decision::NotEntered]);
            }
            What::Viewed => {
                tally.decided(BROWSE, &[Decision::Entered]);
                self.browsing = Some(event.at_ms + BROWSE_WAIT_MS);
            }
            What::Added | What::CheckoutStarted | What::Ordered if self.browsing.is_some() => {
                tally.decided(BROWSE, &[Decision::Exited]);
                (self.browsing, self.browsing_ended_at_ms) = (None, Some(event.at_ms));
            }
            What::Page | What::Added | What::CheckoutStarted | What::Ordered => {}
        }
    }

    fn cart(&mut self, event: &Event, tally: &mut Counter) {
        while let Some(run) = self.cart.filter(|run| run.wakes_at_ms < event.at_ms) {
            tally.asked_for(CART);
            let reminders = run.reminders + 1;
            let next = CART_WAITS_MS.get(reminders);
            self.cart = next.map(|wait| CartRun { reminders, wakes_at_ms: run.wakes_at_ms + wait });
            if self.cart.is_none() {
                tally.decided(CART, &[Decision::Completed]);
            }
        }
        let begins_anew = CartRun { reminders: 0, wakes_at_ms: event.at_ms + CART_WAITS_MS[0] };
        match (event.what, self.cart) {
            (What::Added, None) => {
                tally.decided(CART, &[Decision::Entered]);
                self.cart = Some(begins_anew);
            }
            (What::Added, Some(CartRun { reminders: 0, .. })) => {
                tally.decided(CART, &[Decision::Restarted]);
                self.cart = Some(begins_anew);
            }
            (What::Ordered, Some(run)) => {
                tally.decided(CART, &[Decision::Exited]);
                if run.reminders > 0 {
                    // One record cancels all that the run asked for.
                    *tally.0.entry(request_name(CART, RequestAction::Cancel)).or_default() += 1;
                }
                self.cart = None;
            }
            _ => {}
        }
    }
}
