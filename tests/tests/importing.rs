//! What is imported arrives once and in order, whoever kills the import, and opens journeys only where it is asked to.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use testkit::{SmtpSink, wait_until};
use tests::installation::Installation;

const LIMIT: Duration = Duration::from_mins(3);
const EVENTS: usize = 12_000;
const CUSTOMERS: usize = 40;
const KILLS: usize = 4;

/// Carts that were filled the day before yesterday.
fn calls() -> String {
    let mut calls = String::new();
    let began = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(48);
    for index in 0..EVENTS {
        let (customer, number) = (index % CUSTOMERS, index / CUSTOMERS);
        let at = began + jiff::SignedDuration::from_secs(number as i64);
        writeln!(
            calls,
            r#"{{"type":"track","event":"Product Added","userId":"c-{customer}","messageId":"c-{customer}-{number}","timestamp":"{at}","properties":{{"cart_id":"cart-{customer}-{number}"}}}}"#
        )
        .unwrap();
    }
    calls
}

/// How many rows are known to be done.
fn rows_done(progress: &Path) -> usize {
    let text = fs::read_to_string(progress).unwrap_or_default();
    let progress: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    progress["counts"]["rows"].as_u64().unwrap_or_default() as usize
}

fn entered(installation: &Installation) -> Vec<String> {
    let decisions = installation.records("journeys.decisions").unwrap();
    let is_entered = |word: &str| word.eq_ignore_ascii_case("entered");
    let entered = decisions.into_iter().filter(|record| record.value["decision"].as_str().is_some_and(is_entered));
    entered.filter_map(|record| record.key).collect()
}

#[test]
fn an_import_that_is_killed_again_and_again_arrives_once_and_in_order_and_reminds_nobody() {
    let mail = SmtpSink::start().unwrap();
    let (installation, services) = Installation::start_shop(&mail, &["1s"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (file, progress) = (folder.path().join("calls.jsonl"), folder.path().join("calls.jsonl.vuelve-progress"));
    fs::write(&file, calls()).unwrap();
    let file = file.display().to_string();
    let began = Instant::now();
    let import =
        installation.start_command("vuelve-import", &["import", "--events", &file, "--limit-rate", "2000"]).unwrap();
    for kill in 1..=KILLS {
        let due = EVENTS * kill / (KILLS + 2);
        wait_until(LIMIT, "the next kill to be due", || (rows_done(&progress) >= due).then_some(())).unwrap();
        import.kill9().unwrap();
        assert!(rows_done(&progress) < EVENTS, "it was through before kill {kill}");
        // The worker that reads what it sends is killed, too.
        services[1].kill9().unwrap();
        services[1].restart().unwrap();
        import.restart().unwrap();
    }
    import.wait_for_success(LIMIT).unwrap();
    println!("{EVENTS} events in {:.0} s through {KILLS} kills", began.elapsed().as_secs_f32());

    let all = wait_until(LIMIT, "all events to be resolved", || {
        let records = installation.records("storefront.events").ok()?;
        (records.len() >= EVENTS).then_some(records)
    })
    .unwrap();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in all {
        assert_eq!(record.value["historical"], true);
        found.entry(record.key.unwrap()).or_default().push(record.value["message_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(found.len(), CUSTOMERS);
    for (customer, ids) in found {
        let expected: Vec<String> = (0..EVENTS / CUSTOMERS).map(|number| format!("{customer}-{number}")).collect();
        assert!(ids == expected, "{customer}: {} events: {ids:?}", ids.len());
    }
    let received = installation.raw_records("storefront.received").unwrap().len();
    println!("{} records were sent again", received - EVENTS);

    // What is through is not sent again, and one that is asked to opens journeys, behind everything else.
    let told = installation.command(&["import", "--events", &file, "--limit-rate", "2000"]).unwrap();
    assert!(told.starts_with(&format!("{EVENTS} rows: {EVENTS} events sent")), "{told}");
    assert_eq!(installation.raw_records("storefront.received").unwrap().len(), received);
    let asked = folder.path().join("orders.csv");
    let now = jiff::Timestamp::now();
    let row =
        format!("time,event,customer_id,cart_id,traits.email\n{now},Product Added,asked,cart-9,asked@example.com\n");
    fs::write(&asked, row).unwrap();
    installation.command(&["import", "--events", &asked.display().to_string(), "--open-journeys"]).unwrap();
    wait_until(LIMIT, "a run", || (!entered(&installation).is_empty()).then_some(())).unwrap();
    mail.wait_for_messages(1, LIMIT).unwrap();
    assert_eq!(entered(&installation), ["asked"]);
    let to: Vec<String> = mail.messages().unwrap().into_iter().flat_map(|message| message.to).collect();
    assert_eq!(to, ["asked@example.com"]);
}
