//! Records at a price per block in place of per key: a message's life changes some thirty keys.
//!
//! A batch is written to the [`Journal`], which makes it durable, and its changes go into a [`Memtable`]. When that is full the
//! next one is begun, and the full one is moved, a step at a time, into sorted [`Blocks`]; then its part of the journal is
//! free. A read looks into both memtables, then into the block.

mod read;

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;

use crate::backend::{StoreError, Write};
use crate::blocks::{Blocks, Moving};
use crate::journal::Journal;
use crate::memtable::Memtable;
use crate::resync;
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
    /// How far the full memtable is in the blocks.
    moving: Moving,
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
        let (journal, mut replayed) = Journal::open(folder, blocks.moved()?)?;
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
            while (self.is_full() || self.blocks.has_too_many_runs()) && self.move_step()? {}
            self.turn_over(&mut writer);
        }
        let number = writer.last + 1;
        writer.journal.append(number, &writes).inspect_err(|error| self.fail(error))?;
        writer.last = number;
        self.latest.load().growing.apply(writes);
        Ok(number)
    }

    /// Moves everything into the blocks, and empties the journal.
    pub(crate) fn settle(&self) -> Result<&Blocks, StoreError> {
        let mut writer = self.writer();
        while self.move_step()? {}
        self.turn_over(&mut writer);
        while self.move_step()? {}
        writer.journal.clear().inspect_err(|error| self.fail(error))?;
        Ok(&self.blocks)
    }

    /// Gives up blocks that cannot be read; how many.
    pub(crate) fn forget_unreadable(&self) -> Result<u64, StoreError> {
        let _nobody_writes = self.writer();
        let _nobody_moves = self.tidying.lock().unwrap_or_else(PoisonError::into_inner);
        self.blocks.forget_unreadable().inspect_err(|error| self.fail(error))
    }

    /// Begins a new memtable; the one before is full, and the one before that is moved.
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
        resync::note(&self.folder);
        let _ = self.failed.set(error.clone());
    }

    /// Whether there is something to move.
    pub(crate) fn is_full(&self) -> bool {
        self.latest.load().full.is_some()
    }

    /// Moves a part of the full memtable into the blocks, or else merges a part of some runs, durably; false if there is nothing to
    /// do. Once that has failed it is not tried again: a second sync succeeds without what the first could not write.
    pub(crate) fn move_step(&self) -> Result<bool, StoreError> {
        let mut tidying = self.tidying.lock().unwrap_or_else(PoisonError::into_inner);
        self.check()?;
        // sled panics on some kinds of damage; a thread that ended by it would leave everybody waiting.
        let panicked = |_| Err(StoreError::Backend { doing: "move records", cause: "it panicked".into() });
        let did = panic::catch_unwind(AssertUnwindSafe(|| self.tidy(&mut tidying))).unwrap_or_else(panicked);
        did.inspect_err(|error| self.fail(error))
    }

    fn tidy(&self, Tidying { moving, merges }: &mut Tidying) -> Result<bool, StoreError> {
        let latest = self.latest.load_full();
        let Some(full) = &latest.full else { return self.blocks.merge_step(merges) };
        let moved = self.blocks.absorb(&full.memtable.read(), full.last, moving)?;
        if moved.is_none() {
            self.latest.store(Arc::new(Latest { growing: Arc::clone(&latest.growing), full: None }));
        }
        *moving = moved.unwrap_or_default();
        Ok(true)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::{ControlFlow, Range};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::backend::Order;
    use crate::keys;

    const MEMTABLE: usize = 4 << 10;

    /// What outlives a table.
    pub(super) struct Disk {
        index: ::sled::Db,
        folder: tempfile::TempDir,
    }

    impl Disk {
        pub(super) fn new() -> Self {
            let index = ::sled::Config::new().temporary(true).open().unwrap();
            Self { index, folder: tempfile::tempdir().unwrap() }
        }

        pub(super) fn open(&self) -> Table {
            self.open_with(|| Ok(()))
        }

        fn open_with(&self, sync: impl Fn() -> Result<(), StoreError> + Send + Sync + 'static) -> Table {
            let blocks = Blocks::open(self.index.clone(), self.folder.path(), MEMTABLE, sync).unwrap();
            Table::open(blocks, self.folder.path(), MEMTABLE).unwrap()
        }
    }

    fn key(n: u16) -> Vec<u8> {
        match n % 4 {
            // Of several lengths, so that one is often the beginning of another.
            0 => format!("m{n:0width$}", width = 1 + usize::from(n % 3)).into_bytes(),
            // Hashes, and eight with the same.
            1 | 2 => [b"i".as_slice(), &[0; 4], &keys::short(&n.to_string())].concat(),
            _ => [b"y".as_slice(), &[0; 4], &keys::short(&(n / 32).to_string()), &n.to_be_bytes()].concat(),
        }
    }

    pub(super) fn found(table: &Table, range: Range<&[u8]>, order: Order) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found = Vec::new();
        let visit = &mut |key: &[u8], value: &[u8]| {
            found.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        };
        table.scan(range, order, visit).unwrap();
        found
    }

    fn agrees(table: &Table, model: &BTreeMap<Vec<u8>, Vec<u8>>, range: Range<u16>) {
        let (start, end) = (key(range.start), key(range.end));
        let all: (&[u8], &[u8]) = (b"a", b"z");
        for (start, end) in [all, (&start, &end)] {
            let mut expected: Vec<_> = Vec::new();
            if start < end {
                expected.extend(model.range(start.to_vec()..end.to_vec()).map(|(k, v)| (k.clone(), v.clone())));
            }
            assert_eq!(found(table, start..end, Order::Ascending), expected);
            expected.reverse();
            assert_eq!(found(table, start..end, Order::Descending), expected);
        }
        for n in range {
            assert_eq!(table.get(&key(n)).unwrap().as_ref(), model.get(&key(n)));
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Apply(Vec<(u16, Option<u16>)>),
        Reopen,
        Move,
        /// Until so many syncs are done: then comes a crash.
        Settle(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            20 => prop::collection::vec((0..600u16, prop::option::weighted(0.7, 0..900u16)), 0..60).prop_map(Step::Apply),
            2 => Just(Step::Reopen),
            6 => Just(Step::Move),
            2 => prop_oneof![0..12usize, Just(usize::MAX)].prop_map(Step::Settle),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn it_holds_what_a_map_would_hold(
            steps in prop::collection::vec(step(), 1..60),
            start in 0..600u16,
            len in 0..60u16,
        ) {
            let disk = Disk::new();
            let syncs_left = Arc::new(AtomicUsize::new(usize::MAX));
            let open = || {
                let syncs_left = Arc::clone(&syncs_left);
                let refused = StoreError::Backend { doing: "sync", cause: "told to fail".into() };
                let one_less = move |left: usize| if left == usize::MAX { Some(left) } else { left.checked_sub(1) };
                disk.open_with(move || syncs_left.fetch_update(SeqCst, SeqCst, one_less).map_or_else(|_| Err(refused.clone()), |_| Ok(())))
            };
            let (mut table, mut model) = (open(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Reopen => table = open(),
                    Step::Move => {
                        table.move_step().unwrap();
                    }
                    Step::Settle(syncs) => {
                        syncs_left.store(syncs, SeqCst);
                        let settled = table.settle().is_ok();
                        assert!(!settled || table.latest.load().growing.read().is_empty());
                        syncs_left.store(usize::MAX, SeqCst);
                        if !settled {
                            table = open();
                        }
                    }
                    Step::Apply(changes) => {
                        let value = |n: u16, len: u16| vec![n.to_be_bytes()[1]; len.into()];
                        let batches = table.batches();
                        let writes = changes.iter().map(|(n, len)| match len {
                            Some(len) => Write::Put(key(*n), value(*n, *len)),
                            None => Write::Delete(key(*n)),
                        });
                        table.apply(writes.collect()).unwrap();
                        assert_eq!(table.batches(), batches + 1);
                        for (n, len) in changes {
                            match len {
                                Some(len) => model.insert(key(n), value(n, len)),
                                None => model.remove(&key(n)),
                            };
                        }
                    }
                }
            }
            agrees(&table, &model, start..start + len);
            agrees(&disk.open(), &model, start..start + len);
        }
    }

    #[test]
    fn the_journal_does_not_grow() {
        let disk = Disk::new();
        let table = disk.open();
        for n in 0..2000u16 {
            table.apply(vec![Write::Put(key(n), vec![7; 200])]).unwrap();
        }
        assert!(table.blocks.moved().unwrap() >= 2000 - 2 * MEMTABLE as u64 / 200);
        assert_eq!(table.writer().journal.size(), 2 * 256 * 1024);
    }

    #[test]
    fn the_journal_does_not_grow_without_end_where_the_same_key_is_written_again_and_again() {
        let disk = Disk::new();
        let blocks = Blocks::open(disk.index.clone(), disk.folder.path(), 1 << 20, || Ok(())).unwrap();
        let table = Table::open(blocks, disk.folder.path(), 1 << 20).unwrap();
        // What does not compress, and never fills the memtable.
        let mut bytes: Vec<u8> = StdRng::seed_from_u64(1).random_iter().take(200_000).collect();
        for n in 0..250u16 {
            bytes[..2].copy_from_slice(&n.to_be_bytes());
            table.apply(vec![Write::Put(b"m".to_vec(), bytes.clone())]).unwrap();
        }
        assert!(table.writer().journal.size() <= 2 * (16 << 20), "{}", table.writer().journal.size());
        assert_eq!(table.get(b"m").unwrap(), Some(bytes));
    }

    #[test]
    fn what_is_settled_is_not_in_the_journal_any_more() {
        let disk = Disk::new();
        let table = disk.open();
        table.apply(vec![Write::Put(b"m".to_vec(), vec![7])]).unwrap();
        table.settle().unwrap();
        assert_eq!(table.writer().journal.size(), 0);
        assert_eq!(table.batches(), 1);
        drop(table);
        let table = disk.open();
        assert_eq!((table.get(b"m").unwrap(), table.batches()), (Some(vec![7]), 1));
    }

    #[test]
    fn once_moving_has_failed_no_batch_is_taken() {
        let disk = Disk::new();
        let table = disk.open();
        table.fail(&StoreError::Backend { doing: "sync", cause: "told to fail".into() });
        assert!(table.apply(vec![Write::Put(b"m".to_vec(), vec![])]).is_err());
        assert_eq!(table.get(b"m").unwrap(), None);
    }

    #[test]
    fn after_a_move_that_failed_no_batch_is_taken_though_the_next_sync_would_succeed() {
        let (disk, is_first) = (Disk::new(), AtomicBool::new(true));
        let table = disk.open_with(move || match is_first.swap(false, SeqCst) {
            true => Err(StoreError::Backend { doing: "sync", cause: "told to fail".into() }),
            false => Ok(()),
        });
        let put = |n: u16| table.apply(vec![Write::Put(key(n), vec![7; 200])]);
        let failed = (0..600).find(|n| put(*n).is_err()).unwrap();
        assert!((failed..600).all(|n| put(n).is_err()), "what was not synced is not known");
    }

    #[test]
    fn who_waits_for_a_step_that_fails_does_not_try_it_again() {
        let (disk, waiting, is_first) = (Disk::new(), Arc::new(AtomicUsize::new(0)), AtomicBool::new(true));
        let others = Arc::clone(&waiting);
        let table = disk.open_with(move || {
            if !is_first.swap(false, SeqCst) {
                return Ok(());
            }
            while others.load(SeqCst) < 2 {
                std::thread::yield_now();
            }
            (0..1000).for_each(|_| std::thread::yield_now());
            Err(StoreError::Backend { doing: "sync", cause: "told to fail".into() })
        });
        let full = (0..600).take_while(|_| !table.is_full());
        for n in full {
            table.apply(vec![Write::Put(key(n), vec![7; 200])]).unwrap();
        }
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    waiting.fetch_add(1, SeqCst);
                    assert!(table.move_step().is_err(), "the second sync would succeed, and the first is lost");
                });
            }
        });
    }

    #[test]
    fn a_panic_while_records_are_moved_is_an_error_for_the_next_commit() {
        let disk = Disk::new();
        let table = Arc::new(disk.open_with(|| panic!("told to panic")));
        let mover = crate::mover::Mover::start(Arc::clone(&table)).unwrap();
        let put = |n: u16| table.apply(vec![Write::Put(key(n), vec![7; 200])]);
        assert!((0..600).any(|n| {
            mover.wake();
            put(n).is_err()
        }));
    }

    #[test]
    fn what_is_moved_again_is_newer_than_what_the_first_time_was_merged_with() {
        let disk = Disk::new();
        let hashes = |value: u8| (0..400).map(|n| Write::Put(key(4 * n + 1), vec![value; 20])).collect();
        for value in 1..4 {
            let table = disk.open();
            table.apply(hashes(value)).unwrap();
            table.settle().unwrap();
        }
        let syncs_left = AtomicUsize::new(3);
        let table = disk.open_with(move || {
            let told = StoreError::Backend { doing: "sync", cause: "told to fail".into() };
            syncs_left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).map(drop).map_err(|_| told)
        });
        table.apply(hashes(4)).unwrap();
        assert!(table.settle().is_err(), "it is cut off");
        let table = disk.open();
        let runs = table.blocks.runs().load().len();
        while table.move_step().unwrap() {}
        assert!(runs == 4 && table.blocks.runs().load().len() == 1, "what was moved is merged with what is older");
        table.settle().unwrap();
        drop(table);
        assert!(found(&disk.open(), b"a"..b"z", Order::Ascending).iter().all(|(_, value)| value[0] == 4));
    }

    #[test]
    fn what_could_not_be_synced_is_moved_again_after_a_start() {
        let (disk, mut model) = (Disk::new(), BTreeMap::new());
        let refuses = || Err(StoreError::Backend { doing: "sync", cause: "told to fail".into() });
        let table = disk.open_with(refuses);
        let written = (0..600u16).take_while(|n| table.apply(vec![Write::Put(key(*n), vec![7; 200])]).is_ok());
        model.extend(written.map(|n| (key(n), vec![7; 200])));
        assert!(model.len() > MEMTABLE / 500);
        agrees(&table, &model, 0..600);
        agrees(&disk.open(), &model, 0..600);
    }
}
