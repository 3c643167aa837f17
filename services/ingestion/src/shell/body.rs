//! From the bytes of a request to JSON text. The decoder is chosen by the bytes themselves: SDKs send gzipped JSON as a form, and
//! JSON as plain text.
//!
//! Wanted properties:
//! - neither as sent nor unpacked is more kept in memory than a call may have, and all that are being read share one room;
//! - a body that is too large is read to its end within reason, because many a client sees the answer only then;
//! - a body that comes slowly keeps its own room and nobody's place among the calls.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::answer::Refused;

/// A body that is too large is read up to here before it is refused.
const READ_ON_BYTES: usize = 4 << 20;
/// So much is enough to see which button was pressed.
const BEGINNING_BYTES: usize = 4 << 10;

/// The room that all bodies have while they are read: so many of them, and so many bytes.
pub(crate) struct Room {
    bodies: Semaphore,
    max_bodies: usize,
    bytes: Semaphore,
}

/// A body that is whole, with its share of the room: a call that has a place gives it back.
pub(crate) struct Whole<'a> {
    bytes: Bytes,
    _share: (SemaphorePermit<'a>, Option<SemaphorePermit<'a>>),
}

impl Room {
    /// For at least one body of the largest size.
    pub(crate) fn new(max_bodies: usize, max_bytes: usize, largest_bytes: usize) -> Self {
        let max_bodies = max_bodies.clamp(1, Semaphore::MAX_PERMITS);
        let bytes = Semaphore::new(max_bytes.clamp(largest_bytes, Semaphore::MAX_PERMITS));
        Self { bodies: Semaphore::new(max_bodies), max_bodies, bytes }
    }

    /// How many bodies are being read.
    pub(crate) fn being_read(&self) -> usize {
        self.max_bodies - self.bodies.available_permits()
    }
}

impl Whole<'_> {
    /// The body, for whoever bounds it from here on.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes
    }
}

/// Reads a body, at most so large (`most_bytes`) and so long, if there is room.
pub(crate) async fn read(
    body: Body,
    declared_bytes: Option<u64>,
    most_bytes: usize,
    timeout: Duration,
    room: &Room,
) -> Result<Whole<'_>, Refused> {
    if declared_bytes.is_some_and(|bytes| bytes > READ_ON_BYTES as u64) {
        return Err(Refused::TooLarge { most_bytes });
    }
    let place = room.bodies.try_acquire().map_err(|_| Refused::Shed)?;
    let read = tokio::time::timeout(timeout, read_frames(body, most_bytes, &room.bytes)).await;
    let (bytes, held) = read.unwrap_or(Err(Refused::Slow))?;
    Ok(Whole { bytes, _share: (place, held) })
}

async fn read_frames(
    mut body: Body,
    most_bytes: usize,
    room: &Semaphore,
) -> Result<(Bytes, Option<SemaphorePermit<'_>>), Refused> {
    let mut kept = BytesMut::new();
    let mut held: Option<SemaphorePermit<'_>> = None;
    let mut seen = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refused::Interrupted)?.into_data() else { continue };
        seen += data.len();
        if seen > READ_ON_BYTES {
            return Err(Refused::TooLarge { most_bytes });
        }
        if seen <= most_bytes {
            let more = room.try_acquire_many(data.len() as u32).map_err(|_| Refused::Shed)?;
            match &mut held {
                Some(held) => held.merge(more),
                none => *none = Some(more),
            }
            kept.extend_from_slice(&data);
        } else {
            kept = BytesMut::new();
            held = None;
        }
    }
    if seen > most_bytes { Err(Refused::TooLarge { most_bytes }) } else { Ok((kept.freeze(), held)) }
}

/// The beginning of a body of which no more is wanted; what came of it where the rest does not come.
pub(crate) async fn beginning(mut body: Body, timeout: Duration) -> Bytes {
    let mut kept = BytesMut::new();
    let read = async {
        let mut seen = 0_usize;
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            seen += data.len();
            kept.extend_from_slice(&data[..data.len().min(BEGINNING_BYTES - kept.len())]);
            if seen > READ_ON_BYTES {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(timeout, read).await;
    kept.freeze()
}

/// The JSON text that a body holds, compressed or not; unpacked it is at most so large.
pub(crate) fn text(body: &[u8], most_bytes: usize) -> Result<String, Refused> {
    let unpacked = match body {
        [] => return Err(Refused::Empty),
        [0x1f, 0x8b, ..] => unpack(MultiGzDecoder::new(body), most_bytes)?,
        // No JSON begins with an `x`: this is the head of a zlib stream.
        [0x78, second, ..] if u16::from_be_bytes([0x78, *second]).is_multiple_of(31) => {
            unpack(ZlibDecoder::new(body), most_bytes)?
        }
        plain => plain.to_vec(),
    };
    let mut text = String::from_utf8(unpacked).map_err(|_| Refused::NotText)?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    if text.trim().is_empty() { Err(Refused::Empty) } else { Ok(text) }
}

fn unpack(decoder: impl Read, most_bytes: usize) -> Result<Vec<u8>, Refused> {
    let mut unpacked = Vec::new();
    decoder.take(most_bytes as u64 + 1).read_to_end(&mut unpacked).map_err(|_| Refused::Damaged)?;
    if unpacked.len() > most_bytes { Err(Refused::TooLarge { most_bytes }) } else { Ok(unpacked) }
}
