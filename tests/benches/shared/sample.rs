//! One run of one row, and the stopwatch that takes it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::calls::CallTimes;
use super::usage::Usage;

/// What one run of one row gave.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Between the stopwatch's start and its end.
    pub(crate) events: u64,
    pub(crate) elapsed: Duration,
    /// Of the process that is measured, meanwhile.
    pub(crate) cpu: Duration,
    /// Of the broker, meanwhile.
    pub(crate) broker_cpu: Duration,
    /// Of the process that is measured, since its start; none of a ceiling, whose process also holds the workload.
    pub(crate) peak_bytes: Option<u64>,
    /// Where there are calls.
    pub(crate) calls: Option<CallTimes>,
}

impl Sample {
    /// Events a second.
    pub(crate) fn rate(&self) -> f64 {
        self.events as f64 / self.elapsed.as_secs_f64()
    }

    /// CPU seconds for a million events.
    pub(crate) fn cpu_seconds_per_million(&self) -> f64 {
        per_million(self.cpu, self.events)
    }

    /// The broker's CPU seconds for a million events.
    pub(crate) fn broker_cpu_seconds_per_million(&self) -> f64 {
        per_million(self.broker_cpu, self.events)
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "events": self.events,
            "elapsed_seconds": self.elapsed.as_secs_f64(),
            "events_per_second": self.rate(),
            "cpu_seconds_per_million_events": self.cpu_seconds_per_million(),
            "broker_cpu_seconds_per_million_events": self.broker_cpu_seconds_per_million(),
            "peak_bytes": self.peak_bytes,
            "call_p50_ms": self.calls.map(|calls| calls.p50_ms),
            "call_p99_ms": self.calls.map(|calls| calls.p99_ms),
        })
    }
}

fn per_million(cpu: Duration, events: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / events as f64
}

/// Runs while a process works.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    process: u32,
    broker: u32,
    began: Instant,
    cpu: Duration,
    broker_cpu: Duration,
}

impl Stopwatch {
    /// Starts now, for the process with this id and the broker's.
    pub(crate) fn start(process: u32, broker: u32) -> anyhow::Result<Self> {
        let (cpu, broker_cpu) = (Usage::of(process)?.cpu, Usage::of(broker)?.cpu);
        Ok(Self { process, broker, began: Instant::now(), cpu, broker_cpu })
    }

    /// So many events later.
    pub(crate) fn stop(&self, events: u64) -> anyhow::Result<Sample> {
        let elapsed = self.began.elapsed();
        let (process, broker) = (Usage::of(self.process)?, Usage::of(self.broker)?);
        let own = self.process == std::process::id();
        Ok(Sample {
            events,
            elapsed,
            cpu: process.cpu.saturating_sub(self.cpu),
            broker_cpu: broker.cpu.saturating_sub(self.broker_cpu),
            peak_bytes: (!own).then_some(process.peak_bytes),
            calls: None,
        })
    }
}
