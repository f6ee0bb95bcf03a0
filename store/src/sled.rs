//! The sled backend: one tree, one batch, one flush, one fdatasync.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::backend::{Backend, Order, StoreError, Visit, Write};
use crate::folder::{DataFolder, sync_folder};

const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// sled in the data folder's subfolder `sled`.
pub struct SledBackend {
    tree: ::sled::Db,
    /// sled's log file, opened once more: sled's own `flush` only calls `sync_file_range`, which survives a crash of the
    /// process but not a power cut, so each batch ends with an fdatasync of ours.
    log: File,
    _folder: DataFolder,
}

fn failed(doing: &'static str) -> impl Fn(::sled::Error) -> StoreError {
    move |error| StoreError::Backend { doing, cause: error.to_string() }
}

fn failed_io(doing: &'static str) -> impl Fn(std::io::Error) -> StoreError {
    move |error| StoreError::Backend { doing, cause: error.to_string() }
}

impl SledBackend {
    /// Opens the store in `folder` with so many bytes of cache.
    pub fn open(folder: DataFolder, cache_bytes: u64) -> Result<Self, StoreError> {
        let path = folder.path().join("sled");
        let config = ::sled::Config::new()
            .path(&path)
            .cache_capacity(cache_bytes)
            // We flush each batch; a timer would only add writes nobody waits for.
            .flush_every_ms(None);
        let tree = open_patiently(&config).map_err(failed("open"))?;
        let log = File::open(path.join("db")).map_err(failed_io("open its log"))?;
        for folder in [path.as_path(), folder.path()] {
            sync_folder(folder).map_err(failed_io("sync its folder"))?;
        }
        Ok(Self { tree, log, _folder: folder })
    }

    /// Opens the data folder at `path` and the store in it.
    pub fn open_at(path: &Path, cache_bytes: u64) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self::open(DataFolder::open(path)?, cache_bytes)?)
    }
}

/// A handle dropped a moment ago in this process leaves its lock to sled's background threads for an instant. Our own lock
/// on the folder has already shown that no other process is there, so it is worth waiting for.
fn open_patiently(config: &::sled::Config) -> ::sled::Result<::sled::Db> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match config.open() {
            Err(::sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock") && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

impl Backend for SledBackend {
    fn apply(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let mut batch = ::sled::Batch::default();
        for write in writes {
            match write {
                Write::Put(key, value) => batch.insert(key, value),
                Write::Delete(key) => batch.remove(key),
            }
        }
        self.tree.apply_batch(batch).map_err(failed("write"))?;
        self.tree.flush().map_err(failed("flush"))?;
        self.log.sync_data().map_err(failed_io("sync"))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tree.get(key).map_err(failed("read"))?.map(|value| value.to_vec()))
    }

    fn scan(&self, range: Range<&[u8]>, order: Order, visit: Visit<'_>) -> Result<(), StoreError> {
        let mut items = self.tree.range(range);
        loop {
            let item = match order {
                Order::Ascending => items.next(),
                Order::Descending => items.next_back(),
            };
            let Some(item) = item else { return Ok(()) };
            let (key, value) = item.map_err(failed("read"))?;
            if visit(&key, &value).is_break() {
                return Ok(());
            }
        }
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.tree.size_on_disk().map_err(failed("measure its size"))
    }
}
