//! A copy of a data folder, to look at one that takes no writes: on a full disk, or on one that may only be read. Opening a store
//! writes, be it only to note that it was opened.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use crate::folder::{DataFolder, FolderError, MARKER};

/// Not of the store: what else a service keeps in its folder. Keys do not leave it.
const LEFT: [&str; 5] = ["backups", "admin.key", "master.key", "master.key.next", "keys.used"];

/// Copies the store in `folder`, which nobody uses, into the empty folder `into`, and opens the copy.
pub fn copy(folder: &Path, into: &Path) -> Result<DataFolder, FolderError> {
    let io = |doing| move |source| FolderError::Io { doing, path: folder.to_owned(), source };
    let marker = match File::open(folder.join(MARKER)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FolderError::NoStore(folder.to_owned())),
        marker => marker.map_err(io("open"))?,
    };
    // Held until all is copied.
    match marker.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(FolderError::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => return Err(io("lock")(error)),
    }
    for entry in fs::read_dir(folder).map_err(io("look into"))? {
        let entry = entry.map_err(io("look into"))?;
        if LEFT.iter().all(|left| entry.file_name() != *left) {
            let to = into.join(entry.file_name());
            copy_entry(&entry.path(), &to).map_err(|source| FolderError::Io {
                doing: "copy it to",
                path: to,
                source,
            })?;
        }
    }
    DataFolder::open_existing(into)
}

fn copy_entry(from: &Path, to: &Path) -> io::Result<()> {
    if !fs::metadata(from)?.is_dir() {
        let mut file = File::options().write(true).create_new(true).open(to)?;
        return io::copy(&mut File::open(from)?, &mut file).map(|_| ());
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_entry(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
