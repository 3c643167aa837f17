//! The metrics of this crate, each declared once.

use std::time::Duration;

use opentelemetry::metrics::{Histogram, Meter};
use opentelemetry::{KeyValue, global};

use crate::readiness::Readiness;
use crate::telemetry::SECONDS;

const SCOPE: &str = "vuelve.runtime";
/// Ticks a second of the times in `/proc`: fixed at 100 for user space on every Linux.
const TICKS: f64 = 100.0;

/// `rpc.server.call.duration`, by method and status.
#[derive(Debug)]
pub(crate) struct Rpc {
    duration: Histogram<f64>,
}

impl Rpc {
    pub(crate) fn new() -> Self {
        let duration = global::meter(SCOPE)
            .f64_histogram("rpc.server.call.duration")
            .with_description("How long calls took, from the request's headers to the answer's.")
            .with_unit("s")
            .with_boundaries(SECONDS.to_vec())
            .build();
        Self { duration }
    }

    pub(crate) fn record(&self, method: &str, status: &'static str, took: Duration) {
        let labels = [
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.method", method.to_owned()),
            KeyValue::new("rpc.response.status_code", status),
        ];
        self.duration.record(took.as_secs_f64(), &labels);
    }
}

/// Declares what is read when somebody looks: readiness by condition, and the process's own CPU time and memory.
pub fn observe_process(meter: &Meter, readiness: &Readiness) {
    let of_conditions = readiness.clone();
    meter
        .u64_observable_gauge("vuelve.readiness.condition")
        .with_description("1 if the condition is met, else 0.")
        .with_callback(move |gauge| {
            for (name, reason) in of_conditions.report().conditions {
                gauge.observe(u64::from(reason.is_none()), &[KeyValue::new("vuelve.condition", name)]);
            }
        })
        .build();
    let of_process = readiness.clone();
    meter
        .u64_observable_gauge("vuelve.ready")
        .with_description("1 if the process takes work, else 0.")
        .with_callback(move |gauge| gauge.observe(u64::from(of_process.report().is_ready()), &[]))
        .build();
    meter
        .f64_observable_counter("process.cpu.time")
        .with_description("CPU time of the process, user and system.")
        .with_unit("s")
        .with_callback(|counter| {
            if let Some(seconds) = cpu_seconds() {
                counter.observe(seconds, &[]);
            }
        })
        .build();
    for (name, description, field) in [
        ("process.memory.usage", "Resident memory.", "VmRSS:"),
        ("vuelve.process.memory.peak", "The most resident memory since the start.", "VmHWM:"),
    ] {
        meter
            .u64_observable_gauge(name)
            .with_description(description)
            .with_unit("By")
            .with_callback(move |gauge| {
                if let Some(bytes) = memory_bytes(field) {
                    gauge.observe(bytes, &[]);
                }
            })
            .build();
    }
}

/// proc(5): fields 14 and 15 of `/proc/self/stat`, counted behind the name in parentheses, which may hold spaces.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut ticks = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Some((ticks.next()?.ok()? + ticks.next()?.ok()?) / TICKS)
}

/// proc(5): a line of `/proc/self/status`, in kB.
fn memory_bytes(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
