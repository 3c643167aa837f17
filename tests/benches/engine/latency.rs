//! Row L: from when an event is due to be produced to when what came of it is visible to a `read_committed` reader, at 5,000
//! events a second, for several commit intervals.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::drain::installation;
use crate::follower::{Follower, latencies};
use crate::measured::Running;
use crate::options::Measured;
use crate::profile::{CHANGELOG, CHANGES};
use crate::report::{Figure, Report, figure};
use crate::send_paced::send_paced;
use crate::shared::event::{Event, What};
use crate::shared::installation::{Installation, Parts};
use crate::shared::options::Options;
use crate::shared::pace::Pace;
use crate::shared::percentiles::Percentiles;
use crate::shared::sample::Stopwatch;
use crate::shared::workload::{Size, Workload};

const EVENTS_PER_SECOND: u32 = 5_000;
const COMMIT_INTERVALS_MS: [u32; 5] = [10, 25, 50, 100, 250];
/// The one that the goals are for.
const GOAL_MS: u32 = 100;
/// What comes first warms up, and does not count.
const WARM_UP_SECONDS: u32 = 4;

/// All intervals, as often as is asked for.
pub(crate) fn latency(parts: &Parts, options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let seconds = WARM_UP_SECONDS + if options.full { 60 } else { 12 };
    for run in 0..=options.runs() {
        let installation = installation(parts, &format!("latency{run}"))?;
        if run == 0 {
            // A young broker is slow.
            one(parts, &installation, &events(options, seconds, 0), GOAL_MS)?;
            installation.remove_with(&[CHANGELOG, CHANGES])?;
            continue;
        }
        for (index, interval_ms) in COMMIT_INTERVALS_MS.into_iter().enumerate() {
            let events = events(options, seconds, index as u32);
            let figures = one(parts, &installation, &events, interval_ms)?;
            let row = format!("L commits each {interval_ms} ms");
            eprintln!(
                "{} of {}: {row}: p50 {:.1} ms, p99 {:.1} ms",
                run,
                options.runs(),
                figures[0].value,
                figures[1].value
            );
            report.add(&row, &figures);
        }
        installation.remove_with(&[CHANGELOG, CHANGES])?;
    }
    Ok(())
}

/// Others than those of the intervals before.
fn events(options: &Options, seconds: u32, index: u32) -> Vec<Event> {
    let count = EVENTS_PER_SECOND * seconds;
    let size = Size { events: count, seed: options.seed + u64::from(index), ..options.size() };
    let events = Workload::new(&size).for_the_door().to_vec();
    events.into_iter().map(|event| Event { number: event.number + index * count, ..event }).collect()
}

fn one(
    parts: &Parts,
    installation: &Installation<'_>,
    events: &[Event],
    interval_ms: u32,
) -> anyhow::Result<Vec<Figure>> {
    let settings = ["store.kind=memory".to_owned(), format!("kafka.commit_interval={interval_ms}ms")];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let name = format!("profile-{interval_ms}");
    let running = Running::start(parts, installation, Measured::Profile, &settings, &name)?;
    running.wait_until_it_owns(parts.clients().partitions(), 1)?;
    let follower = Follower::new(parts, installation)?;
    let producer = parts.clients().prompt_producer()?;
    let wanted = OnceLock::new();
    let added = events.iter().filter(|event| event.what == What::Added).count();
    let failed = AtomicBool::new(false);
    let pace = Pace::from_now(EVENTS_PER_SECOND);
    let stopwatch = Stopwatch::start(running.pid()?, parts.broker_pid()?)?;
    let seen = std::thread::scope(|scope| {
        let following = scope.spawn(|| follower.follow(&wanted, &failed, |_| {}));
        let sent = send_paced(&producer, installation, events, pace, &failed);
        failed.store(sent.is_err(), Ordering::Relaxed);
        let _first = wanted.set(added);
        let seen = following.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
        sent.and(seen)
    })?;
    let sample = stopwatch.stop(events.len() as u64)?;
    running.stop()?;
    let counted = (WARM_UP_SECONDS * EVENTS_PER_SECOND) as usize;
    let all = latencies(events, |number| pace.due(number), &seen)?;
    let times =
        Percentiles::of(all.into_iter().filter(|(number, _)| *number >= counted).map(|(_, time)| time).collect());
    let (p50, p99) = (figure("p50, ms", times.ms(50), 1), figure("p99, ms", times.ms(99), 1));
    let goal = interval_ms == GOAL_MS;
    Ok(vec![
        if goal { p50.at_most(60.0) } else { p50 },
        if goal { p99.at_most(120.0) } else { p99 },
        figure("most, ms", times.ms(100), 1),
        figure("samples", times.count() as f64, 0),
        figure("CPU of the worker, % of a core", sample.cpu.as_secs_f64() * 100.0 / sample.elapsed.as_secs_f64(), 1),
        figure(
            "CPU of the broker, % of a core",
            sample.broker_cpu.as_secs_f64() * 100.0 / sample.elapsed.as_secs_f64(),
            1,
        ),
    ])
}
