//! What the index of timers weighs: the same states in the same store, with and without a timer each.

use std::process::Command;

use anyhow::{Context, ensure};
use bytes::Bytes;
use domain::Timestamp;
use store::{Memory, Redis, RedisOptions};
use stream::{Due, Key, Labels, StateChange, StateStore};

use crate::options::Hold;
use crate::report::{Figure, figure};
use crate::shared::installation::Parts;

const BATCH: u32 = 5_000;
const PARTITIONS: i32 = 32;
const GENERATION: &str = "bench";
const LOG: &str = "log";
/// As large as a small state.
const VALUE: [u8; 64] = [7; 64];

pub(crate) fn figures(parts: &Parts, customers: u32) -> anyhow::Result<Vec<Figure>> {
    let per_customer = |with: u64, without: u64| with.saturating_sub(without) as f64 / f64::from(customers);
    let memory = per_customer(held(customers, true)?, held(customers, false)?);
    let redis = per_customer(in_redis(parts, customers, true)?, in_redis(parts, customers, false)?);
    Ok(vec![
        figure("bytes a customer, in memory", memory, 0).at_most(128.0),
        figure("bytes a customer, in Redis", redis, 0).at_most(128.0),
    ])
}

/// What another process of this program says that it takes: memory that was used before is not given back.
fn held(customers: u32, timers: bool) -> anyhow::Result<u64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["hold", "--customers", &customers.to_string()]);
    if timers {
        command.arg("--timers");
    }
    let output = command.output()?;
    ensure!(output.status.success(), "holding states: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)?.trim().parse().context("how much memory is held")
}

/// The process that holds them: says how much memory is resident.
pub(crate) fn hold(arguments: &Hold) -> anyhow::Result<()> {
    let mut memory = Memory::new();
    fill(&mut memory, arguments.customers, arguments.timers)?;
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split_whitespace().nth(1).context("no resident pages")?.parse()?;
    println!("{}", pages * 4_096);
    drop(memory);
    Ok(())
}

fn in_redis(parts: &Parts, customers: u32, timers: bool) -> anyhow::Result<u64> {
    parts.redis().flush()?;
    let mut redis = Redis::new(RedisOptions::new(parts.redis().url(), "index", "bench"))?;
    let before = parts.used_memory()?;
    fill(&mut redis, customers, timers)?;
    let used = parts.used_memory()?.saturating_sub(before);
    parts.redis().flush()?;
    Ok(used)
}

fn fill(store: &mut dyn StateStore, customers: u32, timers: bool) -> anyhow::Result<()> {
    for partition in 0..PARTITIONS {
        store.begin_rebuild(partition, GENERATION, LOG)?;
        let own = (0..customers).filter(|customer| customer % PARTITIONS.cast_unsigned() == partition.cast_unsigned());
        let changes: Vec<StateChange> = own.map(|customer| change(customer, timers)).collect();
        for batch in changes.chunks(BATCH as usize) {
            store.fill(partition, GENERATION, batch)?;
        }
        store.switch(partition, GENERATION, LOG, 0)?;
    }
    Ok(())
}

fn change(customer: u32, timers: bool) -> StateChange {
    StateChange {
        key: Key::from(format!("u-{customer:07}")),
        value: Some(Bytes::copy_from_slice(&VALUE)),
        due: Due {
            timer: timers.then(|| Timestamp::from_millis(1_767_225_600_000 + i64::from(customer) * 37 % 86_400_000)),
            ..Due::default()
        },
        labels: Labels::Same,
    }
}
