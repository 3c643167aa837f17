//! The records inside a batch: read for compaction, time look-ups and tests; written by [`BatchBuilder`].
//!
//! Wanted property: what the builder writes, the reader reads back; a batch whose codec is not read here says so
//! ([`Unreadable::Codec`]) and is left alone by everybody.

use std::io::Read;

use bytes::Bytes;

use super::batch::{self, BatchHeader, Compression, HEADER_BYTES, HeaderParts};

/// The greatest size that a compressed batch may unpack to.
const UNPACKED_LIMIT_BYTES: u64 = 256 * 1024 * 1024;

/// Why the records of a batch can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Compressed by a codec that this broker only passes on.
    #[error("compressed by a codec that is passed on unread")]
    Codec,
    /// The bytes are not what the header promises.
    #[error("malformed records")]
    Malformed,
}

/// One record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its offset in the partition.
    pub offset: i64,
    /// Its timestamp in ms: the producer's, or the broker's where the batch says so.
    pub timestamp_ms: i64,
    /// The key, if any.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Header names and values, in order.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
    /// The record as encoded, its length included.
    pub encoded: Bytes,
}

/// All records of one stored batch.
pub fn read(header: &BatchHeader, batch: &Bytes) -> Result<Vec<Record>, Unreadable> {
    let body = match header.compression() {
        Compression::None => batch.slice(HEADER_BYTES..header.size_bytes),
        Compression::Lz4 => unpack_lz4(&batch[HEADER_BYTES..header.size_bytes])?,
        Compression::Opaque => return Err(Unreadable::Codec),
    };
    let mut reader = Reader { bytes: body, at: 0 };
    let count = usize::try_from(header.record_count).map_err(|_| Unreadable::Malformed)?;
    let mut records = Vec::with_capacity(count.min(4096));
    for _ in 0..count {
        records.push(reader.record(header)?);
    }
    Ok(records)
}

/// All records of a run of stored batches, markers left out: what a client makes of a fetched `records` field.
pub fn read_all(batches: &[Bytes]) -> Result<Vec<Record>, Unreadable> {
    let mut records = Vec::new();
    for bytes in batches {
        let header = batch::read_header(bytes).map_err(|_| Unreadable::Malformed)?;
        if !header.is_control() {
            records.extend(read(&header, bytes)?);
        }
    }
    Ok(records)
}

fn unpack_lz4(packed: &[u8]) -> Result<Bytes, Unreadable> {
    let mut unpacked = Vec::new();
    let mut decoder = lz4_flex::frame::FrameDecoder::new(packed).take(UNPACKED_LIMIT_BYTES + 1);
    decoder.read_to_end(&mut unpacked).map_err(|_| Unreadable::Malformed)?;
    if unpacked.len() as u64 > UNPACKED_LIMIT_BYTES {
        return Err(Unreadable::Malformed);
    }
    Ok(Bytes::from(unpacked))
}

struct Reader {
    bytes: Bytes,
    at: usize,
}

impl Reader {
    fn record(&mut self, header: &BatchHeader) -> Result<Record, Unreadable> {
        let start = self.at;
        let length = self.length()?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or(Unreadable::Malformed)?;
        self.take(1)?;
        let timestamp_delta = self.varint()?;
        let offset_delta = self.varint()?;
        let key = self.optional_bytes()?;
        let value = self.optional_bytes()?;
        let mut headers = Vec::new();
        for _ in 0..self.length()? {
            let name_length = self.length()?;
            let name = self.take(name_length)?;
            headers.push((name, self.optional_bytes()?));
        }
        if self.at != end {
            return Err(Unreadable::Malformed);
        }
        let created_ms = header.base_timestamp.wrapping_add(timestamp_delta);
        Ok(Record {
            offset: header.base_offset.wrapping_add(offset_delta),
            timestamp_ms: if header.is_log_append_time() { header.max_timestamp } else { created_ms },
            key,
            value,
            headers,
            encoded: self.bytes.slice(start..end),
        })
    }

    fn take(&mut self, length: usize) -> Result<Bytes, Unreadable> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len()).ok_or(Unreadable::Malformed)?;
        let taken = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(taken)
    }

    fn optional_bytes(&mut self) -> Result<Option<Bytes>, Unreadable> {
        match self.varint()? {
            -1 => Ok(None),
            length => self.take(usize::try_from(length).map_err(|_| Unreadable::Malformed)?).map(Some),
        }
    }

    fn length(&mut self) -> Result<usize, Unreadable> {
        usize::try_from(self.varint()?).map_err(|_| Unreadable::Malformed)
    }

    fn varint(&mut self) -> Result<i64, Unreadable> {
        let mut zigzag: u64 = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(Unreadable::Malformed)?;
            self.at += 1;
            zigzag |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
            }
        }
        Err(Unreadable::Malformed)
    }
}

/// Who produces a batch: for idempotent and transactional producers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerStamp {
    /// The producer's id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// Sequence number of the batch's first record on this partition.
    pub sequence: i32,
    /// Does the batch belong to a transaction?
    pub transactional: bool,
}

/// Writes an uncompressed batch, as a producer would: for tests and simulations, which have no client.
#[derive(Clone, Debug, Default)]
pub struct BatchBuilder {
    body: Vec<u8>,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
    count: i32,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record.
    #[must_use]
    pub fn record(self, key: Option<&[u8]>, value: Option<&[u8]>, timestamp_ms: i64) -> Self {
        self.record_with_headers(key, value, timestamp_ms, &[])
    }

    /// Adds a record with headers.
    #[must_use]
    pub fn record_with_headers(
        mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp_ms: i64,
        headers: &[(&str, &[u8])],
    ) -> Self {
        if self.count == 0 {
            self.base_timestamp_ms = timestamp_ms;
            self.max_timestamp_ms = timestamp_ms;
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
        let mut record = vec![0];
        put_varint(&mut record, timestamp_ms - self.base_timestamp_ms);
        put_varint(&mut record, i64::from(self.count));
        put_optional(&mut record, key);
        put_optional(&mut record, value);
        put_varint(&mut record, headers.len() as i64);
        for (name, value) in headers {
            put_optional(&mut record, Some(name.as_bytes()));
            put_optional(&mut record, Some(value));
        }
        put_varint(&mut self.body, record.len() as i64);
        self.body.extend_from_slice(&record);
        self.count += 1;
        self
    }

    /// The batch, for a producer or for none.
    pub fn build(&self, producer: Option<ProducerStamp>) -> Bytes {
        let parts = HeaderParts {
            base_offset: 0,
            last_offset_delta: self.count - 1,
            attributes: batch::attributes(producer.is_some_and(|stamp| stamp.transactional)),
            base_timestamp: self.base_timestamp_ms,
            max_timestamp: self.max_timestamp_ms,
            producer_id: producer.map_or(-1, |stamp| stamp.id),
            producer_epoch: producer.map_or(-1, |stamp| stamp.epoch),
            base_sequence: producer.map_or(-1, |stamp| stamp.sequence),
            record_count: self.count,
        };
        batch::write(&parts, &self.body)
    }
}

fn put_optional(to: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(to, -1),
        Some(bytes) => {
            put_varint(to, bytes.len() as i64);
            to.extend_from_slice(bytes);
        }
    }
}

fn put_varint(to: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        to.push((zigzag as u8 & 0x7f) | 0x80);
        zigzag >>= 7;
    }
    to.push(zigzag as u8);
}
