//! The main job on a real clickstream: the Basic preset's cart recovery asks for exactly the reminders that a batch
//! computation over the file finds.
//!
//! The data is not part of the project: `VUELVE_SHARED_DATA`, by default `../shared/data` beside the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use domain::HumanDuration;
use flate2::read::GzDecoder;
use schemas::{Decision, RequestAction};

use crate::support::{EVENTS, Written, at, driver, product, read_folder, records, replay, told, track, workspace};

const JOURNEY: &str = "cart-recovery";
const HOUR: i64 = 3_600;

struct Click {
    customer: String,
    product: String,
    seconds: i64,
    event: &'static str,
}

fn file() -> PathBuf {
    let shared = std::env::var_os("VUELVE_SHARED_DATA").map(PathBuf::from);
    shared.unwrap_or_else(|| workspace().join("../shared/data")).join("retailrocket_events.csv.gz")
}

fn clicks() -> Option<Vec<Click>> {
    let path = file();
    let Ok(file) = File::open(&path) else {
        // Straight to the terminal: what a passing test prints is not shown.
        let said = format!("SKIPPED: {} is not there; set VUELVE_SHARED_DATA\n", path.display());
        std::io::stderr().write_all(said.as_bytes()).expect("a terminal");
        return None;
    };
    let mut reader = csv::Reader::from_reader(GzDecoder::new(file));
    let rows = reader.records().map(|row| {
        let row = row.expect("a row");
        Click {
            customer: row[0].to_owned(),
            product: row[1].to_owned(),
            seconds: row[2].parse().expect("seconds"),
            event: match &row[3] {
                "view" => "Product Viewed",
                "cart" => "Product Added",
                "buy" => "Order Completed",
                other => panic!("an unknown event: {other}"),
            },
        }
    });
    Some(rows.collect())
}

/// What a batch computation finds: by looking ahead in each customer's own list, with no timers at all.
#[derive(Debug, Default, PartialEq, Eq)]
struct Batch {
    runs: usize,
    restarts: usize,
    exits: [usize; 3],
    completed: usize,
    reminders: BTreeSet<(String, &'static str, i64)>,
}

impl Batch {
    fn of(clicks: &[Click]) -> Self {
        let mut batch = Self::default();
        let mut customers: BTreeMap<&str, (Vec<i64>, Vec<i64>)> = BTreeMap::new();
        for click in clicks {
            let (additions, purchases) = customers.entry(&click.customer).or_default();
            match click.event {
                "Product Added" => additions.push(click.seconds),
                "Order Completed" => purchases.push(click.seconds),
                _ => {}
            }
        }
        for (customer, (additions, purchases)) in &customers {
            batch.customer(customer, additions, purchases);
        }
        batch
    }

    /// `additions` and `purchases` in ascending order.
    fn customer(&mut self, customer: &str, additions: &[i64], purchases: &[i64]) {
        let mut next = 0;
        while next < additions.len() {
            self.runs += 1;
            let purchase = purchases.iter().copied().find(|purchase| *purchase >= additions[next]);
            let bought_by = |time: i64| purchase.is_some_and(|purchase| purchase <= time);
            // The chain of additions that are at most an hour apart, and before the purchase.
            let mut last = next;
            while last + 1 < additions.len()
                && additions[last + 1] - additions[last] <= HOUR
                && !bought_by(additions[last + 1])
            {
                last += 1;
            }
            self.restarts += last - next;
            let left_at = additions[last];
            let mut over = left_at + 72 * HOUR;
            let mut ended_by_purchase = false;
            for (index, (step, delay)) in [("first", 1), ("second", 24), ("third", 72)].into_iter().enumerate() {
                let due = left_at + delay * HOUR;
                if bought_by(due) {
                    self.exits[index] += 1;
                    over = purchase.expect("there is one");
                    ended_by_purchase = true;
                    break;
                }
                self.reminders.insert((customer.to_owned(), step, due));
            }
            self.completed += usize::from(!ended_by_purchase);
            // What is added while the run is active changes nothing.
            next = additions.iter().position(|addition| *addition > over).unwrap_or(additions.len());
        }
    }
}

#[test]
fn the_reminders_of_a_real_clickstream_are_those_of_a_batch_computation() {
    let Some(clicks) = clicks() else { return };
    let preset = records(&read_folder(&workspace().join("presets/basic")));
    let mut driver = driver(replay(), &preset);
    let mut end = 0;
    for (index, click) in clicks.iter().enumerate() {
        let mut event = track(&click.customer, click.event, click.seconds);
        event.message_id = index.to_string();
        event.product = Some(product(&click.product));
        let value = told(&event);
        // Thousands share a batch: it makes no difference to the result.
        if index % 5_000 == 4_999 {
            driver.input(EVENTS, &click.customer, &value, at(click.seconds));
        } else {
            driver.append(EVENTS, &click.customer, Some(&value), at(click.seconds), None);
        }
        end = end.max(click.seconds);
    }
    driver.advance_to(at(end) + HumanDuration::from_hours(30 * 24));
    assert!(driver.dead_letters().is_empty());
    let written = Written::of(&mut driver);

    let count = |decision, step| written.count(JOURNEY, decision, step);
    assert_eq!(count(Decision::Entered, None), 7_154);
    assert_eq!(count(Decision::Restarted, Some("1")), 4_010);
    assert_eq!(count(Decision::Restarted, None), 4_010);
    assert_eq!(
        ["first", "second", "third"].map(|step| count(Decision::MessageRequested, Some(step))),
        [1_356, 740, 594]
    );
    assert_eq!(["1", "3", "5"].map(|step| count(Decision::Exited, Some(step))), [5_798, 616, 146]);
    assert_eq!(count(Decision::Completed, None), 594);
    assert_eq!(count(Decision::Exited, None) + count(Decision::Completed, None), 7_154);

    let batch = Batch::of(&clicks);
    assert_eq!(
        (batch.runs, batch.restarts, batch.exits, batch.completed),
        (7_154, 4_010, [5_798, 616, 146], 594),
        "the batch computation itself"
    );
    let requested: Vec<_> = written
        .requests
        .iter()
        .filter(|request| request.journey == JOURNEY && request.action == RequestAction::Request)
        .map(|request| (request.customer_id.clone(), request.step.as_str(), request.due_at / 1000))
        .collect();
    let expected: Vec<_> =
        batch.reminders.iter().map(|(customer, step, due)| (customer.clone(), *step, *due)).collect();
    let mut sorted = requested.clone();
    sorted.sort();
    let mut wanted = expected.clone();
    wanted.sort();
    assert_eq!(sorted.len(), wanted.len());
    for (asked, wanted) in sorted.iter().zip(&wanted) {
        assert_eq!((&asked.0, asked.1, asked.2), (&wanted.0, wanted.1, wanted.2));
    }
    assert!(requested.iter().all(|(.., due)| *due > 0));
}
