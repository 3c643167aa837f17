//! Every metric of the door, each declared once. Labels are few: routes, methods, statuses and reasons are closed sets.

use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram, UpDownCounter};
use opentelemetry::{KeyValue, global};

/// The standard buckets of the semantic conventions for durations in seconds.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

#[derive(Debug)]
pub(crate) struct Metrics {
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
    accepted: Counter<u64>,
    dead_lettered: Counter<u64>,
    limited: Counter<u64>,
    webhooks: Counter<u64>,
    message_links: Counter<u64>,
    append: Histogram<f64>,
}

impl Metrics {
    /// Of the meter provider that is in force now: the host sets it before it makes a door.
    pub(crate) fn new() -> Self {
        let meter = global::meter("vuelve.ingestion");
        Self {
            duration: meter
                .f64_histogram("http.server.request.duration")
                .with_unit("s")
                .with_description("Duration of HTTP requests.")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            active: meter
                .i64_up_down_counter("http.server.active_requests")
                .with_unit("{request}")
                .with_description("HTTP requests being worked on.")
                .build(),
            accepted: meter
                .u64_counter("vuelve.ingestion.events.accepted")
                .with_unit("{event}")
                .with_description("Events that the broker has acknowledged.")
                .build(),
            dead_lettered: meter
                .u64_counter("vuelve.ingestion.events.dead_lettered")
                .with_unit("{event}")
                .with_description("Events of calls that were taken, put into the dead letters, by reason.")
                .build(),
            limited: meter
                .u64_counter("vuelve.ingestion.events.limited")
                .with_unit("{event}")
                .with_description("Events that were told to come again, because their write key has a limit.")
                .build(),
            webhooks: meter
                .u64_counter("vuelve.ingestion.webhooks")
                .with_unit("{webhook}")
                .with_description("Webhooks by topic and outcome.")
                .build(),
            message_links: meter
                .u64_counter("vuelve.ingestion.message_links")
                .with_unit("{request}")
                .with_description("Clicks on links of messages and opens of messages, by what came of it.")
                .build(),
            append: meter
                .f64_histogram("messaging.client.operation.duration")
                .with_unit("s")
                .with_description("Duration of appending a call's records to the event log.")
                .with_boundaries(SECONDS.to_vec())
                .build(),
        }
    }

    pub(crate) fn request_begins(&self, method: &'static str) {
        self.active.add(1, &[KeyValue::new("http.request.method", method)]);
    }

    pub(crate) fn request_ended(&self, method: &'static str) {
        self.active.add(-1, &[KeyValue::new("http.request.method", method)]);
    }

    pub(crate) fn request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let mut labels = vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route.to_owned()),
            KeyValue::new("http.response.status_code", i64::from(status)),
        ];
        if status >= 500 {
            labels.push(KeyValue::new("error.type", status.to_string()));
        }
        self.duration.record(took.as_secs_f64(), &labels);
    }

    pub(crate) fn events(&self, source: &str, accepted: u64, dead_lettered: &[&'static str]) {
        let source = KeyValue::new("vuelve.source", source.to_owned());
        if accepted > 0 {
            self.accepted.add(accepted, std::slice::from_ref(&source));
        }
        for reason in dead_lettered {
            self.dead_lettered.add(1, &[source.clone(), KeyValue::new("error.type", *reason)]);
        }
    }

    pub(crate) fn limited(&self, source: &str, events: usize, limit: &'static str) {
        let labels = [KeyValue::new("vuelve.source", source.to_owned()), KeyValue::new("vuelve.limit", limit)];
        self.limited.add(events as u64, &labels);
    }

    /// `topic` and `outcome` are of closed sets.
    pub(crate) fn webhook(&self, source: &str, topic: &'static str, outcome: &'static str) {
        let labels = [
            KeyValue::new("vuelve.source", source.to_owned()),
            KeyValue::new("vuelve.webhook.topic", topic),
            KeyValue::new("vuelve.outcome", outcome),
        ];
        self.webhooks.add(1, &labels);
    }

    /// `link` is `click` or `open`; `outcome` is of a closed set.
    pub(crate) fn message_link(&self, link: &'static str, outcome: &'static str) {
        self.message_links.add(1, &[KeyValue::new("vuelve.link", link), KeyValue::new("vuelve.outcome", outcome)]);
    }

    pub(crate) fn appended(&self, dataset: &'static str, error: Option<&'static str>, took: Duration) {
        let mut labels = vec![
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.name", "send"),
            KeyValue::new("messaging.operation.type", "send"),
            KeyValue::new("messaging.destination.name", dataset),
        ];
        labels.extend(error.map(|error| KeyValue::new("error.type", error)));
        self.append.record(took.as_secs_f64(), &labels);
    }
}
