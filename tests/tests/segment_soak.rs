//! Time alone moves 100,000 customers from segment to segment, each at the very moment and once, on real Kafka and Redis, while
//! segmentation is killed again and again.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tests::installation::{Installation, State};

const CUSTOMERS: i64 = 100_000;
const BETWEEN_KILLS: Duration = Duration::from_secs(4);
const DAY_MS: i64 = 86_400_000;
/// 2024-01-01T00:00:00Z. One orders each half second, and nobody does anything else.
const BEGIN_MS: i64 = 1_704_067_200_000;
const EACH_MS: i64 = 500;

fn invoices() -> String {
    let mut invoices = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n".to_owned();
    // The file has whole seconds: two customers share each. `0` would name nobody.
    for number in 1..=CUSTOMERS {
        let at = jiff::Timestamp::from_millisecond(ordered_at(number)).unwrap();
        writeln!(invoices, "{number},P1,PLATE,1,{},3,{number},Spain", at.strftime("%Y-%m-%d %H:%M:%S")).unwrap();
    }
    invoices
}

fn ordered_at(number: i64) -> i64 {
    BEGIN_MS + number * EACH_MS / 1000 * 1000
}

#[test]
#[ignore = "minutes; run by `make soak-segments`"]
fn time_moves_a_hundred_thousand_customers_at_their_moments_once_while_segmentation_is_killed() {
    let installation = Installation::start("replay", State::Redis).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("invoices.csv");
    std::fs::write(&file, invoices()).unwrap();
    let others = installation.run_each(&["ingestion", "journeys", "messaging"], 0..1).unwrap();
    let killed = installation.run_each(&["segmentation"], 0..2).unwrap();
    installation.wait_for_door(&others[0]).unwrap();
    let (over, began) = (AtomicBool::new(false), Instant::now());
    let (replayed, kills) = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut kills = 0;
            for process in killed.iter().cycle().take_while(|_| !over.load(Ordering::SeqCst)) {
                std::thread::sleep(BETWEEN_KILLS);
                process.kill9().unwrap();
                process.restart().unwrap();
                kills += 1;
            }
            kills
        });
        let replayed = installation.replay_with("online-retail", &file, "result", &["--until", "2024-05-01T00:00:00Z"]);
        over.store(true, Ordering::SeqCst);
        (replayed, killer.join().unwrap())
    });
    replayed.unwrap();
    println!("{CUSTOMERS} customers through {kills} kills in {:.0} s", began.elapsed().as_secs_f64());
    assert!(kills >= 10, "{kills}");

    let mut changes: HashMap<String, Vec<(String, String, i64)>> = HashMap::new();
    for record in installation.records("customer.segments").unwrap() {
        let text = |name: &str| record.value[name].as_str().unwrap().to_lowercase();
        let at = text("at").to_uppercase().parse::<jiff::Timestamp>().unwrap().as_millisecond();
        changes.entry(record.key.clone().unwrap()).or_default().push((text("segment"), text("change"), at));
    }
    assert_eq!(changes.len() as i64, CUSTOMERS);
    for number in 1..=CUSTOMERS {
        let ordered_at = ordered_at(number);
        let expected = [
            ("new", "entered", 0),
            ("new", "left", 30),
            ("active", "entered", 30),
            ("active", "left", 90),
            ("dormant", "entered", 90),
        ];
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(segment, change, days)| (segment.to_owned(), change.to_owned(), ordered_at + days * DAY_MS))
            .collect();
        assert_eq!(changes[&number.to_string()], expected, "customer {number}");
    }
}
