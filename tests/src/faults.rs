//! What fails while a clickstream is replayed. Each goes on until the replay is over or it has been so often, and counts.

use std::time::Duration;

use anyhow::Context;
use testkit::{Redis, TcpProxy};

use crate::clickstream::draw;
use crate::scene::{Counts, DRAIN, Scene, WORKERS};

/// Longer than the sessions (3 s) and transactions (8 s) of a test's installation.
const STANDSTILL: Duration = Duration::from_secs(10);

/// Lets a while pass, the same in every run.
fn pass(number: u64, longest_ms: u64) {
    std::thread::sleep(Duration::from_millis(draw(number, longest_ms)));
}

/// Numbers from 0 to below `most`, until the replay is over; before each a while passes.
fn each(scene: &Scene, most: usize, seed: u64, longest_ms: u64) -> impl Iterator<Item = usize> {
    (0..most).take_while(move |number| {
        pass(seed + 2 * *number as u64, longest_ms);
        !scene.is_over()
    })
}

fn count(counts: &mut Counts, fault: &str) {
    *counts.entry(fault.to_owned()).or_default() += 1;
}

/// `kill -9` of each process in turn, also of the door.
pub fn kills(scene: &Scene, most: usize, seed: u64) -> anyhow::Result<Counts> {
    kill(scene, most, seed, 1_500)
}

/// The same, with time for work in between.
pub fn kills_now_and_then(scene: &Scene, most: usize, seed: u64) -> anyhow::Result<Counts> {
    kill(scene, most, seed, 60_000)
}

fn kill(scene: &Scene, most: usize, seed: u64, longest_ms: u64) -> anyhow::Result<Counts> {
    let mut counts = Counts::new();
    for number in each(scene, most, seed, longest_ms) {
        let process = &scene.processes[number % scene.processes.len()];
        process.kill9()?;
        count(&mut counts, &format!("kill of {}", process.name()));
        pass(seed + 2 * number as u64 + 1, 700);
        process.restart()?;
    }
    Ok(counts)
}

/// Processes that stand still longer than their sessions and transactions, and then go on.
pub fn zombies(scene: &Scene, most: usize, seed: u64) -> anyhow::Result<Counts> {
    let mut counts = Counts::new();
    for number in each(scene, most, seed, 2_000) {
        let process = &scene.workers()[number % scene.workers().len()];
        process.pause()?;
        std::thread::sleep(STANDSTILL);
        process.resume()?;
        count(&mut counts, &format!("zombie of {}", process.name()));
    }
    Ok(counts)
}

/// A third process of a service that joins, and leaves a second later.
pub fn joins_and_leaves(scene: &Scene, most: usize, seed: u64) -> anyhow::Result<Counts> {
    let mut counts = Counts::new();
    for number in each(scene, most, seed, 200) {
        let service = WORKERS[number % WORKERS.len()];
        let member = scene.installation.run(&[service], 2)?;
        std::thread::sleep(Duration::from_secs(1));
        anyhow::ensure!(member.term(DRAIN)?.success(), "{service} did not leave in order");
        count(&mut counts, &format!("join and leave of {service}"));
    }
    Ok(counts)
}

/// A Redis that is killed, emptied, set back to an older copy, silent, or succeeded by a replica that lagged behind.
pub fn redis(scene: &Scene, most: usize, seed: u64) -> anyhow::Result<Counts> {
    let redis = scene.installation.redis.as_ref().context("there is no Redis")?;
    let mut counts = Counts::new();
    let mut snapshot = redis.snapshot()?;
    for number in each(scene, most, seed, 3_000) {
        let fault = ["killed", "emptied", "set back", "silent", "succeeded by a lagging replica"][number % 5];
        match fault {
            "killed" => redis.restart()?,
            "emptied" => redis.flush()?,
            "set back" => redis.restore(&snapshot)?,
            "silent" => {
                redis.process().pause()?;
                std::thread::sleep(Duration::from_secs(3));
                redis.process().resume()?;
                snapshot = redis.snapshot()?;
            }
            _ => fail_over(redis)?,
        }
        count(&mut counts, &format!("Redis {fault}"));
    }
    Ok(counts)
}

/// A replica follows, hears nothing for a while, and then takes the master's place at its address with what it has.
fn fail_over(redis: &Redis) -> anyhow::Result<()> {
    let network = TcpProxy::start(redis.port())?;
    let replica = Redis::start()?;
    replica.replicate(network.port())?;
    std::thread::sleep(Duration::from_millis(500));
    network.stall();
    std::thread::sleep(Duration::from_millis(1_500));
    replica.promote()?;
    redis.restore(&replica.snapshot()?)?;
    Ok(())
}

const BROKER_FAULTS: [&str; 3] = ["killed", "standing still", "without room"];

/// A broker that is killed, stands still, or has no room left on its disk.
pub fn broker(scene: &Scene, most: usize, seed: u64) -> anyhow::Result<Counts> {
    fail_broker(scene, most, seed, 6_000, &BROKER_FAULTS)
}

/// A broker that is killed, with time for it and all its clients to come back in between.
pub fn broker_kills(scene: &Scene, most: usize, seed: u64) -> anyhow::Result<Counts> {
    fail_broker(scene, most, seed, 20_000, &BROKER_FAULTS[..1])
}

/// The other faults of a broker, with such time in between.
pub fn other_broker_faults(scene: &Scene, most: usize, seed: u64) -> anyhow::Result<Counts> {
    fail_broker(scene, most, seed, 20_000, &BROKER_FAULTS[1..])
}

fn fail_broker(
    scene: &Scene,
    most: usize,
    seed: u64,
    longest_ms: u64,
    faults: &[&'static str],
) -> anyhow::Result<Counts> {
    let kafka = &scene.installation.kafka;
    let mut counts = Counts::new();
    for number in each(scene, most, seed, longest_ms) {
        let fault = faults[number % faults.len()];
        match fault {
            "killed" => kafka.kill9()?,
            "standing still" => {
                kafka.pause()?;
                std::thread::sleep(STANDSTILL);
                kafka.resume()?;
            }
            // In the midst of a batch, for the logs that are longer by now.
            _ => kafka.fill_disk(draw(seed + number as u64, 1 << 20))?,
        }
        if !kafka.process().is_running() || fault == "killed" {
            kafka.restart()?;
        }
        count(&mut counts, &format!("broker {fault}"));
    }
    Ok(counts)
}

/// The network between half of the processes and the broker, or Redis: cut, silent, slow, or its connections dropped.
pub fn network(scene: &Scene, most: usize, seed: u64) -> anyhow::Result<Counts> {
    let mut counts = Counts::new();
    let networks = [("the broker", scene.installation.kafka.proxy(), 2), ("Redis", &scene.redis_network, 1)];
    for number in each(scene, most, seed, 1_500) {
        // Every other time longer than a session.
        let (to, network, times) = networks[number % 2];
        let while_it_lasts = Duration::from_secs(2 + 2 * (number as u64 / 8 % 2) * times);
        let fault = ["cut", "silent", "slow", "dropped"][number / 2 % 4];
        match fault {
            "cut" => network.cut(),
            "silent" => network.stall(),
            "slow" => network.delay_ms(150),
            _ => network.drop_connections(),
        }
        if fault != "dropped" {
            std::thread::sleep(while_it_lasts);
            network.resume();
        }
        count(&mut counts, &format!("network to {to} {fault}"));
    }
    Ok(counts)
}
