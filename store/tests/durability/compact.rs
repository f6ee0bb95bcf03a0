//! What is deleted stays in sled's log until the store is written anew; and a compaction that is cut off loses nothing.

use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use store::backend::{Backend, Write};
use store::compact::compact;
use store::{DataFolder, SledBackend};

use crate::CACHE;
use crate::folder;

const SECRET: &[u8] = b"a secret of Ada";

fn open(path: &Path) -> SledBackend {
    SledBackend::open_at(path, CACHE).unwrap()
}

/// In turns of those that stay in place, and of hashes.
fn key(n: u32) -> Vec<u8> {
    let kind = if n % 4 < 2 { b"m" } else { b"y" };
    [kind.as_slice(), &n.to_be_bytes()].concat()
}

/// A store of so many records with a secret each, of which the even ones were deleted.
fn purged(path: &Path, records: u32) {
    let backend = open(path);
    let value = |n: u32| [SECRET, &[b'.'; 300], &n.to_be_bytes()].concat();
    for n in (0..records).step_by(100) {
        backend.apply((n..n + 100).map(|n| Write::Put(key(n), value(n))).collect()).unwrap();
    }
    for n in (0..records).step_by(100) {
        backend.apply((n..n + 100).step_by(2).map(|n| Write::Delete(key(n))).collect()).unwrap();
        backend.apply((n + 1..n + 100).step_by(2).map(|n| Write::Put(key(n), b"kept".to_vec())).collect()).unwrap();
    }
}

fn holds_secret(path: &Path) -> bool {
    folder::read(path).values().any(|bytes| bytes.windows(SECRET.len()).any(|part| part == SECRET))
}

fn size(path: &Path) -> u64 {
    folder::read(path).values().map(|bytes| u64::try_from(bytes.len()).unwrap()).sum()
}

#[test]
fn what_was_deleted_is_in_the_folder_until_it_is_compacted_and_then_the_space_is_free() {
    let temp = tempfile::tempdir().unwrap();
    purged(temp.path(), 5000);
    assert!(holds_secret(temp.path()), "sled does not overwrite what it deletes");
    let mut said = 0;
    let done = compact(DataFolder::open(temp.path()).unwrap(), CACHE, &mut |records| said = records).unwrap();
    assert!(!holds_secret(temp.path()));
    assert!(done.after < done.before / 2 && size(temp.path()) < done.before / 2, "{done:?}");
    assert_eq!(done.records, 2500);
    let backend = open(temp.path());
    assert_eq!(backend.doubt(), None);
    assert_eq!(backend.get(&key(1)).unwrap().unwrap(), b"kept");
    assert_eq!(backend.get(&key(2)).unwrap(), None);
    backend.apply(vec![Write::Put(key(2), b"new".to_vec())]).unwrap();
}

#[test]
fn a_compaction_cut_off_at_any_step_leaves_one_whole_store() {
    let made = tempfile::tempdir().unwrap();
    purged(made.path(), 500);
    let (log, copy, old) = ("sled", "sled.compact", "sled.old");
    for there in [&[log, copy][..], &[copy, old], &[old], &[log, old]] {
        let temp = tempfile::tempdir().unwrap();
        for (path, bytes) in folder::read(made.path()) {
            let names = if path.starts_with(log) { there } else { &[""] };
            for name in names {
                let rest = path.strip_prefix(log).unwrap_or(&path);
                let to = temp.path().join(name).join(rest);
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::write(to, &bytes).unwrap();
            }
        }
        let backend = open(temp.path());
        assert_eq!(backend.doubt(), None, "{there:?}");
        assert_eq!(backend.get(&key(1)).unwrap().unwrap(), b"kept");
        assert!(!temp.path().join(copy).exists() && !temp.path().join(old).exists());
    }
}

/// `cargo test --release -p store --test durability -- --ignored --nocapture what_becomes_of_space`
#[test]
#[ignore = "a measurement"]
fn what_becomes_of_space() {
    let temp = tempfile::tempdir().unwrap();
    let backend = open(temp.path());
    backend.flush_in_background().unwrap();
    // What does not compress.
    let mut rng = StdRng::seed_from_u64(1);
    let mut put = |first: u32| {
        for n in (first..first + 100_000).step_by(1000) {
            let value = |rng: &mut StdRng| SECRET.iter().copied().chain(rng.random_iter().take(300)).collect();
            backend.apply((n..n + 1000).map(|n| Write::Put(key(n), value(&mut rng))).collect()).unwrap();
        }
    };
    let say = |what: &str| println!("{what}: {} MB", size(temp.path()) / 1_000_000);
    for round in 0..8 {
        put(round * 100_000);
        say("100,000 more records written");
        for n in (round * 100_000..(round + 1) * 100_000).step_by(1000) {
            backend.apply((n..n + 1000).map(|n| Write::Delete(key(n))).collect()).unwrap();
        }
        say("all of them deleted");
        println!("the folder holds them in clear: {}", holds_secret(temp.path()));
    }
    drop(backend);
    let done = compact(DataFolder::open(temp.path()).unwrap(), CACHE, &mut |_| ()).unwrap();
    println!("{done:?}; the folder holds them in clear: {}", holds_secret(temp.path()));
}
