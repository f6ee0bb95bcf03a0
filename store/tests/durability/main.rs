//! What survives a power cut, and that damage does not go unnoticed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "tests"
)]

mod compact;
mod damage;
mod folder;
mod history;
mod lists;
mod power;
mod synced;
mod verifying;

/// Little, so that memtables are soon full, and pages are read from the disk.
const CACHE: u64 = 256 << 10;

/// For how many seconds a long run goes on, and with which seed it begins: from the environment.
fn long_run(name: &str) -> (u64, u64) {
    let number = |what: &str| std::env::var(format!("{name}_{what}")).ok().and_then(|text| text.parse().ok());
    (number("SECONDS").unwrap_or(60), number("SEED").unwrap_or(1000))
}
