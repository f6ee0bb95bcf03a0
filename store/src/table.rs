//! Records in sled at a price per block in place of per key: a message's life changes some thirty keys.
//!
//! A batch goes into the tree as one entry of the [`journal`], and its changes into a [`Memtable`]. When that is full the next
//! one is begun, and each further batch carries a share of the full one into sorted [`blocks`]. When all of it is there,
//! its part of the journal goes. A read looks into both memtables, then into the block.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::sled::{Batch, Db};
use arc_swap::ArcSwap;

use crate::backend::{Order, StoreError, Visit, Write};
use crate::blocks::{self, Block};
use crate::journal;
use crate::keys;
use crate::memtable::Memtable;
use crate::sled::failed;

/// Changes that a scan takes from a memtable at once: it does not hold writers off while it visits.
const SCAN_STEP: usize = 64;
/// Changes that are moved with one batch when nothing else is to be done.
const SETTLE_STEP: usize = 4096;
/// Under it stands the number of the last batch of which everything is in the blocks.
const MOVED: &[u8] = b"\0moved";

/// Ordered records in one tree of sled.
pub(crate) struct Table {
    tree: Db,
    /// Bytes of changes after which the next memtable is begun.
    memtable_bytes: usize,
    latest: ArcSwap<Latest>,
    writer: Mutex<Writer>,
}

/// What is newer than the blocks.
#[derive(Default)]
struct Latest {
    growing: Arc<Memtable>,
    full: Option<Arc<Memtable>>,
}

impl Latest {
    /// Newest first.
    fn memtables(&self) -> impl DoubleEndedIterator<Item = &Memtable> {
        [Some(&*self.growing), self.full.as_deref()].into_iter().flatten()
    }
}

/// How far writing has come. Batches are numbered from 1.
struct Writer {
    /// The last batch.
    last: u64,
    /// The last one that is only in the blocks.
    moved: u64,
    /// The last one in the full memtable.
    full: u64,
    /// The last key of the full memtable that is in the blocks.
    cursor: Option<Vec<u8>>,
}

impl Table {
    /// Reads the journal. A memtable takes so many bytes; there may be two.
    pub(crate) fn open(tree: Db, memtable_bytes: usize) -> Result<Self, StoreError> {
        let moved = match tree.get(MOVED).map_err(failed("read"))? {
            Some(bytes) => {
                let bytes = bytes.as_ref().try_into().map_err(|_| StoreError::Damaged { what: "count of batches" })?;
                u64::from_be_bytes(bytes)
            }
            None => 0,
        };
        let latest = Latest::default();
        let last = journal::replay(&tree, moved, |writes| latest.growing.apply(writes))?;
        let writer = Mutex::new(Writer { last, moved, full: moved, cursor: None });
        Ok(Self { tree, memtable_bytes, latest: ArcSwap::from_pointee(latest), writer })
    }

    /// How many batches it holds.
    pub(crate) fn batches(&self) -> u64 {
        self.writer().last
    }

    /// Applies a batch; `sync` makes durable what sled was given. Readers see it after that.
    pub(crate) fn apply(
        &self,
        writes: Vec<Write>,
        sync: impl Fn() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer();
        // All of the full memtable is moved before half as much again has come.
        let grown: usize = writes.iter().map(Memtable::cost).sum();
        let full = self.latest.load().full.as_ref().map_or(0, |full| full.read().len());
        let share = (2 * full).saturating_mul(grown).div_ceil(self.memtable_bytes);
        let mut batch = Batch::default();
        journal::append(writer.last + 1, &writes, &mut batch)?;
        self.carry(&mut writer, share, batch, &sync)?;
        writer.last += 1;
        let growing = Arc::clone(&self.latest.load().growing);
        growing.apply(writes);
        if full == 0 && growing.bytes() >= self.memtable_bytes {
            self.turn_over(&mut writer);
        }
        Ok(())
    }

    /// Moves everything into the blocks.
    pub(crate) fn settle(&self, sync: impl Fn() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let mut writer = self.writer();
        while writer.moved < writer.last {
            if self.latest.load().full.is_none() {
                self.turn_over(&mut writer);
            }
            self.carry(&mut writer, SETTLE_STEP, Batch::default(), &sync)?;
        }
        Ok(())
    }

    /// Writes `batch` and with it about so many changes of the full memtable into the blocks.
    fn carry(
        &self,
        writer: &mut Writer,
        share: usize,
        mut batch: Batch,
        sync: impl Fn() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let latest = self.latest.load();
        let mut cursor = None;
        if let Some(full) = &latest.full {
            cursor = blocks::absorb(&self.tree, &full.read(), writer.cursor.as_deref(), share, &mut batch)?;
            if cursor.is_none() {
                journal::forget(&self.tree, writer.moved + 1..=writer.full, &mut batch)?;
                batch.insert(MOVED, &writer.full.to_be_bytes());
            }
        }
        self.tree.apply_batch(batch).map_err(failed("write"))?;
        sync()?;
        if latest.full.is_some() && cursor.is_none() {
            writer.moved = writer.full;
            self.latest.store(Arc::new(Latest { growing: Arc::clone(&latest.growing), full: None }));
        }
        writer.cursor = cursor;
        Ok(())
    }

    /// Begins a new memtable; the one before is full.
    fn turn_over(&self, writer: &mut Writer) {
        let full = Some(Arc::clone(&self.latest.load().growing));
        self.latest.store(Arc::new(Latest { growing: Arc::default(), full }));
        writer.full = writer.last;
    }

    /// The value of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let latest = self.latest.load();
        if let Some(change) = latest.memtables().find_map(|memtable| memtable.get(key)) {
            return Ok(change);
        }
        Ok(Block::of(&self.tree, key)?.get(key).map(<[u8]>::to_vec))
    }

    /// Visits the records within `range`. Each is as it was at some moment since the scan began; `visit` may read and wait.
    pub(crate) fn scan(&self, range: Range<&[u8]>, order: Order, visit: Visit<'_>) -> Result<(), StoreError> {
        let latest = self.latest.load_full();
        let mut left = range.start.to_vec()..range.end.to_vec();
        while left.start < left.end {
            let mut step = left.clone();
            let block = match order {
                Order::Ascending => {
                    let block = Block::of(&self.tree, &left.start)?;
                    match block.next(&self.tree)? {
                        // It was split since it was read.
                        Some(next) if *next <= *left.start => continue,
                        Some(next) if *next < *left.end => step.end = next.to_vec(),
                        Some(_) | None => {}
                    }
                    block
                }
                Order::Descending => {
                    let block = Block::before(&self.tree, &left.end)?;
                    step.start = left.start.as_slice().max(block.from()).to_vec();
                    block
                }
            };
            let changes: Vec<_> = latest.memtables().map(|memtable| memtable.within(&step, order, SCAN_STEP)).collect();
            // Where a memtable has more, the step ends at the last change that was taken of it.
            for (key, _) in changes.iter().filter(|some| some.len() == SCAN_STEP).filter_map(|some| some.last()) {
                match order {
                    Order::Ascending => step.end = step.end.min(keys::behind(key)),
                    Order::Descending => step.start = step.start.max(key.clone()),
                }
            }
            let mut records: BTreeMap<&[u8], Option<&[u8]>> =
                block.records().filter(|(key, _)| *step.start <= **key && **key < *step.end).collect();
            let older_first = changes.iter().rev().flatten();
            records
                .extend(older_first.filter(|(key, _)| step.contains(key)).map(|(k, v)| (k.as_slice(), v.as_deref())));
            let mut meet = |(key, value): (&&[u8], &Option<&[u8]>)| match value {
                Some(value) => visit(key, value),
                None => ControlFlow::Continue(()),
            };
            let met = match order {
                Order::Ascending => records.iter().try_for_each(&mut meet),
                Order::Descending => records.iter().rev().try_for_each(&mut meet),
            };
            if met.is_break() {
                return Ok(());
            }
            match order {
                Order::Ascending => left.start = step.end,
                Order::Descending => left.end = step.start,
            }
        }
        Ok(())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    use proptest::prelude::*;

    use super::*;

    const MEMTABLE: usize = 4 << 10;

    fn tree() -> Db {
        ::sled::Config::new().temporary(true).open().unwrap()
    }

    fn open(tree: &Db) -> Table {
        Table::open(tree.clone(), MEMTABLE).unwrap()
    }

    fn key(n: u16) -> Vec<u8> {
        // Of several lengths, so that one is often the beginning of another.
        format!("m{n:0width$}", width = 1 + usize::from(n % 3)).into_bytes()
    }

    fn found(table: &Table, range: Range<&[u8]>, order: Order) -> Vec<(Vec<u8>, Vec<u8>)> {
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
        Settle,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            20 => prop::collection::vec((0..600u16, prop::option::weighted(0.7, 0..900u16)), 0..60).prop_map(Step::Apply),
            1 => Just(Step::Reopen),
            1 => Just(Step::Settle),
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
            let tree = tree();
            let (mut table, mut model) = (open(&tree), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Reopen => table = open(&tree),
                    Step::Settle => {
                        table.settle(|| Ok(())).unwrap();
                        assert!(table.latest.load().growing.read().is_empty());
                    }
                    Step::Apply(changes) => {
                        let value = |n: u16, len: u16| vec![n.to_be_bytes()[1]; len.into()];
                        let batches = table.batches();
                        let writes = changes.iter().map(|(n, len)| match len {
                            Some(len) => Write::Put(key(*n), value(*n, *len)),
                            None => Write::Delete(key(*n)),
                        });
                        table.apply(writes.collect(), || Ok(())).unwrap();
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
            agrees(&open(&tree), &model, start..start + len);
        }
    }

    #[test]
    fn all_that_was_written_is_in_blocks_soon_and_the_journal_does_not_grow() {
        let tree = tree();
        let table = open(&tree);
        for n in 0..2000u16 {
            table.apply(vec![Write::Put(key(n), vec![7; 200])], || Ok(())).unwrap();
            let writer = table.writer();
            assert!(writer.last - writer.moved <= 2 * MEMTABLE as u64 / 200);
            assert!(tree.range(..blocks::FIRST.to_vec()).count() as u64 <= writer.last - writer.moved + 1);
        }
    }

    #[test]
    fn a_batch_that_could_not_be_synced_is_not_seen() {
        let tree = tree();
        let table = open(&tree);
        let failed = || Err(StoreError::Backend { doing: "sync", cause: "told to fail".into() });
        assert!(table.apply(vec![Write::Put(b"m".to_vec(), vec![])], failed).is_err());
        assert_eq!(table.get(b"m").unwrap(), None);
    }

    #[test]
    fn a_journal_with_a_gap_is_not_taken_for_a_shorter_one() {
        let tree = tree();
        let table = open(&tree);
        for n in 0..5u16 {
            table.apply(vec![Write::Put(key(n), vec![1])], || Ok(())).unwrap();
        }
        let mut batch = Batch::default();
        journal::forget(&tree, 3..=3, &mut batch).unwrap();
        tree.apply_batch(batch).unwrap();
        assert!(matches!(Table::open(tree, MEMTABLE), Err(StoreError::Damaged { what: "journal" })));
    }

    #[test]
    fn whoever_reads_while_blocks_are_split_and_emptied_sees_every_record_once_and_in_order() {
        const STAY: u16 = 300;
        let tree = tree();
        let table = open(&tree);
        let stays = |n: u16| [b"m".as_slice(), &n.to_be_bytes()].concat();
        let passes = |n: u16, k: u16| [b"m".as_slice(), &n.to_be_bytes(), &k.to_be_bytes()].concat();
        table.apply((0..STAY).map(|n| Write::Put(stays(n), vec![0; 50])).collect(), || Ok(())).unwrap();
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for order in [Order::Ascending, Order::Descending] {
                let (table, is_done) = (&table, &is_done);
                scope.spawn(move || {
                    while !is_done.load(SeqCst) {
                        let keys: Vec<_> = found(table, b"a"..b"z", order).into_iter().map(|(key, _)| key).collect();
                        let mut sorted = keys.clone();
                        sorted.sort_unstable();
                        sorted.dedup();
                        if order == Order::Descending {
                            sorted.reverse();
                        }
                        assert!(keys == sorted, "in order, and none twice");
                        assert_eq!(keys.iter().filter(|key| key.len() == 3).count(), usize::from(STAY));
                        for n in (0..STAY).step_by(17) {
                            assert_eq!(table.get(&stays(n)).unwrap(), Some(vec![0; 50]));
                        }
                    }
                });
            }
            for round in 0..60u16 {
                for k in 0..10 {
                    let near = (0..STAY).skip(usize::from(round % 7)).step_by(7);
                    let writes = near.map(|n| match round % 14 < 7 {
                        true => Write::Put(passes(n, k), vec![1; 300]),
                        false => Write::Delete(passes(n, k)),
                    });
                    table.apply(writes.collect(), || Ok(())).unwrap();
                }
            }
            is_done.store(true, SeqCst);
        });
    }
}
