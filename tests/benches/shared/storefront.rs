//! Storefront events, as the resolver writes them, and as segmentation tells of them.

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use schemas::{CustomerEvent, CustomerView};

use super::event::Event;
use super::installation::{Installation, SHOP};
use super::kafka_clients::{CountingProducer, send, wait_for_deliveries};

/// The data set of events that are each once and under their customer.
pub(crate) const EVENTS: &str = "storefront.events";
/// The data set of what journeys read.
pub(crate) const TOLD: &str = "customer.events";

/// Hands events over for one of the two, and waits until all are stored; returns how many records that are.
pub(crate) fn write_events<'a>(
    producer: &CountingProducer,
    installation: &Installation<'_>,
    dataset: &str,
    events: impl Iterator<Item = &'a Event>,
) -> anyhow::Result<u64> {
    let topic = installation.topic(dataset);
    let (mut records, mut value) = (0, Vec::new());
    for event in events {
        value.clear();
        if dataset == TOLD {
            installation.schemas().encode(TOLD, &told(event), &mut value)?;
        } else {
            installation.schemas().encode(EVENTS, &event.record(true), &mut value)?;
        }
        send_value(producer, &topic, event, &value)?;
        records += 1;
    }
    wait_for_deliveries(producer)?;
    Ok(records)
}

/// Hands one event over.
pub(crate) fn send_event(
    producer: &CountingProducer,
    installation: &Installation<'_>,
    topic: &str,
    event: &Event,
    value: &mut Vec<u8>,
) -> anyhow::Result<()> {
    value.clear();
    installation.schemas().encode(EVENTS, &event.record(true), value)?;
    send_value(producer, topic, event, value)
}

fn send_value(producer: &CountingProducer, topic: &str, event: &Event, value: &[u8]) -> anyhow::Result<()> {
    let (key, trace) = (event.customer_id(), event.traceparent());
    let headers = OwnedHeaders::new_with_capacity(1).insert(Header { key: "traceparent", value: Some(&trace) });
    let record = BaseRecord::to(topic).key(key.as_bytes()).payload(value).headers(headers);
    send(producer, BaseRecord { partition: event.partition, ..record })
}

/// Who she is does not matter to the preset's journeys; a customer of a year or so, with the segments that she may be in.
fn told(event: &Event) -> CustomerEvent {
    CustomerEvent {
        customer_id: event.customer_id(),
        at: event.at_ms,
        shop: SHOP.to_owned(),
        event: Some(Box::new(event.record(true))),
        customer: CustomerView {
            known: true,
            segments: ["active", "cart-abandoner"].map(str::to_owned).into(),
            has_email: true,
            first_seen_at: Some(event.at_ms),
            last_seen_at: Some(event.at_ms),
            lead_score: 40,
            favourite_categories: vec!["shoes".to_owned()],
            ..CustomerView::default()
        },
        ..CustomerEvent::default()
    }
}
