//! A worker of this benchmark, seen from outside: this program once more, as a process of its own.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use testkit::Process;

use crate::options::Measured;
use crate::shared::installation::{Installation, Parts, stop};
use crate::worker::now_ms;

/// How long a worker may take to own all partitions; a state that is rebuilt takes its time.
const PATIENCE: Duration = Duration::from_mins(10);

/// A process with workers that runs.
pub(crate) struct Running {
    process: Process,
    /// From when on a batch that is aborted says that it was disturbed.
    counts_from_ms: Cell<f64>,
}

/// A takeover, as the worker told it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Takeover {
    pub(crate) partition: i32,
    /// When it was done.
    pub(crate) at_ms: f64,
    pub(crate) took_ms: f64,
    pub(crate) records: u64,
}

impl Running {
    /// Starts a worker; returns at once.
    pub(crate) fn start(
        parts: &Parts,
        installation: &Installation<'_>,
        service: Measured,
        settings: &[&str],
        name: &str,
    ) -> anyhow::Result<Self> {
        let process = Process::spec(format!("bench-{name}"), std::env::current_exe()?)
            .args(["worker", service.word(), "--config"])
            .arg(parts.config())
            .args(["--set", &installation.prefix_setting()])
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            .log(installation.log(name))
            .start()?;
        Ok(Self { process, counts_from_ms: Cell::default() })
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        self.process.pid().context("the worker has ended")
    }

    /// What it said, of one kind.
    pub(crate) fn said(&self, what: &str) -> Vec<Value> {
        let log = self.process.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["what"] == what).collect()
    }

    pub(crate) fn takeovers(&self) -> Vec<Takeover> {
        let takeover = |line: &Value| {
            Some(Takeover {
                partition: i32::try_from(line["partition"].as_i64()?).ok()?,
                at_ms: line["at_ms"].as_f64()?,
                took_ms: line["took_ms"].as_f64()?,
                records: line["records"].as_u64()?,
            })
        };
        self.said("taken_over").iter().filter_map(takeover).collect()
    }

    /// Waits until it owns so many partitions, and each of its workers its share of them. While they join, batches of those
    /// that were there before may be aborted.
    pub(crate) fn wait_until_it_owns(&self, partitions: i32, workers: u32) -> anyhow::Result<()> {
        let share = partitions as usize / workers as usize;
        let all = || {
            let owners = self.owners();
            let of = |worker: u64| owners.values().filter(|owner| **owner == worker).count();
            owners.len() == partitions as usize && (0..u64::from(workers)).all(|worker| of(worker) >= share)
        };
        self.process.wait_ready(PATIENCE, "take all partitions over", all)?;
        self.counts_from_now();
        Ok(())
    }

    /// What was aborted before did not disturb what is measured.
    pub(crate) fn counts_from_now(&self) {
        self.counts_from_ms.set(now_ms());
    }

    /// By partition: which of its workers owns it.
    fn owners(&self) -> BTreeMap<i64, u64> {
        let mut owners = BTreeMap::new();
        for line in self.process.log().lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let (Some(partition), Some(worker)) = (line["partition"].as_i64(), line["worker"].as_u64()) else {
                continue;
            };
            match line["what"].as_str() {
                Some("taken_over") => drop(owners.insert(partition, worker)),
                Some("given_up") if owners.get(&partition) == Some(&worker) => drop(owners.remove(&partition)),
                _ => {}
            }
        }
        owners
    }

    /// Lets it finish and end. One whose batches were aborted was disturbed: what it reached says nothing.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        stop(&self.process)?;
        for what in ["aborted", "halted"] {
            let mut said = self.said(what);
            said.retain(|line| line["at_ms"].as_f64() >= Some(self.counts_from_ms.get()));
            ensure!(said.is_empty(), self.process.error(format!("no score: {what}: {}", said[0])));
        }
        Ok(())
    }
}
