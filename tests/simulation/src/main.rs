//! `simulate`: runs seeds, and tells of each that fails how to repeat it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::Parser;
use simulation::{Broken, Options, Outcome, repeat, run};

/// A run that takes long says how far it is each so often.
const TELLS_EACH: Duration = Duration::from_secs(5);

/// Runs the simulation.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Run this seed alone, leave out the faults that do not matter, and print its trace
    #[arg(long)]
    seed: Option<u64>,
    /// Break the engine on purpose
    #[arg(long)]
    broken: Option<Broken>,
    /// How many threads
    #[arg(long, default_value_t = 2)]
    threads: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => one(seed, arguments.broken),
        None => many(&arguments),
    }
}

/// Leaves out one fault after the other while the same invariant stays broken.
fn shrink(seed: u64, broken: Option<Broken>, first: &Outcome) -> BTreeSet<usize> {
    let invariants =
        |outcome: &Outcome| outcome.breaches.iter().map(|breach| breach.invariant).collect::<BTreeSet<_>>();
    let wanted = invariants(first);
    let mut dropped = BTreeSet::new();
    for fault in 0..first.plan.faults.len() {
        dropped.insert(fault);
        let outcome = run(seed, &Options { dropped: dropped.clone(), broken, traced: false });
        if invariants(&outcome).is_disjoint(&wanted) {
            dropped.remove(&fault);
        }
    }
    dropped
}

fn one(seed: u64, broken: Option<Broken>) -> ExitCode {
    let first = run(seed, &Options { broken, ..Options::default() });
    let dropped = if first.breaches.is_empty() { BTreeSet::new() } else { shrink(seed, broken, &first) };
    let outcome = run(seed, &Options { dropped: dropped.clone(), broken, traced: true });
    for line in &outcome.trace {
        println!("{line}");
    }
    println!("seed {seed}: network {:?}, compacts {}", outcome.plan.network, outcome.plan.compacts);
    for (number, (at, fault)) in outcome.plan.faults.iter().enumerate() {
        let left_out = if dropped.contains(&number) { " (does not matter)" } else { "" };
        println!("fault {number} at {:.3} s: {fault:?}{left_out}", *at as f64 / 1e6);
    }
    for breach in &outcome.breaches {
        println!("{breach}");
    }
    if outcome.breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What came of many seeds.
#[derive(Default)]
struct Tally {
    done: u64,
    failed: BTreeSet<u64>,
    lasted_hours: f64,
    messages: usize,
    faults: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.done += 1;
        if !outcome.breaches.is_empty() {
            self.failed.insert(seed);
        }
        self.lasted_hours += outcome.lasted as f64 / 3.6e9;
        self.messages += outcome.messages;
        for (_, fault) in &outcome.plan.faults {
            *self.faults.entry(fault.kind()).or_default() += 1;
        }
    }
}

fn many(arguments: &Arguments) -> ExitCode {
    let (next, tally, over) = (AtomicU64::new(arguments.from), Mutex::<Tally>::default(), AtomicBool::new(false));
    let end = arguments.from + arguments.seeds;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..arguments.threads.max(1))
            .map(|_| scope.spawn(|| go_through(&next, end, arguments.broken, &tally)))
            .collect();
        let teller = scope.spawn(|| tell(&tally, arguments.seeds, &over));
        for worker in workers {
            drop(worker.join());
        }
        over.store(true, Ordering::Relaxed);
        teller.thread().unpark();
    });
    let tally = locked(&tally);
    println!(
        "{} seeds, {} failed; {:.1} virtual hours, {} messages asked for",
        tally.done,
        tally.failed.len(),
        tally.lasted_hours,
        tally.messages,
    );
    let faults: Vec<String> = tally.faults.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    println!("faults: {}", faults.join(", "));
    if tally.failed.is_empty() && tally.done == arguments.seeds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn go_through(next: &AtomicU64, end: u64, broken: Option<Broken>, tally: &Mutex<Tally>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return;
        }
        let outcome = run(seed, &Options { broken, ..Options::default() });
        let mut tally = locked(tally);
        tally.add(seed, &outcome);
        if let Some(breach) = outcome.breaches.first() {
            println!("seed {seed}: {breach}\n  repeat it: {}", repeat(seed, broken));
        }
    }
}

/// Says on stderr how far it is, until it is over.
fn tell(tally: &Mutex<Tally>, seeds: u64, over: &AtomicBool) {
    loop {
        std::thread::park_timeout(TELLS_EACH);
        if over.load(Ordering::Relaxed) {
            return;
        }
        let tally = locked(tally);
        eprintln!("{} of {seeds} seeds, {} failed", tally.done, tally.failed.len());
    }
}

fn locked(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
