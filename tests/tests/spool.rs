//! The broker is away, the door has a spool, and everything that it has answered with success arrives.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::BTreeMap;
use std::time::Duration;

use testkit::{Process, free_port, wait_until};
use tests::admin::wait_for_readiness;
use tests::installation::{Installation, State};

const LIMIT: Duration = Duration::from_mins(2);
const CUSTOMERS: usize = 10;

/// A door with a spool, a resolver, and how many rounds of events were sent.
struct Shop {
    installation: Installation,
    door: Process,
    admin: u16,
    _spool: tempfile::TempDir,
    _resolver: Process,
    rounds: usize,
}

impl Shop {
    fn open() -> Self {
        let installation = Installation::start("live", State::Memory).unwrap();
        let spool = tempfile::tempdir().unwrap();
        let admin = free_port().unwrap();
        let door = installation.run_door_with_spool(spool.path(), admin).unwrap();
        let resolver = installation.run(&["resolver"], 0).unwrap();
        installation.wait_for_door(&door).unwrap();
        Self { installation, door, admin, _spool: spool, _resolver: resolver, rounds: 0 }
    }

    /// An event of each customer, each a call of its own.
    fn round(&mut self, padding: &str) -> anyhow::Result<()> {
        for customer in 0..CUSTOMERS {
            let event = format!(
                r#"{{"event":"Cart Viewed","userId":"{}","messageId":"{}","properties":{{"padding":"{padding}"}}}}"#,
                name(customer),
                id(customer, self.rounds)
            );
            self.installation.post("/v1/track", &[], &event)?;
        }
        self.rounds += 1;
        Ok(())
    }

    fn everything_arrives_once_and_in_order(&self) {
        let all = wait_until(LIMIT, "all events to be resolved", || {
            let records = self.installation.records("storefront.events").ok()?;
            (records.len() >= CUSTOMERS * self.rounds).then_some(records)
        })
        .unwrap();
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for record in all {
            let id = record.value["message_id"].as_str().unwrap().to_owned();
            found.entry(record.key.unwrap()).or_default().push(id);
        }
        let expected = (0..CUSTOMERS)
            .map(|customer| (name(customer), (0..self.rounds).map(|round| id(customer, round)).collect()));
        assert_eq!(found, expected.collect());
    }
}

fn name(customer: usize) -> String {
    format!("customer-{customer}")
}

fn id(customer: usize, round: usize) -> String {
    format!("{customer}-{round}")
}

#[test]
fn without_a_broker_every_call_is_taken_and_arrives_once_and_in_order_though_the_door_is_killed_meanwhile() {
    let mut shop = Shop::open();
    for _ in 0..10 {
        shop.round("").unwrap();
    }
    shop.installation.kafka.kill9().unwrap();
    for _ in 0..50 {
        shop.round("").unwrap();
    }
    let why = wait_until(LIMIT, "readiness to tell of the spool", || {
        let told = wait_for_readiness(shop.admin, 200, LIMIT).ok()?;
        told.contains("bytes wait in the spool").then_some(told)
    });
    assert!(why.unwrap().contains("did not answer"));
    shop.door.kill9().unwrap();
    shop.installation.kafka.restart().unwrap();
    shop.door.restart().unwrap();
    shop.installation.wait_for_door(&shop.door).unwrap();
    for _ in 0..10 {
        shop.round("").unwrap();
    }
    shop.everything_arrives_once_and_in_order();
    // And then the spool is out of the way.
    wait_until(LIMIT, "the spool to be drained", || {
        let told = wait_for_readiness(shop.admin, 200, LIMIT).ok()?;
        (!told.contains("the spool")).then_some(())
    })
    .unwrap();
}

#[test]
fn with_the_disk_full_as_well_callers_are_told_to_come_again_and_what_was_taken_is_not_lost() {
    let mut shop = Shop::open();
    shop.round("").unwrap();
    shop.installation.kafka.kill9().unwrap();
    shop.door.limit_files(Some(1 << 20)).unwrap();
    let padding = "x".repeat(20_000);
    let refused = loop {
        match shop.round(&padding) {
            Ok(()) => assert!(shop.rounds < 100, "the disk is never full"),
            Err(refused) => break refused.to_string(),
        }
    };
    assert!(refused.contains("503") && refused.contains("unavailable"), "{refused}");
    let why = wait_for_readiness(shop.admin, 503, LIMIT).unwrap();
    assert!(why.contains("full or can't be written"), "{why}");
    // There is room again: the calls of the round that was refused are repeated, and the rest goes on.
    shop.door.limit_files(None).unwrap();
    shop.round(&padding).unwrap();
    shop.installation.kafka.restart().unwrap();
    shop.round("").unwrap();
    shop.everything_arrives_once_and_in_order();
}
