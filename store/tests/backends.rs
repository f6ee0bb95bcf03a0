//! Both backends behave alike.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::sync::Arc;

use store::{Backend, MemoryBackend, SledBackend, conformance};

#[test]
fn the_memory_backend_conforms() {
    let backend = MemoryBackend::new();
    conformance::run(|| Arc::new(backend.clone()));
}

#[test]
fn the_sled_backend_conforms() {
    let temp = tempfile::tempdir().unwrap();
    conformance::run(|| -> Arc<dyn Backend> { Arc::new(SledBackend::open_at(temp.path(), 8 << 20).unwrap()) });
}

#[test]
fn no_value_leaves_the_log_for_a_file_that_is_never_synced() {
    let temp = tempfile::tempdir().unwrap();
    conformance::run(|| -> Arc<dyn Backend> { Arc::new(SledBackend::open_at(temp.path(), 8 << 20).unwrap()) });
    let blobs = temp.path().join("sled/blobs");
    assert_eq!(std::fs::read_dir(blobs).unwrap().count(), 0);
}
