//! What cart recovery has to ask for, computed in another way than the engine does: each cart's events at once, looking
//! ahead for what comes next, with no timers and no state machine.

use std::collections::{BTreeMap, BTreeSet};

use crate::workload::{Click, Workload};

/// A reminder: customer, template, due time.
pub type Reminder = (String, &'static str, i64);

const TEMPLATES: [&str; 3] = ["cart-reminder-1", "cart-reminder-2", "cart-reminder-3"];
const HOUR_MS: i64 = 3_600_000;
/// After the last addition.
const DUE_MS: [i64; 3] = [HOUR_MS, 24 * HOUR_MS, 72 * HOUR_MS];

/// Every reminder that the input log calls for.
pub fn reminders(workload: &Workload) -> BTreeSet<Reminder> {
    let mut carts: BTreeMap<&str, Vec<&Click>> = BTreeMap::new();
    for click in workload.clicks() {
        carts.entry(&click.cart).or_default().push(click);
    }
    let mut reminders = BTreeSet::new();
    for clicks in carts.into_values() {
        let mut next = 0;
        while let Some(opens) = clicks[next..].iter().position(|click| !click.bought) {
            next = run(&clicks, next + opens, &mut reminders);
        }
    }
    reminders
}

/// One run, from the addition that opens it; returns the index of the first event after it.
fn run(clicks: &[&Click], opens: usize, reminders: &mut BTreeSet<Reminder>) -> usize {
    // The first wait begins anew while additions come within an hour of each other.
    let mut last = opens;
    while let Some(next) = clicks.get(last + 1)
        && !next.bought
        && next.at_ms <= clicks[last].at_ms + DUE_MS[0]
    {
        last += 1;
    }
    let bought = clicks[last + 1..].iter().position(|click| click.bought).map(|index| last + 1 + index);
    for (template, due) in TEMPLATES.into_iter().zip(DUE_MS) {
        let due = clicks[last].at_ms + due;
        if let Some(bought) = bought
            && clicks[bought].at_ms <= due
        {
            return bought + 1;
        }
        reminders.insert((clicks[last].customer.clone(), template, due));
    }
    let end = clicks[last].at_ms + DUE_MS[2];
    clicks.iter().position(|click| click.at_ms > end).map_or(clicks.len(), |index| index.max(last + 1))
}
