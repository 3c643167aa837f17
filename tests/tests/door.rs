//! What the door has answered with success arrives once and in order per customer, whoever is killed meanwhile.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testkit::wait_until;
use tests::installation::{Installation, State};

const LIMIT: Duration = Duration::from_mins(5);
const SENDERS: usize = 8;
const CUSTOMERS_OF_A_SENDER: usize = 10;
const BATCH: usize = 100;

/// How much is sent, and how often who is killed by `kill -9` meanwhile.
struct Plan {
    events: usize,
    /// Of the door and the resolver, by turns.
    kills: usize,
    broker_kills: usize,
}

#[test]
fn each_event_arrives_once_and_in_order_while_ingestion_and_the_broker_are_killed() {
    arrive_once(&Plan { events: 16_000, kills: 6, broker_kills: 1 });
}

#[test]
#[ignore = "minutes: `make soak-door`"]
fn a_hundred_thousand_events_arrive_once_and_in_order_through_thirty_kills_of_ingestion_and_two_of_the_broker() {
    arrive_once(&Plan { events: 100_000, kills: 30, broker_kills: 2 });
}

fn arrive_once(plan: &Plan) {
    let installation = Installation::start("live", State::Redis).unwrap();
    let ingestion = [installation.run(&["door"], 0).unwrap(), installation.run(&["resolver"], 0).unwrap()];
    installation.wait_for_door(&ingestion[0]).unwrap();
    let batches_of_a_sender = plan.events / BATCH / SENDERS;
    let (answered, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (installation, answered, refused) = (&installation, &answered, &refused);
            scope.spawn(move || {
                for batch in 0..batches_of_a_sender {
                    let json = json_of(sender, batch);
                    // As an SDK does: the same again until it is answered with success.
                    wait_until(LIMIT, "a batch to be taken", || {
                        let answer = installation.post("/v1/batch", &[], &json);
                        refused.fetch_add(usize::from(answer.is_err()), Ordering::Relaxed);
                        answer.ok()
                    })
                    .unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let faults = plan.kills + plan.broker_kills;
        let broker_every = faults / (plan.broker_kills + 1) + 1;
        let mut kills = 0;
        for fault in 1..=faults {
            let due = batches_of_a_sender * SENDERS * fault / (faults + 1);
            wait_until(LIMIT, "the next fault to be due", || (answered.load(Ordering::Relaxed) >= due).then_some(()))
                .unwrap();
            if fault.is_multiple_of(broker_every) {
                installation.kafka.kill9().unwrap();
                installation.kafka.restart().unwrap();
            } else {
                let process = &ingestion[kills % ingestion.len()];
                process.kill9().unwrap();
                process.restart().unwrap();
                kills += 1;
            }
        }
        assert_eq!(kills, plan.kills);
    });
    let sent = batches_of_a_sender * SENDERS * BATCH;
    println!(
        "{sent} events in {:.0} s, {} calls sent again",
        began.elapsed().as_secs_f32(),
        refused.load(Ordering::Relaxed)
    );
    let all = wait_until(LIMIT, "all events to be resolved", || {
        let records = installation.records("storefront.events").ok()?;
        (records.len() >= sent).then_some(records)
    })
    .unwrap();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for record in all {
        let id = record.value["message_id"].as_str().unwrap().to_owned();
        found.entry(record.key.unwrap()).or_default().push(id);
    }
    assert_eq!(found.len(), SENDERS * CUSTOMERS_OF_A_SENDER);
    let of_a_customer = batches_of_a_sender * BATCH / CUSTOMERS_OF_A_SENDER;
    for (customer, ids) in found {
        let expected: Vec<String> = (0..of_a_customer).map(|number| format!("{customer}-{number}")).collect();
        assert!(ids == expected, "{customer}: {} events of {of_a_customer}: {ids:?}", ids.len());
    }
}

/// A batch: of each customer of a sender the next events.
fn json_of(sender: usize, batch: usize) -> String {
    let mut json = String::from(r#"{"batch":["#);
    for index in 0..BATCH {
        let customer = index % CUSTOMERS_OF_A_SENDER;
        let number = (batch * BATCH + index) / CUSTOMERS_OF_A_SENDER;
        let comma = if index == 0 { "" } else { "," };
        write!(
            json,
            r#"{comma}{{"type":"track","event":"Product Added","userId":"c-{sender}-{customer}","messageId":"c-{sender}-{customer}-{number}","properties":{{"cart_id":"cart-{customer}","price":19.99}}}}"#
        )
        .unwrap();
    }
    json + "]}"
}
