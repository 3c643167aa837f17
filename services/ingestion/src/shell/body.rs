//! From the bytes of a request to JSON text. The decoder is chosen by the bytes themselves: SDKs send gzipped JSON as a form, and
//! JSON as plain text.
//!
//! Wanted properties: neither as sent nor unpacked is more kept in memory than a call may have; a body that is too large is read
//! to its end within reason, because many a client sees the answer only then.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http_body_util::BodyExt;

use super::answer::Refused;
use crate::mapping::MAX_CALL_BYTES;

/// A body that is too large is read up to here before it is refused.
const READ_ON_BYTES: usize = 4 << 20;

/// Reads a body, at most so large and so long.
pub(crate) async fn read(body: Body, declared_bytes: Option<u64>, timeout: Duration) -> Result<Bytes, Refused> {
    if declared_bytes.is_some_and(|bytes| bytes > READ_ON_BYTES as u64) {
        return Err(Refused::TooLarge);
    }
    tokio::time::timeout(timeout, read_frames(body)).await.unwrap_or(Err(Refused::Slow))
}

async fn read_frames(mut body: Body) -> Result<Bytes, Refused> {
    let mut kept = BytesMut::new();
    let mut seen = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refused::Interrupted)?.into_data() else { continue };
        seen += data.len();
        if seen > READ_ON_BYTES {
            return Err(Refused::TooLarge);
        }
        if seen <= MAX_CALL_BYTES {
            kept.extend_from_slice(&data);
        } else {
            kept = BytesMut::new();
        }
    }
    if seen > MAX_CALL_BYTES { Err(Refused::TooLarge) } else { Ok(kept.freeze()) }
}

/// The JSON text that a body holds, compressed or not.
pub(crate) fn text(body: &[u8]) -> Result<String, Refused> {
    let unpacked = match body {
        [] => return Err(Refused::Empty),
        [0x1f, 0x8b, ..] => unpack(MultiGzDecoder::new(body))?,
        // No JSON begins with an `x`: this is the head of a zlib stream.
        [0x78, second, ..] if u16::from_be_bytes([0x78, *second]).is_multiple_of(31) => unpack(ZlibDecoder::new(body))?,
        plain => plain.to_vec(),
    };
    let mut text = String::from_utf8(unpacked).map_err(|_| Refused::NotText)?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    if text.trim().is_empty() { Err(Refused::Empty) } else { Ok(text) }
}

fn unpack(decoder: impl Read) -> Result<Vec<u8>, Refused> {
    let mut unpacked = Vec::new();
    decoder.take(MAX_CALL_BYTES as u64 + 1).read_to_end(&mut unpacked).map_err(|_| Refused::Damaged)?;
    if unpacked.len() > MAX_CALL_BYTES { Err(Refused::TooLarge) } else { Ok(unpacked) }
}
