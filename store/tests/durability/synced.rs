//! That syncs come where the power cuts take them for granted. Seen from outside, by strace: an acknowledgement follows an
//! fdatasync of what was written to the journal, and a file of the journal is written over only after the blocks, and sled's
//! index of them, are synced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use store::backend::{self, Backend};
use store::{SledBackend, Store};

use crate::CACHE;
use crate::history::{History, apply};

const FOLDER: &str = "SYNCED_FOLDER";
const BATCHES: usize = 100;

/// What runs under strace: each acknowledgement is written to a file, so that it can be seen.
#[test]
#[ignore = "is started by the test below"]
fn a_life_to_be_watched() {
    let folder = std::env::var(FOLDER).unwrap();
    let mut acknowledged = File::create(Path::new(&folder).join("acknowledged")).unwrap();
    // Without a flusher: it would flush the next memtable while a file of the journal is begun anew.
    let store = Store::new(Arc::new(SledBackend::open_at(&Path::new(&folder).join("data"), CACHE).unwrap()));
    let mut history = History::new(21);
    for _ in 0..BATCHES {
        apply(&store, history.step());
        acknowledged.write_all(b".").unwrap();
    }
}

/// When a file was last written to, and which of its writes are synced, in lines of the trace.
#[derive(Clone, Copy, Default)]
struct Seen {
    written: usize,
    synced: usize,
}

#[test]
#[ignore = "needs strace, and leave to trace"]
fn every_acknowledgement_follows_an_fdatasync_of_all_that_was_written() {
    let temp = tempfile::tempdir().unwrap();
    let trace = temp.path().join("trace");
    let status = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=pwrite64,write,fdatasync,fsync,openat", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "synced::a_life_to_be_watched"])
        .env(FOLDER, temp.path())
        .status()
        .unwrap();
    assert!(status.success());
    let mut files: BTreeMap<String, Seen> = BTreeMap::new();
    // By thread: the file that is being synced, and since when. What is written meanwhile does not count as synced.
    let mut syncing: BTreeMap<String, (String, usize)> = BTreeMap::new();
    let (mut acknowledged, mut begun_anew) = (0, 0);
    // The names of the files that are written beside sled, which an fdatasync of the file need not make durable.
    let mut unnamed: BTreeSet<&str> = BTreeSet::new();
    for (n, line) in fs::read_to_string(&trace).unwrap().lines().enumerate().map(|(n, line)| (n + 1, line)) {
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        if call.starts_with("openat(") && call.contains("O_CREAT") {
            unnamed.extend(["journal/0", "journal/1", "sled/blocks"].iter().filter(|name| call.contains(*name)));
        } else if call.starts_with("fsync(") {
            unnamed.retain(|name| !call.contains(&format!("/data/{}>", name.split_once('/').unwrap().0)));
        }
        let file =
            call.split_once("/data/").and_then(|(_, rest)| rest.split_once('>')).map(|(file, _)| file.to_owned());
        let is_synced = |file: &str| files.get(file).is_none_or(|seen| seen.written <= seen.synced);
        if let Some(file) = file.clone().filter(|_| call.starts_with("pwrite64(")) {
            if file.starts_with("journal") && call.contains(", 0) = ") {
                begun_anew += 1;
                assert!(is_synced("sled/blocks") && is_synced("sled/db"), "{file} was begun anew at line {n}");
            }
            files.entry(file).or_default().written = n;
        } else if call.starts_with("fdatasync(") {
            syncing.insert(thread.to_owned(), (file.unwrap(), n));
        } else if call.starts_with("write(") && call.contains("/acknowledged>") {
            acknowledged += 1;
            assert!(unnamed.is_empty(), "{unnamed:?} might be gone after a power cut, at line {n}");
            assert!(is_synced("journal/0") && is_synced("journal/1"), "acknowledged at line {n}");
        }
        if call.contains("fdatasync") && !call.ends_with("<unfinished ...>") {
            assert!(call.ends_with("= 0"), "{line}");
            let (file, began) = syncing.remove(thread).unwrap();
            files.entry(file).or_default().synced = began;
        }
    }
    assert_eq!(acknowledged, BATCHES);
    assert!(begun_anew > 3);
}

#[test]
#[ignore = "needs strace, and leave to trace"]
fn a_sync_that_fails_while_the_store_opens_is_noted_for_the_next_start() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let left = backend::Write::Put(b"z".to_vec(), b"left".to_vec());
    SledBackend::open_at(&data, CACHE).unwrap().apply(vec![left]).unwrap();
    // The first of a life is that of what the life before has left in the journal.
    let status = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1"])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "synced::a_life_to_be_watched"])
        .env(FOLDER, temp.path())
        .status()
        .unwrap();
    assert!(!status.success());
    let is_noted = |word: &str| fs::read_to_string(data.join("twotick.store")).unwrap().contains(word);
    assert!(is_noted("sync failed"));
    drop(SledBackend::open_at(&data, CACHE).unwrap());
    assert!(is_noted("sync mended"));
}
