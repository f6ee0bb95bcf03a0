//! That an acknowledgement follows an fdatasync of all that was written: the power cuts take it for granted. Seen from
//! outside, by strace.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use store::DataFolder;

use crate::history::{History, apply};

const FOLDER: &str = "SYNCED_FOLDER";
const BATCHES: usize = 100;
/// So much that no memtable is filled and moved meanwhile. When sled frees the last segments of its log, it cuts them off in a thread
/// of its own and syncs that itself, at a time that nobody can wait for; here it would be taken for an unsynced write.
const CACHE: u64 = 4 << 20;

/// What runs under strace: each acknowledgement is written to a file, so that it can be seen.
#[test]
#[ignore = "is started by the test below"]
fn a_life_to_be_watched() {
    let folder = std::env::var(FOLDER).unwrap();
    let mut acknowledged = File::create(Path::new(&folder).join("acknowledged")).unwrap();
    let store = store::open(DataFolder::open(&Path::new(&folder).join("data")).unwrap(), CACHE).unwrap();
    let mut history = History::new(21);
    for _ in 0..BATCHES {
        apply(&store, history.step());
        acknowledged.write_all(b".").unwrap();
    }
}

#[test]
#[ignore = "needs strace, and leave to trace"]
fn every_acknowledgement_follows_an_fdatasync_of_all_that_was_written() {
    let temp = tempfile::tempdir().unwrap();
    let trace = temp.path().join("trace");
    let status = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=pwrite64,write,fdatasync,fsync,ftruncate", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "synced::a_life_to_be_watched"])
        .env(FOLDER, temp.path())
        .status()
        .unwrap();
    assert!(status.success());
    let (mut written, mut synced, mut syncing, mut acknowledged) = (0, 0, None, 0);
    for (n, line) in fs::read_to_string(&trace).unwrap().lines().enumerate() {
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        let is_of = |name: &str, file: &str| call.starts_with(name) && call.contains(file);
        if is_of("pwrite64(", "/sled/db>") || is_of("ftruncate(", "/sled/db>") || call.starts_with("<... pwrite64") {
            written = n;
        } else if is_of("fdatasync(", "/sled/db>") {
            // What is written while it goes on does not count as synced.
            syncing = Some((thread, n));
            if call.ends_with("= 0") {
                synced = n;
            }
        } else if let Some((_, began)) = syncing.filter(|(by, _)| *by == thread && call.starts_with("<... fdatasync")) {
            assert!(call.ends_with("= 0"), "{line}");
            synced = began;
        } else if is_of("write(", "/acknowledged>") {
            acknowledged += 1;
            assert!(written < synced, "acknowledged at line {n}, written at {written}, synced at {synced}");
        }
    }
    assert_eq!(acknowledged, BATCHES);
}
