//! Reading while records are written, flushed and merged: what is newer wins, and every record is met once.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use super::Table;
use crate::backend::{Order, StoreError, Visit};
use crate::blocks::Block;
use crate::keys;

/// Changes that a scan takes from a memtable at once: it does not hold writers off while it visits.
const SCAN_STEP: usize = 64;

impl Table {
    /// The value of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let latest = self.latest.load();
        if let Some(change) = latest.memtables().find_map(|memtable| memtable.get(key)) {
            return Ok(change);
        }
        self.blocks.get(key)
    }

    /// Visits the records within `range`. Each is as it was at some moment since the scan began; `visit` may read and wait.
    pub(crate) fn scan(&self, range: Range<&[u8]>, order: Order, visit: Visit<'_>) -> Result<(), StoreError> {
        let latest = self.latest.load_full();
        let mut left = range.start.to_vec()..range.end.to_vec();
        while left.start < left.end {
            let (mut step, blocks) = self.blocks.at(&left, order)?;
            let changes: Vec<_> = latest.memtables().map(|memtable| memtable.within(&step, order, SCAN_STEP)).collect();
            // Where a memtable has more, the step ends at the last change that was taken of it.
            for (key, _) in changes.iter().filter(|some| some.len() == SCAN_STEP).filter_map(|some| some.last()) {
                match order {
                    Order::Ascending => step.end = step.end.min(keys::behind(key)),
                    Order::Descending => step.start = step.start.max(key.clone()),
                }
            }
            let blocks = blocks.iter().rev().flat_map(Block::records);
            let changes = changes.iter().rev().flatten().map(|(key, value)| (key.as_slice(), value.as_deref()));
            let older_first = blocks.chain(changes).filter(|(key, _)| *step.start <= **key && **key < *step.end);
            let records: BTreeMap<&[u8], Option<&[u8]>> = older_first.collect();
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
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};

    use super::super::tests::{Disk, found};
    use super::*;
    use crate::backend::Write;
    use crate::flusher::Flusher;

    #[test]
    fn whoever_reads_while_blocks_are_split_and_emptied_sees_every_record_once_and_in_order() {
        reads_beside_flushes(b"m");
    }

    #[test]
    fn whoever_reads_while_runs_are_merged_sees_every_record_once_and_in_order() {
        reads_beside_flushes(b"y");
    }

    /// Four runs of the same hundred hashes, which are to be merged.
    fn runs_to_merge(disk: &Disk) -> Arc<Table> {
        let table = Arc::new(disk.open());
        for value in 1..=4 {
            table.apply((0..100).map(|n| Write::Put(hash(n), vec![value; 20])).collect()).unwrap();
            table.apply(vec![]).unwrap();
            while table.is_full() {
                table.flush_step().unwrap();
            }
        }
        assert_eq!(table.blocks.runs().load().len(), 4);
        table
    }

    fn hash(n: u8) -> Vec<u8> {
        [b"y".as_slice(), &[n; 20]].concat()
    }

    type Read = fn(&Table) -> Option<Vec<u8>>;

    /// What is found of the hash of 50, in every way.
    const READS: [Read; 5] = [
        |table| table.get(&hash(50)).unwrap(),
        |table| of_fifty(table, &hash(50)..&hash(51), Order::Ascending),
        |table| of_fifty(table, &hash(50)..&keys::behind(&hash(50)), Order::Descending),
        |table| of_fifty(table, b"y"..b"z", Order::Ascending),
        |table| of_fifty(table, b"y"..b"z", Order::Descending),
    ];

    fn of_fifty(table: &Table, range: Range<&[u8]>, order: Order) -> Option<Vec<u8>> {
        found(table, range, order).into_iter().find(|(key, _)| *key == hash(50)).map(|(_, value)| value)
    }

    #[test]
    fn whoever_has_chosen_a_run_as_a_merge_begins_misses_nothing_that_it_moves() {
        for read in READS {
            let disk = Disk::new();
            let table = runs_to_merge(&disk);
            let merging = Arc::clone(&table);
            let act = move || while merging.flush_step().unwrap() {};
            *table.blocks.behind_reader.lock().unwrap() = Some(Box::new(act));
            assert_eq!(read(&table), Some(vec![4; 20]));
            let merged = table.blocks.runs().load();
            assert_eq!(merged.len(), 1, "all were merged meanwhile");
            assert!(merged[0].filter.room() < 200, "and it is only as large as one of them");
            assert_eq!(disk.open().blocks.runs().load().len(), 1, "and nothing is kept of the others");
        }
    }

    #[test]
    fn whoever_has_chosen_a_run_while_a_merge_goes_on_misses_nothing_that_it_moves() {
        for read in READS {
            let mut steps_seen = 0;
            for steps in 1.. {
                let disk = Disk::new();
                let table = runs_to_merge(&disk);
                // It is begun, and its first step done.
                table.flush_step().unwrap();
                let merging = Arc::clone(&table);
                let act = move || {
                    for _ in 0..steps {
                        merging.flush_step().unwrap();
                    }
                };
                *table.blocks.behind_reader.lock().unwrap() = Some(Box::new(act));
                assert_eq!(read(&table), Some(vec![4; 20]), "{steps} steps");
                if table.blocks.runs().load().len() == 1 {
                    break;
                }
                steps_seen = steps;
            }
            assert!(steps_seen > 3);
        }
    }

    fn reads_beside_flushes(kind: &[u8]) {
        const STAY: u16 = 300;
        let disk = Disk::new();
        let table = Arc::new(disk.open());
        let flusher = Flusher::start(Arc::clone(&table)).unwrap();
        // As long as a hash makes them.
        let stays = |n: u16| [kind, &[7; 18], &n.to_be_bytes()].concat();
        let passes = |n: u16, k: u16| [&*stays(n), &k.to_be_bytes()].concat();
        table.apply((0..STAY).map(|n| Write::Put(stays(n), vec![0; 50])).collect()).unwrap();
        let (is_done, acknowledged) = (AtomicBool::new(false), AtomicU8::new(0));
        let check =
            |value: &[u8], least: u8| assert!(value.len() == 50 && value[0] >= least, "older than acknowledged");
        std::thread::scope(|scope| {
            for order in [Order::Ascending, Order::Descending] {
                let (table, is_done, acknowledged) = (&table, &is_done, &acknowledged);
                scope.spawn(move || {
                    while !is_done.load(SeqCst) {
                        let least = acknowledged.load(SeqCst);
                        let records = found(table, b"a"..b"z", order);
                        let keys: Vec<_> = records.iter().map(|(key, _)| key).collect();
                        let mut sorted = keys.clone();
                        sorted.sort_unstable();
                        sorted.dedup();
                        if order == Order::Descending {
                            sorted.reverse();
                        }
                        assert!(keys == sorted, "in order, and none twice");
                        let stayed = records.iter().filter(|(key, _)| key.len() == 21);
                        assert_eq!(stayed.clone().count(), usize::from(STAY));
                        stayed.for_each(|(_, value)| check(value, least));
                        for n in (0..STAY).step_by(17) {
                            check(&table.get(&stays(n)).unwrap().unwrap(), least);
                        }
                        for n in 0..STAY {
                            let least = acknowledged.load(SeqCst);
                            let of_one_hash = keys::within(stays(n));
                            let records = found(table, &*of_one_hash.start..&*of_one_hash.end, order);
                            let (_, value) = records.iter().find(|(key, _)| *key == stays(n)).expect("it stays");
                            check(value, least);
                        }
                    }
                });
            }
            for round in 1..=40u8 {
                for k in 0..10 {
                    let near = (0..STAY).skip(usize::from(round % 7)).step_by(7);
                    let writes = near.map(|n| match round % 14 < 7 {
                        true => Write::Put(passes(n, k), vec![1; 300]),
                        false => Write::Delete(passes(n, k)),
                    });
                    table.apply(writes.collect()).unwrap();
                    flusher.wake();
                }
                table.apply((0..STAY).map(|n| Write::Put(stays(n), vec![round; 50])).collect()).unwrap();
                acknowledged.store(round, SeqCst);
            }
            is_done.store(true, SeqCst);
        });
    }
}
