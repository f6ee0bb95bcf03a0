//! Reading while records are written and moved: what is newer wins, and every record is met once.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use super::Table;
use crate::backend::{Order, StoreError, Visit};
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
        Ok(self.blocks.of(key)?.get(key).map(<[u8]>::to_vec))
    }

    /// Visits the records within `range`. Each is as it was at some moment since the scan began; `visit` may read and wait.
    pub(crate) fn scan(&self, range: Range<&[u8]>, order: Order, visit: Visit<'_>) -> Result<(), StoreError> {
        let latest = self.latest.load_full();
        let mut left = range.start.to_vec()..range.end.to_vec();
        while left.start < left.end {
            let mut step = left.clone();
            let block = match order {
                Order::Ascending => {
                    let block = self.blocks.of(&left.start)?;
                    match self.blocks.next(&block)? {
                        // It was split since it was read.
                        Some(next) if *next <= *left.start => continue,
                        Some(next) if *next < *left.end => step.end = next.to_vec(),
                        Some(_) | None => {}
                    }
                    block
                }
                Order::Descending => {
                    let block = self.blocks.before(&left.end)?;
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
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    use super::super::tests::{Disk, found};
    use super::*;
    use crate::backend::Write;

    #[test]
    fn whoever_reads_while_blocks_are_split_and_emptied_sees_every_record_once_and_in_order() {
        const STAY: u16 = 300;
        let disk = Disk::new();
        let table = disk.open();
        let stays = |n: u16| [b"m".as_slice(), &n.to_be_bytes()].concat();
        let passes = |n: u16, k: u16| [b"m".as_slice(), &n.to_be_bytes(), &k.to_be_bytes()].concat();
        table.apply((0..STAY).map(|n| Write::Put(stays(n), vec![0; 50])).collect()).unwrap();
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
                    table.apply(writes.collect()).unwrap();
                }
            }
            is_done.store(true, SeqCst);
        });
    }
}
