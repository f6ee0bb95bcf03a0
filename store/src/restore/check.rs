//! A backup is looked through as a restore of it would be: whoever takes it learns at once whether it can be restored.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{RestoreError, Stage, clear, io, load};
use crate::compact::released;
use crate::folder::DataFolder;
use crate::sled::{self, SledBackend};
use crate::store::Store;
use crate::verify::{Finding, Report, verify};

/// Added to a backup's name while the store in it is checked.
const UNDER_WAY: &str = ".checking";
/// So many organisations are named at once.
const NAMED_MAX: usize = 10;

/// What is wrong with a store that contradicts itself, and what to do.
#[derive(Clone, Debug)]
pub struct Contradiction(pub(super) Report);

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        write!(f, "contradicts itself in {} places", report.wrong)?;
        if let Some(first) = report.findings.first() {
            write!(f, "; the first: {first}")?;
        }
        if report.findings.iter().any(|finding| finding.is_mendable) {
            f.write_str(". `twotick restore --repair` builds anew what other records tell")?;
        }
        let orgs: BTreeSet<String> = report.findings.iter().filter_map(Finding::organisation).collect();
        if (1..=NAMED_MAX).contains(&orgs.len()) {
            let left_out: String = orgs.iter().map(|org| format!(" --without {org}")).collect();
            write!(f, ". `twotick restore{left_out}` restores all others")?;
        }
        Ok(())
    }
}

/// Walks through the store in a backup as a restore does; what is wrong with it, if anything is. It is built beside the file
/// and removed again. Blocks.
pub fn check(
    file: &Path,
    cache_bytes: u64,
    progress: &mut dyn FnMut(Stage),
) -> Result<Option<Contradiction>, RestoreError> {
    let mut folder = OsString::from(file);
    folder.push(UNDER_WAY);
    let folder = PathBuf::from(folder);
    clear(&folder)?;
    let report = walk(file, &folder, cache_bytes, progress);
    // What is left of it, if that fails, the next try removes.
    let _ = released(&folder.join(sled::SUBFOLDER));
    let removed = fs::remove_dir_all(&folder).map_err(io("remove what was checked in", &folder));
    let report = report?;
    removed?;
    Ok((!report.is_clean()).then_some(Contradiction(report)))
}

fn walk(file: &Path, folder: &Path, cache: u64, progress: &mut dyn FnMut(Stage)) -> Result<Report, RestoreError> {
    let backend = SledBackend::open(DataFolder::open(folder)?, cache)?;
    let read =
        File::open(file).map_err(Into::into).and_then(|opened| load(&opened, &BTreeSet::new(), &backend, progress));
    read.map_err(|error| RestoreError::Backup { file: file.to_owned(), error })?;
    Ok(verify(&Store::new(Arc::new(backend)), &mut |records| progress(Stage::Verifying(records))))
}
