//! A sender of events by the clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::shared::event::Event;
use crate::shared::installation::Installation;
use crate::shared::kafka_clients::{CountingProducer, wait_for_deliveries};
use crate::shared::pace::Pace;
use crate::shared::storefront::{EVENTS, send_event};

/// Sends events at a pace until all are sent or it is to stop; returns how many were.
pub(crate) fn send_paced(
    producer: &CountingProducer,
    installation: &Installation<'_>,
    events: &[Event],
    pace: Pace,
    stop: &AtomicBool,
) -> anyhow::Result<usize> {
    let topic = installation.topic(EVENTS);
    let (mut sent, mut value) = (0, Vec::new());
    for (number, event) in events.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        pace.wait(number);
        send_event(producer, installation, &topic, event, &mut value)?;
        producer.poll(Duration::ZERO);
        sent += 1;
    }
    wait_for_deliveries(producer)?;
    Ok(sent)
}
