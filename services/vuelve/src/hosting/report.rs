//! What workers report, as readiness and metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kafka::WorkerReport;
use opentelemetry::metrics::{Counter, Gauge, Histogram};
use opentelemetry::{KeyValue, global};
use runtime::readiness::Condition;
use runtime::telemetry::SECONDS;
use stream::{Counts, HaltReason, Partition};

/// Which service a worker is of.
const SERVICE: &str = "vuelve.service";
/// How a record, a timer, a side effect or a transaction ended.
const OUTCOME: &str = "vuelve.outcome";

/// Every metric of a worker, declared once. Labels are few: services, inputs, outcomes and reasons are closed sets.
struct Metrics {
    /// `vuelve.records`: what became of the records that were read, of timers and of side effects.
    records: Counter<u64>,
    /// `vuelve.outputs`: records written for other services.
    outputs: Counter<u64>,
    /// `vuelve.transactions`: by how they ended.
    transactions: Counter<u64>,
    /// `messaging.client.operation.duration`: how long the commit of a transaction took.
    commit_seconds: Histogram<f64>,
    /// `vuelve.takeover.duration`: how long it took to bring the store up to the changelog.
    takeover_seconds: Histogram<f64>,
    /// `vuelve.partitions.halted`: by partition that this process owned: 1 if it stands still, else 0.
    halted: Gauge<u64>,
    /// `vuelve.customers.untold`: by partition that this process owned: how many were not told of what is in force.
    untold: Gauge<u64>,
}

impl Metrics {
    /// Of the meter provider that is in force now: the host sets it before it starts a worker.
    fn new() -> Self {
        let meter = global::meter("vuelve.worker");
        Self {
            records: meter
                .u64_counter("vuelve.records")
                .with_unit("{record}")
                .with_description("Records read, timers fired and side effects ended, by outcome.")
                .build(),
            outputs: meter
                .u64_counter("vuelve.outputs")
                .with_unit("{record}")
                .with_description("Records written for other services.")
                .build(),
            transactions: meter
                .u64_counter("vuelve.transactions")
                .with_unit("{transaction}")
                .with_description("Transactions, by how they ended.")
                .build(),
            commit_seconds: meter
                .f64_histogram("messaging.client.operation.duration")
                .with_unit("s")
                .with_description("Duration of a batch's commit: its transaction, from its beginning on, and the store's write behind it.")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            takeover_seconds: meter
                .f64_histogram("vuelve.takeover.duration")
                .with_unit("s")
                .with_description("Duration of bringing a partition's state up to its changelog.")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            halted: meter
                .u64_gauge("vuelve.partitions.halted")
                .with_unit("{partition}")
                .with_description("Partitions that stand still.")
                .build(),
            untold: meter
                .u64_gauge("vuelve.customers.untold")
                .with_unit("{customer}")
                .with_description("Customers who were not judged yet by the definitions and boundaries in force.")
                .build(),
        }
    }
}

/// The report of one worker.
pub(super) struct Report {
    condition: Condition,
    metrics: Metrics,
    /// Whether the worker has partition 0: what is to be done once in an installation is done beside it.
    has_first: Arc<AtomicBool>,
}

impl Report {
    pub(super) fn new(condition: Condition) -> Self {
        Self { condition, metrics: Metrics::new(), has_first: Arc::default() }
    }

    /// Whether the worker has partition 0, from now on.
    pub(super) fn has_first(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_first)
    }

    fn note(&self, partition: Partition, is_here: bool) {
        if partition == 0 {
            self.has_first.store(is_here, Ordering::Relaxed);
        }
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
                KeyValue::new(SERVICE, service),
                KeyValue::new("vuelve.input", *what),
                KeyValue::new(OUTCOME, *outcome),
                KeyValue::new("vuelve.reason", *reason),
            ];
            self.metrics.records.add(*count, &labels);
        }
        let service = KeyValue::new(SERVICE, service);
        self.metrics.outputs.add(outputs as u64, std::slice::from_ref(&service));
        self.metrics.transactions.add(1, &[service.clone(), KeyValue::new(OUTCOME, "committed")]);
        let commit = [
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.name", "commit"),
            KeyValue::new("messaging.operation.type", "settle"),
            service,
        ];
        self.metrics.commit_seconds.record(took.as_secs_f64(), &commit);
    }

    fn untold(&self, service: &'static str, partition: Partition, untold: u64) {
        self.metrics.untold.record(untold, &of_partition(service, partition));
    }

    fn aborted(&self, service: &'static str, why: &str) {
        tracing::warn!(service, why, "a transaction was aborted; its records are processed again");
        let labels = [KeyValue::new(SERVICE, service), KeyValue::new(OUTCOME, "aborted")];
        self.metrics.transactions.add(1, &labels);
    }

    fn taken_over(&self, service: &'static str, partition: Partition, records: u64, took: Duration) {
        tracing::info!(service, partition, records, seconds = took.as_secs_f64(), "taken over");
        self.metrics.takeover_seconds.record(took.as_secs_f64(), &[KeyValue::new(SERVICE, service)]);
        self.metrics.halted.record(0, &of_partition(service, partition));
        self.note(partition, true);
    }

    fn given_up(&self, service: &'static str, partition: Partition) {
        self.note(partition, false);
        self.metrics.halted.record(0, &of_partition(service, partition));
        self.metrics.untold.record(0, &of_partition(service, partition));
    }

    fn halted(&self, service: &'static str, partition: Partition, reason: &HaltReason) {
        tracing::error!(service, partition, %reason, "a partition stands still");
        self.metrics.halted.record(1, &of_partition(service, partition));
    }
}

fn of_partition(service: &'static str, partition: Partition) -> [KeyValue; 2] {
    [KeyValue::new(SERVICE, service), KeyValue::new("vuelve.partition", i64::from(partition))]
}
