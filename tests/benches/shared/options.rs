//! What can be set, of all benchmarks alike: `make bench BENCH_FLAGS="--only s1 --runs 3"`.

use clap::{Args, ValueEnum};

use super::workload::Size;

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Measures this part and its ceiling only; may be given more than once.
    #[arg(long, value_name = "PART")]
    pub(crate) only: Vec<Part>,
    /// How many events a run takes.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1000..))]
    pub(crate) events: u32,
    /// Among how many customers they are drawn; the n-th comes with a weight of 1/n (Zipf).
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
    pub(crate) customers: u32,
    /// Other seeds make up other events.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Partitions of every customer topic.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) partitions: i32,
    /// How often every row is run; by default once, and three times with --full.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// The large figures: ten times as many customers in the large states of R1, R2 and T1, and longer runs of the others of
    /// the engine.
    #[arg(long)]
    pub(crate) full: bool,
    /// HTTP connections to the door, and gRPC connections of lookups, at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,
    /// HTTP connections to the door at once, where a call is a single event. By default the door keeps half of its 256 calls from
    /// what is less urgent than an order.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) single_connections: u32,
    /// One of so many events goes to the door in a call of its own, where calls are single.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) events_per_single_call: u32,
    /// Events in one call to the door; it takes at most 500 KiB.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=700))]
    pub(crate) batch: u32,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    pub(crate) fn runs(&self) -> u32 {
        self.runs.unwrap_or(if self.full { 3 } else { 1 })
    }

    pub(crate) fn size(&self) -> Size {
        let Self { events, customers, seed, partitions, .. } = *self;
        Size { events, customers, seed, partitions }
    }

    /// How many customers a large state has.
    pub(crate) fn many_customers(&self) -> u32 {
        self.customers * if self.full { 10 } else { 1 }
    }

    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

/// What is measured, with its ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Of the pipeline: batches over HTTP to acknowledged in Kafka.
    Door,
    /// Of the pipeline: single calls over HTTP to acknowledged in Kafka.
    Single,
    /// Of the pipeline: the segmentation worker draining preloaded events.
    Segmentation,
    /// Of the pipeline: the journeys worker draining preloaded events.
    Journeys,
    /// A profile of each customer: state in memory, and the plain loop that writes as much.
    S1,
    /// The same with the state in Redis and nothing in the cache.
    S2,
    /// Latency from produce to visible.
    L,
    /// A worker is killed.
    R1,
    /// The state is rebuilt from its changelog.
    R2,
    /// Timers.
    T1,
    /// The whole pipeline, from HTTP to the decided message.
    E1,
    /// A new segment for everybody who is there.
    B,
    /// Lookups over gRPC from Redis, and a bare echo.
    Q1,
}

impl Part {
    pub(crate) const PIPELINE: [Self; 4] = [Self::Door, Self::Single, Self::Segmentation, Self::Journeys];
    pub(crate) const ENGINE: [Self; 9] =
        [Self::S1, Self::S2, Self::L, Self::R1, Self::R2, Self::T1, Self::E1, Self::B, Self::Q1];
}
