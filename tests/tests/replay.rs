//! A recorded clickstream gives exactly what a batch computation gives: on the embedded broker, and on real parts.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use tests::expected::{CartRecovery, cart_recovery};
use tests::installation::{Installation, State};
use tests::{root, shared_data, vuelve};

const CLICKSTREAM: &str = "retailrocket_events.csv.gz";

/// The figures that two computations, made by different people in different ways, agree on.
#[test]
fn the_batch_computation_gives_the_known_figures() {
    let Some(file) = shared_data(CLICKSTREAM) else { return };
    let expected = cart_recovery(&file).unwrap();
    assert_eq!((expected.entered, expected.restarted, expected.completed), (7_154, 4_010, 594));
    assert_eq!(expected.exited, [5_798, 616, 146]);
    let by_template = |template| expected.reminders.iter().filter(|(_, name, _)| *name == template).count();
    assert_eq!(["cart-reminder-1", "cart-reminder-2", "cart-reminder-3"].map(by_template), [1_356, 740, 594]);
}

#[test]
fn on_the_embedded_broker_every_reminder_is_the_expected_one() {
    let Some(file) = shared_data(CLICKSTREAM) else { return };
    let out = tempfile::tempdir().unwrap();
    let status = Command::new(vuelve())
        .args(["replay", "--format", "retailrocket", "--definitions", "presets/basic", "--file"])
        .arg(&file)
        .arg("--out")
        .arg(out.path())
        .current_dir(root())
        .status()
        .unwrap();
    assert!(status.success());
    compare(&cart_recovery(&file).unwrap(), out.path());
}

#[test]
fn on_real_parts_with_one_process_a_service_every_reminder_is_the_expected_one() {
    let Some(file) = shared_data(CLICKSTREAM) else { return };
    let installation = Installation::start("replay", State::Redis).unwrap();
    let door = installation.run(&["ingestion"], 0).unwrap();
    let _journeys = installation.run(&["journeys"], 0).unwrap();
    let _messaging = installation.run(&["messaging"], 0).unwrap();
    installation.wait_for_door(&door).unwrap();
    let out = installation.replay(&file, "one").unwrap();
    compare(&cart_recovery(&file).unwrap(), &out);
}

#[test]
fn on_real_parts_with_three_processes_a_service_every_reminder_is_the_expected_one() {
    let Some(file) = shared_data(CLICKSTREAM) else { return };
    let installation = Installation::start("replay", State::Redis).unwrap();
    let door = installation.run(&["door"], 0).unwrap();
    let services = ["resolver", "journeys", "messaging"];
    let processes: Result<Vec<_>, _> = (0..3)
        .flat_map(|slot| services.map(|service| (service, slot)))
        .map(|(s, n)| installation.run(&[s], n))
        .collect();
    let _processes = processes.unwrap();
    installation.wait_for_door(&door).unwrap();
    let out = installation.replay(&file, "three").unwrap();
    compare(&cart_recovery(&file).unwrap(), &out);
}

/// Row by row, and the sums.
fn compare(expected: &CartRecovery, out: &Path) {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut exits: BTreeMap<String, u64> = BTreeMap::new();
    let mut reminders = BTreeSet::new();
    let mut rows = csv::Reader::from_path(out.join("messages.csv")).unwrap();
    let column = |name: &str, headers: &csv::StringRecord| headers.iter().position(|header| header == name).unwrap();
    let headers = rows.headers().unwrap().clone();
    let [customer, journey, step, template, due_at, outcome] =
        ["customer_id", "journey", "step", "template", "due_at", "outcome"].map(|name| column(name, &headers));
    for row in rows.records() {
        let row = row.unwrap();
        if &row[journey] != "cart-recovery" {
            continue;
        }
        *counts.entry(row[outcome].to_owned()).or_default() += 1;
        match &row[outcome] {
            "sent" => {
                let key = (row[customer].to_owned(), row[template].to_owned(), row[due_at].to_owned());
                assert!(reminders.insert(key), "twice: {row:?}");
            }
            "exited" => *exits.entry(row[step].to_owned()).or_default() += 1,
            _ => {}
        }
    }
    let wanted: BTreeSet<_> = expected
        .reminders
        .iter()
        .map(|(customer, template, due)| (customer.clone(), (*template).to_owned(), rfc3339(*due)))
        .collect();
    let missing: Vec<_> = wanted.difference(&reminders).take(5).collect();
    let unwanted: Vec<_> = reminders.difference(&wanted).take(5).collect();
    assert!(missing.is_empty() && unwanted.is_empty(), "missing: {missing:?}; unwanted: {unwanted:?}");
    assert_eq!(exits.into_values().collect::<Vec<_>>(), expected.exited);
    for (what, count) in
        [("entered", expected.entered), ("restarted", expected.restarted), ("completed", expected.completed)]
    {
        assert_eq!(counts.get(what), Some(&count), "{what}");
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
