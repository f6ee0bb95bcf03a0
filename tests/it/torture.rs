//! A short crash torture: what `cargo run --release -p torture` does for as long as one likes.

use std::time::Duration;

use torture::{Plan, run};

const SEED: u64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn killed_over_and_over_under_load_it_loses_nothing_and_sends_nothing_twice() {
    let temp = tempfile::tempdir().unwrap();
    let plan = Plan {
        binary: env!("CARGO_BIN_EXE_twotick").into(),
        folder: temp.path().to_owned(),
        seed: SEED,
        duration: Duration::from_secs(8),
        orgs: 5,
        clients: 2,
        rest: Duration::from_millis(100),
        // What was about to be called when a kill came waits so long at the end, too.
        stale_after: Duration::from_secs(8),
        verify_every: 3,
    };
    let report = run(&plan, &mut |line| println!("{line}")).await.unwrap();
    println!("{report}");
    assert!(report.is_clean(), "{:#?}", report.examples);
    // Enough happened for that to mean something, on a slow machine, too.
    assert!(report.kills >= 2 && report.acknowledged >= 20 && report.taken >= report.acknowledged, "{report}");
}
