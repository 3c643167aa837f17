//! What a partition was told and has not processed yet, in order, and what it weighs.

use std::collections::VecDeque;

use domain::Timestamp;

use crate::service::{ClaimId, DeadLetter, Decoded, Key, RecordRef, Service, Trace};

/// What an entry weighs beside its record: the decoded form's own size, rounded up.
const ENTRY_OVERHEAD_BYTES: usize = 128;

/// What waits to be processed.
#[derive(Debug)]
pub(super) enum Pending<S: Service> {
    Record {
        input: usize,
        offset: i64,
        stored_at: Timestamp,
        trace: Option<Trace>,
        size_bytes: usize,
        decoded: Decoded<S::Input>,
    },
    Poison {
        input: usize,
        offset: i64,
        letter: Box<DeadLetter>,
    },
    /// The end of an input was seen; `as_of` where nothing more had been stored there at that time.
    End {
        input: usize,
        position: i64,
        as_of: Option<Timestamp>,
    },
    Completed {
        key: Key,
        claim: ClaimId,
        completion: S::Completion,
    },
}

impl<S: Service> Pending<S> {
    pub(super) fn key(&self) -> Option<&Key> {
        match self {
            Self::Record { decoded, .. } => Some(&decoded.key),
            Self::Completed { key, .. } => Some(key),
            Self::Poison { .. } | Self::End { .. } => None,
        }
    }

    pub(super) fn size_bytes(&self) -> usize {
        let record_bytes = match self {
            Self::Record { size_bytes, .. } => *size_bytes,
            Self::Poison { letter, .. } => {
                letter.key.as_ref().map_or(0, bytes::Bytes::len) + letter.value.as_ref().map_or(0, bytes::Bytes::len)
            }
            Self::End { .. } | Self::Completed { .. } => 0,
        };
        record_bytes + ENTRY_OVERHEAD_BYTES
    }
}

/// Bytes of a record as it came.
pub(super) fn record_bytes(record: &RecordRef<'_>) -> usize {
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)
}

#[derive(Debug)]
pub(super) struct Inbox<S: Service> {
    waiting: VecDeque<Pending<S>>,
    size_bytes: usize,
}

impl<S: Service> Inbox<S> {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new(), size_bytes: 0 }
    }

    pub(super) fn push(&mut self, pending: Pending<S>) {
        self.size_bytes += pending.size_bytes();
        self.waiting.push_back(pending);
    }

    pub(super) fn push_front(&mut self, pending: Pending<S>) {
        self.size_bytes += pending.size_bytes();
        self.waiting.push_front(pending);
    }

    /// Notes that an end was seen; an end of the same input that was noted last is the same end, later.
    pub(super) fn push_end(&mut self, input: usize, position: i64, as_of: Option<Timestamp>) {
        if matches!(self.waiting.back(), Some(Pending::End { input: last, .. }) if *last == input) {
            self.pop_back();
        }
        self.push(Pending::End { input, position, as_of });
    }

    fn pop_back(&mut self) {
        if let Some(pending) = self.waiting.pop_back() {
            self.size_bytes -= pending.size_bytes();
        }
    }

    pub(super) fn pop(&mut self) -> Option<Pending<S>> {
        let pending = self.waiting.pop_front()?;
        self.size_bytes -= pending.size_bytes();
        Some(pending)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pending<S>> {
        self.waiting.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Drops what the log will tell again.
    pub(super) fn keep_completions(&mut self) {
        self.waiting.retain(|pending| matches!(pending, Pending::Completed { .. }));
        self.size_bytes = self.waiting.iter().map(Pending::size_bytes).sum();
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.size_bytes = 0;
    }
}
