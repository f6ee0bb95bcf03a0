//! Sorted runs: where records go whose keys begin with a hash. Such keys lie anywhere among those that are there, so to put a few
//! of them into their blocks would mean to write nearly all blocks anew. Instead, those of a memtable become a run of their own, a
//! short sorted row of blocks. Runs of about the same size are merged into one: each record is written once per size.

use std::cmp::Reverse;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::filter::Filter;

/// So many runs of one size become one of the next.
const FAN_IN: usize = 4;
/// With so many runs commits wait until some are merged.
const MOST: usize = 64;

/// A sorted row of blocks, and which keys may be in it. It holds changes: a deleted key is in it as a tombstone, as long as an
/// older run may hold that key.
pub(crate) struct Run {
    /// What its keys in the index begin with; its filter stands under this alone.
    pub(crate) row: Vec<u8>,
    pub(crate) filter: Filter,
}

/// All runs, newest first. A record only ever moves to a later place: who asks them in this order, and finds that the list is
/// still the same, has not missed it.
#[derive(Default)]
pub(crate) struct Runs {
    list: ArcSwap<Vec<Arc<Run>>>,
}

impl Run {
    /// Bytes of a row's name.
    pub(crate) const ROW: usize = Runs::ROWS.len() + 12;

    /// The row of the run that was begun as number `number`. Of those with the same, the ones of a later generation were made of the
    /// others.
    fn row(number: u64, generation: u32) -> Vec<u8> {
        [Runs::ROWS, &number.to_be_bytes(), &generation.to_be_bytes()].concat()
    }

    /// Whether what stands under a key of the index is the filter of a run, not a block.
    pub(crate) fn is_filter(key: &[u8]) -> bool {
        key.len() == Self::ROW && key.starts_with(Runs::ROWS)
    }

    fn number(&self) -> u64 {
        self.row.get(Runs::ROWS.len()..).and_then(<[u8]>::first_chunk).copied().map_or(0, u64::from_be_bytes)
    }

    fn generation(&self) -> u32 {
        self.row.last_chunk().copied().map_or(0, u32::from_be_bytes)
    }
}

impl Runs {
    /// What their rows' names begin with; no key of a record begins with 0.
    pub(crate) const ROWS: &[u8] = b"\0r";

    /// These runs.
    pub(crate) fn new(mut runs: Vec<Run>) -> Self {
        // Those of one number have no key in common: a merge that was cut off has made the one of what it took out of the other.
        runs.sort_by_key(|run| Reverse(run.number()));
        Self { list: ArcSwap::from_pointee(runs.into_iter().map(Arc::new).collect()) }
    }

    pub(crate) fn load(&self) -> Guard<Arc<Vec<Arc<Run>>>> {
        self.list.load()
    }

    /// Whether no run came or went since `list` was loaded.
    pub(crate) fn are_still(&self, list: &Arc<Vec<Arc<Run>>>) -> bool {
        Arc::ptr_eq(&self.list.load(), list)
    }

    /// Whether merging has fallen behind.
    pub(crate) fn are_too_many(&self) -> bool {
        self.load().len() >= MOST
    }

    /// Begins the newest run, with room for so many keys. Its number is its own, also where an earlier flush of the same memtable
    /// was cut off: the run of that one may be merged with older ones by now, and must not stand before this.
    pub(crate) fn begin(&self, keys: usize) -> Arc<Run> {
        let number = self.load().first().map_or(0, |newest| newest.number().saturating_add(1));
        self.insert(0, number, keys)
    }

    /// Begins the run that the newest runs are merged into, if it is time. Those of `latest`, the last that was begun of the merges that go
    /// on, and what is older are not among them.
    pub(crate) fn begin_merge(&self, latest: Option<&Merge>) -> Option<Merge> {
        let taken = latest.and_then(|merge| merge.sources.first());
        let list = self.load();
        let free = list.iter().take_while(|run| taken.is_none_or(|taken| !Arc::ptr_eq(run, taken)));
        let rooms: Vec<_> = free.map(|run| run.filter.room()).collect();
        self.merge(newest_to_merge(&rooms)?)
    }

    /// The same with all runs; none if there are none.
    pub(crate) fn begin_merge_of_all(&self) -> Option<Merge> {
        self.merge(self.load().len())
    }

    fn merge(&self, newest: usize) -> Option<Merge> {
        let list = self.load();
        let sources = list.get(..newest)?.to_vec();
        let keys = sources.iter().map(|run| run.filter.room()).sum();
        let target = self.insert(newest, sources.first()?.number(), keys);
        Some(Merge { sources, target, is_of_all: newest == list.len(), written: 0 })
    }

    fn insert(&self, at: usize, number: u64, keys: usize) -> Arc<Run> {
        let mut list = self.load().to_vec();
        let before = list.iter().filter(|run| run.number() == number).map(|run| run.generation()).max();
        let generation = before.map_or(0, |generation| generation + 1);
        let run = Arc::new(Run { row: Run::row(number, generation), filter: Filter::new(keys) });
        list.insert(at.min(list.len()), Arc::clone(&run));
        self.list.store(Arc::new(list));
        run
    }

    /// Nothing is left of the sources of a merge, and this of its target.
    pub(crate) fn end_merge(&self, merge: &Merge, merged: Option<Arc<Run>>) {
        let is_in = |run: &Arc<Run>| merge.sources.iter().chain([&merge.target]).any(|other| Arc::ptr_eq(other, run));
        let list = self.load();
        let newer = list.iter().take_while(|run| !is_in(run));
        let older = list.iter().skip_while(|run| !is_in(run)).skip_while(|run| is_in(run));
        let list = newer.chain(&merged).chain(older).cloned().collect();
        self.list.store(Arc::new(list));
    }
}

/// A merge that goes on.
pub(crate) struct Merge {
    /// Newest first.
    pub(crate) sources: Vec<Arc<Run>>,
    pub(crate) target: Arc<Run>,
    /// Whether no run is older than its sources: tombstones need not be kept.
    pub(crate) is_of_all: bool,
    /// Records in the target.
    pub(crate) written: usize,
}

/// How many of the newest runs are to be merged, if any: those up to a size, once [`FAN_IN`] are of that size, or so many per size
/// if they came in another order.
fn newest_to_merge(rooms: &[usize]) -> Option<usize> {
    let size = |room: &usize| room.max(&1).ilog(FAN_IN);
    (0..usize::BITS).zip(1..).find_map(|(most, sizes)| {
        let newest = rooms.iter().map(size).take_while(|size| *size <= most);
        let of_size = newest.clone().filter(|size| *size == most).count();
        let all = newest.count();
        (of_size >= FAN_IN || all >= FAN_IN * sizes).then_some(all)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    impl std::fmt::Debug for Run {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{}.{}", self.number(), self.generation())
        }
    }

    impl PartialEq for Run {
        fn eq(&self, other: &Self) -> bool {
            self.row == other.row
        }
    }

    #[test]
    fn runs_of_about_one_size_are_merged_with_what_is_smaller_and_newer() {
        for (rooms, expected) in [
            (&[][..], None),
            (&[5, 5, 5], None),
            (&[5, 5, 5, 5], Some(4)),
            (&[5, 5, 5, 20], None),
            (&[5, 20, 20, 5, 20, 20, 80], Some(6)),
            (&[5, 1, 1, 1, 5, 1, 1], None),
            (&[1, 5, 1, 1, 1, 5, 1, 1], Some(8)),
            (&[80, 5, 5, 5, 5], None),
            (&[20, 20, 20, 20, 80, 80, 80, 80], Some(4)),
            (&[0, 0, 1, 0, usize::MAX], Some(4)),
        ] {
            assert_eq!(newest_to_merge(rooms), expected, "{rooms:?}");
        }
    }

    proptest! {
        #[test]
        fn however_large_runs_are_there_are_only_a_few_of_a_size(rooms in prop::collection::vec(0..100_000usize, 0..400)) {
            let mut runs = VecDeque::new();
            for room in rooms {
                runs.push_front(room);
                while let Some(newest) = newest_to_merge(runs.make_contiguous()) {
                    let merged = runs.drain(..newest).sum();
                    runs.push_front(merged);
                }
                let sizes = runs.iter().max().map_or(0, |room| room.max(&1).ilog(FAN_IN) as usize + 1);
                prop_assert!(runs.len() <= FAN_IN * sizes, "{runs:?}");
            }
        }
    }

    #[test]
    fn what_comes_while_large_runs_are_merged_is_merged_meanwhile() {
        let runs = Runs::new(vec![]);
        (0..4).for_each(|_| drop(runs.begin(10_000)));
        let large = runs.begin_merge(None).unwrap();
        assert!(large.is_of_all && runs.begin_merge(Some(&large)).is_none());
        let come: Vec<_> = (0..4).map(|_| runs.begin(100)).collect();
        let small = runs.begin_merge(Some(&large)).unwrap();
        assert!(!small.is_of_all, "what tombstones in them delete may be in the large ones");
        assert!(small.sources.iter().eq(come.iter().rev()));
        assert!(runs.begin_merge(Some(&small)).is_none());
        runs.end_merge(&small, Some(Arc::clone(&small.target)));
        let expected = [&small.target].into_iter().chain(&large.sources).chain([&large.target]);
        assert!(runs.load().iter().eq(expected));
        runs.end_merge(&large, Some(Arc::clone(&large.target)));
        assert!(runs.load().iter().eq([&small.target, &large.target]));
    }

    #[test]
    fn what_is_merged_moves_to_an_older_place() {
        let runs = Runs::new(vec![]);
        let made: Vec<_> = (1..=6).map(|_| runs.begin(100)).collect();
        let merge = runs.begin_merge(None).unwrap();
        assert!(merge.is_of_all && merge.sources.len() == 6);
        let newest = runs.begin(100);
        let order: Vec<_> = runs.load().iter().map(|run| run.row.clone()).collect();
        let mut expected = vec![newest.row.clone()];
        expected.extend(made.iter().rev().map(|run| run.row.clone()));
        expected.push(merge.target.row.clone());
        assert_eq!(order, expected);
        runs.end_merge(&merge, Some(Arc::clone(&merge.target)));
        assert_eq!(runs.load().iter().map(|run| run.number()).collect::<Vec<_>>(), [6, 5]);
        assert!(runs.begin_merge(None).is_none());
    }
}
