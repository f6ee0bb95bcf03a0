//! Damage done to a store that was closed: it does not open, or it cannot be read, or everything is there. Never less.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use store::backend::{Backend, Write};
use store::{DataFolder, SledBackend, StoreError};

use crate::CACHE;
use crate::folder::{Files, read, write};
use crate::history::{Content, History, apply, try_content};

/// A store that was opened and closed a few times.
fn store(seed: u64, lives: usize) -> (Files, Content) {
    let temp = tempfile::tempdir().unwrap();
    let mut history = History::new(seed);
    for _ in 0..lives {
        let store = store::open(DataFolder::open(temp.path()).unwrap(), CACHE).unwrap();
        for _ in 0..40 {
            apply(&store, history.step());
        }
    }
    settled(temp.path());
    (read(temp.path()), history.content())
}

/// sled's threads may still be at work for a moment after it was closed.
fn settled(folder: &Path) {
    let mut last = read(folder);
    loop {
        drop(DataFolder::open(folder).unwrap());
        std::thread::yield_now();
        let next = read(folder);
        if std::mem::replace(&mut last, next) == last {
            return;
        }
    }
}

/// What becomes of a damaged folder.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Refused,
    Unreadable,
    Whole,
    SilentlyLess,
}

fn fate(files: &Files, content: &Content) -> Fate {
    let temp = tempfile::tempdir().unwrap();
    write(files, temp.path());
    let Ok(folder) = DataFolder::open(temp.path()) else { return Fate::Refused };
    if store::open(folder, CACHE).is_err() {
        return Fate::Refused;
    }
    let backend = SledBackend::open_at(temp.path(), CACHE).unwrap();
    match try_content(&backend) {
        Err(_) => Fate::Unreadable,
        Ok(found) if found == *content => Fate::Whole,
        Ok(_) => Fate::SilentlyLess,
    }
}

/// Does some damage; what, in words.
fn damage(files: &mut Files, rng: &mut StdRng) -> String {
    // Each file as often, whatever its length.
    let paths: Vec<PathBuf> = files.keys().filter(|path| !files[*path].is_empty()).cloned().collect();
    let path = paths.choose(rng).unwrap().clone();
    let bytes = files.get_mut(&path).unwrap();
    let at = rng.random_range(0..bytes.len());
    let what = match rng.random_range(0..5) {
        0 => {
            bytes.truncate(at);
            format!("cut off at {at}")
        }
        1 => {
            let end = (at + 4096).min(bytes.len());
            bytes[at..end].fill(0);
            format!("zeros from {at} to {end}")
        }
        2 => {
            let (start, from) = (at / 512 * 512, rng.random_range(0..bytes.len()) / 512 * 512);
            let sector = bytes[from..(from + 512).min(bytes.len())].to_vec();
            let end = (start + sector.len()).min(bytes.len());
            bytes[start..end].copy_from_slice(&sector[..end - start]);
            format!("the sector at {start} written over with that at {from}")
        }
        _ => {
            bytes[at] ^= 1 << rng.random_range(0..8);
            format!("a bit flipped at {at}")
        }
    };
    format!("{}: {what}", path.display())
}

/// Damages a store in so many ways; how often each fate came.
fn damages(seed: u64, count: usize) -> Vec<(Fate, usize)> {
    let (files, content) = store(seed, 3);
    let mut rng = StdRng::seed_from_u64(seed ^ 0xDA);
    let mut fates: Vec<(Fate, usize)> = Vec::new();
    for _ in 0..count {
        let mut damaged = files.clone();
        let what = damage(&mut damaged, &mut rng);
        let fate = fate(&damaged, &content);
        assert_ne!(fate, Fate::SilentlyLess, "seed {seed}: {what}");
        match fates.iter_mut().find(|(known, _)| *known == fate) {
            Some((_, count)) => *count += 1,
            None => fates.push((fate, 1)),
        }
    }
    fates
}

#[test]
fn damage_anywhere_is_noticed_or_does_no_harm() {
    println!("{:?}", damages(1, 50));
}

#[test]
fn a_file_that_is_gone_is_noticed_or_does_no_harm() {
    let (files, content) = store(2, 2);
    assert_eq!(fate(&files, &content), Fate::Whole);
    for path in files.keys() {
        let mut rest = files.clone();
        rest.remove(path);
        assert_ne!(fate(&rest, &content), Fate::SilentlyLess, "{}", path.display());
    }
}

#[test]
fn a_store_whose_log_is_gone_is_not_taken_for_a_new_one() {
    let (files, _) = store(3, 1);
    let temp = tempfile::tempdir().unwrap();
    write(&files, temp.path());
    fs::remove_dir_all(temp.path().join("sled")).unwrap();
    for _ in 0..2 {
        let opened = store::open(DataFolder::open(temp.path()).unwrap(), CACHE);
        assert!(matches!(opened, Err(StoreError::Lost { acknowledged: 40, found: 0 })));
        assert!(!temp.path().join("sled").exists(), "and nothing is put in its place");
    }
}

#[test]
fn older_files_in_the_place_of_newer_ones_are_noticed_at_every_start() {
    for parts in [&["sled", "journal"][..], &["sled"], &["journal"]] {
        let temp = tempfile::tempdir().unwrap();
        let mut history = History::new(4);
        let mut live = |count| {
            let store = store::open(DataFolder::open(temp.path()).unwrap(), CACHE).unwrap();
            for _ in 0..count {
                apply(&store, history.step());
            }
            drop(store);
            settled(temp.path());
        };
        live(30);
        let older = parts.iter().map(|part| read(&temp.path().join(part))).collect::<Vec<_>>();
        live(35);
        for (part, older) in parts.iter().zip(&older) {
            fs::remove_dir_all(temp.path().join(part)).unwrap();
            write(older, &temp.path().join(part));
        }
        for _ in 0..2 {
            let opened = store::open(DataFolder::open(temp.path()).unwrap(), CACHE);
            assert!(matches!(opened, Err(StoreError::Lost { .. })), "{parts:?}: {:?}", opened.err());
        }
    }
}

#[test]
fn a_journal_that_is_broken_before_its_end_is_refused_until_a_person_accepts_the_loss() {
    let (mut files, _) = store(5, 1);
    for (_, bytes) in files.iter_mut().filter(|(path, bytes)| path.starts_with("journal") && !bytes.is_empty()) {
        // The first batch behind the header.
        bytes[60] ^= 1;
    }
    let temp = tempfile::tempdir().unwrap();
    write(&files, temp.path());
    for _ in 0..2 {
        let opened = store::open(DataFolder::open(temp.path()).unwrap(), CACHE);
        assert!(matches!(opened, Err(StoreError::Lost { .. })), "{:?}", opened.err());
    }
    let backend = SledBackend::open_at(temp.path(), CACHE).unwrap();
    let left = try_content(&backend).unwrap();
    backend.trust().unwrap();
    // What follows takes the numbers, and perhaps the positions in the journal, of what was lost.
    for n in 0..60u8 {
        backend.apply(vec![Write::Put(vec![b'z', n], vec![n])]).unwrap();
        backend.apply(vec![Write::Delete(vec![b'z', n])]).unwrap();
    }
    drop(backend);
    let backend = SledBackend::open_at(temp.path(), CACHE).unwrap();
    assert_eq!(backend.doubt(), None);
    assert!(try_content(&backend).unwrap() == left, "nothing of what was given up comes back");
}

#[test]
fn blocks_that_cannot_be_read_can_be_given_up_so_that_all_others_can_be_written_again() {
    let (mut files, content) = store(6, 2);
    let blocks = files.get_mut(Path::new("sled/blocks")).unwrap();
    blocks.chunks_mut(10_000).for_each(|part| part[0] ^= 1);
    let temp = tempfile::tempdir().unwrap();
    write(&files, temp.path());
    let backend = SledBackend::open_at(temp.path(), CACHE).unwrap();
    assert!(try_content(&backend).is_err());
    assert!(backend.forget_unreadable().unwrap() > 0);
    let left = try_content(&backend).unwrap();
    assert!(!left.is_empty() && left.len() < content.len());
    assert!(left.iter().all(|(key, value)| content.get(key) == Some(value)));
    // So much, and all over, that all of it is flushed into blocks.
    let again = |(key, value): (&Vec<u8>, &Vec<u8>)| Write::Put(key.clone(), value.clone());
    backend.apply(content.iter().map(again).collect()).unwrap();
    backend.apply(vec![]).unwrap();
    while backend.flush_step().unwrap() {}
    assert!(try_content(&backend).unwrap() == content);
    assert_eq!(backend.forget_unreadable().unwrap(), 0);
}

/// The long run: `DAMAGE_SECONDS=600 cargo test --release -p store --test durability -- --ignored much_damage --nocapture`.
#[test]
#[ignore = "takes as long as DAMAGE_SECONDS says"]
fn much_damage() {
    let (seconds, first) = crate::long_run("DAMAGE");
    let began = Instant::now();
    for seed in (first..).take_while(|_| began.elapsed().as_secs() < seconds) {
        println!("seed {seed}: {:?}", damages(seed, 100));
    }
}
