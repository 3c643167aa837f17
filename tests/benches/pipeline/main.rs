//! How fast is the pipeline, beside what plain Kafka clients reach in the same minutes on the same broker?
//!
//! Wanted properties:
//! - every figure stands beside its ceiling: the least that any program of the kind has to do, measured in the same round;
//! - the same events in every run: made up by a seed, never by chance;
//! - a run that lost or doubled a record has no score: what came out is counted, and compared with what follows from the
//!   input by another computation;
//! - what is measured runs as it does in production: a process of its own, built for release, on Apache Kafka and the
//!   default settings.
//!
//! `make bench` runs it.

mod ceilings;
mod door;
mod drain;
mod expected;
mod journeys;
mod null_handler;
mod report;
mod segmentation;
#[path = "../shared/mod.rs"]
mod shared;

use std::process::ExitCode;

use clap::{Parser as _, Subcommand};
use tests::installation::State;

use crate::expected::Tally;
use crate::report::{Report, Row};
use crate::shared::installation::Parts;
use crate::shared::options::{Options, Part};
use crate::shared::sample::Sample;
use crate::shared::storefront::{EVENTS, TOLD};
use crate::shared::workload::Workload;

/// Measures the door, the segmentation worker and the journeys worker beside plain Kafka clients.
#[derive(Debug, clap::Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Command {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    hidden: Option<Hidden>,
}

/// What a process that is measured is started with.
#[derive(Debug, Subcommand)]
enum Hidden {
    /// Answers calls, and does nothing with them, until SIGTERM.
    #[command(hide = true)]
    NullHandler {
        #[arg(long)]
        port: u16,
    },
}

/// What `vuelve` has: a handler that is measured runs in this program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = Command::parse();
    let result = match command.hidden {
        Some(Hidden::NullHandler { port }) => null_handler::run(port),
        None => run(command.options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> anyhow::Result<()> {
    if !Part::PIPELINE.into_iter().any(|part| options.wants(part)) {
        return Ok(());
    }
    let mut report = Report::new(&options);
    eprintln!("making up {} events", options.events);
    let workload = Workload::new(&options.size());
    let expected = expected::decisions(workload.for_workers());
    eprintln!("starting Apache Kafka, the schema registry and Redis");
    let parts = Parts::start(options.partitions)?;
    let bench = Bench { options, workload, expected, parts };
    bench.measure(&mut report)?;
    print!("{report}");
    eprintln!("written to {}", report.save()?.display());
    Ok(())
}

/// What all rows share.
struct Bench {
    options: Options,
    workload: Workload,
    /// What journeys have to decide on the workload.
    expected: Tally,
    parts: Parts,
}

impl Bench {
    /// Round by round, so that what else the machine does falls on a row and its ceiling alike. The first round does not
    /// count: a young broker is slow, since Java compiles only what it has found to be hot.
    fn measure(&self, report: &mut Report) -> anyhow::Result<()> {
        let wanted = |row: &Row| self.options.wants(row.part());
        for round in 0..=self.options.runs() {
            let mut done: Vec<(Row, Sample)> = Vec::new();
            for row in Row::ALL.into_iter().filter(wanted) {
                let sample = self.run(row, round, &done)?;
                let count =
                    if round == 0 { "warming up".to_owned() } else { format!("{round} of {}", self.options.runs()) };
                eprintln!("{count}: {}: {:.0} events/s", row.name(), sample.rate());
                done.push((row, sample));
            }
            if round > 0 {
                for (row, sample) in done {
                    report.add(row, sample);
                }
            }
        }
        Ok(())
    }

    /// `done` are the rows before it in this round.
    fn run(&self, row: Row, round: u32, done: &[(Row, Sample)]) -> anyhow::Result<Sample> {
        let Self { options, workload, expected, parts } = self;
        let events = workload.for_the_door();
        let single = &events[..events.len() / options.events_per_single_call as usize];
        let half = || {
            let sample = done.iter().find(|(row, _)| *row == Row::DoorSingle);
            sample.map_or(0, |(_, sample)| (sample.rate() / 2.0) as u32).max(1)
        };
        match row {
            Row::Produce => ceilings::produce(parts, events, round),
            Row::Door => door::batches(parts, events, options, round),
            Row::NullHandler => door::null_handler(parts, single, options),
            Row::DoorSingle => door::single(parts, single, options, None, round),
            Row::ProduceHalf => ceilings::produce_paced(parts, single, half(), round),
            Row::DoorHalf => door::single(parts, single, options, Some(half()), round),
            Row::EventTransactions => ceilings::transactions(parts, workload, EVENTS, round),
            Row::SegmentationMemory => segmentation::segmentation(parts, workload, State::Memory, round),
            Row::SegmentationRedis => segmentation::segmentation(parts, workload, State::Redis, round),
            Row::Transactions => ceilings::transactions(parts, workload, TOLD, round),
            Row::JourneysMemory => journeys::journeys(parts, workload, expected, State::Memory, round),
            Row::JourneysRedis => journeys::journeys(parts, workload, expected, State::Redis, round),
        }
    }
}
