//! From bytes to the files of a directory: each first byte says what is done.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use ingestion::shell::{EventLog as _, LogRecord};

use super::{RUNTIME, call, spooled};

/// The first bytes.
pub(crate) mod op {
    /// Records that the spool itself has written, framed; which ones.
    pub(crate) const REAL: u8 = 0;
    /// A length, and so many bytes behind the right head.
    pub(crate) const SUMMED: u8 = 1;
    /// A length, and so many bytes as they are.
    pub(crate) const BYTES: u8 = 2;
    /// So many bytes (two bytes) are torn off the end.
    pub(crate) const TEAR: u8 = 3;
    /// So far (two bytes) before the end a byte is changed.
    pub(crate) const FLIP: u8 = 4;
    /// Another segment; how many numbers on.
    pub(crate) const SEGMENT: u8 = 5;
    /// A length, and what says how far it is drained.
    pub(crate) const NOTE: u8 = 6;
    /// A file of some other name; which one, a length and what is in it.
    pub(crate) const OTHER: u8 = 7;
    /// A head that is right, of a frame of so many bytes (two bytes), which are whatever comes.
    pub(crate) const HEAD: u8 = 8;
    /// How many there are.
    pub(super) const COUNT: u8 = 9;
}

/// A directory has at most so many bytes.
const MOST_BYTES: usize = 4 << 20;
const OTHERS: [&str; 6] =
    ["7.spool", "+3.spool", "x.spool", "00000000000000000001.damaged", "+0000000000000000003.spool", "drained.new"];
/// Begins each frame.
pub(super) const SALT: [u8; 8] = *b"salt--VS";
pub(super) const HEAD_BYTES: usize = 20;

/// What a directory is to hold.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) segments: BTreeMap<u64, Vec<u8>>,
    pub(super) note: Option<Vec<u8>>,
    others: Vec<(&'static str, Vec<u8>)>,
}

impl Directory {
    pub(super) fn read(mut bytes: &[u8]) -> Self {
        let mut made = Self::default();
        let (mut number, mut size) = (1, 0);
        while let Some(first) = take(&mut bytes) {
            let segment = made.segments.entry(number).or_default();
            match first % op::COUNT {
                op::REAL => {
                    let real = real_payloads();
                    frame(segment, &real[usize::from(take(&mut bytes).unwrap_or(0)) % real.len()]);
                }
                op::SUMMED => frame(segment, part(&mut bytes)),
                op::HEAD => segment.extend(head(segment.len(), far(&mut bytes), 0)),
                op::BYTES => segment.extend_from_slice(part(&mut bytes)),
                op::TEAR => segment.truncate(segment.len().saturating_sub(far(&mut bytes))),
                op::FLIP => {
                    let at = segment.len().checked_sub(far(&mut bytes) + 1);
                    if let Some(byte) = at.and_then(|at| segment.get_mut(at)) {
                        *byte ^= take(&mut bytes).unwrap_or(0) | 1;
                    }
                }
                op::SEGMENT => number += u64::from(take(&mut bytes).unwrap_or(0) % 3) + 1,
                op::NOTE => made.note = Some(part(&mut bytes).to_vec()),
                _ => {
                    let name = OTHERS[usize::from(take(&mut bytes).unwrap_or(0)) % OTHERS.len()];
                    made.others.push((name, part(&mut bytes).to_vec()));
                }
            }
            size = made.segments.values().map(Vec::len).sum::<usize>().max(size);
            if size > MOST_BYTES {
                break;
            }
        }
        made
    }

    pub(super) fn write(&self, folder: &Path) {
        for (name, bytes) in &self.others {
            fs::write(folder.join(name), bytes).expect("it can be written");
        }
        for (number, bytes) in &self.segments {
            fs::write(folder.join(name(*number)).with_extension("spool"), bytes).expect("it can be written");
        }
        if let Some(note) = &self.note {
            fs::write(folder.join("drained"), note).expect("it can be written");
        }
    }
}

fn take(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

fn far(bytes: &mut &[u8]) -> usize {
    usize::from(u16::from_le_bytes([take(bytes).unwrap_or(0), take(bytes).unwrap_or(0)]))
}

fn part<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let length = usize::from(take(bytes).unwrap_or(0)).min(bytes.len());
    let (part, rest) = bytes.split_at(length);
    *bytes = rest;
    part
}

/// What a segment is called, as the spool calls it.
pub(crate) fn name(number: u64) -> String {
    format!("{number:020}-2-{:016x}", u64::from_le_bytes(SALT))
}

/// These bytes, behind the head of a frame.
fn frame(segment: &mut Vec<u8>, payload: &[u8]) {
    segment.extend(head(segment.len(), payload.len(), crc32c::crc32c(payload)));
    segment.extend_from_slice(payload);
}

/// The head of a frame at this place.
pub(super) fn head(place: usize, length: usize, sum: u32) -> Vec<u8> {
    let length = u32::try_from(length).expect("it is short").to_le_bytes();
    let summed = [&(place as u64).to_le_bytes()[..], &length, &sum.to_le_bytes()].concat();
    [&SALT[..], &summed[8..], &crc32c::crc32c(&summed).to_le_bytes()].concat()
}

/// What the spool writes: short calls, one of several records, one with a frame within, two that are longer than half of what is
/// read at once, the second with a frame within.
fn real_payloads() -> &'static [Vec<u8>] {
    static PAYLOADS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    PAYLOADS.get_or_init(|| {
        let short = [vec![call(0)], vec![call(1)], vec![call(2), call(3), call(4)]];
        let mut payloads: Vec<Vec<u8>> = short.iter().map(|records| written(records)[HEAD_BYTES..].to_vec()).collect();
        let forged = written(&[call(5)]);
        let long = vec![b'x'; 600 << 10];
        for value in [forged.clone(), long.clone(), [&long[..200 << 10], &forged, &long].concat()] {
            payloads.push(written(&[LogRecord { value: value.into(), ..call(6) }])[HEAD_BYTES..].to_vec());
        }
        payloads
    })
}

/// The segment of one frame that comes of a call.
fn written(records: &[LogRecord]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    thread_runs(async {
        let log = spooled(folder.path(), true).1;
        log.append(records.to_vec()).await.expect("it is taken");
    });
    let mut files = fs::read_dir(folder.path()).expect("a folder").flatten().map(|file| file.path());
    let segment = files.find(|path| path.extension().is_some_and(|suffix| suffix == "spool"));
    fs::read(segment.expect("it was spooled")).expect("a segment")
}

/// On a thread of its own: this one may run something already.
fn thread_runs(work: impl Future<Output = ()> + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| RUNTIME.with(|runtime| runtime.block_on(work)));
    });
}
