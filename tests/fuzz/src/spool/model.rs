//! What is to come of a directory, found in a simpler way: all of a segment at once.

use std::borrow::Cow;

use bytes::Bytes;
use ingestion::shell::LogRecord;
use ingestion::{COMMANDS, DEAD_LETTERS, PRIVACY, RECEIVED};
use serde::Deserialize;

use super::directory::{self, Directory, HEAD_BYTES, SALT};

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
        let noted = is_first.then(|| noted(made.note.as_deref(), *number)).flatten();
        let (_, end) = frames(segment, 0);
        let from = noted.filter(|from| *from <= end).unwrap_or(0);
        for payload in frames(&segment[..end], from).0 {
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
    let (name, offset) = str::from_utf8(note?).ok()?.trim().split_once(' ')?;
    (name == directory::name(first)).then(|| offset.parse().ok())?
}

/// What the frames from here on hold, and where they end: what a crash left of one is behind that.
fn frames(segment: &[u8], from: usize) -> (Vec<&[u8]>, usize) {
    let (mut at, mut found) = (from, Vec::new());
    while at < segment.len() {
        let rest = &segment[at..];
        if rest.len() < HEAD_BYTES && rest.iter().zip(SALT).all(|(byte, salt)| *byte == salt) {
            return (found, at);
        }
        let Some((length, sum)) = Some(at).filter(|at| segment[*at] == SALT[0]).and_then(|at| head(segment, at)) else {
            at += 1;
            continue;
        };
        let Some(payload) = segment[at + HEAD_BYTES..].get(..length) else { return (found, at) };
        if crc32c::crc32c(payload) == sum {
            found.push(payload);
        }
        at += HEAD_BYTES + length;
    }
    (found, segment.len())
}

/// The length and the sum that a head here says, if it is right.
fn head(segment: &[u8], at: usize) -> Option<(usize, u32)> {
    let head = segment.get(at..at + HEAD_BYTES)?.strip_prefix(&SALT)?;
    let (length, rest) = head.split_first_chunk()?;
    let (length, sum) = (u32::from_le_bytes(*length) as usize, u32::from_le_bytes(*rest.first_chunk()?));
    (directory::head(at, length, sum) == segment[at..at + HEAD_BYTES]).then_some((length, sum))
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
