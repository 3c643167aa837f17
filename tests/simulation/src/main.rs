//! `simulate`: runs seeds, and tells of each that fails how to repeat it.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use simulation::{Broken, Options, Outcome, run};

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
    println!("seed {seed}: network {:?}", outcome.plan.network);
    for (number, (at, fault)) in outcome.plan.faults.iter().enumerate() {
        let left_out = if dropped.contains(&number) { " (does not matter)" } else { "" };
        println!("fault {number} at {:.3} s: {fault:?}{left_out}", *at as f64 / 1e6);
    }
    for breach in &outcome.breaches {
        println!("{breach}");
    }
    if outcome.breaches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn many(arguments: &Arguments) -> ExitCode {
    let (next, failed, lasted, requests) =
        (AtomicU64::new(arguments.from), Mutex::new(BTreeSet::new()), AtomicU64::new(0), AtomicU64::new(0));
    let end = arguments.from + arguments.seeds;
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = run(seed, &Options { broken: arguments.broken, ..Options::default() });
                    lasted.fetch_add(outcome.lasted, Ordering::Relaxed);
                    requests.fetch_add(outcome.requests as u64, Ordering::Relaxed);
                    if let Some(breach) = outcome.breaches.first() {
                        println!("seed {seed}: {breach}");
                        println!("  repeat it: cargo run -p vuelve-simulation --bin simulate -- --seed {seed}");
                        failed.lock().unwrap_or_else(PoisonError::into_inner).insert(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "{} seeds, {} failed; {:.1} virtual hours, {} messages asked for",
        arguments.seeds,
        failed.len(),
        lasted.into_inner() as f64 / 3.6e9,
        requests.into_inner(),
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
