//! The write-ahead log (journal): each batch as it was written, and synced before anybody is told, until all that it changed is in
//! the blocks.
//!
//! Two files beside sled take turns: one takes the batches of the memtable that grows, the other keeps those of the memtable that
//! is being flushed, and is free when that is done.

mod file;

use std::fs;
use std::io;
use std::path::Path;

use crate::backend::{StoreError, Write};
use crate::folder::{parent, sync_folder};
use crate::memtable::Memtable;
use crate::packed::{Unpacked, pack};
use crate::sled::failed_io;
use file::JournalFile;

/// Of the data folder.
pub(crate) const SUBFOLDER: &str = "journal";
/// In [`SUBFOLDER`].
pub(crate) const FILES: [&str; 2] = ["0", "1"];

/// Both files.
pub(crate) struct Journal {
    /// Takes batches.
    current: JournalFile,
    /// Keeps those of the memtable that is being flushed, or is free.
    other: JournalFile,
}

/// What was read back.
pub(crate) struct Replayed {
    /// Each file's changes and the number of its last batch, the older first.
    pub(crate) memtables: Vec<(Memtable, u64)>,
    /// The number of the last batch.
    pub(crate) last: u64,
    /// The number of one that was acknowledged, as the journal shows: beyond `last` where what is between is lost.
    pub(crate) acknowledged: u64,
}

impl Journal {
    /// Opens the journal in the data folder, and reads back what is behind batch number `flushed`, the last that is in the blocks.
    pub(crate) fn open(folder: &Path, flushed: u64) -> Result<(Self, Replayed), StoreError> {
        let mut files = open_files(&folder.join(SUBFOLDER)).map_err(failed_io("open its journal"))?;
        // Whole files are flushed: one that begins before that number is free, whatever it holds.
        for file in files.iter_mut().filter(|file| file.first().is_some_and(|first| first <= flushed)) {
            file.free();
        }
        let mut replayed = Replayed { memtables: Vec::new(), last: flushed, acknowledged: flushed };
        files.sort_by_key(|file| file.first().unwrap_or(0));
        for file in files.iter_mut().filter(|file| file.first().is_some()) {
            let before = file.first().map_or(0, |first| first.saturating_sub(1));
            replayed.acknowledged = replayed.acknowledged.max(before);
            if before < replayed.last {
                return Err(StoreError::Damaged { what: "journal" });
            }
            if replayed.acknowledged > replayed.last {
                // A batch between was lost: what is in the blocks, or the other file, is older than it was.
                break;
            }
            let memtable = Memtable::default();
            let behind = file.replay(|batch| {
                let batch = Unpacked::new(batch)?;
                let writes = batch.iter().map(|(key, value)| Write::new(key.to_vec(), value.map(<[u8]>::to_vec)));
                memtable.apply(writes.collect());
                replayed.last += 1;
                Ok(())
            })?;
            replayed.acknowledged = replayed.acknowledged.max(behind.unwrap_or(replayed.last));
            replayed.memtables.push((memtable, replayed.last));
        }
        let [other, current] = files;
        Ok((Self { current, other }, replayed))
    }

    /// Writes down what the batch of this number changes. Durable when it returns `Ok`.
    pub(crate) fn append(&mut self, number: u64, writes: &[Write]) -> Result<(), StoreError> {
        self.current.append(number, &pack(writes.iter().map(Write::entry))?)
    }

    /// Whether the next batch had better go to the other file.
    pub(crate) fn is_full(&self) -> bool {
        self.current.is_full()
    }

    /// What comes next goes to the other file, whose batches are all flushed.
    pub(crate) fn turn_over(&mut self) {
        std::mem::swap(&mut self.current, &mut self.other);
        self.current.free();
    }

    /// Removes all batches, which are all flushed, from the disk.
    pub(crate) fn clear(&mut self) -> Result<(), StoreError> {
        [&mut self.current, &mut self.other]
            .into_iter()
            .try_for_each(JournalFile::clear)
            .map_err(failed_io("clear its journal"))
    }

    /// Bytes on disk.
    pub(crate) const fn size(&self) -> u64 {
        self.current.len() + self.other.len()
    }
}

fn open_files(folder: &Path) -> io::Result<[JournalFile; 2]> {
    fs::create_dir_all(folder)?;
    let [zero, one] = FILES.map(|name| JournalFile::open(&folder.join(name)));
    let files = [zero?, one?];
    sync_folder(folder)?;
    sync_folder(parent(folder))?;
    Ok(files)
}
