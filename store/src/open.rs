//! Opening a store that people rely on: one that may have lost something is verified before it is served.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::StoreError;
use crate::folder::DataFolder;
use crate::sled::{Doubt, SledBackend, failed_io};
use crate::store::Store;
use crate::verify::verify;

/// How often it is said how far a verification has come.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Opens the store in `folder` with so many bytes of cache. Blocks, and where something is amiss for as long as a walk
/// through the whole store takes.
pub fn open(mut folder: DataFolder, cache_bytes: u64) -> Result<Store, StoreError> {
    folder.upgrade().map_err(failed_io("note the format of its folder"))?;
    let backend = Arc::new(SledBackend::open(folder, cache_bytes)?);
    let store = Store::new(Arc::<SledBackend>::clone(&backend));
    match backend.doubt() {
        None => {
            backend.flush_in_background()?;
            store.build_status_indexes()?;
            return Ok(store);
        }
        Some(Doubt::Lost { acknowledged, found }) => return Err(StoreError::Lost { acknowledged, found }),
        Some(doubt @ (Doubt::BrokenLog(_) | Doubt::Unverified | Doubt::NoHighWaterMark)) => {
            tracing::warn!(%doubt, "the store is verified before it is served");
        }
    }
    let mut said = Instant::now();
    let report = verify(&store, &mut |records| {
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            tracing::info!(records, "verifying");
        }
    });
    match report.findings.first() {
        None => {
            tracing::info!(records = report.records, "verified: everything is there");
            backend.trust()?;
            backend.flush_in_background()?;
            store.build_status_indexes()?;
            Ok(store)
        }
        Some(first) => Err(StoreError::Contradicts { wrong: report.wrong, first: first.to_string() }),
    }
}
