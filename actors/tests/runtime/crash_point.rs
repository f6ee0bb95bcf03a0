//! Ends a life right after one of its writes: what it does afterwards never happened.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use store::MemoryBackend;
use store::backend::{Backend, Order, StoreError, Visit, Write};

use crate::support::copy;

/// One life of a process, up to its crash.
#[derive(Default)]
pub(crate) struct Life {
    /// Writes until its end; 0: it does not end by itself.
    left: AtomicU64,
    /// What was in the store at its end.
    image: Mutex<Option<MemoryBackend>>,
}

impl Life {
    /// It ends right after so many more writes.
    pub(crate) fn ends_after(&self, writes: u64) {
        self.left.store(writes, Ordering::SeqCst);
    }

    /// Whether it has come to its end.
    pub(crate) fn is_over(&self) -> bool {
        self.image.lock().unwrap().is_some()
    }

    /// What the next life finds, if this one has come to its end.
    pub(crate) fn image(&self) -> Option<MemoryBackend> {
        self.image.lock().unwrap().clone()
    }

    fn wrote(&self, backend: &MemoryBackend) {
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) == Ok(1) {
            *self.image.lock().unwrap() = Some(copy(backend));
        }
    }
}

/// A backend whose writes count.
pub(crate) struct Mortal {
    pub(crate) backend: MemoryBackend,
    pub(crate) life: Arc<Life>,
}

impl Backend for Mortal {
    fn apply(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.backend.apply(writes)?;
        self.life.wrote(&self.backend);
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.backend.get(key)
    }

    fn scan(&self, range: Range<&[u8]>, order: Order, visit: Visit<'_>) -> Result<(), StoreError> {
        self.backend.scan(range, order, visit)
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.backend.size_on_disk()
    }
}
