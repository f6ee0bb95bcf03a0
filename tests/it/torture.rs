//! A short crash torture; `cargo run --release -p torture` runs longer ones.

use std::time::Duration;

use torture::{Plan, run};

const SEED: u64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn a_service_killed_repeatedly_under_load_loses_nothing_and_sends_nothing_twice() {
    let temp = tempfile::tempdir().unwrap();
    let plan = Plan {
        binary: env!("CARGO_BIN_EXE_twotick").into(),
        folder: temp.path().to_owned(),
        seed: SEED,
        duration: Duration::from_secs(8),
        orgs: 5,
        clients: 2,
        rest: Duration::from_millis(100),
        // Messages whose call was about to start at a kill wait this long at the end.
        stale_after: Duration::from_secs(8),
        verify_every: 3,
    };
    let report = run(&plan, &mut |line| println!("{line}")).await.unwrap();
    println!("{report}");
    assert!(report.is_clean(), "{:#?}", report.examples);
    // Enough happened for the result to mean something, even on a slow machine.
    assert!(report.kills >= 2 && report.acknowledged >= 20 && report.taken >= report.acknowledged, "{report}");
}
