//! The spans of a worker, each declared once.
//!
//! Wanted properties:
//! - a record without a context, or in a trace that is not sampled, costs a look at its header and nothing else: no span, no
//!   allocation, and its context is carried on as it came;
//! - one trace leads from a record to all that follows from it: `process` is the child of what sent the record, `send` the
//!   child of what was processed, however long a timer lay between;
//! - a timer is linked and no parent: the span of its firing begins a trace of its own, which names the trace that set it,
//!   and what it sent names the firing;
//! - no key and no value of a record is in a span.
//!
//! A `process` span lasts from when the engine was told of the record until the transaction with its effects is committed
//! and the store has followed, so it holds the wait for the batch; one that ends with `error.type` = `taken_back` was given up, and the record is
//! processed again, here or by another. A `send` span lasts from when the record was written until it was committed.

use std::sync::Arc;

use opentelemetry::global::{self, BoxedSpan, BoxedTracer};
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue};
use stream::{Batch, Dataset, DeadLetter, Emitted, Partition, RecordFate, Service, Topology, Trace, Worker};

/// More are not open at once: a record beyond them carries its context on without a span.
const MAX_OPEN: usize = 16_384;
/// `error.type` of what was not committed.
const TAKEN_BACK: &str = "taken_back";

/// The open spans of one worker.
pub(super) struct Spans {
    tracer: BoxedTracer,
    service: &'static str,
    group: Arc<str>,
    inputs: Vec<Destination>,
    outputs: Vec<Destination>,
    processing: Vec<Processing>,
    sending: Vec<BoxedSpan>,
    firing: Option<Firing>,
}

/// A data set, as spans name it.
struct Destination {
    dataset: Dataset,
    span_name: String,
}

/// A record that the engine was told of.
struct Processing {
    input: usize,
    partition: Partition,
    offset: i64,
    span: BoxedSpan,
}

/// A timer that fired, and the trace that had set it.
struct Firing {
    set_by: Trace,
    span: BoxedSpan,
}

impl Spans {
    /// Of the tracer provider that is in force now: the host sets it before it starts a worker.
    pub(super) fn of(topology: &Topology, group: &str) -> Self {
        Self::new(global::tracer("vuelve.kafka"), topology, group)
    }

    fn new(tracer: BoxedTracer, topology: &Topology, group: &str) -> Self {
        let destination =
            |operation: &str, dataset: Dataset| Destination { dataset, span_name: format!("{operation} {dataset}") };
        Self {
            tracer,
            service: topology.service,
            group: group.into(),
            inputs: topology.inputs.iter().map(|input| destination("process", input.dataset)).collect(),
            outputs: topology.outputs.iter().map(|dataset| destination("send", dataset)).collect(),
            processing: Vec::new(),
            sending: Vec::new(),
            firing: None,
        }
    }

    /// Begins the CONSUMER span of a record that the engine is about to be told of. Returns the context that its effects
    /// carry; none where the record's own is carried on as it is.
    pub(super) fn process(
        &mut self,
        input: usize,
        partition: Partition,
        offset: i64,
        traceparent: &str,
    ) -> Option<String> {
        let sender = sampled(traceparent)?;
        let destination = self.inputs.get(input).filter(|_| self.processing.len() < MAX_OPEN)?;
        let mut attributes = self.attributes("process", destination.dataset);
        attributes.extend([
            KeyValue::new("messaging.consumer.group.name", Arc::clone(&self.group)),
            KeyValue::new("messaging.destination.partition.id", partition.to_string()),
            KeyValue::new("messaging.kafka.offset", offset),
        ]);
        let builder = SpanBuilder::from_name(destination.span_name.clone())
            .with_kind(SpanKind::Consumer)
            .with_attributes(attributes)
            .with_links(vec![Link::with_context(sender.clone())]);
        let span = self.tracer.build_with_context(builder, &Context::new().with_remote_span_context(sender));
        if !span.is_recording() {
            return None;
        }
        let context = traceparent_of(span.span_context());
        self.processing.push(Processing { input, partition, offset, span });
        Some(context)
    }

    /// Begins the PRODUCER span of an output. Returns the context that the record carries; none where the output's own is
    /// carried on as it is.
    pub(super) fn send<O>(&mut self, emitted: &Emitted<O>, dataset: Dataset) -> Option<String> {
        let trace = emitted.trace.as_ref()?;
        let cause = sampled(trace)?;
        if self.sending.len() >= MAX_OPEN {
            return None;
        }
        let links = if emitted.by_timer { self.firing(trace, &cause) } else { None };
        let destination = self.outputs.iter().find(|destination| destination.dataset == dataset)?;
        let builder = SpanBuilder::from_name(destination.span_name.clone())
            .with_kind(SpanKind::Producer)
            .with_attributes(self.attributes("send", dataset))
            .with_links(links.into_iter().collect());
        let span = self.tracer.build_with_context(builder, &Context::new().with_remote_span_context(cause));
        if !span.is_recording() {
            return None;
        }
        let context = traceparent_of(span.span_context());
        self.sending.push(span);
        Some(context)
    }

    /// The span of the timer that fired, which what it emitted has in common.
    fn firing(&mut self, set_by: &Trace, context: &SpanContext) -> Option<Link> {
        if self.firing.as_ref().is_none_or(|firing| firing.set_by != *set_by) {
            let builder = SpanBuilder::from_name("fire timer")
                .with_kind(SpanKind::Internal)
                .with_attributes([KeyValue::new("vuelve.service", self.service)])
                .with_links(vec![Link::with_context(context.clone())]);
            let span = self.tracer.build_with_context(builder, &Context::new());
            self.end_firing(None);
            self.firing = Some(Firing { set_by: Trace::clone(set_by), span });
        }
        let fired = self.firing.as_ref()?.span.span_context();
        fired.is_sampled().then(|| Link::with_context(fired.clone()))
    }

    fn end_firing(&mut self, error: Option<&'static str>) {
        if let Some(firing) = self.firing.take() {
            end(firing.span, error);
        }
    }

    /// Ends what a transaction sent, as it ended.
    pub(super) fn sent(&mut self, committed: bool) {
        let error = (!committed).then_some(TAKEN_BACK);
        self.end_firing(error);
        for span in self.sending.drain(..) {
            end(span, error);
        }
    }

    /// Names in their spans the records of a batch that went to the dead letters.
    pub(super) fn dead_lettered<S: Service>(&mut self, batch: &Batch<S>) {
        for letter in &batch.dead_letters {
            let is_its = |processing: &&mut Processing| processing.is_of(letter, &self.inputs);
            if let Some(processing) = self.processing.iter_mut().find(is_its) {
                fail(&mut processing.span, letter.poison.reason);
            }
        }
    }

    /// Ends the spans of the records that the engine is done with, one way or the other.
    pub(super) fn settle<S: Service>(&mut self, worker: &Worker<S>) {
        self.settle_by(|record| worker.fate(record.input, record.partition, record.offset));
    }

    /// Ends them all: the worker stops.
    pub(super) fn give_up(&mut self) {
        self.settle_by(|_| RecordFate::TakenBack);
        self.sent(false);
    }

    fn settle_by(&mut self, fate: impl Fn(&Processing) -> RecordFate) {
        if self.processing.is_empty() {
            return;
        }
        let settled = |record: &mut Processing| match fate(record) {
            RecordFate::Open => false,
            RecordFate::Committed => true,
            RecordFate::TakenBack => {
                fail(&mut record.span, TAKEN_BACK);
                true
            }
        };
        // Taken out, so dropped, which ends a span.
        drop(self.processing.extract_if(.., settled).collect::<Vec<_>>());
    }

    fn attributes(&self, operation: &'static str, dataset: Dataset) -> Vec<KeyValue> {
        vec![
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.name", operation),
            KeyValue::new("messaging.operation.type", operation),
            KeyValue::new("messaging.destination.name", dataset),
            KeyValue::new("vuelve.service", self.service),
        ]
    }
}

impl Processing {
    fn is_of(&self, letter: &DeadLetter, inputs: &[Destination]) -> bool {
        (self.partition, self.offset) == (letter.partition, letter.offset)
            && inputs[self.input].dataset == letter.dataset
    }
}

fn fail(span: &mut BoxedSpan, error: &'static str) {
    span.set_attribute(KeyValue::new("error.type", error));
    span.set_status(Status::error(error));
}

fn end(mut span: BoxedSpan, error: Option<&'static str>) {
    if let Some(error) = error {
        fail(&mut span, error);
    }
    span.end();
}

/// The span that a W3C `traceparent` names, if it is sampled.
fn sampled(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths_fit = (version.len(), trace.len(), span.len(), flags.len()) == (2, 32, 16, 2);
    if !lengths_fit || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    if !flags.is_sampled() {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

fn traceparent_of(context: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8())
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
    use stream::{Clock, Input};

    use super::*;

    const SENDER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const NOT_SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    const TOPOLOGY: Topology = Topology {
        service: "test",
        inputs: &[Input { dataset: "shop.orders", clock: Clock::Broker }],
        tables: &[],
        outputs: &["shop.thanks"],
        marks: None,
        changelog: "test.changelog",
    };

    fn spans() -> (Spans, InMemorySpanExporter) {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let tracer = BoxedTracer::new(Box::new(provider.tracer("test")));
        (Spans::new(tracer, &TOPOLOGY, "vuelve.test"), exporter)
    }

    fn emitted(trace: &str, by_timer: bool) -> Emitted<()> {
        Emitted { output: (), trace: Some(trace.into()), by_timer, partition: 0 }
    }

    fn attribute(span: &SpanData, name: &str) -> Option<String> {
        span.attributes.iter().find(|pair| pair.key.as_str() == name).map(|pair| pair.value.to_string())
    }

    #[test]
    fn a_record_is_the_child_of_its_sender_and_its_outputs_are_its_children() {
        let (mut spans, exporter) = spans();
        let context = spans.process(0, 3, 7, SENDER).unwrap();
        let carried = spans.send(&emitted(&context, false), "shop.thanks").unwrap();
        spans.sent(true);
        spans.settle_by(|_| RecordFate::Open);
        assert_eq!(exporter.get_finished_spans().unwrap().len(), 1);
        spans.settle_by(|record| {
            assert_eq!((record.input, record.partition, record.offset), (0, 3, 7));
            RecordFate::Committed
        });
        let finished = exporter.get_finished_spans().unwrap();
        let [send, process] = &finished[..] else { panic!("{finished:?}") };
        assert_eq!((process.name.as_ref(), send.name.as_ref()), ("process shop.orders", "send shop.thanks"));
        assert_eq!((&process.span_kind, &send.span_kind), (&SpanKind::Consumer, &SpanKind::Producer));
        assert_eq!(process.parent_span_id.to_string(), "00f067aa0ba902b7");
        assert_eq!(process.links.links[0].span_context.span_id().to_string(), "00f067aa0ba902b7");
        assert_eq!(send.parent_span_id, process.span_context.span_id());
        assert_eq!(carried, traceparent_of(&send.span_context));
        assert!(send.links.links.is_empty());
        for (name, value) in [
            ("messaging.system", "kafka"),
            ("messaging.operation.name", "process"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", "shop.orders"),
            ("messaging.destination.partition.id", "3"),
            ("messaging.kafka.offset", "7"),
            ("messaging.consumer.group.name", "vuelve.test"),
            ("vuelve.service", "test"),
        ] {
            assert_eq!(attribute(process, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!((&process.status, &send.status), (&Status::Unset, &Status::Unset));
    }

    #[test]
    fn what_a_timer_sends_stays_in_the_trace_that_set_it_and_is_linked_to_the_firing() {
        let (mut spans, exporter) = spans();
        for _ in 0..2 {
            assert!(spans.send(&emitted(SENDER, true), "shop.thanks").is_some());
        }
        spans.sent(true);
        let finished = exporter.get_finished_spans().unwrap();
        let [firing, first, second] = &finished[..] else { panic!("{finished:?}") };
        assert_eq!(firing.name, "fire timer");
        assert_eq!(firing.parent_span_id, SpanId::INVALID);
        assert_ne!(firing.span_context.trace_id(), first.span_context.trace_id());
        assert_eq!(firing.links.links[0].span_context.span_id().to_string(), "00f067aa0ba902b7");
        for send in [first, second] {
            assert_eq!(traceparent_of(&send.span_context)[..35], SENDER[..35]);
            assert_eq!(send.parent_span_id.to_string(), "00f067aa0ba902b7");
            assert_eq!(send.links.links[0].span_context, firing.span_context);
        }
    }

    #[test]
    fn what_was_taken_back_says_so_and_what_is_not_sampled_is_no_span() {
        let (mut spans, exporter) = spans();
        assert!(spans.process(0, 3, 1, NOT_SAMPLED).is_none());
        assert!(spans.send(&emitted(NOT_SAMPLED, true), "shop.thanks").is_none());
        spans.process(0, 3, 2, SENDER).unwrap();
        spans.send(&emitted(SENDER, false), "shop.thanks").unwrap();
        spans.sent(false);
        spans.give_up();
        let finished = exporter.get_finished_spans().unwrap();
        assert_eq!(finished.len(), 2);
        for span in &finished {
            assert_eq!(attribute(span, "error.type").as_deref(), Some("taken_back"));
            assert_eq!(span.status, Status::error("taken_back"));
        }
    }

    #[test]
    fn where_nobody_records_spans_the_context_is_carried_on_as_it_came() {
        let mut spans = Spans::of(&TOPOLOGY, "vuelve.test");
        assert!(spans.process(0, 3, 1, SENDER).is_none());
        assert!(spans.send(&emitted(SENDER, true), "shop.thanks").is_none());
        assert!(spans.processing.is_empty() && spans.sending.is_empty());
    }

    #[test]
    fn a_context_is_read_only_where_it_is_sampled_and_well_formed() {
        let whole = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(sampled(whole).map(|context| traceparent_of(&context)).as_deref(), Some(whole));
        let later_version = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-more";
        assert_eq!(sampled(later_version).map(|context| traceparent_of(&context)).as_deref(), Some(whole));
        for refused in [
            "",
            "-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b-01",
        ] {
            assert!(sampled(refused).is_none(), "{refused}");
        }
    }
}
