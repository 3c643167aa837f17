//! Every metric of the door, each declared once. Labels are few: routes, methods, statuses and reasons are closed sets.

use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::{KeyValue, global};

/// The standard buckets of the semantic conventions for durations in seconds.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The methods that are told apart; every other is the last.
pub(crate) const METHODS: [&str; 8] = ["POST", "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "_OTHER"];

/// Requests being worked on, by method. They come and go with each call, so they are counted here and told when somebody looks.
#[derive(Debug, Default)]
struct Active([AtomicI64; METHODS.len()]);

impl Active {
    fn add(&self, method: &'static str, count: i64) {
        let index = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        self.0[index].fetch_add(count, Ordering::Relaxed);
    }
}

/// The label that names a write key or a sender of webhooks: made once, as most of what is counted has it.
pub(crate) fn source_label(id: &str) -> KeyValue {
    KeyValue::new("vuelve.source", Arc::<str>::from(id))
}

#[derive(Debug)]
pub(crate) struct Metrics {
    duration: Histogram<f64>,
    active: Arc<Active>,
    accepted: Counter<u64>,
    dead_lettered: Counter<u64>,
    limited: Counter<u64>,
    webhooks: Counter<u64>,
    message_links: Counter<u64>,
    visits: Counter<u64>,
    append: Histogram<f64>,
}

impl Metrics {
    /// Of the meter provider that is in force now: the host sets it before it makes a door.
    pub(crate) fn new() -> Self {
        let meter = global::meter("vuelve.ingestion");
        let active = Arc::new(Active::default());
        let counted = Arc::clone(&active);
        meter
            .i64_observable_up_down_counter("http.server.active_requests")
            .with_unit("{request}")
            .with_description("HTTP requests being worked on.")
            .with_callback(move |told| {
                for (method, count) in METHODS.into_iter().zip(&counted.0) {
                    told.observe(count.load(Ordering::Relaxed), &[KeyValue::new("http.request.method", method)]);
                }
            })
            .build();
        Self {
            duration: meter
                .f64_histogram("http.server.request.duration")
                .with_unit("s")
                .with_description("Duration of HTTP requests.")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            active,
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
            visits: meter
                .u64_counter("vuelve.ingestion.visits")
                .with_unit("{event}")
                .with_description(
                    "Events of pages with the token of a message's link in their address, by what came of it.",
                )
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
        self.active.add(method, 1);
    }

    pub(crate) fn request_ended(&self, method: &'static str) {
        self.active.add(method, -1);
    }

    pub(crate) fn request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let labels = [
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route.to_owned()),
            KeyValue::new("http.response.status_code", i64::from(status)),
        ];
        let error = (status >= 500).then(|| KeyValue::new("error.type", status.to_string()));
        record(&self.duration, took, &labels, error);
    }

    /// `source` is a [`source_label`].
    pub(crate) fn events(&self, source: &KeyValue, accepted: u64, dead_lettered: &[&'static str]) {
        if accepted > 0 {
            self.accepted.add(accepted, slice::from_ref(source));
        }
        for reason in dead_lettered {
            self.dead_lettered.add(1, &[source.clone(), KeyValue::new("error.type", *reason)]);
        }
    }

    pub(crate) fn limited(&self, source: &KeyValue, events: usize, limit: &'static str) {
        self.limited.add(events as u64, &[source.clone(), KeyValue::new("vuelve.limit", limit)]);
    }

    /// `topic` and `outcome` are of closed sets.
    pub(crate) fn webhook(&self, source: &KeyValue, topic: &'static str, outcome: &'static str) {
        let labels =
            [source.clone(), KeyValue::new("vuelve.webhook.topic", topic), KeyValue::new("vuelve.outcome", outcome)];
        self.webhooks.add(1, &labels);
    }

    /// `link` is `click` or `open`; `outcome` is of a closed set.
    pub(crate) fn message_link(&self, link: &'static str, outcome: &'static str) {
        self.message_links.add(1, &[KeyValue::new("vuelve.link", link), KeyValue::new("vuelve.outcome", outcome)]);
    }

    /// `outcome` is of a closed set.
    pub(crate) fn visit(&self, outcome: &'static str) {
        self.visits.add(1, &[KeyValue::new("vuelve.outcome", outcome)]);
    }

    pub(crate) fn appended(&self, dataset: &'static str, error: Option<&'static str>, took: Duration) {
        let labels = [
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.name", "send"),
            KeyValue::new("messaging.operation.type", "send"),
            KeyValue::new("messaging.destination.name", dataset),
        ];
        record(&self.append, took, &labels, error.map(|error| KeyValue::new("error.type", error)));
    }
}

fn record(histogram: &Histogram<f64>, took: Duration, labels: &[KeyValue], error: Option<KeyValue>) {
    match error {
        None => histogram.record(took.as_secs_f64(), labels),
        Some(error) => histogram.record(took.as_secs_f64(), &[labels, &[error]].concat()),
    }
}
