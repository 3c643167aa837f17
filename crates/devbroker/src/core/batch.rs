//! Record batches (magic 2) as bytes: reading the header, checking, stamping the offset and the broker's time.
//!
//! Wanted properties:
//! - A batch is stored as it was received, compressed or not; only base offset, leader epoch and (with `LogAppendTime`)
//!   the timestamp bit, the greatest timestamp and the checksum are rewritten.
//! - A batch that is not whole, has a wrong checksum or another format is refused before it touches a log.

use bytes::Bytes;
use kafka_protocol::ResponseError;

/// Bytes before the records of a batch.
pub const HEADER_BYTES: usize = 61;
const CHECKSUM_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LOG_OVERHEAD: usize = 12;

const COMPRESSION_MASK: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// LZ4 frame.
    Lz4,
    /// Another codec (gzip, snappy, zstd), which this broker passes on unread.
    Opaque,
}

/// The header of one record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record, less `base_offset`.
    pub last_offset_delta: i32,
    /// Codec, timestamp type, transactional and control bits.
    pub attributes: i16,
    /// Timestamp that the records' deltas count from, in ms.
    pub base_timestamp: i64,
    /// Greatest timestamp of the batch, in ms.
    pub max_timestamp: i64,
    /// Producer id, or -1.
    pub producer_id: i64,
    /// Producer epoch, or -1.
    pub producer_epoch: i16,
    /// Sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// Number of records.
    pub record_count: i32,
    /// Bytes of the whole batch, header included.
    pub size_bytes: usize,
}

impl BatchHeader {
    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// Sequence number of the last record; sequence numbers wrap from `i32::MAX` to 0.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return self.base_sequence;
        }
        let wide = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        i32::try_from(wide % (i64::from(i32::MAX) + 1)).unwrap_or(i32::MAX)
    }

    /// The codec of the records.
    pub fn compression(&self) -> Compression {
        match self.attributes & COMPRESSION_MASK {
            0 => Compression::None,
            3 => Compression::Lz4,
            _ => Compression::Opaque,
        }
    }

    /// Does the batch belong to a transaction?
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Is it a transaction marker?
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Do the records carry the broker's time?
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }
}

/// Reads the header of the one batch that a producer sent for a partition, and checks the batch: magic, length,
/// checksum, number of records.
pub fn check_produced(records: &Bytes) -> Result<BatchHeader, ResponseError> {
    let header = read_header(records)?;
    let whole = header.size_bytes == records.len();
    let counted = header.record_count > 0 && header.last_offset_delta == header.record_count - 1;
    if !whole || crc32c::crc32c(&records[ATTRIBUTES_AT..]) != checksum(records) {
        return Err(ResponseError::CorruptMessage);
    }
    if !counted || header.is_control() || (header.is_transactional() && header.producer_id < 0) {
        return Err(ResponseError::InvalidRecord);
    }
    if header.producer_id >= 0 && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return Err(ResponseError::InvalidRecord);
    }
    if header.is_log_append_time() {
        return Err(ResponseError::InvalidTimestamp);
    }
    Ok(header)
}

/// Reads the header of a batch without checking its contents.
pub fn read_header(batch: &[u8]) -> Result<BatchHeader, ResponseError> {
    if batch.len() < HEADER_BYTES {
        return Err(ResponseError::CorruptMessage);
    }
    if batch[16] != 2 {
        return Err(ResponseError::UnsupportedForMessageFormat);
    }
    let length = i32_at(batch, 8);
    let size_bytes = usize::try_from(length).map_or(0, |bytes| bytes + LOG_OVERHEAD);
    if size_bytes < HEADER_BYTES || size_bytes > batch.len() {
        return Err(ResponseError::CorruptMessage);
    }
    Ok(BatchHeader {
        base_offset: i64_at(batch, 0),
        attributes: i16_at(batch, ATTRIBUTES_AT),
        last_offset_delta: i32_at(batch, 23),
        base_timestamp: i64_at(batch, 27),
        max_timestamp: i64_at(batch, 35),
        producer_id: i64_at(batch, 43),
        producer_epoch: i16_at(batch, 51),
        base_sequence: i32_at(batch, 53),
        record_count: i32_at(batch, 57),
        size_bytes,
    })
}

/// A copy of `batch` at `base_offset`, with the broker's time if `append_time_ms` is given.
pub fn stamp(batch: &[u8], base_offset: i64, append_time_ms: Option<i64>) -> Bytes {
    let mut copy = batch.to_vec();
    copy[0..8].copy_from_slice(&base_offset.to_be_bytes());
    copy[12..16].copy_from_slice(&0_i32.to_be_bytes());
    if let Some(now_ms) = append_time_ms {
        let attributes = i16_at(&copy, ATTRIBUTES_AT) | LOG_APPEND_TIME;
        copy[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
        copy[35..43].copy_from_slice(&now_ms.to_be_bytes());
        seal(&mut copy);
    }
    Bytes::from(copy)
}

/// The parts of a header that a batch is written with; the rest follows from the records.
#[derive(Clone, Copy, Debug)]
pub struct HeaderParts {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record, less `base_offset`.
    pub last_offset_delta: i32,
    /// Codec, timestamp type, transactional and control bits.
    pub attributes: i16,
    /// Timestamp that deltas count from, in ms.
    pub base_timestamp: i64,
    /// Greatest timestamp, in ms.
    pub max_timestamp: i64,
    /// Producer id, or -1.
    pub producer_id: i64,
    /// Producer epoch, or -1.
    pub producer_epoch: i16,
    /// First sequence number, or -1.
    pub base_sequence: i32,
    /// Number of records in `body`.
    pub record_count: i32,
}

/// Writes a batch of already encoded records.
pub fn write(parts: &HeaderParts, body: &[u8]) -> Bytes {
    let mut batch = Vec::with_capacity(HEADER_BYTES + body.len());
    let length = i32::try_from(HEADER_BYTES - LOG_OVERHEAD + body.len()).unwrap_or(i32::MAX);
    batch.extend_from_slice(&parts.base_offset.to_be_bytes());
    batch.extend_from_slice(&length.to_be_bytes());
    batch.extend_from_slice(&0_i32.to_be_bytes());
    batch.push(2);
    batch.extend_from_slice(&[0; 4]);
    batch.extend_from_slice(&parts.attributes.to_be_bytes());
    batch.extend_from_slice(&parts.last_offset_delta.to_be_bytes());
    batch.extend_from_slice(&parts.base_timestamp.to_be_bytes());
    batch.extend_from_slice(&parts.max_timestamp.to_be_bytes());
    batch.extend_from_slice(&parts.producer_id.to_be_bytes());
    batch.extend_from_slice(&parts.producer_epoch.to_be_bytes());
    batch.extend_from_slice(&parts.base_sequence.to_be_bytes());
    batch.extend_from_slice(&parts.record_count.to_be_bytes());
    batch.extend_from_slice(body);
    seal(&mut batch);
    Bytes::from(batch)
}

/// The batch that ends a transaction on a partition.
pub fn marker(base_offset: i64, producer_id: i64, producer_epoch: i16, commit: bool, now_ms: i64) -> Bytes {
    // Record: length 16, attributes, deltas 0, key (version 0, type), value (version 0, coordinator epoch 0), no headers.
    let kind = u8::from(commit);
    let body = [32, 0, 0, 0, 8, 0, 0, 0, kind, 12, 0, 0, 0, 0, 0, 0, 0];
    let parts = HeaderParts {
        base_offset,
        last_offset_delta: 0,
        attributes: TRANSACTIONAL | CONTROL,
        base_timestamp: now_ms,
        max_timestamp: now_ms,
        producer_id,
        producer_epoch,
        base_sequence: -1,
        record_count: 1,
    };
    write(&parts, &body)
}

/// The attribute bits of a producer's uncompressed batch.
pub fn attributes(transactional: bool) -> i16 {
    if transactional { TRANSACTIONAL } else { 0 }
}

/// `attributes` without the codec: for a batch whose records were decompressed.
pub fn uncompressed(attributes: i16) -> i16 {
    attributes & !COMPRESSION_MASK
}

fn seal(batch: &mut [u8]) {
    let sum = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_be_bytes());
}

fn checksum(batch: &[u8]) -> u32 {
    u32::from_be_bytes(array_at(batch, CHECKSUM_AT))
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes(array_at(bytes, at))
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(array_at(bytes, at))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(array_at(bytes, at))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
