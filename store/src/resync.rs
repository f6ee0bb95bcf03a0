//! After a sync that failed. Linux then takes for written what it could not write: the next fdatasync succeeds without it, and
//! reads find it in memory, until the power goes. So the whole log is written once more before anything is built on it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::folder::sync_folder;
use crate::sled_log;

/// Bytes that are written at once.
const PART: usize = 1024 * 1024;

fn place(folder: &Path) -> PathBuf {
    folder.join("log.unsynced")
}

/// A sync failed: the next start is to know.
pub(crate) fn note(folder: &Path) {
    if let Err(error) = File::create(place(folder)).and_then(|note| note.sync_all()) {
        tracing::warn!(%error, "the store could not note that a sync failed");
    }
}

/// Writes the log once more, if a sync of it failed before.
pub(crate) fn run(folder: &Path, log: &Path) -> io::Result<()> {
    if !place(folder).exists() {
        return Ok(());
    }
    tracing::warn!("a sync failed before: the store's log is written once more");
    let log = File::options().read(true).write(true).open(log)?;
    let (mut part, mut at) = (vec![0; PART], 0);
    loop {
        let len = sled_log::read_up_to(&log, &mut part, at)?;
        let Some(bytes) = part.get(..len).filter(|bytes| !bytes.is_empty()) else { break };
        log.write_all_at(bytes, at)?;
        at += u64::try_from(len).unwrap_or(u64::MAX);
    }
    log.sync_all()?;
    fs::remove_file(place(folder))?;
    sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_whose_sync_failed_is_written_once_more_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("db");
        let bytes: Vec<u8> = (0..3 * PART + 17).map(|n| u8::try_from(n % 251).unwrap()).collect();
        fs::write(&log, &bytes).unwrap();
        let long_ago = std::time::UNIX_EPOCH;
        File::options().write(true).open(&log).unwrap().set_modified(long_ago).unwrap();
        let touched = || fs::metadata(&log).unwrap().modified().unwrap();
        run(folder.path(), &log).unwrap();
        assert_eq!(touched(), long_ago, "nothing failed");
        note(folder.path());
        run(folder.path(), &log).unwrap();
        assert!(touched() > long_ago);
        assert_eq!(fs::read(&log).unwrap(), bytes);
        assert!(!place(folder.path()).exists());
    }
}
