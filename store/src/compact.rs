//! Writes a store anew: the extent of what was deleted or overwritten keeps it until something else happens to be put there,
//! so only fresh files are known to hold nothing else than what is there.
//!
//! The copy is made and checked beside sled's folder, then takes its place. Whatever cuts that off, the next opening finds
//! one whole folder: [`settle`].

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::backend::StoreError;
use crate::folder::{DataFolder, sync_folder};
use crate::sled::{self, SledBackend, failed, failed_io};

/// The copy while it is made.
const COPY: &str = "sled.compact";
/// The old log while the copy takes its place.
const OLD: &str = "sled.old";
const RELEASED_WITHIN: Duration = Duration::from_secs(30);

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Keys in the store.
    pub records: u64,
    /// Bytes of its files before.
    pub before: u64,
    /// Bytes of its files now.
    pub after: u64,
}

/// Writes the store in `folder` anew, and says now and then how many records it has copied. Nobody may use it meanwhile.
pub fn compact(folder: DataFolder, cache_bytes: u64, progress: &mut dyn FnMut(u64)) -> Result<Compacted, StoreError> {
    let path = folder.path().to_owned();
    let (log, copy, old) = (path.join(sled::SUBFOLDER), path.join(COPY), path.join(OLD));
    let backend = SledBackend::open(folder, cache_bytes)?;
    if let Some(doubt) = backend.doubt() {
        return Err(StoreError::Backend { doing: "compact before it is verified", cause: doubt.to_string() });
    }
    let before = size(&log).map_err(failed_io("measure its size"))?;
    let fresh = sled::config(&copy, cache_bytes).open().map_err(failed("make a copy"))?;
    let fresh = sled::open_blocks(fresh, &copy, cache_bytes)?;
    let (table, _folder) = backend.into_parts();
    let records = table.settle()?.copy_to(&fresh, progress)?;
    drop((fresh, table));
    for path in [&copy, &log] {
        released(path).map_err(failed_io("close its log"))?;
    }
    sled::sync_files(&copy).map_err(failed_io("sync the copy"))?;
    let swapped = fs::rename(&log, &old).and_then(|()| fs::rename(&copy, &log)).and_then(|()| sync_folder(&path));
    swapped.map_err(failed_io("put the copy in its place"))?;
    settle(&path).map_err(failed_io("remove the old log"))?;
    let after = size(&log).map_err(failed_io("measure its size"))?;
    Ok(Compacted { records, before, after })
}

/// Puts right what a compaction that was cut off has left in a data folder. The copy is whole once the log is away.
pub(crate) fn settle(folder: &Path) -> io::Result<()> {
    let (log, copy, old) = (folder.join(sled::SUBFOLDER), folder.join(COPY), folder.join(OLD));
    if !log.exists() && old.exists() {
        fs::rename(if copy.exists() { &copy } else { &old }, &log)?;
        sync_folder(folder)?;
    }
    for left in [copy, old].iter().filter(|left| left.exists()) {
        fs::remove_dir_all(left)?;
        sync_folder(folder)?;
    }
    Ok(())
}

/// Waits until sled's threads have let go of a log: what they write by its path must not land in another.
pub(crate) fn released(path: &Path) -> io::Result<()> {
    let (log, deadline) = (File::open(path.join("db"))?, Instant::now() + RELEASED_WITHIN);
    loop {
        match log.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::TimedOut.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

fn size(path: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let metadata = entry?.metadata()?;
        bytes += if metadata.is_file() { metadata.len() } else { 0 };
    }
    Ok(bytes)
}
