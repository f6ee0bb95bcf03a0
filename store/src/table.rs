//! Records at a price per block in place of per key: a message's life changes some thirty keys.
//!
//! A batch is written to the write-ahead log ([`Journal`]), which makes it durable, and its changes go into a [`Memtable`]. When
//! that is full the next one is begun, and the full one is flushed, a step at a time, into sorted [`Blocks`]; then its part of the
//! journal is free. A read looks into both memtables, then into the block.

mod read;
#[cfg(test)]
mod tests;

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;

use crate::backend::{StoreError, Write};
use crate::blocks::{Blocks, FlushProgress};
use crate::fsync_recovery;
use crate::journal::Journal;
use crate::memtable::Memtable;
use crate::runs::Merge;

/// Ordered records: the latest in memory and in the journal, the others in blocks.
pub(crate) struct Table {
    blocks: Blocks,
    /// Bytes of changes after which the next memtable is begun.
    memtable_bytes: usize,
    latest: ArcSwap<Latest>,
    writer: Mutex<Writer>,
    /// Locked while a step of it is done.
    tidying: Mutex<Tidying>,
    /// How many batches were acknowledged, as the journal shows: more than it holds, if it is broken. Then [`Self::settle`] must
    /// come before the next batch.
    pub(crate) acknowledged: u64,
    /// Where it is noted that a write failed.
    folder: PathBuf,
    /// Why it takes no more batches: what a write that failed has left on the disk is known only once it was opened again.
    failed: OnceLock<StoreError>,
}

/// What is newer than the blocks.
#[derive(Default)]
struct Latest {
    growing: Arc<Memtable>,
    full: Option<Full>,
}

/// A memtable that changes no more.
#[derive(Clone)]
struct Full {
    memtable: Arc<Memtable>,
    /// The number of its last batch.
    last: u64,
}

impl Latest {
    /// Newest first.
    fn memtables(&self) -> impl DoubleEndedIterator<Item = &Memtable> {
        [Some(&*self.growing), self.full.as_ref().map(|full| &*full.memtable)].into_iter().flatten()
    }
}

/// What is done beside reading and writing.
#[derive(Default)]
struct Tidying {
    /// How far the full memtable is flushed.
    flush: FlushProgress,
    /// The merges that go on, the latest last.
    merges: Vec<Merge>,
}

/// Where writing goes.
struct Writer {
    journal: Journal,
    /// The number of the last batch, counted from 1.
    last: u64,
}

impl Table {
    /// Reads back the journal in the data folder. A memtable takes so many bytes; there may be two.
    pub(crate) fn open(blocks: Blocks, folder: &Path, memtable_bytes: usize) -> Result<Self, StoreError> {
        let (journal, mut replayed) = Journal::open(folder, blocks.flushed()?)?;
        let growing = replayed.memtables.pop().map_or_else(Arc::default, |(memtable, _)| Arc::new(memtable));
        let full = replayed.memtables.pop().map(|(memtable, last)| Full { memtable: Arc::new(memtable), last });
        Ok(Self {
            blocks,
            memtable_bytes,
            latest: ArcSwap::from_pointee(Latest { growing, full }),
            writer: Mutex::new(Writer { journal, last: replayed.last }),
            tidying: Mutex::default(),
            acknowledged: replayed.acknowledged,
            folder: folder.to_owned(),
            failed: OnceLock::new(),
        })
    }

    /// How many batches it holds.
    pub(crate) fn batches(&self) -> u64 {
        self.writer().last
    }

    /// Bytes on disk.
    pub(crate) fn size(&self) -> Result<u64, StoreError> {
        Ok(self.blocks.size()? + self.writer().journal.size())
    }

    /// Applies a batch; its number. It is durable when it returns `Ok`, and readers see it after that.
    pub(crate) fn apply(&self, writes: Vec<Write>) -> Result<u64, StoreError> {
        let mut writer = self.writer();
        self.check()?;
        // What is written over again and again fills the journal, and not the memtable.
        if self.latest.load().growing.bytes() >= self.memtable_bytes || writer.journal.is_full() {
            while (self.is_full() || self.blocks.has_too_many_runs()) && self.flush_step()? {}
            self.turn_over(&mut writer);
        }
        let number = writer.last + 1;
        writer.journal.append(number, &writes).inspect_err(|error| self.fail(error))?;
        writer.last = number;
        self.latest.load().growing.apply(writes);
        Ok(number)
    }

    /// Flushes everything into the blocks, and empties the journal.
    pub(crate) fn settle(&self) -> Result<&Blocks, StoreError> {
        let mut writer = self.writer();
        while self.flush_step()? {}
        self.turn_over(&mut writer);
        while self.flush_step()? {}
        writer.journal.clear().inspect_err(|error| self.fail(error))?;
        Ok(&self.blocks)
    }

    /// Gives up blocks that cannot be read; how many.
    pub(crate) fn forget_unreadable(&self) -> Result<u64, StoreError> {
        let _nobody_writes = self.writer();
        let _nobody_flushes = self.tidying.lock().unwrap_or_else(PoisonError::into_inner);
        self.blocks.forget_unreadable().inspect_err(|error| self.fail(error))
    }

    /// Begins a new memtable; the one before is full, and the one before that is flushed.
    fn turn_over(&self, writer: &mut Writer) {
        let full = Full { memtable: Arc::clone(&self.latest.load().growing), last: writer.last };
        writer.journal.turn_over();
        self.latest.store(Arc::new(Latest { growing: Arc::default(), full: Some(full) }));
    }

    /// Whether it still takes batches.
    fn check(&self) -> Result<(), StoreError> {
        self.failed.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// A write failed, perhaps a sync: it must not be tried again, and the next start is to know.
    fn fail(&self, error: &StoreError) {
        fsync_recovery::note(&self.folder);
        let _ = self.failed.set(error.clone());
    }

    /// Whether a memtable is to be flushed.
    pub(crate) fn is_full(&self) -> bool {
        self.latest.load().full.is_some()
    }

    /// Flushes a part of the full memtable into the blocks, or else merges a part of some runs, durably; false if there is nothing to
    /// do. Once that has failed it is not tried again: a second sync succeeds without what the first could not write.
    pub(crate) fn flush_step(&self) -> Result<bool, StoreError> {
        let mut tidying = self.tidying.lock().unwrap_or_else(PoisonError::into_inner);
        self.check()?;
        // sled panics on some kinds of damage; a thread that ended by it would leave everybody waiting.
        let panicked = |_| Err(StoreError::Backend { doing: "flush records", cause: "it panicked".into() });
        let did = panic::catch_unwind(AssertUnwindSafe(|| self.tidy(&mut tidying))).unwrap_or_else(panicked);
        did.inspect_err(|error| self.fail(error))
    }

    fn tidy(&self, Tidying { flush, merges }: &mut Tidying) -> Result<bool, StoreError> {
        let latest = self.latest.load_full();
        let Some(full) = &latest.full else { return self.blocks.merge_step(merges) };
        let left = self.blocks.flush(&full.memtable.read(), full.last, flush)?;
        if left.is_none() {
            self.latest.store(Arc::new(Latest { growing: Arc::clone(&latest.growing), full: None }));
        }
        *flush = left.unwrap_or_default();
        Ok(true)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
