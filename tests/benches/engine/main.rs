//! What does the engine reach, beside what a plain client, a bare loop or a configured wait reaches in the same run?
//!
//! Wanted properties, beside those of `pipeline`:
//! - each row has a goal, and the report says by how much it is missed;
//! - what is measured is a process of its own: this program again, with a service of its own on the real drivers;
//! - latencies count from when an event was due to be sent, whether or not the sender was late.
//!
//! `make bench` runs it.

mod backfill;
mod ceiling;
mod drain;
mod follower;
mod kill;
mod large_state;
mod latency;
mod lookups;
mod measured;
mod options;
mod profile;
mod rebuild;
mod reminders;
mod report;
mod send_paced;
mod settings;
#[path = "../shared/mod.rs"]
mod shared;
mod timers;
mod whole;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;
use tests::installation::State;

use crate::drain::{Drained, Events, drain};
use crate::options::{Command, Hidden};
use crate::report::{Figure, Report, figure};
use crate::shared::installation::Parts;
use crate::shared::options::{Options, Part};
use crate::shared::sample::Sample;

/// What `vuelve` has: the workers that are measured run in this program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = Command::parse();
    let result = match &command.hidden {
        Some(Hidden::Worker(arguments)) => worker::run(arguments),
        Some(Hidden::Hold(arguments)) => timers::hold(arguments),
        Some(Hidden::Echo(arguments)) => lookups::echo(arguments),
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
    if !Part::ENGINE.into_iter().any(|part| options.wants(part)) {
        return Ok(());
    }
    let mut report = Report::new(&options);
    eprintln!("starting Apache Kafka, the schema registry and Redis");
    let parts = Parts::start(options.partitions)?;
    let bench = Bench { options, parts };
    bench.measure(&mut report)?;
    print!("{report}");
    eprintln!("written to {}", report.save()?.display());
    Ok(())
}

/// Measures a row as often as is asked for.
type Measurement = fn(&Parts, &Options, &mut Report) -> anyhow::Result<()>;

/// What all rows share.
struct Bench {
    options: Options,
    parts: Parts,
}

impl Bench {
    fn measure(&self, report: &mut Report) -> anyhow::Result<()> {
        if self.options.wants(Part::S1) || self.options.wants(Part::S2) {
            self.drain(report)?;
        }
        let Self { options, parts } = self;
        let others: [(Part, Measurement); 7] = [
            (Part::L, latency::latency),
            (Part::R1, kill::kill),
            (Part::R2, rebuild::rebuild),
            (Part::T1, timers::timers),
            (Part::E1, whole::whole),
            (Part::B, backfill::backfill),
            (Part::Q1, lookups::lookups),
        ];
        for (_, measure) in others.into_iter().filter(|(part, _)| options.wants(*part)) {
            measure(parts, options, report)?;
        }
        Ok(())
    }

    /// Round by round, as `pipeline` does it: the first warms the broker up and does not count.
    fn drain(&self, report: &mut Report) -> anyhow::Result<()> {
        let Self { options, parts } = self;
        eprintln!("making up events");
        let events = Events::new(options);
        for round in 0..=options.runs() {
            let mut rows: Vec<(&str, Vec<Figure>)> = Vec::new();
            let memory = drain(parts, &events, (State::Memory, 1), &format!("memory{round}"))?;
            let ceiling = ceiling::plain_loop(parts, &events, &memory)?;
            rows.push(("S1 ceiling: the plain loop that writes the same", rates(&ceiling)));
            rows.push(("S1 profile, store in memory", in_memory(&memory, &ceiling, &events)));
            let rate = memory.sample.rate();
            memory.remove()?;
            let two = drain(parts, &events, (State::Memory, 2), &format!("two{round}"))?;
            rows.push(("S1 profile, two workers in the process", in_memory(&two, &ceiling, &events)));
            two.remove()?;
            if options.wants(Part::S2) {
                let redis = drain(parts, &events, (State::Redis, 1), &format!("redis{round}"))?;
                let share = figure("of S1's rate, %", redis.sample.rate() * 100.0 / rate, 1).at_least(50.0);
                rows.push(("S2 profile, store in Redis, cold cache", [rates(&redis.sample), vec![share]].concat()));
                redis.remove()?;
            }
            for (row, figures) in rows {
                let count = if round == 0 { "warming up".to_owned() } else { format!("{round} of {}", options.runs()) };
                eprintln!("{count}: {row}: {:.0} events/s", figures[0].value);
                if round > 0 {
                    report.add(row, &figures);
                }
            }
        }
        Ok(())
    }
}

fn rates(sample: &Sample) -> Vec<Figure> {
    let mut figures = vec![
        figure("events/s", sample.rate(), 0),
        figure("CPU s a million events", sample.cpu_seconds_per_million(), 2),
        figure("broker's CPU s a million events", sample.broker_cpu_seconds_per_million(), 2),
    ];
    figures.extend(sample.peak_bytes.map(|bytes| figure("peak MiB", bytes as f64 / f64::from(1 << 20), 0)));
    figures
}

/// With the goals of S1. Kafka Streams takes 9.2 to 10.9 CPU seconds a million events for the same work.
fn in_memory(memory: &Drained<'_>, ceiling: &Sample, events: &Events) -> Vec<Figure> {
    let mut figures = rates(&memory.sample);
    for figure in &mut figures {
        *figure = match figure.name {
            "CPU s a million events" => figure.at_most(9.2 / 2.0),
            "peak MiB" => figure.at_most(300.0),
            _ => *figure,
        };
    }
    let share = memory.sample.rate() * 100.0 / ceiling.rate();
    figures.push(figure("of the ceiling's rate, %", share, 1).at_least(70.0));
    figures.push(figure("changelog records an event", events.share(memory.found.states), 3));
    figures
}
