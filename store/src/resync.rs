//! After a sync that failed. Linux then takes for written what it could not write: the next fdatasync succeeds without it, and
//! reads find it in memory, until the power goes. So sled's log and the journal are written once more before anything is
//! built on them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::folder::sync_folder;
use crate::{journal, sled, sled_log};

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

/// Writes the files of the store in `folder` once more, if a sync of one failed before.
pub(crate) fn run(folder: &Path) -> io::Result<()> {
    if !place(folder).exists() {
        return Ok(());
    }
    tracing::warn!("a sync failed before: the store's files are written once more");
    write_again(&folder.join(sled::SUBFOLDER).join("db"))?;
    for name in journal::FILES {
        write_again(&folder.join(journal::SUBFOLDER).join(name))?;
    }
    fs::remove_file(place(folder))?;
    sync_folder(folder)
}

/// Writes a file once more, if there is one.
fn write_again(path: &Path) -> io::Result<()> {
    let file = match File::options().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let (mut part, mut at) = (vec![0; PART], 0);
    loop {
        let len = sled_log::read_up_to(&file, &mut part, at)?;
        let Some(bytes) = part.get(..len).filter(|bytes| !bytes.is_empty()) else { break };
        file.write_all_at(bytes, at)?;
        at += u64::try_from(len).unwrap_or(u64::MAX);
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_which_a_sync_failed_are_written_once_more_and_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["sled/db", "journal/0"].map(|name| folder.path().join(name));
        let bytes: Vec<u8> = (0..3 * PART + 17).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let long_ago = std::time::UNIX_EPOCH;
        for file in &files {
            fs::create_dir(file.parent().unwrap()).unwrap();
            fs::write(file, &bytes).unwrap();
            File::options().write(true).open(file).unwrap().set_modified(long_ago).unwrap();
        }
        let touched = || files.each_ref().map(|file| fs::metadata(file).unwrap().modified().unwrap());
        run(folder.path()).unwrap();
        assert_eq!(touched(), [long_ago; 2], "nothing failed");
        note(folder.path());
        run(folder.path()).unwrap();
        assert!(touched().iter().all(|at| *at > long_ago));
        assert!(files.iter().all(|file| fs::read(file).unwrap() == bytes));
        assert!(!place(folder.path()).exists());
    }
}
