//! What cart recovery has to give on a clickstream, computed in another way than the engine does: each customer's events
//! at once, looking ahead for what comes next, with no timers and no state machine.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::ops::Range;
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

/// An event of a clickstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Click {
    /// Whose it is.
    pub customer: String,
    /// What it is about.
    pub product: String,
    /// When it happened, in seconds since 1970.
    pub seconds: i64,
    /// view, cart or buy.
    pub event: String,
}

/// What a batch computation looks at of an addition or a purchase.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The customer's time: it goes on with her events and never back.
    now: i64,
    /// When it happened.
    happened: i64,
    bought: bool,
    /// The latest of the purchases up to it.
    last_bought: i64,
}

/// Computes it from `customer_id,product_id,unix_seconds,event` lines.
pub fn cart_recovery(file: &Path) -> anyhow::Result<CartRecovery> {
    Ok(cart_recovery_of(&clicks(file)?))
}

/// The lines of a file.
pub fn clicks(file: &Path) -> anyhow::Result<Vec<Click>> {
    let reader = BufReader::new(flate2::read::MultiGzDecoder::new(std::fs::File::open(file)?));
    let mut clicks = Vec::new();
    for line in reader.lines().skip(1) {
        let line = line?;
        let fields: Vec<&str> = line.split(',').collect();
        let [customer, product, seconds, event] = fields[..] else { anyhow::bail!("not four fields: {line}") };
        let seconds = seconds.parse().context("seconds")?;
        clicks.push(Click { customer: customer.into(), product: product.into(), seconds, event: event.into() });
    }
    Ok(clicks)
}

/// Computes it from each customer's events in the order in which they were sent, late ones and early ones among them: what
/// comes late acts at her time, what comes early sets it; an addition from before her latest purchase opens no run, nor does one
/// that happened while a run was active that has gone all its way since.
pub fn cart_recovery_of(clicks: &[Click]) -> CartRecovery {
    let mut customers: BTreeMap<&str, (i64, i64, Vec<Step>)> = BTreeMap::new();
    for click in clicks {
        let (time, last_bought, steps) = customers.entry(&click.customer).or_insert((i64::MIN, i64::MIN, Vec::new()));
        *time = click.seconds.max(*time);
        // Views change nothing but the time.
        if click.event == "view" {
            continue;
        }
        let bought = click.event == "buy";
        if bought {
            *last_bought = click.seconds.max(*last_bought);
        }
        steps.push(Step { now: *time, happened: click.seconds, bought, last_bought: *last_bought });
    }
    let mut result = CartRecovery::default();
    for (customer, (.., steps)) in customers {
        let (mut next, mut completed) = (0, None);
        loop {
            let was_active = |happened| completed.as_ref().is_some_and(|run: &Range<i64>| run.contains(&happened));
            let opens = |step: &Step| !step.bought && step.happened >= step.last_bought && !was_active(step.happened);
            let Some(offset) = steps[next..].iter().position(opens) else { break };
            (next, completed) = run(customer, &steps, next + offset, &mut result);
        }
    }
    result
}

/// One run, from the addition that opens it; returns the index of the first event after it, and if it went all its way, from
/// when to when.
fn run(customer: &str, events: &[Step], opens: usize, result: &mut CartRecovery) -> (usize, Option<Range<i64>>) {
    result.entered += 1;
    // The first wait begins anew while additions come within an hour of each other, with no purchase between.
    let mut last = opens;
    while let Some(next) = events.get(last + 1)
        && !next.bought
        && next.now <= events[last].now + DUE[0]
    {
        result.restarted += 1;
        last += 1;
    }
    let bought = events[last + 1..].iter().position(|event| event.bought).map(|offset| last + 1 + offset);
    for (index, due) in DUE.iter().enumerate() {
        let due = events[last].now + due;
        if let Some(bought) = bought
            && events[bought].now <= due
        {
            result.exited[index] += 1;
            return (bought + 1, None);
        }
        result.reminders.insert((customer.to_owned(), TEMPLATES[index], due));
    }
    result.completed += 1;
    let end = events[last].now + DUE[2];
    let after = events.iter().position(|event| event.now > end).map_or(events.len(), |index| index.max(last + 1));
    (after, Some(events[opens].now..end))
}
