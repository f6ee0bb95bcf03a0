//! Power cuts. What was in a file at the last fdatasync stays; of what was written since, each sector comes or does not,
//! in any combination; and the file is as long as it was, as it became, or anything between. Where the store syncs twice in what is
//! watched, the cut comes before the first or after it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use store::verify::verify;
use store::{DataFolder, SledBackend, Store};

use crate::CACHE;
use crate::folder::{Files, read, write};
use crate::history::{Content, History, apply, content};

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
            // The high-water mark is written once all is synced: one that comes later comes after the power cut.
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

/// What a power cut leaves while the store opens: the undo log is there before sled begins, and until all that
/// sled did is synced.
fn cut_while_opening(rng: &mut StdRng, durable: &Files, later: &[Files]) -> Option<Files> {
    let copy = Path::new("log.rescue");
    // It is synced before sled begins; one that was seen while it was being written is not the one that counts.
    let is_whole = |bytes: &&Vec<u8>| {
        let checked = bytes.split_last_chunk();
        checked.is_some_and(|(rest, checksum)| crc32fast::hash(rest).to_be_bytes() == *checksum)
    };
    let whole = later.iter().filter_map(|files| files.get(copy)).find(is_whole)?;
    let mut left = cut_all(rng, durable, later);
    left.insert(copy.to_owned(), whole.clone());
    Some(left)
}

/// What a power cut leaves while a memtable is flushed: its blocks are synced before sled is told where they are.
fn cut_while_flushing(rng: &mut StdRng, durable: &Files, later: &[Files]) -> Files {
    let mut left = cut_all(rng, durable, later);
    let blocks = Path::new("sled/blocks");
    if rng.random_bool(0.5) {
        for (path, bytes) in durable.iter().filter(|(path, _)| *path != blocks) {
            left.insert(path.clone(), bytes.clone());
        }
    } else {
        let mut whole = later.last().unwrap()[blocks].clone();
        // Cut off, it is at last.
        whole.extend_from_slice(durable[blocks].get(whole.len()..).unwrap_or_default());
        left.insert(blocks.to_owned(), whole);
    }
    left
}

/// What can be seen of a folder while `act` goes on, and after it.
fn watch<T>(folder: &Path, act: impl FnOnce() -> T) -> (Vec<Files>, T) {
    const SEEN_MAX: usize = 12;
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
    let files = read(folder);
    let backend = match SledBackend::open(DataFolder::open(folder).unwrap(), CACHE) {
        Ok(backend) => Arc::new(backend),
        Err(error) => {
            let kept = tempfile::tempdir().unwrap().keep();
            write(&files, &kept);
            panic!("{error}; what it was opened with is kept in {}", kept.display());
        }
    };
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

/// How often the power went.
#[derive(Debug, Default)]
struct Cuts {
    batches: usize,
    flushes: usize,
    starts: usize,
}

/// One life after another, each ended by a power cut in the middle of a batch.
fn lives(seed: u64, count: usize, batches_max: usize, cuts: &mut Cuts) {
    println!("seed {seed}");
    let mut history = History::new(seed);
    let mut rng = StdRng::seed_from_u64(seed ^ 0xC07);
    let mut disk = Files::new();
    for _ in 0..count {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("data");
        write(&disk, &folder);
        let (seen, opened) = watch(&folder, || open(&folder));
        assert!(content(&*opened.backend) == history.content());
        if let Some(image) = cut_while_opening(&mut rng, &disk, &seen) {
            came(&image, &history.content(), &history.content());
            cuts.starts += 1;
        }
        for _ in 0..rng.random_range(1..batches_max) {
            apply(&opened.store, history.step());
        }
        loop {
            let durable = read(&folder);
            let (seen, is_flushed) = watch(&folder, || opened.backend.flush_step().unwrap());
            if !is_flushed {
                break;
            }
            came(&cut_while_flushing(&mut rng, &durable, &seen), &history.content(), &history.content());
            cuts.flushes += 1;
        }
        let durable = read(&folder);
        let mut before = history.fork();
        let step = history.step();
        let (seen, ()) = watch(&folder, || apply(&opened.store, step));
        let (without, with) = (before.content(), history.content());
        for _ in 0..4 {
            disk = cut_all(&mut rng, &durable, &seen);
            cuts.batches += 1;
            if !came(&disk, &without, &with) {
                history = before.fork();
                break;
            }
        }
    }
}

#[test]
fn a_power_cut_leaves_every_acknowledged_batch_and_nothing_torn() {
    let mut cuts = Cuts::default();
    (0..2).for_each(|seed| lives(seed, 4, 60, &mut cuts));
    assert!(cuts.starts > 0 && cuts.flushes > 0 && cuts.batches > 0, "{cuts:?}");
}

/// The long run: `POWER_SECONDS=600 cargo test --release -p store --test durability -- --ignored many_power_cuts --nocapture`.
#[test]
#[ignore = "takes as long as POWER_SECONDS says"]
fn many_power_cuts() {
    const LIVES: usize = 12;
    tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).init();
    let (seconds, first) = crate::long_run("POWER");
    let began = Instant::now();
    let (mut led, mut cuts) = (0, Cuts::default());
    for seed in (first..).take_while(|_| began.elapsed().as_secs() < seconds) {
        lives(seed, LIVES, 120, &mut cuts);
        led += LIVES;
        println!("seed {seed}: {led} lives so far, {cuts:?}, nothing lost");
    }
}
