//! What is to come of a directory, found in a simpler way: all of a segment at once.

use std::borrow::Cow;

use bytes::Bytes;
use ingestion::shell::LogRecord;
use ingestion::{COMMANDS, DEAD_LETTERS, PRIVACY, RECEIVED};
use serde::Deserialize;

use super::directory::Directory;

const HEAD_BYTES: usize = 12;

/// What is to come.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) records: Vec<LogRecord>,
    /// Behind these is a call that is whole and means nothing: it stays, and all behind it.
    pub(super) is_blocked: bool,
}

pub(super) fn of(made: &Directory) -> Expected {
    let mut expected = Expected::default();
    for (number, segment) in &made.segments {
        let is_first = made.segments.keys().next() == Some(number);
        let end = whole_until(segment);
        let from = if is_first { noted(made.note.as_deref(), *number).filter(|from| *from <= end) } else { None };
        for payload in payloads(&segment[from.unwrap_or(0)..end]) {
            let Some(records) = records(payload) else {
                expected.is_blocked = true;
                return expected;
            };
            expected.records.extend(records);
        }
    }
    expected
}

/// How far the segment of this number is drained.
fn noted(note: Option<&[u8]>, first: u64) -> Option<usize> {
    let (number, offset) = str::from_utf8(note?).ok()?.trim().split_once(' ')?;
    (number.parse() == Ok(first)).then(|| offset.parse().ok())?
}

/// Where the last whole frame ends.
fn whole_until(segment: &[u8]) -> usize {
    let (mut at, mut end) = (0, 0);
    while at < segment.len() {
        match frame(&segment[at..]) {
            Some(payload) => {
                at += HEAD_BYTES + payload.len();
                end = at;
            }
            None => at += 1,
        }
    }
    end
}

fn payloads(segment: &[u8]) -> Vec<&[u8]> {
    let (mut at, mut found) = (0, Vec::new());
    while at < segment.len() {
        if let Some(payload) = frame(&segment[at..]) {
            at += HEAD_BYTES + payload.len();
            found.push(payload);
        } else {
            at += 1;
        }
    }
    found
}

/// What the frame at the beginning of these bytes holds, if that is whole.
fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(b"VSF1")?;
    let (length, rest) = rest.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let payload = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    (crc32c::crc32c(payload) == u32::from_le_bytes(*sum)).then_some(payload)
}

#[derive(Deserialize)]
struct Stored<'a> {
    dataset: &'a str,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    value: &'a [u8],
    #[serde(borrow)]
    headers: Vec<(&'a str, &'a [u8])>,
}

fn records(payload: &[u8]) -> Option<Vec<LogRecord>> {
    let stored: Vec<Stored<'_>> = postcard::from_bytes(payload).ok()?;
    let record = |stored: Stored<'_>| {
        let datasets = [RECEIVED, DEAD_LETTERS, COMMANDS, PRIVACY];
        let header = |(name, value): (&str, &[u8])| (name.to_owned().into(), Bytes::copy_from_slice(value));
        Some(LogRecord {
            dataset: datasets.into_iter().find(|known| *known == stored.dataset)?,
            key: stored.key.map(Cow::into_owned),
            value: Bytes::copy_from_slice(stored.value),
            headers: stored.headers.into_iter().map(header).collect(),
        })
    };
    stored.into_iter().map(record).collect()
}
