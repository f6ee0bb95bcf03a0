//! Writes a corpus file for the fuzz tests of the record codec. When a record's format changes, run it with a new
//! `NAME` and keep the old files.

use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

use store::backend::{Backend, Order};
use store::{DataFolder, SledBackend};

use crate::support::TestApp;
use crate::upgrades::live;

/// The file's name, which says what is new in the format.
const NAME: &str = "first.hex";

#[tokio::test]
#[ignore = "writes into the repository"]
async fn the_corpus_of_records_is_written() {
    let mut app = TestApp::start().await;
    live(&app).await;
    app.stop().await;
    let backend = SledBackend::open(DataFolder::open_existing(&app.data()).unwrap(), 16 << 20).unwrap();
    let mut lines = String::new();
    // Keys that begin with 0 belong to the backend.
    backend
        .scan(&[1]..&[u8::MAX], Order::Ascending, &mut |key, value| {
            writeln!(lines, "{} {}", hex::encode(key), hex::encode(value)).unwrap();
            ControlFlow::Continue(())
        })
        .unwrap();
    std::fs::write(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/records").join(NAME), lines).unwrap();
}
