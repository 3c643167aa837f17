//! How fast is the store? Batches of 5,000 states of 300 B with a timer each, beside a bare loop of pipelined SETs.
//!
//! `cargo run --release -p vuelve-store --example store_throughput` (starts a Redis of its own)

use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::Timestamp;
use store::{Lookups, MembersQuery};
use store::{Memory, Redis, RedisOptions};
use stream::{Due, DueQuery, Key, Label, Labels, Lane, LoadRequest, StateChange, StateStore, StorePosition};

const BATCH: usize = 5_000;
const BATCHES: usize = 40;
const VALUE_BYTES: usize = 300;
/// Customers: each batch touches another slice of them.
const CUSTOMERS: usize = 50_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = testkit::Redis::start()?;
    let bare = bare_sets(&server.url())?;
    println!("{:<36}{:>12.0} states/s", "redis: bare pipelined SET", bare);
    server.flush()?;
    let used = || -> Result<usize, Box<dyn std::error::Error>> {
        let info = server.command(&["INFO", "memory"])?.unwrap_or_default();
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap_or_default();
        Ok(used.trim().parse()?)
    };
    let mut redis = Redis::new(RedisOptions::new(server.url(), "bench", "journeys"))?;
    measure("redis", &mut redis, Some(bare))?;
    measure_labels("redis", &mut redis.clone(), &redis.lookups(), &used)?;
    let memory = Memory::new();
    measure("memory", &mut memory.clone(), None)?;
    println!("{:<36}{:>12.0} B a state", "memory: size", memory.size_bytes() as f64 / CUSTOMERS as f64);
    measure_labels("memory", &mut memory.clone(), &memory.lookups(), &|| Ok(memory.size_bytes()))?;
    Ok(())
}

fn batch(number: usize, due: Due) -> Vec<StateChange> {
    let value = Bytes::from(vec![b'a' + (number % 26) as u8; VALUE_BYTES]);
    let change = |n| StateChange { key: key(n), value: Some(value.clone()), due, labels: Labels::Same };
    (0..BATCH).map(|n| change(number * BATCH + n)).collect()
}

fn key(n: usize) -> Key {
    format!("customer-{:0>27}", n % CUSTOMERS).into()
}

fn bare_sets(url: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let mut connection = redis::Client::open(url)?.get_connection()?;
    let mut spent = Duration::ZERO;
    for number in 0..BATCHES {
        let batch = batch(number, Due::default());
        let start = Instant::now();
        let mut pipeline = redis::Pipeline::with_capacity(BATCH);
        for change in &batch {
            pipeline.cmd("SET").arg(&*change.key).arg(change.value.as_deref()).ignore();
        }
        pipeline.exec(&mut connection)?;
        spent += start.elapsed();
    }
    Ok(rate(spent))
}

fn measure(name: &str, store: &mut impl StateStore, bare: Option<f64>) -> Result<(), Box<dyn std::error::Error>> {
    let report = |what: &str, rate: f64| {
        let share = bare.map_or_else(String::new, |bare| format!("   {:.2} of the bare SETs", rate / bare));
        println!("{:<36}{rate:>12.0} states/s{share}", format!("{name}: {what}"));
    };
    store.begin_rebuild(0, "g", "log")?;
    store.switch(0, "g", "log", 0)?;
    let mut header = 0;
    for (what, timed) in [("apply", false), ("apply, each with a timer", true), ("apply, again", true)] {
        let mut spent = Duration::ZERO;
        for number in 0..BATCHES {
            let timer = timed.then(|| Timestamp::from_millis(1_760_000_000_000 + number as i64));
            let batch = batch(number, Due { timer, ..Due::default() });
            let expected = StorePosition { generation: "g".into(), log: "log".into(), header_offset: header };
            let start = Instant::now();
            store.apply(0, &expected, header + 1, &batch)?;
            spent += start.elapsed();
            header += 1;
        }
        report(what, rate(spent));
    }
    let mut spent = Duration::ZERO;
    for number in 0..BATCHES {
        let keys = (0..BATCH).map(|n| key(number * BATCH + n)).collect();
        let start = Instant::now();
        let loaded = store.load(0, &LoadRequest { keys, due: None })?;
        spent += start.elapsed();
        assert!(loaded.is_some_and(|loaded| loaded.states.iter().all(Option::is_some)));
    }
    report("load by key", rate(spent));
    let due = DueQuery { lane: Lane::Timer, until: Timestamp::MAX, limit: BATCH };
    let start = Instant::now();
    for _ in 0..BATCHES {
        let loaded = store.load(0, &LoadRequest { keys: Vec::new(), due: Some(due) })?;
        assert!(loaded.is_some_and(|loaded| loaded.due.len() == BATCH));
    }
    report("load the due with their states", rate(start.elapsed()));
    store.begin_rebuild(0, "h", "log")?;
    let mut spent = Duration::ZERO;
    for number in 0..BATCHES {
        let batch = batch(number, Due { timer: Some(Timestamp::from_millis(1)), ..Due::default() });
        let start = Instant::now();
        store.fill(0, "h", &batch)?;
        spent += start.elapsed();
    }
    report("fill (rebuild)", rate(spent));
    let start = Instant::now();
    store.switch(0, "h", "log", header)?;
    println!("{:<36}{:>12.1} ms", format!("{name}: switch"), start.elapsed().as_secs_f64() * 1_000.0);
    Ok(())
}

/// How many labels there are.
const LABELS: usize = 20;

/// What being found under labels costs: 20 of them, each state under three.
fn measure_labels(
    name: &str,
    store: &mut impl StateStore,
    lookups: &dyn Lookups,
    used_bytes: &dyn Fn() -> Result<usize, Box<dyn std::error::Error>>,
) -> Result<(), Box<dyn std::error::Error>> {
    let labels: Vec<Label> = (0..LABELS).map(|n| Label::from(format!("segment-of-customers-{n}"))).collect();
    let under = |n: usize, round: usize| -> Vec<Label> {
        [round, 7, 13].map(|step| labels[(n + step) % LABELS].clone()).into()
    };
    let report = |what: &str, rate: f64| println!("{:<36}{rate:>12.0} states/s", format!("{name}: {what}"));
    store.begin_rebuild(0, "l", "log")?;
    store.switch(0, "l", "log", 0)?;
    let mut header = 0;
    let mut run = |what: &str, told: &dyn Fn(usize) -> Labels| -> Result<(), Box<dyn std::error::Error>> {
        let mut spent = Duration::ZERO;
        for number in 0..BATCHES {
            let mut batch = batch(number, Due::default());
            for (n, change) in batch.iter_mut().enumerate() {
                change.labels = told((number * BATCH + n) % CUSTOMERS);
            }
            let expected = StorePosition { generation: "l".into(), log: "log".into(), header_offset: header };
            let start = Instant::now();
            store.apply(0, &expected, header + 1, &batch)?;
            spent += start.elapsed();
            header += 1;
        }
        report(what, rate(spent));
        Ok(())
    };
    run("apply, under no label", &|_| Labels::Same)?;
    let bare_bytes = used_bytes()?;
    run("apply, under three, known", &|n| Labels::Are { before: Some(Vec::new()), now: under(n, 0) })?;
    let bytes = (used_bytes()? - bare_bytes) as f64 / (3 * CUSTOMERS) as f64;
    println!("{:<36}{bytes:>12.0} B a state and label", format!("{name}: size"));
    run("apply, as they were", &|_| Labels::Same)?;
    run("apply, one of three moves, known", &|n| Labels::Are { before: Some(under(n, 0)), now: under(n, 1) })?;
    run("apply, three, before not known", &|n| Labels::are(under(n, 2)))?;
    let wanted = |after| [(0, MembersQuery { label: labels[0].clone(), after, limit: 1_000 })];
    let (mut after, mut listed) = (None, 0);
    let start = Instant::now();
    loop {
        let page = lookups.members(&wanted(after))?.remove(0).keys;
        listed += page.len();
        after = page.last().cloned();
        if after.is_none() {
            break;
        }
    }
    println!(
        "{:<36}{:>12.0} members/s",
        format!("{name}: list, 1000 a page"),
        listed as f64 / start.elapsed().as_secs_f64()
    );
    store.begin_rebuild(0, "m", "log")?;
    let mut spent = Duration::ZERO;
    for number in 0..CUSTOMERS / BATCH {
        let mut batch = batch(number, Due::default());
        for (n, change) in batch.iter_mut().enumerate() {
            change.labels = Labels::are(under(number * BATCH + n, 0));
        }
        let start = Instant::now();
        store.fill(0, "m", &batch)?;
        spent += start.elapsed();
    }
    report("fill (rebuild), under three", CUSTOMERS as f64 / spent.as_secs_f64());
    Ok(())
}

fn rate(spent: Duration) -> f64 {
    (BATCHES * BATCH) as f64 / spent.as_secs_f64()
}
