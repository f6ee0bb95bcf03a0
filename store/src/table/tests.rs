//! What is put into a table is there, and what was deleted is not, whatever was flushed, merged, cut off and begun anew.

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
    Flush,
    /// Until so many syncs are done: then comes a crash.
    Settle(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => prop::collection::vec((0..600u16, prop::option::weighted(0.7, 0..900u16)), 0..60).prop_map(Step::Apply),
        2 => Just(Step::Reopen),
        6 => Just(Step::Flush),
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
                Step::Flush => {
                    table.flush_step().unwrap();
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
fn runs_do_not_become_more_and_more_where_nobody_merges_them_but_who_writes() {
    let disk = Disk::new();
    let table = disk.open();
    let most = (0..200u16).map(|n| {
        table.apply((0..50).map(|m| Write::Put(key(4 * (50 * n + m) + 1), vec![7; 20])).collect()).unwrap();
        table.blocks.runs().load().len()
    });
    assert!((10..100).contains(&most.max().unwrap()));
}

#[test]
fn no_run_is_left_of_what_was_all_deleted() {
    let disk = Disk::new();
    let table = disk.open();
    for value in [Some(1), Some(2), Some(3), None] {
        let change = |n: u16| Write::new(key(4 * n + 1), value.map(|value| vec![value; 20]));
        table.apply((0..100).map(change).collect()).unwrap();
        table.settle().unwrap();
    }
    while table.flush_step().unwrap() {}
    assert_eq!([&table, &disk.open()].map(|table| table.blocks.runs().load().len()), [0, 0]);
}

#[test]
fn the_journal_does_not_grow() {
    let disk = Disk::new();
    let table = disk.open();
    for n in 0..2000u16 {
        table.apply(vec![Write::Put(key(n), vec![7; 200])]).unwrap();
    }
    assert!(table.blocks.flushed().unwrap() >= 2000 - 2 * MEMTABLE as u64 / 200);
    assert_eq!(table.writer().journal.size(), 2 * 256 * 1024);
}

#[test]
fn the_extents_of_what_was_overwritten_are_used_again() {
    let disk = Disk::new();
    let table = disk.open();
    let mut rng = StdRng::seed_from_u64(1);
    let mut put_all = || {
        for n in 0..300 {
            table.apply(vec![Write::Put(key(n), (&mut rng).random_iter().take(100).collect())]).unwrap();
        }
        table.settle().unwrap();
        std::fs::metadata(disk.folder.path().join("blocks")).unwrap().len()
    };
    let once = put_all();
    assert!((0..30).all(|_| put_all() < 8 * once));
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
fn once_a_write_has_failed_no_batch_is_taken() {
    let disk = Disk::new();
    let table = disk.open();
    table.fail(&StoreError::Backend { doing: "sync", cause: "told to fail".into() });
    assert!(table.apply(vec![Write::Put(b"m".to_vec(), vec![])]).is_err());
    assert_eq!(table.get(b"m").unwrap(), None);
}

#[test]
fn after_a_flush_that_failed_no_batch_is_taken_though_the_next_sync_would_succeed() {
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
                assert!(table.flush_step().is_err(), "the second sync would succeed, and the first is lost");
            });
        }
    });
}

#[test]
fn a_panic_while_a_memtable_is_flushed_is_an_error_for_the_next_commit() {
    let disk = Disk::new();
    let table = Arc::new(disk.open_with(|| panic!("told to panic")));
    let flusher = crate::flusher::Flusher::start(Arc::clone(&table)).unwrap();
    let put = |n: u16| table.apply(vec![Write::Put(key(n), vec![7; 200])]);
    assert!((0..600).any(|n| {
        flusher.wake();
        put(n).is_err()
    }));
}

#[test]
fn what_is_flushed_again_is_newer_than_what_the_first_time_was_merged_with() {
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
    while table.flush_step().unwrap() {}
    assert!(runs == 4 && table.blocks.runs().load().len() == 1, "what was flushed is merged with what is older");
    table.settle().unwrap();
    drop(table);
    assert!(found(&disk.open(), b"a"..b"z", Order::Ascending).iter().all(|(_, value)| value[0] == 4));
}

#[test]
fn what_could_not_be_synced_is_flushed_again_after_a_start() {
    let (disk, mut model) = (Disk::new(), BTreeMap::new());
    let refuses = || Err(StoreError::Backend { doing: "sync", cause: "told to fail".into() });
    let table = disk.open_with(refuses);
    let written = (0..600u16).take_while(|n| table.apply(vec![Write::Put(key(*n), vec![7; 200])]).is_ok());
    model.extend(written.map(|n| (key(n), vec![7; 200])));
    assert!(model.len() > MEMTABLE / 500);
    agrees(&table, &model, 0..600);
    agrees(&disk.open(), &model, 0..600);
}
