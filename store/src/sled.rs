//! The sled backend: a table whose index is one tree of sled; and what must be done around sled's start so that nothing
//! acknowledged is lost without being noticed.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::backend::{Backend, Order, StoreError, Visit, Write};
use crate::blocks::Blocks;
use crate::flusher::Flusher;
use crate::folder::{DataFolder, sync_folder};
use crate::high_water_mark::{HighWaterMark, HighWaterMarkSlots};
use crate::table::Table;
use crate::{compact, fsync_recovery, sled_log, undo_log};

/// Of the data folder.
pub(crate) const SUBFOLDER: &str = "sled";
/// sled's log, in [`SUBFOLDER`].
pub(crate) const LOG: &str = "db";
const MEMTABLE_MIN: usize = 16 << 10;
/// Beyond it the journal would only grow longer: blocks that have much to take are rewritten seldom enough.
const MEMTABLE_MAX: usize = 8 << 20;
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// sled in the data folder's subfolder `sled`.
pub struct SledBackend {
    /// Before the table, which it uses.
    flusher: OnceLock<Flusher>,
    table: Arc<Table>,
    trust: Mutex<Trust>,
    folder: DataFolder,
}

/// How far it has come, and whether that is all.
struct Trust {
    slots: HighWaterMarkSlots,
    doubt: Option<Doubt>,
}

/// Why a store that opened may hold less than was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// Batches are missing.
    #[error("{found} of {acknowledged} acknowledged batches are there")]
    Lost {
        /// Batches that were acknowledged.
        acknowledged: u64,
        /// Batches that are there.
        found: u64,
    },
    /// Its log is broken at these places, in bytes from its beginning.
    #[error("its log is broken in {} places, first at byte {}", .0.len(), .0.first().unwrap_or(&0))]
    BrokenLog(Vec<u64>),
    /// It was doubted before, and not verified since.
    #[error("something was amiss at an earlier start")]
    Unverified,
    /// Nothing tells how far it had come.
    #[error("nothing tells how far it had come")]
    NoHighWaterMark,
}

/// How sled is opened everywhere.
pub(crate) fn config(path: &Path, cache_bytes: u64) -> ::sled::Config {
    ::sled::Config::new()
        .path(path)
        .cache_capacity(cache_bytes)
        .segment_size(sled_log::SEGMENT)
        // We flush each batch; a timer would only add writes nobody waits for.
        .flush_every_ms(None)
}

/// How much of the memory that it is given goes to a memtable; there may be two.
fn memtable_bytes(cache_bytes: u64) -> usize {
    usize::try_from(cache_bytes / 8).unwrap_or(usize::MAX).clamp(MEMTABLE_MIN, MEMTABLE_MAX)
}

pub(crate) fn failed(doing: &'static str) -> impl Fn(::sled::Error) -> StoreError {
    move |error| StoreError::Backend { doing, cause: error.to_string() }
}

pub(crate) fn failed_io(doing: &'static str) -> impl Fn(io::Error) -> StoreError {
    move |error| StoreError::Backend { doing, cause: error.to_string() }
}

impl SledBackend {
    /// Opens the store in `folder` with so many bytes of cache. What [`Self::doubt`] then tells must be cleared before
    /// anything is served.
    pub fn open(folder: DataFolder, cache_bytes: u64) -> Result<Self, StoreError> {
        let path = folder.path().to_owned();
        Self::try_open(folder, cache_bytes).inspect_err(|error| {
            // Perhaps a sync of what a process that was killed had left: the next one would succeed without it.
            if let StoreError::Backend { .. } = error {
                fsync_recovery::note(&path);
            }
        })
    }

    fn try_open(folder: DataFolder, cache_bytes: u64) -> Result<Self, StoreError> {
        compact::settle(folder.path()).map_err(failed_io("remove what a compaction left"))?;
        let path = folder.path().join(SUBFOLDER);
        let mut slots = folder.high_water_mark_slots().map_err(failed_io("read its high-water mark"))?;
        let mark = slots.last();
        let is_there = path.join(LOG).exists();
        let mut doubt = None;
        if is_there {
            let broken = prepare(folder.path(), &path).map_err(failed_io("prepare its log"))?;
            doubt = match mark {
                None => Some(Doubt::NoHighWaterMark),
                Some(HighWaterMark { trusted: false, .. }) => Some(Doubt::Unverified),
                Some(HighWaterMark { trusted: true, .. }) => (!broken.is_empty()).then_some(Doubt::BrokenLog(broken)),
            };
        }
        let acknowledged = mark.map_or(0, |mark| mark.batches);
        if !is_there && acknowledged > 0 {
            return Err(StoreError::Lost { acknowledged, found: 0 });
        }
        if doubt.is_some() {
            slots
                .note(HighWaterMark { batches: acknowledged, trusted: false })
                .map_err(failed_io("write its high-water mark"))?;
            slots.sync().map_err(failed_io("sync its high-water mark"))?;
        }
        let config = config(&path, cache_bytes);
        let tree = open_patiently(&config);
        // Also after a failure: an undo log left behind would be put back over a log that was restored from a backup.
        let synced = sync_files(&path).and_then(|()| undo_log::clear(folder.path()));
        let tree = tree?;
        synced.map_err(failed_io("sync its files"))?;
        let blocks = open_blocks(tree, &path, cache_bytes)?;
        let table = Arc::new(Table::open(blocks, folder.path(), memtable_bytes(cache_bytes))?);
        let (acknowledged, found) = (acknowledged.max(table.acknowledged), table.batches());
        let backend = Self { flusher: OnceLock::new(), table, trust: Mutex::new(Trust { slots, doubt }), folder };
        if found < acknowledged {
            backend.trusted().doubt = Some(Doubt::Lost { acknowledged, found });
        }
        if backend.doubt().is_none() {
            backend.trust()?;
        }
        Ok(backend)
    }

    /// Opens the data folder at `path` and the store in it.
    pub fn open_at(path: &Path, cache_bytes: u64) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self::open(DataFolder::open(path)?, cache_bytes)?)
    }

    /// Flushes memtables in a thread of its own from now on, not with a commit now and then.
    pub fn flush_in_background(&self) -> Result<(), StoreError> {
        let flusher = Flusher::start(Arc::clone(&self.table)).map_err(failed_io("start a thread"))?;
        let _ = self.flusher.set(flusher);
        Ok(())
    }

    /// Flushes a part of a memtable into blocks, or merges a part of some runs, and syncs it; false if there is nothing to do.
    pub fn flush_step(&self) -> Result<bool, StoreError> {
        self.table.flush_step()
    }

    /// Why it may hold less than was acknowledged, if it may.
    pub fn doubt(&self) -> Option<Doubt> {
        self.trusted().doubt.clone()
    }

    /// Takes what is there for all that there is, from now on: it was verified, or a person has accepted the loss.
    pub fn trust(&self) -> Result<(), StoreError> {
        let mut trust = self.trusted();
        if let Some(Doubt::Lost { .. }) = trust.doubt {
            // What lies in the journal behind its break would be taken for the batches that follow now.
            self.table.settle()?;
        }
        let batches = self.table.batches();
        trust.slots.note(HighWaterMark { batches, trusted: true }).map_err(failed_io("write its high-water mark"))?;
        trust.slots.sync().map_err(failed_io("sync its high-water mark"))?;
        trust.doubt = None;
        Ok(())
    }

    /// Gives up blocks of records that cannot be read, since a change of any record in one could never be written; how many.
    pub fn forget_unreadable(&self) -> Result<u64, StoreError> {
        self.table.forget_unreadable()
    }

    /// Where its log is broken, in bytes from its beginning, also where it holds nothing of use.
    pub fn broken_log(&self) -> Result<Vec<u64>, StoreError> {
        let log = File::open(self.folder.path().join(SUBFOLDER).join(LOG));
        let survey = log.and_then(|log| sled_log::survey(&log, 0));
        Ok(survey.map_err(failed_io("look through its log"))?.broken)
    }

    /// The table, for whoever has it alone, and the hold on the folder.
    pub(crate) fn into_parts(self) -> (Arc<Table>, DataFolder) {
        (self.table, self.folder)
    }

    fn trusted(&self) -> MutexGuard<'_, Trust> {
        self.trust.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The blocks whose index is `index`. sled's own `flush` only calls `sync_file_range`, which survives a crash of the process but
/// not a power cut, so it ends with an fdatasync of ours on sled's log, opened once more.
pub(crate) fn open_blocks(index: ::sled::Db, path: &Path, cache_bytes: u64) -> Result<Blocks, StoreError> {
    let log = File::open(path.join(LOG)).map_err(failed_io("open its log"))?;
    let flushed = index.clone();
    Blocks::open(index, path, memtable_bytes(cache_bytes), move || {
        flushed.flush().map_err(failed("flush"))?;
        log.sync_data().map_err(failed_io("sync"))
    })
}

/// Makes the files of a store that was not closed fit to be opened; where its log is broken.
fn prepare(folder: &Path, path: &Path) -> io::Result<Vec<u64>> {
    undo_log::restore(folder, &path.join(LOG))?;
    fsync_recovery::run(folder)?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        // A snapshot whose writing was cut off: sled would take it for its newest, find it damaged and give up. The one
        // before is still there.
        if entry.file_name().to_string_lossy().ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    // After a crash the log may hold what is not on the disk. sled would build on it, and so would we.
    sync_files(path)?;
    let log = File::open(path.join(LOG))?;
    let survey = sled_log::survey(&log, sled_log::replayed_from(path)?)?;
    undo_log::save(folder, &log, &survey.replayed)?;
    Ok(survey.broken)
}

/// sled syncs neither its settings nor its folder.
pub(crate) fn sync_files(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(path)
}

/// A handle dropped a moment ago in this process leaves its lock to sled's background threads for an instant. Our own lock
/// on the folder has already shown that no other process is there, so it is worth waiting for.
fn open_patiently(config: &::sled::Config) -> Result<::sled::Db, StoreError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        // sled panics on some kinds of damage.
        match panic::catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Err(::sled::Error::Io(error)))
                if error.to_string().contains("could not acquire lock") && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(result) => return result.map_err(failed("open")),
            Err(_) => return Err(StoreError::Damaged { what: "log" }),
        }
    }
}

impl Backend for SledBackend {
    fn apply(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let mut trust = self.trusted();
        if let Some(doubt) = &trust.doubt {
            return Err(StoreError::Backend { doing: "write", cause: doubt.to_string() });
        }
        let batches = self.table.apply(writes)?;
        if let Some(flusher) = self.flusher.get().filter(|_| self.table.is_full()) {
            flusher.wake();
        }
        trust.slots.note(HighWaterMark { batches, trusted: true }).map_err(failed_io("write its high-water mark"))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.table.get(key)
    }

    fn scan(&self, range: Range<&[u8]>, order: Order, visit: Visit<'_>) -> Result<(), StoreError> {
        self.table.scan(range, order, visit)
    }

    fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.table.size()
    }
}
