//! Fuzz tests of everything that reads untrusted bytes. The inputs are a corpus and random mutations of it. No input
//! may cause a panic, and nothing invalid may be accepted.
//!
//! The corpus is in `tests/corpus`, one file per input, and the file's name says the expected result. The tests replay
//! it and try some thousand mutations, the same in every run. `FUZZ_CASES=1000000 cargo test --test fuzz` tries more,
//! and `FUZZ_SEED=7` tries others. A failing input is minimised and printed; add it to the corpus.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod changes;
mod queries;
mod records;
mod requests;
mod webhooks;

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

/// An input of the corpus, and the parts of its file's name: the expected result and the reason.
struct Kept {
    name: Vec<String>,
    bytes: Vec<u8>,
}

/// The inputs in a folder of the corpus, sorted by name.
fn corpus(folder: &str) -> Vec<Kept> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().split('.').map(str::to_owned).collect();
    files.iter().map(|file| Kept { name: name(file), bytes: fs::read(file).unwrap() }).collect()
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Tries `cases` inputs of `strategy`, or `FUZZ_CASES` if it is set.
fn fuzz<S: Strategy>(cases: u64, strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let cases = u32::try_from(number("FUZZ_CASES", cases)).unwrap();
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let seed = number("FUZZ_SEED", 0).to_be_bytes().repeat(4);
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    if let Err(found) = runner.run(strategy, test) {
        panic!("{found}");
    }
}
