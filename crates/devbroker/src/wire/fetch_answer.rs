//! The answer to a fetch, written by hand so that stored batches are not copied; the codec's bytes are the test.

use bytes::{BufMut, BytesMut};

use super::rope::Rope;
use crate::core::ErrorCode;
use crate::core::log::Fetched;

/// From this version on the compact encodings are used.
const FLEXIBLE: i16 = 12;

/// What is answered for one partition.
#[derive(Clone, Debug)]
pub(crate) struct PartitionAnswer {
    pub(crate) partition: i32,
    pub(crate) result: Result<Fetched, ErrorCode>,
}

/// What is answered for one topic.
#[derive(Clone, Debug)]
pub(crate) struct TopicAnswer {
    pub(crate) name: String,
    pub(crate) id: u128,
    pub(crate) partitions: Vec<PartitionAnswer>,
}

/// The whole answer. Sessions are not kept: the session id is 0 and each fetch is a full one.
#[derive(Clone, Debug, Default)]
pub(crate) struct FetchAnswer {
    pub(crate) error_code: i16,
    pub(crate) topics: Vec<TopicAnswer>,
}

/// The body of a fetch response, versions 4 to 16.
pub(crate) fn encode(answer: &FetchAnswer, version: i16) -> Rope {
    let mut writer = Writer { rope: Rope::default(), piece: BytesMut::new(), flexible: version >= FLEXIBLE };
    writer.piece.put_i32(0);
    if version >= 7 {
        writer.piece.put_i16(answer.error_code);
        writer.piece.put_i32(0);
    }
    writer.length(answer.topics.len());
    for topic in &answer.topics {
        if version >= 13 {
            writer.piece.put_u128(topic.id);
        } else {
            writer.string(&topic.name);
        }
        writer.length(topic.partitions.len());
        for partition in &topic.partitions {
            writer.partition(partition, version);
        }
        writer.no_tagged_fields();
    }
    writer.no_tagged_fields();
    writer.rope.push(writer.piece.freeze());
    writer.rope
}

struct Writer {
    rope: Rope,
    piece: BytesMut,
    flexible: bool,
}

impl Writer {
    fn partition(&mut self, answer: &PartitionAnswer, version: i16) {
        let nothing =
            Fetched { high_watermark: -1, last_stable_offset: -1, log_start_offset: -1, ..Fetched::default() };
        let (error_code, fetched) = match &answer.result {
            Ok(fetched) => (0, fetched),
            Err(error) => (error.code(), &nothing),
        };
        self.piece.put_i32(answer.partition);
        self.piece.put_i16(error_code);
        self.piece.put_i64(fetched.high_watermark);
        self.piece.put_i64(fetched.last_stable_offset);
        if version >= 5 {
            self.piece.put_i64(fetched.log_start_offset);
        }
        match &fetched.aborted {
            None if self.flexible => self.varint(0),
            None => self.piece.put_i32(-1),
            Some(aborted) => {
                self.length(aborted.len());
                for transaction in aborted {
                    self.piece.put_i64(transaction.producer_id);
                    self.piece.put_i64(transaction.first_offset);
                    self.no_tagged_fields();
                }
            }
        }
        if version >= 11 {
            self.piece.put_i32(-1);
        }
        self.length(fetched.size_bytes);
        for batch in &fetched.batches {
            let before = self.piece.split().freeze();
            self.rope.push(before);
            self.rope.push(batch.clone());
        }
        self.no_tagged_fields();
    }

    fn length(&mut self, length: usize) {
        // Answers are far below 2 GiB: max_fetch_bytes bounds them.
        if self.flexible {
            self.varint(u32::try_from(length + 1).unwrap_or(u32::MAX));
        } else {
            self.piece.put_i32(i32::try_from(length).unwrap_or(i32::MAX));
        }
    }

    fn string(&mut self, text: &str) {
        if self.flexible {
            self.length(text.len());
        } else {
            self.piece.put_i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
        }
        self.piece.put_slice(text.as_bytes());
    }

    fn no_tagged_fields(&mut self) {
        if self.flexible {
            self.varint(0);
        }
    }

    fn varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.piece.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.piece.put_u8(value as u8);
    }
}

#[cfg(test)]
mod tests;
