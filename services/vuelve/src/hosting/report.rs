//! What workers report, as readiness and metrics.

use std::time::Duration;

use kafka::WorkerReport;
use opentelemetry::metrics::{Counter, Gauge, Histogram};
use opentelemetry::{KeyValue, global};
use runtime::readiness::Condition;
use stream::{Counts, HaltReason, Partition};

/// Every metric of a worker, declared once.
struct Metrics {
    /// `vuelve.records`: what became of the records that were read.
    records: Counter<u64>,
    /// `vuelve.outputs`: records written for other services.
    outputs: Counter<u64>,
    /// `vuelve.transactions`: by how they ended.
    transactions: Counter<u64>,
    /// `vuelve.commit.duration`, seconds.
    commit_seconds: Histogram<f64>,
    /// `vuelve.takeover.duration`, seconds.
    takeover_seconds: Histogram<f64>,
    /// `vuelve.partitions.halted`.
    halted: Gauge<u64>,
}

/// The report of one worker.
pub(super) struct Report {
    condition: Condition,
    metrics: Metrics,
}

impl Report {
    pub(super) fn new(condition: Condition) -> Self {
        let meter = global::meter("vuelve");
        let metrics = Metrics {
            records: meter.u64_counter("vuelve.records").with_description("Records read, by outcome").build(),
            outputs: meter.u64_counter("vuelve.outputs").with_description("Records written for other services").build(),
            transactions: meter
                .u64_counter("vuelve.transactions")
                .with_description("Transactions, by how they ended")
                .build(),
            commit_seconds: meter.f64_histogram("vuelve.commit.duration").with_unit("s").build(),
            takeover_seconds: meter.f64_histogram("vuelve.takeover.duration").with_unit("s").build(),
            halted: meter.u64_gauge("vuelve.partitions.halted").with_description("Partitions that stand still").build(),
        };
        Self { condition, metrics }
    }
}

impl WorkerReport for Report {
    fn ready(&self, ready: bool, why: &str) {
        if ready {
            self.condition.met();
        } else {
            self.condition.not_met(why);
        }
    }

    fn committed(&self, service: &'static str, counts: &Counts, outputs: usize, took: Duration) {
        for ((what, outcome, reason), count) in counts {
            let labels = [
                KeyValue::new("service", service),
                KeyValue::new("input", *what),
                KeyValue::new("outcome", *outcome),
                KeyValue::new("reason", *reason),
            ];
            self.metrics.records.add(*count, &labels);
        }
        let service = KeyValue::new("service", service);
        self.metrics.outputs.add(outputs as u64, std::slice::from_ref(&service));
        self.metrics.transactions.add(1, &[service.clone(), KeyValue::new("outcome", "committed")]);
        self.metrics.commit_seconds.record(took.as_secs_f64(), &[service]);
    }

    fn aborted(&self, service: &'static str, why: &str) {
        tracing::warn!(service, why, "a transaction was aborted; its records are processed again");
        let labels = [KeyValue::new("service", service), KeyValue::new("outcome", "aborted")];
        self.metrics.transactions.add(1, &labels);
    }

    fn taken_over(&self, service: &'static str, partition: Partition, records: u64, took: Duration) {
        tracing::info!(service, partition, records, seconds = took.as_secs_f64(), "taken over");
        self.metrics.takeover_seconds.record(took.as_secs_f64(), &[KeyValue::new("service", service)]);
    }

    fn halted(&self, service: &'static str, partition: Partition, reason: &HaltReason) {
        tracing::error!(service, partition, %reason, "a partition stands still");
        let labels = [KeyValue::new("service", service), KeyValue::new("partition", i64::from(partition))];
        self.metrics.halted.record(1, &labels);
        self.condition.not_met(format!("partition {partition} stands still: {reason}"));
    }
}
