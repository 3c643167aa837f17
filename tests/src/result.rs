//! What a replay gave, compared with what it should have given.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, ensure};

use crate::expected::CartRecovery;

/// `messages.csv` of a replay, as far as cart recovery is concerned.
#[derive(Debug, Default)]
pub struct CartRows {
    /// Customer, template and due time of every reminder that was asked for.
    reminders: BTreeSet<(String, String, String)>,
    /// By outcome: how many rows.
    pub outcomes: BTreeMap<String, u64>,
    /// Exits by the step that the run stood at.
    exits: BTreeMap<String, u64>,
}

/// Outcomes of reminders that were asked for and could be sent.
const ASKED_FOR: [&str; 2] = ["sent", "unknown"];

impl CartRows {
    /// Reads the rows of the journey `cart-recovery`. A reminder that is there twice is an error.
    pub fn read(out: &Path) -> anyhow::Result<Self> {
        let mut rows = csv::Reader::from_path(out.join("messages.csv"))?;
        let headers = rows.headers()?.clone();
        let mut found = Self::default();
        for row in rows.records() {
            let row = row?;
            let column = |name: &str| {
                let index = headers.iter().position(|header| header == name);
                index.and_then(|index| row.get(index)).with_context(|| format!("no column {name}"))
            };
            if column("journey")? != "cart-recovery" {
                continue;
            }
            let outcome = column("outcome")?;
            *found.outcomes.entry(outcome.to_owned()).or_default() += 1;
            if ASKED_FOR.contains(&outcome) {
                let [customer, template, due_at] =
                    [column("customer_id")?, column("template")?, column("due_at")?].map(str::to_owned);
                ensure!(found.reminders.insert((customer, template, due_at)), "twice: {row:?}");
            } else if outcome == "exited" {
                *found.exits.entry(column("step")?.to_owned()).or_default() += 1;
            }
        }
        Ok(found)
    }

    /// Row by row, and the sums.
    pub fn compare(&self, expected: &CartRecovery) -> anyhow::Result<()> {
        let wanted: BTreeSet<_> = expected
            .reminders
            .iter()
            .map(|(customer, template, due)| (customer.clone(), (*template).to_owned(), rfc3339(*due)))
            .collect();
        let missing: Vec<_> = wanted.difference(&self.reminders).take(5).collect();
        let unwanted: Vec<_> = self.reminders.difference(&wanted).take(5).collect();
        let outcomes = &self.outcomes;
        ensure!(
            missing.is_empty() && unwanted.is_empty(),
            "missing: {missing:?}; unwanted: {unwanted:?}; outcomes: {outcomes:?}"
        );
        let exits: Vec<_> = self.exits.values().copied().collect();
        ensure!(exits == expected.exited, "exits: {exits:?}, not {:?}", expected.exited);
        for (what, count) in
            [("entered", expected.entered), ("restarted", expected.restarted), ("completed", expected.completed)]
        {
            let found = outcomes.get(what).copied().unwrap_or_default();
            ensure!(found == count, "{what}: {found}, not {count}");
        }
        Ok(())
    }
}

/// Seconds since 1970 as RFC 3339 has them, by the civil calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`).
fn rfc3339(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}
