//! Recorded invoices give exactly the customers that a batch computation gives, as of any time: recency, frequency, monetary
//! value, their quintiles, the counters of every window, and the segments.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use segmentation::SegmentationState;
use store::{Lookups as _, MembersQuery, Redis, RedisOptions};
use stream::State as _;
use testkit::wait_until;
use tests::checker::segment_changes_are_in_order;
use tests::installation::{Installation, PARTITIONS, State};
use tests::retail::{ONLINE_RETAIL, Table, boundaries, compare, invoices, made_up, read, table};
use tests::{root, shared_data, vuelve};

/// Times as of which tables are asked for, and how the files are named.
type Times = [(&'static str, &'static str)];

/// Of the real file.
const REAL: &Times = &[
    ("2010-12-10T00:00Z", "2010-12-10"),
    ("2011-03-10T12:34:56Z", "2011-03-10T123456Z"),
    ("2011-06-09T00:00Z", "2011-06-09"),
    ("2011-09-09T09:30Z", "2011-09-09T093000Z"),
    ("2011-12-10T00:00Z", "2011-12-10"),
    // Nothing happens any more, and time goes on.
    ("2012-06-01T00:00Z", "2012-06-01"),
];
/// Of made-up ones.
const MADE_UP: &Times = &[
    ("2024-02-01T00:00Z", "2024-02-01"),
    ("2024-05-05T17:00Z", "2024-05-05T170000Z"),
    ("2024-08-31T23:59:59Z", "2024-08-31T235959Z"),
    ("2025-01-01T00:00Z", "2025-01-01"),
    ("2025-05-16T00:00Z", "2025-05-16"),
    ("2026-02-01T00:00Z", "2026-02-01"),
];

const LIMIT: Duration = Duration::from_mins(2);
/// Each process works for a while before the next is killed.
const BETWEEN_KILLS: Duration = Duration::from_secs(2);

fn as_of(times: &Times) -> Vec<&'static str> {
    times.iter().flat_map(|(time, _)| ["--as-of", time]).collect()
}

/// Every table is the expected one.
fn is_exact(file: &Path, out: &Path, times: &Times) {
    let invoices = invoices(file).unwrap();
    for (time, name) in times {
        let found = read(&out.join(format!("customers-{name}.csv"))).unwrap();
        let expected = table(&invoices, time).unwrap();
        compare(&found, &expected).unwrap_or_else(|error| panic!("{time}: {error}"));
        let learnt = std::fs::read_to_string(out.join(format!("quintiles-{name}.json"))).unwrap();
        let learnt: serde_json::Value = serde_json::from_str(&learnt).unwrap();
        assert_eq!(learnt, boundaries(&expected, learnt["learnt_at"].as_str().unwrap()), "{time}");
    }
}

/// Whom lookups in Redis find in a segment.
fn members(installation: &Installation, segment: &str) -> Vec<String> {
    let mut options = RedisOptions::new(installation.redis.as_ref().unwrap().url(), "vuelve", "segmentation");
    options.index = SegmentationState::INDEX;
    let query = MembersQuery { label: segment.into(), after: None, limit: 1_000 };
    let asked: Vec<_> = (0..PARTITIONS).map(|partition| (partition, query.clone())).collect();
    let told = Redis::new(options).unwrap().lookups().members(&asked).unwrap();
    let mut found: Vec<String> = told.iter().flat_map(|told| &told.keys).map(ToString::to_string).collect();
    assert_eq!(told.iter().map(|told| told.count).sum::<u64>(), found.len() as u64);
    found.sort();
    found
}

/// Of those who have ordered, who is found in a segment is whom the table has in it.
fn members_are_those_of(table: &Table, installation: &Installation) {
    for segment in ["vip", "lost", "at-risk", "dormant", "loyal", "new", "active"] {
        let mut found = members(installation, segment);
        found.retain(|customer| table.contains_key(customer));
        let is_in = table.iter().filter(|(_, row)| row.is_in(segment));
        assert_eq!(found, is_in.map(|(customer, _)| customer.clone()).collect::<Vec<_>>(), "in {segment}");
    }
}

/// How many customers, how many orders, and how much, less refunds, in pence.
fn sums(table: &Table) -> (usize, i64, i64) {
    let sum = |name: &str| table.values().map(|row| row.numbers[name]).sum();
    (table.len(), sum("frequency"), sum("monetary_minor"))
}

/// On the embedded broker.
fn replay(file: &Path, partitions: u32, times: &Times) {
    let out = tempfile::tempdir().unwrap();
    let output = Command::new(vuelve())
        .args(["replay", "--format", "online-retail", "--definitions", "presets/basic", "--file"])
        .arg(file)
        .arg("--out")
        .arg(out.path())
        .args(["--partitions", &partitions.to_string()])
        .args(as_of(times))
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    is_exact(file, out.path(), times);
}

/// The figures that computations made by different people in different ways agree on.
#[test]
fn the_batch_computation_gives_the_known_figures() {
    let Some(file) = shared_data(ONLINE_RETAIL) else { return };
    let invoices = invoices(&file).unwrap();
    let sums_at = |time| sums(&table(&invoices, time).unwrap());
    assert_eq!(sums_at("2011-12-10T00:00Z"), (4_339, 18_536, 831_047_705));
    assert_eq!(sums_at("2011-06-09T00:00Z"), (2_787, 7_806, 328_699_261));
}

#[test]
fn recorded_invoices_give_every_customer_what_a_batch_computation_gives() {
    let Some(file) = shared_data(ONLINE_RETAIL) else { return };
    for partitions in [4, 1] {
        replay(&file, partitions, REAL);
    }
}

#[test]
fn made_up_invoices_give_every_customer_what_a_batch_computation_gives() {
    let folder = tempfile::tempdir().unwrap();
    let file = made_up(folder.path()).unwrap();
    let invoices = invoices(&file).unwrap();
    let tables: Vec<Table> = MADE_UP.iter().map(|(time, _)| table(&invoices, time).unwrap()).collect();
    let lifecycle = ["vip", "lost", "at-risk", "dormant", "loyal", "new", "active"];
    for segment in lifecycle.into_iter().chain(["champions", "cannot-lose", "promising", "hibernating"]) {
        let is_there = tables.iter().flat_map(Table::values).any(|row| row.is_in(segment));
        assert!(is_there, "nobody is ever {segment}: too little is tested");
    }
    for partitions in [4, 1] {
        replay(&file, partitions, MADE_UP);
    }
}

#[test]
fn on_real_parts_the_tables_are_the_same_and_an_export_from_the_running_services_is_the_last_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = made_up(folder.path()).unwrap();
    let installation = Installation::start("replay", State::Redis).unwrap();
    let services = installation.run_each(&["ingestion", "segmentation", "journeys", "messaging"], 0..1).unwrap();
    installation.wait_for_door(&services[0]).unwrap();
    let (last, name) = MADE_UP[MADE_UP.len() - 1];
    let more = [&as_of(MADE_UP)[..], &["--until", "2026-02-01T00:00:00Z"]].concat();
    let out = installation.replay_with("online-retail", &file, "invoices", &more).unwrap();
    is_exact(&file, &out, MADE_UP);

    let replayed = read(&out.join(format!("customers-{name}.csv"))).unwrap();
    members_are_those_of(&replayed, &installation);
    let export = folder.path().join("customers.csv");
    for more in [&["--at", last][..], &[]] {
        let path = export.display().to_string();
        installation.command(&[&["customers", "export", "--out", &path], more].concat()).unwrap();
        compare(&read(&export).unwrap(), &replayed).unwrap();
    }
    // What is in force already makes nothing else of anybody.
    let preview = installation.command(&["segment", "preview", "presets/basic", "--format", "json"]).unwrap();
    let sizes: Vec<serde_json::Value> = preview.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(sizes.len(), 14);
    for size in &sizes {
        assert_eq!((&size["now"], &size["enter"], &size["leave"]), (&size["then"], &0.into(), &0.into()), "{size}");
        // It looks through all states; the index does not.
        let found = members(&installation, size["segment"].as_str().unwrap());
        assert_eq!(size["now"].as_u64(), Some(found.len() as u64), "{size}");
    }
    let vips = replayed.values().filter(|row| row.is_in("vip")).count();
    let vip = sizes.iter().find(|size| size["segment"] == "vip").unwrap();
    assert_eq!((vip["now"].as_u64(), vip["examples"].as_array().map(Vec::len)), (Some(vips as u64), Some(vips.min(3))));

    // The command learns what the replay learnt, and neither says who somebody was before.
    let learnt = installation.command(&["customers", "learn-quintiles", "--at", last]).unwrap();
    assert_eq!(learnt, std::fs::read_to_string(out.join(format!("quintiles-{name}.json"))).unwrap());
    for command in [&["customers", "export", "--out", "-"][..], &["customers", "learn-quintiles"]] {
        let told = installation.command(&[command, &["--at", "2024-02-01T00:00Z"]].concat()).unwrap_err();
        assert!(
            told.to_string().contains("who the customers were at 2024-02-01T00:00:00Z is not known any more"),
            "{told}"
        );
    }
}

#[test]
fn with_kills_all_along_the_tables_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = made_up(folder.path()).unwrap();
    let installation = Installation::start("replay", State::Redis).unwrap();
    let others = installation.run_each(&["door", "journeys", "messaging"], 0..1).unwrap();
    let killed = installation.run_each(&["resolver", "segmentation"], 0..2).unwrap();
    installation.wait_for_door(&others[0]).unwrap();
    let over = AtomicBool::new(false);
    let (out, kills) = std::thread::scope(|scope| {
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
        let more = [&as_of(MADE_UP)[..], &["--until", "2026-02-01T00:00:00Z"]].concat();
        let out = installation.replay_with("online-retail", &file, "invoices", &more);
        over.store(true, Ordering::SeqCst);
        (out, killer.join().unwrap())
    });
    let out = out.unwrap();
    is_exact(&file, &out, MADE_UP);
    let (_, last) = MADE_UP[MADE_UP.len() - 1];
    members_are_those_of(&read(&out.join(format!("customers-{last}.csv"))).unwrap(), &installation);
    assert!(kills >= 8, "{kills}");
    segment_changes_are_in_order(&installation).unwrap();
}

/// An order of a customer, told to the door of a live installation.
fn order(installation: &Installation, customer: &str, total: i64) {
    let properties = serde_json::json!({ "order_id": format!("of {customer}"), "total": total, "currency": "EUR" });
    let call = serde_json::json!({
        "type": "track", "event": "Order Completed", "userId": customer, "messageId": format!("order of {customer}"),
        "properties": properties,
    });
    installation.post("/v1/track", &[], &call.to_string()).unwrap();
}

#[test]
fn segmentation_learns_quintiles_by_itself_from_all_partitions_and_no_more_often_than_asked_however_many_run() {
    let installation = Installation::start("live", State::Redis).unwrap();
    let often = ["segmentation.quintiles_every=3s".to_owned()];
    let mut services = installation.run_each(&["door", "resolver"], 0..1).unwrap();
    installation.wait_for_door(&services[0]).unwrap();
    services.extend((0..2).map(|slot| installation.run_with(&["segmentation"], slot, &often).unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let best = "segment: best\nversion: 1\nenter: customer.rfm.monetary == 5\n";
    std::fs::write(folder.path().join("segments.yaml"), best).unwrap();
    installation.command(&["apply", &folder.path().display().to_string(), "--wait"]).unwrap();
    for number in 1..=4 {
        order(&installation, &format!("customer {number}"), number);
    }
    let too_few = || installation.command(&["customers", "learn-quintiles"]).unwrap_err().to_string();
    wait_until(LIMIT, "four customers", || {
        too_few().contains("4 customers have an order, and quintiles take 5").then_some(())
    })
    .unwrap();
    assert_eq!(installation.records("customer.quintiles").unwrap().len(), 0);
    for number in 5..=10 {
        order(&installation, &format!("customer {number}"), number);
    }
    let learnt = wait_until(LIMIT, "boundaries from ten customers, again and again", || {
        let values = installation.records("customer.quintiles").unwrap().into_iter().map(|record| record.value);
        let of_all: Vec<serde_json::Value> = values.filter(|learnt| learnt["customers"] == 10).collect();
        (of_all.len() >= 3).then_some(of_all)
    })
    .unwrap();
    let bounds = serde_json::json!([200, 400, 600, 800]);
    assert!(learnt.iter().all(|learnt| learnt["monetary"][0]["bounds"] == bounds), "{learnt:?}");
    let millis = |learnt: &serde_json::Value| {
        learnt["learnt_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
    };
    let times: Vec<i64> = learnt.iter().map(millis).collect();
    assert!(times.is_sorted_by(|earlier, later| later - earlier >= 3_000), "{times:?}");
    // Of ten customers, the best fifth are two; who was ahead before the others came is so no more.
    let best = wait_until(LIMIT, "the best fifth", || {
        let mut members = std::collections::BTreeSet::new();
        for record in installation.records("customer.segments").unwrap() {
            let customer = record.key.unwrap();
            if record.value["change"] == "entered" {
                members.insert(customer)
            } else {
                members.remove(&customer)
            };
        }
        (members.len() == 2).then_some(members)
    })
    .unwrap();
    assert_eq!(best.into_iter().collect::<Vec<_>>(), ["customer 10", "customer 9"]);
}
