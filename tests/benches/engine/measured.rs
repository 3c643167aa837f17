//! A worker of this benchmark, seen from outside: this program once more, as a process of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use testkit::Process;

use crate::options::Measured;
use crate::shared::installation::{Installation, Parts, stop};

/// How long a worker may take to own all partitions; a state that is rebuilt takes its time.
const PATIENCE: Duration = Duration::from_mins(10);

/// A worker that runs.
pub(crate) struct Running {
    process: Process,
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
        Ok(Self { process })
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

    /// Waits until it has taken so many partitions over.
    pub(crate) fn wait_until_it_owns(&self, partitions: i32) -> anyhow::Result<()> {
        let all = || {
            let owned: BTreeSet<i32> = self.takeovers().iter().map(|takeover| takeover.partition).collect();
            owned.len() == partitions as usize
        };
        self.process.wait_ready(PATIENCE, "take all partitions over", all)?;
        Ok(())
    }

    /// Lets it finish and end. One whose batches were aborted was disturbed: what it reached says nothing.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        stop(&self.process)?;
        for what in ["aborted", "halted"] {
            let said = self.said(what);
            ensure!(said.is_empty(), self.process.error(format!("no score: {what}: {}", said[0])));
        }
        Ok(())
    }
}
