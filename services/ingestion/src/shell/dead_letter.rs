//! An event that can't be taken, put aside as it came.

use std::borrow::Cow;

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
    let mut headers = headers(head.route, index, refusal, &key.id);
    if head.redrives > 0 {
        headers.push((REDRIVES_HEADER.into(), bytes(&head.redrives.to_string())));
    }
    LogRecord { dataset: DEAD_LETTERS, key: None, value: bytes(json), headers: headers.into() }
}

/// The head of a webhook.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WebhookHead<'a> {
    pub(crate) source: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) id: Option<&'a str>,
}

/// A webhook's payload with the same headers, and those that the platform sent with it: what it is about and what it is called.
pub(crate) fn of_webhook(payload: &str, head: WebhookHead<'_>, refusal: &Refusal) -> LogRecord {
    let mut headers = headers(&format!("/webhooks/{}", head.source), 0, refusal, head.source);
    headers.push(("vuelve.webhook.topic".into(), bytes(head.topic)));
    headers.extend(head.id.map(|id| ("vuelve.webhook.id".into(), bytes(id))));
    LogRecord { dataset: DEAD_LETTERS, key: None, value: bytes(payload), headers: headers.into() }
}

fn headers(path: &str, index: usize, refusal: &Refusal, source: &str) -> Vec<(Cow<'static, str>, Bytes)> {
    let headers = [
        ("__connect.errors.topic", bytes(path)),
        ("__connect.errors.partition", bytes("-1")),
        ("__connect.errors.offset", bytes(&index.to_string())),
        ("__connect.errors.stage", bytes("VALUE_CONVERTER")),
        ("__connect.errors.class.name", bytes("vuelve.ingestion.door")),
        ("__connect.errors.exception.class.name", bytes(refusal.reason())),
        ("__connect.errors.exception.message", bytes(&refusal.to_string())),
        ("content-type", bytes("application/json")),
        ("vuelve.source", bytes(source)),
    ];
    headers.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect()
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
