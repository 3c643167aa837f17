//! Records that were deleted before they were processed.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::path::Path;
use std::time::Duration;

use testkit::{Process, wait_until};
use tests::installation::{Installation, State};
use tests::write_definitions;

const LIMIT: Duration = Duration::from_mins(2);
const PARTITIONS: i32 = 4;

fn added(cart: &str) -> String {
    format!(
        r#"{{"type":"track","event":"Product Added","userId":"ana","properties":{{"cart_id":"{cart}"}},
            "context":{{"traits":{{"email":"ana@example.com"}}}}}}"#
    )
}

/// Posts a cart and waits until it is among what journeys read; returns its partition and offset.
fn left(installation: &Installation, cart: &str) -> (i32, i64) {
    installation.post("/v1/track", &[], &added(cart)).unwrap();
    wait_until(LIMIT, cart, || {
        let events = installation.records("customer.events").ok()?;
        let event = events.iter().find(|event| event.value.to_string().contains(cart))?;
        Some((event.partition, event.offset))
    })
    .unwrap()
}

fn wait_until_taken_over(journeys: &Process, partitions: impl Iterator<Item = i32>) {
    for partition in partitions {
        journeys.wait_for_log(&format!("taken over partition={partition}"), LIMIT).unwrap();
    }
}

fn delete_records_before(installation: &Installation, folder: &Path, partition: i32, offset: i64) {
    let topic = "vuelve.customer.events.v1";
    let wanted = folder.join("delete.json");
    let json =
        serde_json::json!({"partitions": [{"topic": topic, "partition": partition, "offset": offset}], "version": 1});
    std::fs::write(&wanted, json.to_string()).unwrap();
    let arguments = ["--offset-json-file", &wanted.display().to_string()];
    installation.kafka.tool("org.apache.kafka.tools.DeleteRecordsCommand", &arguments).unwrap();
}

#[test]
fn a_partition_stands_still_before_a_gap_and_goes_past_it_where_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let installation = Installation::start("live", State::Memory).unwrap();
    let services = installation.run_each(&["door", "resolver", "journeys", "segmentation"], 0..1).unwrap();
    let journeys = &services[2];
    installation.wait_for_door(&services[0]).unwrap();
    write_definitions(folder.path(), &["1s"]).unwrap();
    installation.command(&["apply", &folder.path().display().to_string()]).unwrap();
    let asked_for = |cart: &str| {
        let requests = installation.records("messaging.requests").unwrap();
        requests.iter().any(|request| request.value.to_string().contains(cart))
    };
    left(&installation, "cart-one");
    wait_until(LIMIT, "the first request", || asked_for("cart-one").then_some(())).unwrap();
    assert!(journeys.term(LIMIT).unwrap().success());

    let (partition, offset) = left(&installation, "cart-two");
    delete_records_before(&installation, folder.path(), partition, offset + 1);

    journeys.restart().unwrap();
    journeys.wait_for_log("records were deleted unread", LIMIT).unwrap();
    wait_until_taken_over(journeys, (0..PARTITIONS).filter(|other| *other != partition));
    let log = journeys.log();
    let place = log.split("go on without them, add ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(place.starts_with(&format!("customer.events/{partition}@")), "{place}");
    assert!(journeys.term(LIMIT).unwrap().success());

    let told = installation.run_with(&["journeys"], 0, &[format!("kafka.skip=[\"{place}\"]")]).unwrap();
    wait_until_taken_over(&told, 0..PARTITIONS);
    left(&installation, "cart-three");
    wait_until(LIMIT, "the third request", || asked_for("cart-three").then_some(())).unwrap();
    assert!(!asked_for("cart-two"), "what was deleted can't be known");
    assert!(told.is_running());
}
