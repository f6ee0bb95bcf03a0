//! A backup taken while commits go on holds whole commits, all up to one moment, and nothing of a later one.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs, reason = "tests")]

use std::fs::File;
use std::io::{ErrorKind, Seek};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use domain::{AttemptNo, Epoch, MessageId, OrgNo, Timestamp};
use store::backend::Backend;
use store::backup::{BackupError, Source, Summary, read, take};
use store::{Commit, Committer, MemoryBackend, SledBackend, Store};

const WRITERS: u32 = 4;
/// Enough for many pages.
const KEYS: u8 = 250;

fn id(n: u8) -> MessageId {
    MessageId::from_bytes([n; 16])
}

/// Sets one key near the beginning and one near the end, of different organisations' worth of keys apart, to the same number;
/// what it set before goes.
fn step(org: OrgNo, n: u64) -> Commit {
    let mut commit = Commit::new(org, Epoch(1));
    let body = [n.to_be_bytes().as_slice(), &[7; 100]].concat();
    for place in [0, KEYS / 2, KEYS] {
        commit.response(id(place), AttemptNo(1), body.clone());
    }
    commit
}

fn number(store: &Store, org: OrgNo, place: u8) -> u64 {
    let found = store.responses(org, id(place)).unwrap();
    u64::from_be_bytes(found[0].1[..8].try_into().unwrap())
}

fn backup(store: &Store, committer: Option<&Committer>, file: &File) -> Summary {
    let source = Source { store, committer, id: "test", now: &|| Timestamp::from_secs(1) };
    take(&source, file, &mut |_| Ok(())).unwrap()
}

fn restored(file: &mut File) -> (Store, Summary) {
    let backend = MemoryBackend::new();
    file.rewind().unwrap();
    let summary = read(file, &mut |writes| Ok(backend.apply(writes)?)).unwrap();
    (Store::new(Arc::new(backend)), summary)
}

/// Stops the writers however the test ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_backup_under_load_is_of_one_moment_and_has_all_that_was_durable_before_it() {
    // A disk that takes its time: no backup keeps up with a memory that is written to by four threads without end.
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(Arc::new(SledBackend::open_at(folder.path(), 8 << 20).unwrap()));
    let committer = Committer::start(&store).unwrap();
    let (durable, stop) = ([const { AtomicU64::new(0) }; WRITERS as usize], AtomicBool::new(false));
    let commit = |commit| {
        let (tell, told) = std::sync::mpsc::channel();
        committer.reserve().unwrap().submit(commit, move |result| tell.send(result).unwrap());
        told.recv().unwrap().unwrap();
    };
    for org in 0..WRITERS {
        commit(step(OrgNo(org), 0));
        for place in 1..KEYS {
            let mut rest = Commit::new(OrgNo(org), Epoch(1));
            rest.response(id(place), AttemptNo(2), vec![place; 4000]);
            commit(rest);
        }
    }
    let mut file = tempfile::tempfile().unwrap();
    std::thread::scope(|scope| {
        for org in 0..WRITERS {
            let (durable, stop, commit) = (&durable[org as usize], &stop, &commit);
            scope.spawn(move || {
                for n in 1.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    commit(step(OrgNo(org), n));
                    durable.store(n, Ordering::SeqCst);
                }
            });
        }
        let _stop = Stop(&stop);
        while durable.iter().any(|n| n.load(Ordering::SeqCst) < 20) {
            std::thread::yield_now();
        }
        for _ in 0..5 {
            let before: Vec<_> = durable.iter().map(|n| n.load(Ordering::SeqCst)).collect();
            file.set_len(0).unwrap();
            file.rewind().unwrap();
            let taken = backup(&store, Some(&committer), &file);
            let (copy, read) = restored(&mut file);
            assert_eq!(read, taken);
            for (org, before) in (0..WRITERS).map(OrgNo).zip(before) {
                let numbers: Vec<_> = [0, KEYS / 2, KEYS].map(|place| number(&copy, org, place)).to_vec();
                assert!(numbers.iter().all(|n| *n == numbers[0]), "a commit is torn: {numbers:?}");
                assert!(numbers[0] >= before, "{before} was durable, and {} is there", numbers[0]);
                assert_eq!(copy.responses(org, id(9)).unwrap()[0].1, vec![9; 4000]);
            }
        }
    });
    committer.stop();
}

#[test]
fn any_byte_that_is_changed_or_missing_is_noticed() {
    let store = Store::new(Arc::new(MemoryBackend::new()));
    let committer = Committer::inline(&store);
    for n in 0..3 {
        committer.reserve().unwrap().submit(step(OrgNo(n), n.into()), |result| result.unwrap());
    }
    let temp = tempfile::NamedTempFile::new().unwrap();
    backup(&store, None, temp.as_file());
    let whole = std::fs::read(temp.path()).unwrap();
    let check = |bytes: &[u8]| {
        std::fs::write(temp.path(), bytes).unwrap();
        read(&File::open(temp.path()).unwrap(), &mut |_| Ok(()))
    };
    assert!(check(&whole).is_ok());
    for n in 0..whole.len() {
        let mut bent = whole.clone();
        bent[n] ^= 1;
        assert!(check(&bent).is_err(), "byte {n} of {} was changed", whole.len());
        assert!(check(&whole[..n]).is_err(), "cut off after {n} bytes of {}", whole.len());
    }
}

#[test]
fn a_backup_that_finds_its_disk_full_ends_and_nobody_else_notices() {
    let store = Store::new(Arc::new(MemoryBackend::new()));
    let committer = Committer::inline(&store);
    let commit = |n: u64| committer.reserve().unwrap().submit(step(OrgNo(1), n), |result| result.unwrap());
    commit(1);
    // Every write to it finds no room.
    let full = File::options().write(true).open("/dev/full").unwrap();
    let source = Source { store: &store, committer: Some(&committer), id: "test", now: &|| Timestamp::from_secs(1) };
    let error = take(&source, &full, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(&error, BackupError::Io(error) if error.kind() == ErrorKind::StorageFull), "{error}");
    commit(2);
    let mut file = tempfile::tempfile().unwrap();
    backup(&store, Some(&committer), &file);
    assert_eq!(number(&restored(&mut file).0, OrgNo(1), 0), 2);
}
