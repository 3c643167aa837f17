//! An event that can't be taken, put aside as it came.

use bytes::Bytes;

use super::door::Head;
use super::log::LogRecord;
use super::write_keys::WriteKey;
use crate::DEAD_LETTERS;
use crate::mapping::Refusal;

/// In a request and on a dead letter: how often the event was sent again from the dead letters.
pub(crate) const REDRIVES_HEADER: &str = "vuelve-redrives";

/// The event's JSON, untouched, with Connect's headers: where it came in, which of the batch it was, and why it was not taken.
///
/// `content-type` and `vuelve.source` tell it from a record of a topic: it goes back in through the door, under the write key
/// of that id, not onto a topic.
///
/// Another header counts how often the event was sent again from the dead letters, where it was.
pub(crate) fn record(json: &str, head: Head<'_>, index: usize, refusal: &Refusal, key: &WriteKey) -> LogRecord {
    let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let headers = [
        ("__connect.errors.topic", text(head.route)),
        ("__connect.errors.partition", text("-1")),
        ("__connect.errors.offset", text(&index.to_string())),
        ("__connect.errors.stage", text("VALUE_CONVERTER")),
        ("__connect.errors.class.name", text("vuelve.ingestion.door")),
        ("__connect.errors.exception.class.name", text(refusal.reason())),
        ("__connect.errors.exception.message", text(&refusal.to_string())),
        ("content-type", text("application/json")),
        ("vuelve.source", text(&key.id)),
    ];
    let redrives = (head.redrives > 0).then(|| (REDRIVES_HEADER, text(&head.redrives.to_string())));
    let headers = headers.into_iter().chain(redrives).map(|(name, value)| (name.into(), value));
    LogRecord { dataset: DEAD_LETTERS, key: None, value: text(json), headers: headers.collect() }
}
