//! How a call's records lie in a segment: a head (the segment's salt; the length and the CRC-32C of what follows; the CRC-32C of
//! both and of the frame's place), then the records.
//!
//! Wanted properties:
//! - what a crash tore off is told from what was written whole and is damaged now, at whichever byte;
//! - what is damaged costs itself: the frames behind it are found again;
//! - what looks like a frame within a frame is none, damaged or not: callers choose what is in their records, but know no salt;
//! - each byte is summed and searched once, whatever the bytes are.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::super::log::LogRecord;
use crate::{COMMANDS, DEAD_LETTERS, PRIVACY, RECEIVED};

const HEAD_BYTES: usize = 20;
/// No call is larger: its body unpacked, as Avro, with a copy of what its events share.
const MAX_PAYLOAD_BYTES: usize = 64 << 20;
/// Those that the door writes to.
const DATASETS: [&str; 4] = [RECEIVED, DEAD_LETTERS, COMMANDS, PRIVACY];

/// A record, as it lies in a frame.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    dataset: &'a str,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    value: &'a [u8],
    headers: Vec<(&'a str, &'a [u8])>,
}

/// A call's records as a frame, which [`Salt::seal`] is to give its place; none where they are too large for one.
pub(super) fn write(records: &[LogRecord]) -> Option<Vec<u8>> {
    let stored: Vec<Stored<'_>> = records.iter().map(Stored::of).collect();
    let mut frame = postcard::to_extend(&stored, vec![0; HEAD_BYTES]).ok()?;
    let payload = &frame[HEAD_BYTES..];
    if payload.len() > MAX_PAYLOAD_BYTES {
        return None;
    }
    let (length, sum) = (payload.len() as u32, crc32c::crc32c(payload));
    frame[8..12].copy_from_slice(&length.to_le_bytes());
    frame[12..16].copy_from_slice(&sum.to_le_bytes());
    Some(frame)
}

/// The records of a frame; none where this version does not know what they are.
pub(super) fn read(payload: &[u8]) -> Option<Vec<LogRecord>> {
    let stored: Vec<Stored<'_>> = postcard::from_bytes(payload).ok()?;
    stored.iter().map(Stored::record).collect()
}

impl<'a> Stored<'a> {
    fn of(record: &'a LogRecord) -> Self {
        Self {
            dataset: record.dataset,
            key: record.key.as_deref().map(Cow::Borrowed),
            value: &record.value,
            headers: record.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect(),
        }
    }

    fn record(&self) -> Option<LogRecord> {
        Some(LogRecord {
            dataset: DATASETS.into_iter().find(|known| *known == self.dataset)?,
            key: self.key.as_deref().map(str::to_owned),
            value: Bytes::copy_from_slice(self.value),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (Cow::Owned((*name).to_owned()), Bytes::copy_from_slice(value)))
                .collect(),
        })
    }
}

/// Begins each frame of one segment. Nobody but who reads the disk knows it, so that nothing that comes from outside can look
/// like a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Salt(pub(super) u64);

/// What is at the beginning of some bytes of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A whole frame: where its records lie, and where the next one begins.
    Whole { payload: Range<usize>, end: usize },
    /// Damage; what comes behind it begins here, or nothing does.
    Damaged { until: usize },
    /// The beginning of a frame, to which at least so many bytes belong: what a crash leaves of it, or a portion.
    Begun { bytes: usize },
}

/// What a head says of its frame.
enum Head {
    Whole { length: usize, sum: u32 },
    Begun,
}

impl Salt {
    /// Gives each of these frames its place; the first one is to lie here.
    pub(super) fn seal(self, frames: &mut [u8], place: u64) {
        let mut at = 0;
        while let Some((head, rest)) = frames[at..].split_first_chunk_mut::<HEAD_BYTES>() {
            let length = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
            head[..8].copy_from_slice(&self.0.to_le_bytes());
            let sum = head_sum(&head[8..16], place + at as u64);
            head[16..].copy_from_slice(&sum.to_le_bytes());
            at += HEAD_BYTES + length.min(rest.len());
        }
    }

    /// Looks at bytes that lie at this place of the segment. A head that is right is believed: it was written there, so that
    /// nothing within its frame is looked into, were it damaged.
    pub(super) fn next(self, bytes: &[u8], place: u64) -> Next {
        let (length, sum) = match self.head(bytes, place) {
            Some(Head::Whole { length, sum }) => (length, sum),
            Some(Head::Begun) => return Next::Begun { bytes: HEAD_BYTES },
            None => {
                let [first, ..] = self.0.to_le_bytes();
                let begins = |at: &usize| bytes[*at] == first && self.head(&bytes[*at..], place + *at as u64).is_some();
                return Next::Damaged { until: (1..bytes.len()).find(begins).unwrap_or(bytes.len()) };
            }
        };
        let end = HEAD_BYTES + length;
        match bytes.get(HEAD_BYTES..end) {
            None => Next::Begun { bytes: end },
            Some(payload) if crc32c::crc32c(payload) == sum => Next::Whole { payload: HEAD_BYTES..end, end },
            Some(_) => Next::Damaged { until: end },
        }
    }

    fn head(self, bytes: &[u8], place: u64) -> Option<Head> {
        let salt = self.0.to_le_bytes();
        let Some((head, _)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
            let known = bytes.len().min(salt.len());
            return (bytes[..known] == salt[..known]).then_some(Head::Begun);
        };
        if head[..8] != salt {
            return None;
        }
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (length, sum) = (word(8) as usize, word(12));
        let fits = length <= MAX_PAYLOAD_BYTES && word(16) == head_sum(&head[8..16], place);
        fits.then_some(Head::Whole { length, sum })
    }
}

/// That of a head's words, at the place of its frame.
fn head_sum(words: &[u8], place: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&place.to_le_bytes()), words)
}
