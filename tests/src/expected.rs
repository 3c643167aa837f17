//! What cart recovery has to give on a clickstream, computed in another way than the engine does: each customer's events
//! at once, looking ahead for what comes next, with no timers and no state machine.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Context;

/// A reminder: customer, template, due time in seconds since 1970.
pub type Reminder = (String, &'static str, i64);

/// What a batch computation gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CartRecovery {
    /// Runs entered.
    pub entered: u64,
    /// Restarts of the first wait.
    pub restarted: u64,
    /// Exits by purchase before the first, second and third reminder.
    pub exited: [u64; 3],
    /// Runs that came to their end.
    pub completed: u64,
    /// Every reminder.
    pub reminders: BTreeSet<Reminder>,
}

const TEMPLATES: [&str; 3] = ["cart-reminder-1", "cart-reminder-2", "cart-reminder-3"];
/// After the last addition, in seconds.
const DUE: [i64; 3] = [3_600, 24 * 3_600, 72 * 3_600];

/// Computes it from `customer_id,product_id,unix_seconds,event` lines.
pub fn cart_recovery(file: &Path) -> anyhow::Result<CartRecovery> {
    let reader = BufReader::new(flate2::read::MultiGzDecoder::new(std::fs::File::open(file)?));
    // (seconds, bought): views change nothing.
    let mut customers: BTreeMap<String, Vec<(i64, bool)>> = BTreeMap::new();
    for line in reader.lines().skip(1) {
        let line = line?;
        let fields: Vec<&str> = line.split(',').collect();
        let [customer, _, seconds, event] = fields[..] else { anyhow::bail!("not four fields: {line}") };
        let seconds: i64 = seconds.parse().context("seconds")?;
        if event != "view" {
            customers.entry(customer.to_owned()).or_default().push((seconds, event == "buy"));
        }
    }
    let mut result = CartRecovery::default();
    for (customer, events) in customers {
        let mut next = 0;
        while let Some(offset) = events[next..].iter().position(|(_, bought)| !bought) {
            next = run(&customer, &events, next + offset, &mut result);
        }
    }
    Ok(result)
}

/// One run, from the addition that opens it; returns the index of the first event after it.
fn run(customer: &str, events: &[(i64, bool)], opens: usize, result: &mut CartRecovery) -> usize {
    result.entered += 1;
    // The first wait begins anew while additions come within an hour of each other, with no purchase between.
    let mut last = opens;
    while let Some((at, false)) = events.get(last + 1)
        && *at <= events[last].0 + DUE[0]
    {
        result.restarted += 1;
        last += 1;
    }
    let bought = events[last + 1..].iter().position(|(_, bought)| *bought).map(|offset| last + 1 + offset);
    for (index, due) in DUE.iter().enumerate() {
        let due = events[last].0 + due;
        if let Some(bought) = bought
            && events[bought].0 <= due
        {
            result.exited[index] += 1;
            return bought + 1;
        }
        result.reminders.insert((customer.to_owned(), TEMPLATES[index], due));
    }
    result.completed += 1;
    let end = events[last].0 + DUE[2];
    events.iter().position(|(at, _)| *at > end).map_or(events.len(), |index| index.max(last + 1))
}
