//! Seeded simulation: clients, Meta, people, crashes and restored backups by the dice, over the whole runtime under a paused
//! clock. Whatever comes, at the end no message is lost, none was sent twice without need, and the store agrees with itself.
//!
//! `SEED=7 cargo test -p actors --test runtime simulation` repeats one play exactly; `SEEDS=20000` plays that many.

mod chance;
mod copies;
mod judge;
mod meta;
mod play;
mod played;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use play::Play;
use played::Played;

/// Played at each run of the tests.
const SEEDS: u64 = 300;
/// Played twice, to see that a seed repeats exactly.
const TWICE: u64 = 20;

fn play(seed: u64) -> Played {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let played = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { Play::begin(seed).await.play().await })));
    played.unwrap_or_else(|panic| {
        eprintln!("to repeat it: SEED={seed} cargo test -p actors --test runtime simulation");
        resume_unwind(panic)
    })
}

pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[test]
fn whatever_comes_nothing_is_lost_or_sent_twice_without_need() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    };
    let is_whole = seeds.end - seeds.start >= SEEDS;
    let mut all = Played::default();
    for seed in seeds {
        all.add(&play(seed));
    }
    println!("{all}");
    // It would prove nothing if nothing happened.
    if is_whole {
        assert!(all.everything_happened(), "{all}");
    }
}

#[test]
fn a_seed_repeats_exactly() {
    for seed in 0..TWICE {
        let (first, again) = (play(seed), play(seed));
        let differs = first.story.iter().zip(&again.story).position(|(first, again)| first != again);
        let at = differs.unwrap_or_else(|| first.story.len().min(again.story.len()));
        assert_eq!(first.story.get(at), again.story.get(at), "seed {seed}, line {at}");
    }
}
