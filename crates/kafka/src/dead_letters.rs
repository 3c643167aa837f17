//! Dead letters in Kafka Connect's words: key and value untouched, the reason in the headers.
//!
//! Wanted properties:
//! - a letter that is sent again is the record that it was: key, value and headers;
//! - how often that happened is counted in a header that comes back with it, so a loop shows itself.

use bytes::Bytes;
use rdkafka::message::{BorrowedHeaders, Headers as _};
use stream::{DeadLetter, RecordHeaders};

use crate::admin::ReadRecord;
use crate::append::{Header, NewRecord};
use crate::clients::Cluster;

const PREFIX: &str = "__connect.errors.";

/// The header that counts how often a record was sent again from the dead letters; also an HTTP header of the door.
pub const REDRIVES_HEADER: &str = "vuelve-redrives";

/// The data set of dead letters.
pub(crate) const DATASET: &str = "platform.deadletters";

/// The headers of a dead letter: why, and then those of the record itself.
pub(crate) fn headers(cluster: &Cluster, service: &str, letter: &DeadLetter) -> Vec<Header> {
    let header = |name: &str, value: String| Header { name: format!("{PREFIX}{name}").into(), value: value.into() };
    let own = letter.headers.iter().filter(|(name, _)| !name.starts_with(PREFIX));
    vec![
        header("topic", cluster.topic(letter.dataset)),
        header("partition", letter.partition.to_string()),
        header("offset", letter.offset.to_string()),
        header("stage", "VALUE_CONVERTER".to_owned()),
        header("class.name", service.to_owned()),
        header("exception.class.name", letter.poison.reason.to_owned()),
        header("exception.message", letter.poison.detail.clone()),
    ]
    .into_iter()
    .chain(own.map(|(name, value)| Header { name: name.clone().into(), value: Bytes::copy_from_slice(value) }))
    .collect()
}

/// The headers of a record in the client's buffer.
pub struct HeadersOf<'m>(pub(crate) &'m BorrowedHeaders);

impl std::fmt::Debug for HeadersOf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HeadersOf").field(&self.0.count()).finish()
    }
}

impl RecordHeaders for HeadersOf<'_> {
    fn copied(&self) -> Vec<(String, Bytes)> {
        let value = |value: Option<&[u8]>| Bytes::copy_from_slice(value.unwrap_or_default());
        self.0.iter().map(|header| (header.key.to_owned(), value(header.value))).collect()
    }
}

/// What a dead letter says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterHead {
    /// The topic of the record, or the door's path of the event.
    pub topic: String,
    /// The record's partition; -1 for an event of the door.
    pub partition: i32,
    /// The record's offset, or the event's place in its batch.
    pub offset: i64,
    /// Who could not use it: a service, or the door.
    pub refused_by: String,
    /// Why: a fixed word.
    pub reason: String,
    /// Why, in words.
    pub detail: String,
    /// For an event of the door: the id of the write key that it came in with.
    pub source: Option<String>,
    /// How often it was sent again from the dead letters before it came back.
    pub redrives: u32,
}

impl LetterHead {
    /// From a letter's headers; none where they do not say where it came from.
    pub fn read(letter: &ReadRecord) -> Option<Self> {
        let text = |name: &str| {
            let header = letter.headers.iter().find(|header| header.name == name)?;
            Some(String::from_utf8_lossy(&header.value).into_owned())
        };
        let error = |name: &str| text(&format!("{PREFIX}{name}"));
        Some(Self {
            topic: error("topic")?,
            partition: error("partition").and_then(|text| text.parse().ok()).unwrap_or(-1),
            offset: error("offset").and_then(|text| text.parse().ok()).unwrap_or(-1),
            refused_by: error("class.name").unwrap_or_default(),
            reason: error("exception.class.name").unwrap_or_default(),
            detail: error("exception.message").unwrap_or_default(),
            source: text("vuelve.source"),
            redrives: text(REDRIVES_HEADER).and_then(|text| text.parse().ok()).unwrap_or(0),
        })
    }
}

/// The record that puts a worker's dead letter back where it came from: on the partition of its key, or on its own
/// partition where it has none. None where the letter does not say where that was.
pub fn redrive_record(letter: &ReadRecord) -> Option<NewRecord> {
    let head = LetterHead::read(letter)?;
    let own = letter.headers.iter();
    let own = own.filter(|header| !header.name.starts_with(PREFIX) && header.name != REDRIVES_HEADER);
    let count = Header { name: REDRIVES_HEADER.into(), value: (head.redrives + 1).to_string().into() };
    Some(NewRecord {
        topic: head.topic.into(),
        partition: (letter.key.is_none() && head.partition >= 0).then_some(head.partition),
        key: letter.key.clone(),
        value: letter.value.clone().map(Bytes::from),
        headers: own.cloned().chain([count]).collect(),
    })
}
