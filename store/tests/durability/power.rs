//! Power cuts. What was in a file at the last fdatasync stays; of what was written since, each sector comes or does not,
//! in any combination; and the file is as long as it was, as it became, or anything between.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use store::verify::verify;
use store::{DataFolder, SledBackend, Store};

use crate::history::{Content, History, apply, content};

const CACHE: u64 = 4 << 20;

/// The files of a folder, by their path within it.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn read(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        // A file may go while it is looked for.
        for entry in fs::read_dir(&next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
            }
        }
    }
    files
}

fn write(files: &Files, folder: &Path) {
    for (path, bytes) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// What a power cut leaves of a file that was `durable`, and was seen as each of `later` since.
fn cut(rng: &mut StdRng, durable: &[u8], later: &[&[u8]]) -> Vec<u8> {
    let sector = *[512, 4096].choose(rng).unwrap();
    let share = *[0.0, 0.05, 0.5, 0.95, 1.0].choose(rng).unwrap();
    let lens: Vec<usize> = later.iter().map(|bytes| bytes.len()).chain([durable.len()]).collect();
    let (shortest, longest) = (*lens.iter().min().unwrap(), *lens.iter().max().unwrap());
    let len = match rng.random_range(0..4) {
        0 => rng.random_range(shortest..=longest),
        1 => shortest,
        _ => longest,
    };
    let mut left = durable.to_vec();
    left.resize(len, 0);
    for (n, place) in left.chunks_mut(sector).enumerate() {
        if rng.random_bool(share) {
            let written = later.choose(rng).unwrap().get(n * sector..).unwrap_or_default();
            let written = &written[..written.len().min(place.len())];
            place[..written.len()].copy_from_slice(written);
        }
    }
    left
}

/// A whole folder after a power cut. A file that is new or gone came or went, or did not.
fn cut_all(rng: &mut StdRng, durable: &Files, later: &[Files]) -> Files {
    let mut left = Files::new();
    let paths: Vec<_> = later.iter().chain([durable]).flat_map(|files| files.keys().cloned()).collect();
    for path in paths {
        let seen: Vec<&[u8]> = later.iter().filter_map(|files| files.get(&path)).map(Vec::as_slice).collect();
        let was = durable.get(&path);
        let is_gone = was.is_none() || seen.len() < later.len();
        if left.contains_key(&path) || (is_gone && rng.random_bool(0.5)) {
            continue;
        }
        let was = was.map_or(&[][..], Vec::as_slice);
        let name = path.to_string_lossy();
        let bytes = match seen.last() {
            // The mark is written once all is synced: one that comes later comes after the power cut.
            _ if name == "twotick.store" => was.to_vec(),
            None => was.to_vec(),
            // sled syncs a snapshot before it gives it its name.
            Some(whole) if name.contains("snap.") && !name.ends_with(".generating") => whole.to_vec(),
            Some(_) => cut(rng, was, &seen),
        };
        left.insert(path, bytes);
    }
    left
}

/// What can be seen of a folder while `act` goes on, and after it.
fn watch<T>(folder: &Path, act: impl FnOnce() -> T) -> (Vec<Files>, T) {
    const SEEN_MAX: usize = 6;
    let is_done = AtomicBool::new(false);
    let (mut seen, result) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = Vec::new();
            while !is_done.load(Ordering::SeqCst) && seen.len() < SEEN_MAX {
                seen.push(read(folder));
            }
            seen
        });
        let result = act();
        is_done.store(true, Ordering::SeqCst);
        (watcher.join().unwrap(), result)
    });
    seen.push(read(folder));
    (seen, result)
}

struct Opened {
    store: Store,
    backend: Arc<SledBackend>,
}

fn open(folder: &Path) -> Opened {
    let backend = Arc::new(SledBackend::open(DataFolder::open(folder).unwrap(), CACHE).unwrap());
    let store = Store::new(Arc::<SledBackend>::clone(&backend));
    if let Some(doubt) = backend.doubt() {
        // As `store::open` does.
        assert!(!matches!(doubt, store::sled::Doubt::Lost { .. }), "{doubt}");
        let report = verify(&store, &mut |_| ());
        assert!(report.is_clean(), "{doubt}, and {:?}", report.findings.first().map(ToString::to_string));
        backend.trust().unwrap();
    }
    Opened { store, backend }
}

/// Opens what a power cut left, and finds what was acknowledged, with the batch in flight or without it.
fn came(files: &Files, without: &Content, with: &Content) -> bool {
    let temp = tempfile::tempdir().unwrap();
    write(files, temp.path());
    let opened = open(temp.path());
    let found = content(&*opened.backend);
    assert!(found == *without || found == *with, "neither with the batch in flight nor without it");
    found == *with
}

/// One life after another, each ended by a power cut in the middle of a batch.
fn lives(seed: u64, count: usize, batches_max: usize) {
    let mut history = History::new(seed);
    let mut rng = StdRng::seed_from_u64(seed ^ 0xC07);
    let mut disk = Files::new();
    for _ in 0..count {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("data");
        write(&disk, &folder);
        let (seen, opened) = watch(&folder, || open(&folder));
        assert!(content(&*opened.backend) == history.content());
        if !disk.is_empty() {
            // The power may go while it starts, too.
            came(&cut_all(&mut rng, &disk, &seen), &history.content(), &history.content());
        }
        for _ in 0..rng.random_range(1..batches_max) {
            apply(&opened.store, history.step());
        }
        let durable = read(&folder);
        let mut before = history.fork();
        let step = history.step();
        let (seen, ()) = watch(&folder, || apply(&opened.store, step));
        let (without, with) = (before.content(), history.content());
        for _ in 0..4 {
            disk = cut_all(&mut rng, &durable, &seen);
            if !came(&disk, &without, &with) {
                history = before.fork();
                break;
            }
        }
    }
}

#[test]
fn a_power_cut_leaves_every_acknowledged_batch_and_nothing_torn() {
    for seed in 0..2 {
        lives(seed, 4, 60);
    }
}

/// The long run: `cargo test --release -p store --test durability -- --ignored power --nocapture`.
#[test]
#[ignore = "takes as long as POWER_SECONDS says"]
fn many_power_cuts() {
    let seconds = std::env::var("POWER_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let first: u64 = std::env::var("POWER_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let began = std::time::Instant::now();
    let mut lives_led = 0;
    for seed in first.. {
        if began.elapsed().as_secs() >= seconds {
            break;
        }
        println!("seed {seed}, {lives_led} lives so far");
        lives(seed, 12, 120);
        lives_led += 12;
    }
}
