//! Storefront events, as the resolver writes them.

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;

use super::event::Event;
use super::installation::Installation;
use super::kafka_clients::{CountingProducer, send, wait_for_deliveries};

/// The data set of events that are each once and under their customer.
pub(crate) const EVENTS: &str = "storefront.events";

/// Hands events over for `storefront.events`, and waits until all are stored; returns how many records that are.
pub(crate) fn write_events<'a>(
    producer: &CountingProducer,
    installation: &Installation<'_>,
    events: impl Iterator<Item = &'a Event>,
) -> anyhow::Result<u64> {
    let topic = installation.topic(EVENTS);
    let (mut records, mut value) = (0, Vec::new());
    for event in events {
        send_event(producer, installation, &topic, event, &mut value)?;
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
    let (key, trace) = (event.customer_id(), event.traceparent());
    let headers = OwnedHeaders::new_with_capacity(1).insert(Header { key: "traceparent", value: Some(&trace) });
    let record = BaseRecord::to(topic).key(key.as_bytes()).payload(&value[..]).headers(headers);
    send(producer, BaseRecord { partition: event.partition, ..record })
}
