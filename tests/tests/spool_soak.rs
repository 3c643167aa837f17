//! The broker is gone for two minutes while a door with a spool is at half of its load: how much it holds, in how much memory,
//! and how fast that goes on to the broker once it is back.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testkit::{Process, free_port, wait_until};
use tests::admin::wait_for_readiness;
use tests::installation::{Installation, State, WRITE_KEY};

const LIMIT: Duration = Duration::from_mins(10);
const SENDERS: usize = 64;
/// How long it is measured what the door takes while nothing is wrong.
const FULL_LOAD: Duration = Duration::from_secs(10);
const AWAY: Duration = Duration::from_mins(2);
/// Memory is compared with what it was when the spool had been in use for so long.
const SETTLED: Duration = Duration::from_secs(20);
/// Readings of memory differ by so much whatever is held.
const FLAT_BYTES: u64 = 24 << 20;

/// A sender, who is a customer: what it sends is numbered.
struct Sender {
    agent: ureq::Agent,
    url: String,
    customer: usize,
    taken: usize,
    refused: usize,
}

impl Sender {
    fn new(installation: &Installation, customer: usize) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(30)));
        let agent = ureq::Agent::from(config.http_status_as_error(false).build());
        let url = format!("{}/v1/track?writeKey={WRITE_KEY}", installation.door());
        Self { agent, url, customer, taken: 0, refused: 0 }
    }

    /// The next event, again until it is taken.
    fn send(&mut self) {
        let (customer, number) = (self.customer, self.taken);
        let event = format!(
            r#"{{"event":"Product Added","userId":"c-{customer}","messageId":"{customer}-{number}","properties":{{"cart_id":"cart-{customer}","product_id":"p-{number}","price":19.99}}}}"#
        );
        loop {
            match self.agent.post(&self.url).send(event.as_str()) {
                Ok(answer) if answer.status() == 200 => break,
                _ => self.refused += 1,
            }
        }
        self.taken += 1;
    }
}

/// Sends until it is told to end: so many a second in all, or as many as go.
fn send_until(senders: &mut [Sender], per_second: Option<f64>, ended: &AtomicBool, taken: &AtomicUsize) {
    let pause = per_second.map(|rate| Duration::from_secs_f64(senders.len() as f64 / rate));
    std::thread::scope(|scope| {
        for sender in senders {
            scope.spawn(move || {
                let mut due = Instant::now();
                while !ended.load(Ordering::Relaxed) {
                    sender.send();
                    taken.fetch_add(1, Ordering::Relaxed);
                    if let Some(pause) = pause {
                        due += pause;
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    }
                }
            });
        }
    });
}

fn resident_bytes(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

#[test]
#[ignore = "minutes: `make soak-door`"]
fn two_minutes_without_a_broker_at_half_load_lose_nothing_in_flat_memory_and_drain_at_twice_the_rate_of_arrival() {
    let installation = Installation::start("live", State::Redis).unwrap();
    let spool = tempfile::tempdir().unwrap();
    let admin = free_port().unwrap();
    let door = installation.run_door_with_spool(spool.path(), admin).unwrap();
    let _resolver = installation.run(&["resolver"], 0).unwrap();
    installation.wait_for_door(&door).unwrap();
    let mut senders: Vec<Sender> = (0..SENDERS).map(|customer| Sender::new(&installation, customer)).collect();

    // What it takes while nothing is wrong.
    let (taken, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| send_until(&mut senders, None, &ended, &taken));
        std::thread::sleep(FULL_LOAD);
        ended.store(true, Ordering::Relaxed);
    });
    let full = taken.load(Ordering::Relaxed) as f64 / FULL_LOAD.as_secs_f64();
    let refused_before: usize = senders.iter().map(|sender| sender.refused).sum();

    // Half of that, without a broker and then with it, until the spool is drained.
    let (taken, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (mut memory, mut waiting, mut drained_in) = (Vec::new(), 0, Duration::ZERO);
    std::thread::scope(|scope| {
        scope.spawn(|| send_until(&mut senders, Some(full / 2.0), &ended, &taken));
        installation.kafka.kill9().unwrap();
        let began = Instant::now();
        while began.elapsed() < AWAY {
            std::thread::sleep(Duration::from_secs(1));
            memory.push((began.elapsed(), resident_bytes(&door)));
        }
        waiting = taken.load(Ordering::Relaxed);
        installation.kafka.restart().unwrap();
        let back = Instant::now();
        wait_until(LIMIT, "the spool to be drained", || {
            let told = wait_for_readiness(admin, 200, LIMIT).ok()?;
            (!told.contains("the spool")).then_some(())
        })
        .unwrap();
        drained_in = back.elapsed();
        ended.store(true, Ordering::Relaxed);
    });
    let arrived_meanwhile = taken.load(Ordering::Relaxed) - waiting;
    let refused: usize = senders.iter().map(|sender| sender.refused).sum::<usize>() - refused_before;
    let settled = memory.iter().find(|(at, _)| *at >= SETTLED).unwrap().1;
    let most = memory.iter().filter(|(at, _)| *at >= SETTLED).map(|(_, bytes)| *bytes).max().unwrap();
    let drain = (waiting + arrived_meanwhile) as f64 / drained_in.as_secs_f64();
    let arrival = arrived_meanwhile as f64 / drained_in.as_secs_f64();
    println!(
        "full load {full:.0}/s; {waiting} events in the {} s without a broker, {refused} refused; memory {} MiB after {} s, {} at most; \
         drained in {:.1} s: {drain:.0}/s, {:.1} times the {arrival:.0}/s that arrived",
        AWAY.as_secs(),
        settled >> 20,
        SETTLED.as_secs(),
        most >> 20,
        drained_in.as_secs_f64(),
        drain / arrival,
    );
    let sent: BTreeMap<String, usize> =
        senders.iter().map(|sender| (format!("c-{}", sender.customer), sender.taken)).collect();
    everything_arrived(&installation, &sent);
    assert_eq!(refused, 0);
    assert!(most <= settled + FLAT_BYTES, "{settled} bytes, and then {most}");
    assert!(drain >= 2.0 * arrival, "{drain} and {arrival} a second");
}

fn everything_arrived(installation: &Installation, sent: &BTreeMap<String, usize>) {
    let all = wait_until(LIMIT, "all events to be resolved", || {
        let records = installation.records("storefront.events").ok()?;
        (records.len() >= sent.values().sum()).then_some(records)
    })
    .unwrap();
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for record in all {
        let customer = record.key.unwrap();
        let next = found.entry(customer.clone()).or_default();
        let expected = format!("{}-{next}", customer.trim_start_matches("c-"));
        assert_eq!(record.value["message_id"], expected, "events of {customer} in their order, each once");
        *next += 1;
    }
    assert_eq!(found, *sent);
}
