//! What can be set: `make bench BENCH_FLAGS="--events 100000 --runs 1"`.

use clap::{Parser, ValueEnum};

/// Measures the door and the journeys worker beside plain Kafka clients.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Options {
    /// How many events each run takes.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) events: u32,
    /// Among how many customers they are drawn; the n-th comes with a weight of 1/n (Zipf).
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) customers: u32,
    /// Other seeds make up other events.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Partitions of every customer topic.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) partitions: i32,
    /// How often every row is run.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// HTTP connections to the door at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,
    /// Events in one call to the door; it takes at most 500 KiB.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=700))]
    pub(crate) batch: u32,
    /// Measures one part and its ceiling only.
    #[arg(long)]
    pub(crate) only: Option<Part>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A part of the pipeline, with its ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Batches over HTTP to acknowledged in Kafka.
    Door,
    /// The journeys worker draining preloaded events.
    Journeys,
}
