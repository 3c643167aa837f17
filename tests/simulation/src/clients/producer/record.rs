//! What the simulation reads out of a record on its way.

use bytes::Bytes;
use domain::Timestamp;
use kafka::port::Outgoing;
use schemas::StorefrontEvent;
use stream::{Due, Key, Labels, Lane, StateChange};

use crate::SCHEMAS;

/// The change to the state that a changelog record tells of.
pub(super) fn change_of(record: &Outgoing<'_>) -> Option<StateChange> {
    let key = std::str::from_utf8(record.key?).ok().filter(|key| *key != "\0")?;
    let due = record.headers.iter().find(|(name, _)| *name == "vuelve-due").map(|(_, value)| due_of(value));
    Some(StateChange {
        key: Key::from(key),
        value: record.value.map(Bytes::copy_from_slice),
        due: due.unwrap_or_default(),
        labels: Labels::Same,
    })
}

/// What a changelog record's header says its key waits for.
pub(crate) fn due_of(bytes: &[u8]) -> Due {
    let lane = |lane: Lane| {
        let bytes = bytes.get(lane as usize * 8..lane as usize * 8 + 8)?;
        let millis = i64::from_be_bytes(bytes.try_into().ok()?);
        (millis != i64::MIN).then(|| Timestamp::from_millis(millis))
    };
    Due { timer: lane(Lane::Timer), ready: lane(Lane::Ready), claimed: lane(Lane::Claimed), held: lane(Lane::Held) }
}

/// A record of who was recognised, with a history as if it had happened at that moment; none where there is none.
pub(super) fn dated_anew(value: &[u8]) -> Option<Vec<u8>> {
    let mut event: StorefrontEvent = SCHEMAS.decode(value).ok()?;
    if event.history.is_empty() {
        return None;
    }
    for past in &mut event.history {
        past.event_time = event.event_time;
    }
    let mut value = Vec::new();
    SCHEMAS.encode("storefront.events", &event, &mut value).ok()?;
    Some(value)
}
