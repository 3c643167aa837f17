//! Decoded states, kept between batches, bounded by the bytes that they take when encoded.
//!
//! Wanted properties: it holds committed states only; what it holds of a partition goes when the partition goes.

use lru::LruCache;

use crate::service::Key;
use crate::topology::Partition;

/// What one entry costs beside its encoded state: the key, the links, the decoded form's slack (measured, rounded up).
const ENTRY_OVERHEAD_BYTES: usize = 160;

pub(super) struct Cache<V> {
    entries: LruCache<(Partition, Key), (V, usize)>,
    bytes: usize,
    limit_bytes: usize,
}

impl<V> Cache<V> {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { entries: LruCache::unbounded(), bytes: 0, limit_bytes }
    }

    /// Takes an entry out: what is being changed is not in the cache.
    pub(super) fn take(&mut self, partition: Partition, key: &Key) -> Option<(V, usize)> {
        let (value, size_bytes) = self.entries.pop(&(partition, Key::clone(key)))?;
        self.bytes -= size_bytes + ENTRY_OVERHEAD_BYTES;
        Some((value, size_bytes))
    }

    pub(super) fn put(&mut self, partition: Partition, key: Key, value: V, size_bytes: usize) {
        self.bytes += size_bytes + ENTRY_OVERHEAD_BYTES;
        if let Some((_, (_, old_bytes))) = self.entries.push((partition, key), (value, size_bytes)) {
            self.bytes -= old_bytes + ENTRY_OVERHEAD_BYTES;
        }
        while self.bytes > self.limit_bytes {
            let Some((_, (_, old_bytes))) = self.entries.pop_lru() else { break };
            self.bytes -= old_bytes + ENTRY_OVERHEAD_BYTES;
        }
    }

    pub(super) fn forget_partition(&mut self, partition: Partition) {
        let gone: Vec<_> = self.entries.iter().filter(|((p, _), _)| *p == partition).map(|(k, _)| k.clone()).collect();
        for key in gone {
            if let Some((_, size_bytes)) = self.entries.pop(&key) {
                self.bytes -= size_bytes + ENTRY_OVERHEAD_BYTES;
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
