//! The latest changes, in memory, in the order of their keys.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::backend::{Order, Write};

/// What the map needs for an entry besides its key and value, in bytes, as measured.
const OVERHEAD: usize = 96;

/// Keys that were changed: to a value, or to a tombstone (`None`).
pub(crate) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;
/// One of them.
pub(crate) type Change = (Vec<u8>, Option<Vec<u8>>);

/// Changes that are durable in the write-ahead log (journal), and not yet flushed into the blocks.
#[derive(Default)]
pub(crate) struct Memtable {
    changes: RwLock<Changes>,
    bytes: AtomicUsize,
}

impl Memtable {
    /// About how many bytes of memory a change takes.
    pub(crate) fn cost(write: &Write) -> usize {
        OVERHEAD + write.size()
    }

    /// Applies `writes`, in order; a reader sees all of them or none.
    pub(crate) fn apply(&self, writes: Vec<Write>) {
        let mut changes = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = self.bytes();
        for write in writes {
            bytes += Self::cost(&write);
            let (key, value) = write.into_entry();
            let key_len = key.len();
            if let Some(before) = changes.insert(key, value) {
                bytes -= OVERHEAD + key_len + before.map_or(0, |before| before.len());
            }
        }
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// What `key` was changed to, if it was: a value, or a tombstone (`None`).
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<Vec<u8>>> {
        self.read().get(key).cloned()
    }

    /// The first `most` changes within `range`, which is not empty, that are met in this order.
    pub(crate) fn within(&self, range: &Range<Vec<u8>>, order: Order, most: usize) -> Vec<Change> {
        let changes = self.read();
        let found = changes.range(range.clone()).map(|(key, value)| (key.clone(), value.clone()));
        match order {
            Order::Ascending => found.take(most).collect(),
            Order::Descending => found.rev().take(most).collect(),
        }
    }

    /// All changes. Holds off writers while it is held.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Changes> {
        self.changes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}
