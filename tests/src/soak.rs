//! The whole of it: replay after replay under one kind of fault each, until there were so many of every kind. What was done
//! is kept in a file, a line a replay, so that it may be done in several parts; the summary is of the whole file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use crate::clickstream::Stream;
use crate::faults;
use crate::scene::{BY_ITSELF, Counts, Outcome, Scene};

/// What is to be reached.
#[derive(Clone, Debug)]
pub struct Soak {
    /// `kill -9` in all over the services; of the other faults a share of it.
    pub kills: usize,
    /// How many events are to be replayed meanwhile.
    pub events: usize,
    /// When to end in any case; none: when all is reached.
    pub limit: Option<Duration>,
    /// Where the lines are kept.
    pub log: PathBuf,
}

/// A kind of fault: its name, what makes it, and how many there are to be for each hundred kills.
struct Kind {
    name: &'static str,
    faults: fn(&Scene, usize, u64) -> anyhow::Result<Counts>,
    per_hundred_kills: usize,
}

const KINDS: [Kind; 7] = [
    Kind { name: "kills", faults: faults::kills, per_hundred_kills: 100 },
    Kind { name: "zombies", faults: faults::zombies, per_hundred_kills: 10 },
    Kind { name: "Redis faults", faults: faults::redis, per_hundred_kills: 5 },
    Kind { name: "broker kills", faults: faults::broker_kills, per_hundred_kills: 5 },
    Kind { name: "other broker faults", faults: faults::other_broker_faults, per_hundred_kills: 3 },
    Kind { name: "network faults", faults: faults::network, per_hundred_kills: 5 },
    Kind { name: "joins and leaves", faults: faults::joins_and_leaves, per_hundred_kills: 5 },
];
/// Goes on until there were enough events, with fewer kills, of which there were enough.
const REST: Kind = Kind { faults: faults::kills_now_and_then, ..KINDS[0] };
/// How many customers do what one did who was recorded: 300,000 events and more a replay.
const TIMES: usize = 4;

/// The sums of a log.
#[derive(Debug, Default)]
struct Sums {
    replays: usize,
    inexact: usize,
    events: usize,
    requests: usize,
    unknown: usize,
    decisions: usize,
    states: usize,
    seconds: f64,
    by_kind: BTreeMap<String, usize>,
    by_fault: Counts,
}

impl Soak {
    /// Goes on until all is reached, or its time is up; ends at the first replay that is not exact, which
    /// the file then tells of too. Returns the summary.
    pub fn run(&self) -> anyhow::Result<String> {
        let began = Instant::now();
        loop {
            let sums = Sums::read(&self.log)?;
            let next = self.next(&sums);
            let (Some(kind), false) = (next, self.limit.is_some_and(|limit| began.elapsed() >= limit)) else {
                return Ok(self.summary(&sums));
            };
            match part(sums.replays, kind) {
                Ok(outcome) => self.keep(kind, &outcome)?,
                Err(error) => {
                    self.write(&json!({ "kind": kind.name, "inexact": format!("{error:#}") }))?;
                    return Err(error.context(format!("replay {}: {}", sums.replays, kind.name)));
                }
            }
        }
    }

    /// The kind of which the least part is reached; none where all is.
    fn next(&self, sums: &Sums) -> Option<&'static Kind> {
        let lacking = KINDS.iter().filter(|kind| sums.of(kind) < self.goal(kind));
        let part = |kind: &&Kind| 1_000 * sums.of(kind) / self.goal(kind).max(1);
        lacking.min_by_key(part).or_else(|| Some(&REST).filter(|_| sums.events < self.events))
    }

    fn goal(&self, kind: &Kind) -> usize {
        (self.kills * kind.per_hundred_kills).div_ceil(100)
    }

    fn keep(&self, kind: &Kind, outcome: &Outcome) -> anyhow::Result<()> {
        let Outcome { events, requests, unknown, decisions, states, faults, seconds } = outcome;
        let line = json!({
            "kind": kind.name, "events": events, "requests": requests, "unknown": unknown, "decisions": decisions,
            "states": states, "faults": faults, "seconds": seconds,
        });
        self.write(&line)?;
        println!("{}", self.summary(&Sums::read(&self.log)?));
        Ok(())
    }

    fn write(&self, line: &Value) -> anyhow::Result<()> {
        let mut log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        writeln!(log, "{line}")?;
        Ok(())
    }

    fn summary(&self, sums: &Sums) -> String {
        let Sums { replays, inexact, events, requests, unknown, decisions, states, seconds, by_fault, .. } = sums;
        let mut text = format!(
            "| what | how many | goal |\n|---|---|---|\n| replays | {replays}, {:.1} h | |\n| events | {events} | {} |\n",
            seconds / 3_600.0,
            self.events
        );
        for kind in &KINDS {
            let _written = writeln!(text, "| {} | {} | {} |", kind.name, sums.of(kind), self.goal(kind));
        }
        for (fault, count) in by_fault {
            let _written = writeln!(text, "| – {fault} | {count} | |");
        }
        let _written = writeln!(
            text,
            "| decisions, each once and in order | {decisions} | |\n| messages asked for, each once | {requests} | |\n\
             | – of which nobody knows whether they left | {unknown} | |\n| states that Redis held as the changelogs do | {states} | |\n\
             | replays that lost, doubled or reordered something, or did not end | {inexact} | 0 |"
        );
        text
    }
}

/// One replay.
fn part(number: usize, kind: &Kind) -> anyhow::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    // Every other time the awkward one.
    let awkward = !number.is_multiple_of(2);
    let stream = if awkward { Stream::awkward(folder.path())? } else { Stream::many(folder.path(), TIMES)? };
    let seed = 1_000_000 * (number as u64 + 1);
    Scene::set()?.is_exact_under("soak", &stream, |scene| (kind.faults)(scene, usize::MAX, seed))
}

impl Sums {
    fn of(&self, kind: &Kind) -> usize {
        self.by_kind.get(kind.name).copied().unwrap_or_default()
    }

    fn read(log: &Path) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(log) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.with_context(|| log.display().to_string())?,
        };
        let mut sums = Self::default();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            let number = |name: &str| line[name].as_u64().unwrap_or_default() as usize;
            sums.replays += 1;
            sums.inexact += usize::from(line["inexact"].is_string());
            sums.events += number("events");
            sums.requests += number("requests");
            sums.unknown += number("unknown");
            sums.decisions += number("decisions");
            sums.states += number("states");
            sums.seconds += line["seconds"].as_f64().unwrap_or_default();
            for (fault, count) in line["faults"].as_object().into_iter().flatten() {
                let count = count.as_u64().unwrap_or_default() as usize;
                *sums.by_fault.entry(fault.clone()).or_default() += count;
                if fault.starts_with(BY_ITSELF) {
                    continue;
                }
                *sums.by_kind.entry(line["kind"].as_str().unwrap_or_default().to_owned()).or_default() += count;
            }
        }
        Ok(sums)
    }
}
