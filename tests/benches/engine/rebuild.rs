//! Row R2: the state is rebuilt from its changelog, into memory and into an emptied Redis. Beside it: a plain consumer that
//! reads the same topic, and a bare loop of pipelined SETs into the same Redis.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tests::installation::State;

use crate::follower::Follower;
use crate::large_state::{large_state, second_of, some_states};
use crate::measured::Running;
use crate::options::Measured;
use crate::profile::{CHANGELOG, CHANGES};
use crate::report::{Figure, Report, figure};
use crate::shared::event::Event;
use crate::shared::installation::{Installation, Parts, store_setting};
use crate::shared::options::Options;
use crate::shared::storefront::{EVENTS, write_events};
use crate::shared::usage::Usage;

/// Of so many customers it is looked at whether their first event is known after a rebuild.
const LOOKED_AT: u32 = 1_000;
/// So many SETs wait for their answers at once.
const PIPELINE: usize = 5_000;
const STATES: usize = 20_000;

/// All of it, as often as is asked for.
pub(crate) fn rebuild(parts: &Parts, options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let customers = options.many_customers();
    for run in 0..options.runs() {
        eprintln!("{} of {}: R2: writing a changelog of {customers} customers", run + 1, options.runs());
        let installation = large_state(parts, &format!("rebuild{run}"), customers, State::Memory)?;
        let (records, states) = some_states(&installation, STATES)?;
        let consumed = consume(parts, &installation, records)?;
        let sets_per_second = sets(parts, customers, &states)?;
        let memory = Rebuilt::measure(parts, &installation, State::Memory, records, 0)?;
        let redis = Rebuilt::measure(parts, &installation, State::Redis, records, LOOKED_AT)?;
        installation.remove_with(&[CHANGELOG, CHANGES])?;

        report.add("R2 ceiling: plain consume of the changelog", &consumed);
        report.add("R2 ceiling: bare pipelined SETs", &[figure("records/s", sets_per_second, 0)]);
        let mut figures = memory.figures();
        figures[1] = figures[1].at_least(1e6);
        report.add("R2 rebuilt in memory", &figures);
        let share = figure("of the SETs' rate, %", redis.rate() * 100.0 / sets_per_second, 1).at_least(60.0);
        report.add("R2 rebuilt in Redis", &[redis.figures(), vec![share]].concat());
        eprintln!("R2: {:.0} records/s in memory, {:.0} in Redis", memory.rate(), redis.rate());
    }
    Ok(())
}

fn consume(parts: &Parts, installation: &Installation<'_>, records: u64) -> anyhow::Result<Vec<Figure>> {
    let (before, began) = (Usage::of(std::process::id())?.cpu, Instant::now());
    let mut read = 0;
    parts.clients().read_all(&installation.topic(CHANGELOG), |_| {
        read += 1;
        Ok(())
    })?;
    let (elapsed, cpu) = (began.elapsed(), Usage::of(std::process::id())?.cpu.saturating_sub(before));
    ensure!(read == records, "no score: {read} records, not {records}");
    Ok(vec![
        figure("records/s", read as f64 / elapsed.as_secs_f64(), 0),
        figure("records a CPU second", read as f64 / cpu.as_secs_f64(), 0),
    ])
}

/// Pipelined SETs of as many and as large values, by one connection.
fn sets(parts: &Parts, customers: u32, states: &[Vec<u8>]) -> anyhow::Result<f64> {
    ensure!(!states.is_empty(), "the changelog has no states");
    parts.redis().flush()?;
    let mut connection = TcpStream::connect(("127.0.0.1", parts.redis().port()))?;
    connection.set_nodelay(true)?;
    let began = Instant::now();
    let numbers: Vec<u32> = (1..=customers).collect();
    let (mut commands, mut answers) = (Vec::new(), vec![0; PIPELINE * b"+OK\r\n".len()]);
    for batch in numbers.chunks(PIPELINE) {
        commands.clear();
        for customer in batch {
            let value = &states[*customer as usize % states.len()];
            write!(commands, "*3\r\n$3\r\nSET\r\n$9\r\nu-{customer:07}\r\n${}\r\n", value.len())?;
            commands.extend_from_slice(value);
            commands.extend_from_slice(b"\r\n");
        }
        connection.write_all(&commands)?;
        let answers = &mut answers[..batch.len() * b"+OK\r\n".len()];
        connection.read_exact(answers)?;
        ensure!(answers.chunks(5).all(|answer| answer == b"+OK\r\n"), "Redis refuses a SET");
    }
    let rate = f64::from(customers) / began.elapsed().as_secs_f64();
    parts.redis().flush()?;
    Ok(rate)
}

/// A rebuild that was measured.
#[derive(Clone, Copy, Debug)]
struct Rebuilt {
    records: u64,
    /// From the beginning of the first takeover to the end of the last.
    elapsed: Duration,
    /// Of the worker, its start included.
    cpu: Duration,
    redis_cpu: Duration,
    peak_bytes: u64,
}

impl Rebuilt {
    /// Starts a worker that has nothing but the log, and waits until it owns all. Then so many customers, after the first
    /// `skip`, come a second time.
    fn measure(
        parts: &Parts,
        installation: &Installation<'_>,
        state: State,
        records: u64,
        skip: u32,
    ) -> anyhow::Result<Self> {
        parts.redis().flush()?;
        let redis = parts.redis().process().pid().context("Redis has ended")?;
        let redis_before = Usage::of(redis)?.cpu;
        let name = if state == State::Memory { "rebuilding-memory" } else { "rebuilding-redis" };
        let running = Running::start(parts, installation, Measured::Profile, &[store_setting(state)], name)?;
        running.wait_until_it_owns(parts.clients().partitions(), 1)?;
        let (usage, redis_cpu) = (Usage::of(running.pid()?)?, Usage::of(redis)?.cpu.saturating_sub(redis_before));
        let takeovers = running.takeovers();
        let read: u64 = takeovers.iter().map(|takeover| takeover.records).sum();
        ensure!(read >= records, "no score: {read} records were read, not {records}");
        let began = takeovers.iter().map(|takeover| takeover.at_ms - takeover.took_ms).fold(f64::INFINITY, f64::min);
        let ended = takeovers.iter().map(|takeover| takeover.at_ms).fold(0.0, f64::max);
        ensure_is_known(parts, installation, skip)?;
        running.stop()?;
        let elapsed = Duration::from_secs_f64((ended - began) / 1e3);
        Ok(Self { records: read, elapsed, cpu: usage.cpu, redis_cpu, peak_bytes: usage.peak_bytes })
    }

    fn rate(&self) -> f64 {
        self.records as f64 / self.elapsed.as_secs_f64()
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            figure("records/s", self.rate(), 0),
            figure("records a CPU second", self.records as f64 / self.cpu.as_secs_f64(), 0),
            figure("seconds", self.elapsed.as_secs_f64(), 2),
            figure("CPU s of Redis", self.redis_cpu.as_secs_f64(), 2),
            figure("peak MiB of the worker", self.peak_bytes as f64 / f64::from(1 << 20), 0),
        ]
    }
}

/// What was rebuilt is what was there: a second event finds the first.
fn ensure_is_known(parts: &Parts, installation: &Installation<'_>, skip: u32) -> anyhow::Result<()> {
    let follower = Follower::new(parts, installation)?;
    let events: Vec<Event> = (skip + 1..=skip + LOOKED_AT).map(second_of).collect();
    write_events(&parts.clients().producer(None)?, installation, EVENTS, events.iter())?;
    let wanted = OnceLock::from(LOOKED_AT as usize);
    let seen = follower.follow(&wanted, &AtomicBool::new(false), |_| {})?;
    ensure!(seen.iter().all(|one| one.events == 2), "no score: a customer is not known any more");
    Ok(())
}
