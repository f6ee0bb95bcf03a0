//! A backend in memory, for tests: the same behaviour, nothing on disk, and writes that fail when told to.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::backend::{Backend, Order, StoreError, Visit, Write};

/// A backend in memory. Clones share their content, so that a clone kept aside can be "reopened".
#[derive(Clone, Default)]
pub struct MemoryBackend {
    map: Arc<RwLock<BTreeMap<Vec<u8>, Vec<u8>>>>,
    failing: Arc<AtomicBool>,
}

impl MemoryBackend {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on, writes fail (or work again).
    pub fn fail_writes(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }
}

impl Backend for MemoryBackend {
    fn apply(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(StoreError::Backend { doing: "write", cause: "told to fail".into() });
        }
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        for write in writes {
            match write {
                Write::Put(key, value) => map.insert(key, value),
                Write::Delete(key) => map.remove(&key),
            };
        }
        Ok(())
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.map.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn scan(&self, range: Range<&[u8]>, order: Order, visit: Visit<'_>) -> Result<(), StoreError> {
        if range.start >= range.end {
            return Ok(());
        }
        // Collected first, so that `visit` may read the store again.
        let found: Vec<_> = {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            map.range(range.start.to_vec()..range.end.to_vec()).map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        let mut visit_all = |items: &mut dyn Iterator<Item = (Vec<u8>, Vec<u8>)>| {
            for (key, value) in items {
                if visit(&key, &value).is_break() {
                    break;
                }
            }
        };
        match order {
            Order::Ascending => visit_all(&mut found.into_iter()),
            Order::Descending => visit_all(&mut found.into_iter().rev()),
        }
        Ok(())
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}
