//! The real driver, engine and services in one thread, on virtual time, with faults drawn by a seed; and a checker that
//! recomputes the outcome from the input log alone.
//!
//! A worker process is a coroutine that runs [`kafka::run_worker_on`]; each of its calls to the cluster or the store suspends
//! it into the scheduler, which owns the time, the broker's pure core, the stores and the provider. To drop a coroutine is
//! `kill -9`.
//!
//! Wanted properties:
//! - whatever a seed does, it does again;
//! - nothing in here knows what the engine should have done: [`expected`] reads the input log;
//! - what is broken on purpose ([`broken`]) is found.

pub mod broken;
pub mod chance;
pub mod checker;
pub mod clients;
mod definitions;
pub mod expected;
pub mod identity;
pub mod plan;
pub mod provider;
pub mod redis;
pub mod run;
pub mod scores;
pub mod wishes;
pub mod workload;
pub mod world;

use std::sync::LazyLock;

use schemas::Schemas;

pub use broken::Broken;
pub use checker::Breach;
pub use run::{Options, Outcome, run};

/// The one command that runs a seed again, and shrinks it.
pub fn repeat(seed: u64, broken: Option<Broken>) -> String {
    let how = broken.and_then(|broken| Some(clap::ValueEnum::to_possible_value(&broken)?.get_name().to_owned()));
    let how = how.map(|name| format!(" --broken {name}")).unwrap_or_default();
    format!("cargo run -p vuelve-simulation --bin simulate -- --seed {seed}{how}")
}

/// Every contract, without a registry.
pub static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::offline);
