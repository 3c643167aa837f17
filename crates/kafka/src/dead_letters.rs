//! Dead letters in Kafka Connect's words: key and value untouched, the reason in the headers.
//!
//! Wanted properties:
//! - a letter that is sent again is the record that it was: key, value and headers;
//! - every letter can be written: what no topic takes (a batch that was compressed holds larger records) is left where it lies,
//!   and the letter says so and is never sent again;
//! - how often that happened is counted in a header that comes back with it, so a loop shows itself.

use bytes::Bytes;
use rdkafka::message::{BorrowedHeaders, Headers as _};
use stream::{DeadLetter, RecordHeaders};

use crate::admin::ReadRecord;
use crate::append::{Header, NewRecord};
use crate::clients::{Cluster, MAX_RECORD_BYTES};

const PREFIX: &str = "__connect.errors.";

/// The header that counts how often a record was sent again from the dead letters; also an HTTP header of the door.
pub const REDRIVES_HEADER: &str = "vuelve-redrives";

/// On a letter whose record was too large to be put aside: how many bytes it has where it lies.
const LEFT_OUT: &str = "__connect.errors.left.out.bytes";

/// What a record has beside key, value and headers, and its batch.
const FRAME_BYTES: usize = 4096;
/// What a header has beside its name and value.
const HEADER_FRAME_BYTES: usize = 10;
/// A longer key is left out with the value.
const KEPT_KEY_BYTES: usize = 1024;

/// The data set of dead letters.
pub(crate) const DATASET: &str = "platform.deadletters";

/// A dead letter as it is written.
#[derive(Debug)]
pub(crate) struct Written<'l> {
    pub(crate) key: Option<&'l [u8]>,
    pub(crate) value: Option<&'l [u8]>,
    pub(crate) headers: Vec<Header>,
}

/// The record as it came, with the reason; of one that is larger than a dead letter may be, the reason alone, and its key.
pub(crate) fn written<'l>(cluster: &Cluster, service: &str, letter: &'l DeadLetter) -> Written<'l> {
    let (key, value) = (letter.key.as_deref(), letter.value.as_deref());
    let mut headers = headers(cluster, service, letter);
    let of_headers = headers.iter().map(|header| header.name.len() + header.value.len() + HEADER_FRAME_BYTES);
    let size_bytes =
        key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + of_headers.sum::<usize>() + FRAME_BYTES;
    if size_bytes <= MAX_RECORD_BYTES {
        return Written { key, value, headers };
    }
    headers.retain(|header| header.name.starts_with(PREFIX));
    headers.push(Header { name: LEFT_OUT.into(), value: size_bytes.to_string().into() });
    Written { key: key.filter(|key| key.len() <= KEPT_KEY_BYTES), value: None, headers }
}

/// The headers of a dead letter: why, and then those of the record itself.
fn headers(cluster: &Cluster, service: &str, letter: &DeadLetter) -> Vec<Header> {
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
    /// The record was too large to be put aside: it lies where it lay, as long as its topic keeps it.
    pub left_out: bool,
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
            left_out: text(LEFT_OUT).is_some(),
            redrives: text(REDRIVES_HEADER).and_then(|text| text.parse().ok()).unwrap_or(0),
        })
    }
}

/// The record that puts a worker's dead letter back where it came from: on the partition of its key, or on its own
/// partition where it has none. None where the letter does not say where that was, or does not hold it.
pub fn redrive_record(letter: &ReadRecord) -> Option<NewRecord> {
    let head = LetterHead::read(letter)?;
    if head.left_out {
        return None;
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::Timestamp;
    use stream::Poison;

    use super::*;

    fn cluster() -> Cluster {
        Cluster {
            bootstrap_servers: String::new(),
            prefix: "vuelve".to_owned(),
            partitions: 4,
            security: std::collections::BTreeMap::new(),
            transaction_timeout: Duration::from_secs(8),
            session_timeout: Duration::from_secs(8),
        }
    }

    fn letter(key: usize, value: usize, header: usize) -> DeadLetter {
        DeadLetter {
            dataset: "storefront.received",
            partition: 2,
            offset: 9,
            timestamp: Timestamp::from_millis(0),
            key: Some(vec![b'k'; key].into()),
            value: Some(vec![b'v'; value].into()),
            headers: vec![("own".to_owned(), vec![b'h'; header].into())],
            poison: Poison { reason: "malformed", detail: "why".to_owned() },
        }
    }

    fn read_back(written: &Written<'_>) -> ReadRecord {
        ReadRecord {
            topic: String::new(),
            partition: 0,
            offset: 0,
            timestamp: Timestamp::from_millis(0),
            key: written.key.map(<[u8]>::to_vec),
            value: written.value.map(<[u8]>::to_vec),
            headers: written.headers.clone(),
        }
    }

    #[test]
    fn a_letter_is_the_record_as_it_came_as_long_as_it_can_be_written() {
        let letter = letter(10, 1 << 20, 100);
        let written = written(&cluster(), "ingestion", &letter);
        assert_eq!((written.key, written.value), (letter.key.as_deref(), letter.value.as_deref()));
        let again = redrive_record(&read_back(&written)).unwrap();
        assert_eq!(again.value.as_deref(), letter.value.as_deref());
        assert_eq!(again.headers[0].name, "own");
    }

    #[test]
    fn a_record_that_no_letter_holds_is_left_where_it_lies_and_never_sent_again() {
        for (key, value, header) in [(10, 5 << 20, 0), (2 << 20, 10, 0), (10, 10, 2 << 20), (10, 1 << 20, 64 << 10)] {
            let letter = letter(key, value, header);
            let written = written(&cluster(), "ingestion", &letter);
            assert_eq!((written.key.is_some(), written.value), (key < 1024, None));
            assert!(written.headers.iter().all(|header| header.value.len() < 100));
            let read = read_back(&written);
            let head = LetterHead::read(&read).unwrap();
            assert_eq!((head.partition, head.offset, head.reason.as_str(), head.left_out), (2, 9, "malformed", true));
            assert_eq!(redrive_record(&read), None);
        }
    }
}
