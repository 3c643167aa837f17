//! How a call's records lie in a segment: a magic word, the length and the CRC-32C of what follows, then the records.
//!
//! Wanted properties:
//! - what a crash tore off is told from what was written whole, at whichever byte;
//! - what is damaged costs itself: the frames behind it are found again;
//! - what looks like a frame within a whole frame is none: callers choose what is in their records.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::super::log::LogRecord;
use crate::{COMMANDS, DEAD_LETTERS, PRIVACY, RECEIVED};

const MAGIC: [u8; 4] = *b"VSF1";
const HEAD_BYTES: usize = 12;
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

/// A call's records as a frame; none where they are too large for one.
pub(super) fn write(records: &[LogRecord]) -> Option<Vec<u8>> {
    let stored: Vec<Stored<'_>> = records.iter().map(Stored::of).collect();
    let head = [MAGIC.as_slice(), &[0; HEAD_BYTES - MAGIC.len()]].concat();
    let mut frame = postcard::to_extend(&stored, head).ok()?;
    let payload = &frame[HEAD_BYTES..];
    if payload.len() > MAX_PAYLOAD_BYTES {
        return None;
    }
    let (length, sum) = (payload.len() as u32, crc32c::crc32c(payload));
    frame[4..8].copy_from_slice(&length.to_le_bytes());
    frame[8..HEAD_BYTES].copy_from_slice(&sum.to_le_bytes());
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

/// What is at the beginning of these bytes of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A whole frame: where its records lie, and where the next one begins.
    Whole { payload: Range<usize>, end: usize },
    /// Damage, and a frame behind it, at this place.
    Damaged { until: usize },
    /// No whole frame comes any more.
    Nothing,
}

/// Looks for the next frame. Where the segment goes on behind these bytes, a frame that begins here and ends there is not
/// looked into: [`Next::Nothing`], or the place where it begins.
pub(super) fn next(bytes: &[u8], goes_on: bool) -> Next {
    if let Some(payload) = whole(bytes) {
        return Next::Whole { end: payload.end, payload };
    }
    let has_begun = |at: usize| goes_on && is_torn(&bytes[at..]);
    if has_begun(0) {
        return Next::Nothing;
    }
    let found = bytes
        .windows(MAGIC.len())
        .enumerate()
        .skip(1)
        .find(|(at, window)| *window == MAGIC && (whole(&bytes[*at..]).is_some() || has_begun(*at)));
    found.map_or(Next::Nothing, |(until, _)| Next::Damaged { until })
}

/// Whether these bytes, which are no whole frame, are the beginning of one: what a crash leaves of it.
pub(super) fn is_torn(bytes: &[u8]) -> bool {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        let magic = bytes.len().min(MAGIC.len());
        return !bytes.is_empty() && bytes[..magic] == MAGIC[..magic];
    };
    let (words, _) = head.as_chunks::<4>();
    matches!(words, [MAGIC, length, _] if u32::from_le_bytes(*length) as usize > rest.len())
}

fn whole(bytes: &[u8]) -> Option<Range<usize>> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let (words, _) = head.as_chunks::<4>();
    let [magic, length, sum] = words else { return None };
    let length = u32::from_le_bytes(*length) as usize;
    let payload = rest.get(..length)?;
    let fits = *magic == MAGIC && length <= MAX_PAYLOAD_BYTES && crc32c::crc32c(payload) == u32::from_le_bytes(*sum);
    fits.then_some(HEAD_BYTES..HEAD_BYTES + length)
}
