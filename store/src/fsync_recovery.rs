//! Recovery after an fsync or fdatasync that failed. Linux then takes for written what it could not write: the next fdatasync
//! succeeds without it, and reads find it in memory, until the power goes. So sled's log and the journal are written once more
//! before anything is built on them.
//!
//! That it failed is noted in the file `twotick.store`, behind the high-water mark, in a block that is the file's already: a full disk
//! may be why.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::folder::MARKER;
use crate::{journal, sled, sled_log};

/// Bytes that are written at once.
const PART: usize = 1024 * 1024;
/// Where in the file the note is.
const OFFSET: u64 = 1536;
const FAILED: &[u8; 12] = b"sync failed\n";
const MENDED: &[u8; 12] = b"sync mended\n";

/// A sync failed: the next start is to know.
pub(crate) fn note(folder: &Path) {
    if let Err(error) = write(folder, FAILED) {
        tracing::warn!(%error, "the store could not note that a sync failed");
    }
}

fn write(folder: &Path, note: &[u8]) -> io::Result<()> {
    let file = File::options().write(true).open(folder.join(MARKER))?;
    file.write_all_at(note, OFFSET)?;
    file.sync_all()
}

/// Whether a sync failed, or what is noted of that cannot be read.
fn is_noted(folder: &Path) -> io::Result<bool> {
    let mut note = [0; MENDED.len()];
    let file = File::open(folder.join(MARKER))?;
    let len = sled_log::read_up_to(&file, &mut note, OFFSET)?;
    Ok(len > 0 && note != *MENDED)
}

/// Writes the files of the store in `folder` once more, if a sync of one failed before.
pub(crate) fn run(folder: &Path) -> io::Result<()> {
    if !is_noted(folder)? {
        return Ok(());
    }
    tracing::warn!("a sync failed before: the store's files are written once more");
    write_again(&folder.join(sled::SUBFOLDER).join("db"))?;
    for name in journal::FILES {
        write_again(&folder.join(journal::SUBFOLDER).join(name))?;
    }
    write(folder, MENDED)
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
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::DataFolder;

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
        DataFolder::open(&folder.path().join("new")).unwrap();
        fs::rename(folder.path().join("new").join(MARKER), folder.path().join(MARKER)).unwrap();
        let size = || fs::metadata(folder.path().join(MARKER)).unwrap().blocks();
        let size_before = size();
        let touched = || files.each_ref().map(|file| fs::metadata(file).unwrap().modified().unwrap());
        run(folder.path()).unwrap();
        assert_eq!(touched(), [long_ago; 2], "nothing failed");
        note(folder.path());
        assert_eq!(size(), size_before, "a full disk has room for it");
        assert!(is_noted(folder.path()).unwrap());
        run(folder.path()).unwrap();
        assert!(touched().iter().all(|at| *at > long_ago));
        assert!(files.iter().all(|file| fs::read(file).unwrap() == bytes));
        assert!(!is_noted(folder.path()).unwrap());
    }
}
