//! A store from a backup file: checked before anything is touched, built beside its place, verified, then put there whole.

mod check;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::lifecycle::Policy;
use domain::{OrgNo, Timestamp};

use crate::backend::{Backend, StoreError, Write};
use crate::backup::{self, BackupError, Summary};
use crate::compact::released;
use crate::encryption::Found;
use crate::folder::{DataFolder, FolderError, parent, sync_folder};
use crate::keys;
use crate::records::Restored;
use crate::repair;
use crate::sled::{self, SledBackend};
use crate::store::Store;
use crate::verify::{Report, verify};

pub use check::{Contradiction, check};

/// Added to the folder's name while the store is built.
const UNDER_WAY: &str = ".restoring";

/// What is restored, and how.
pub struct Restore<'a> {
    /// The backup.
    pub file: &'a Path,
    /// The folder that becomes the data folder: missing, or empty.
    pub folder: &'a Path,
    /// Bytes of cache.
    pub cache_bytes: u64,
    /// Organisations that are left out, by id, or by number where their record cannot be read.
    pub without: &'a [String],
    /// Whether what leads to records is built anew from them, where the backup contradicts itself.
    pub repair: bool,
    /// Decides about sends whose outcome was awaited.
    pub policy: &'a Policy,
    /// Tells the time.
    pub now: &'a dyn Fn() -> Timestamp,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The file is being checked.
    Checking,
    /// So many records are written.
    Writing(u64),
    /// So many records were looked at for what is to be repaired.
    Repairing(u64),
    /// So many messages are held.
    Holding(u64),
    /// So many records are verified.
    Verifying(u64),
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct Done {
    /// From what.
    pub backup: Summary,
    /// Messages that are held until a person decides.
    pub held: u64,
    /// Keys that were built anew, or removed.
    pub repaired: u64,
}

/// What is built.
#[derive(Default)]
struct Built {
    held: u64,
    repaired: u64,
    report: Report,
}

/// Why nothing was restored: the folder is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file cannot be used.
    #[error("{}: {error}. Nothing was restored", .file.display())]
    Backup {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: BackupError,
    },
    /// The folder holds something.
    #[error("{} is not empty: nothing is ever restored over what is there; name a new folder", .0.display())]
    NotEmpty(PathBuf),
    /// The folder is one that nothing can be put in the place of.
    #[error("{} cannot be replaced as a whole ({source}): if it is a disk of its own, name a folder in it. Nothing was restored", .path.display())]
    Fixed {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The folder beside it cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was in the backup contradicts itself.
    #[error("the store in the backup {0}. Nothing was restored")]
    Contradicts(Contradiction),
    /// There is no such organisation in the backup.
    #[error("there is no organisation {named} in the backup, so it cannot be left out; there are: {}. Nothing was restored", .there.join(", "))]
    NoSuchOrg {
        /// What was to be left out.
        named: String,
        /// Those that there are.
        there: Vec<String>,
    },
    /// The system refused.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl Restore<'_> {
    /// Restores. Blocks; cut off, it leaves the folder as it was, and may be run again.
    pub fn run(&self, progress: &mut dyn FnMut(Stage)) -> Result<Done, RestoreError> {
        let mut file = File::open(self.file).map_err(|error| self.unusable(error.into()))?;
        progress(Stage::Checking);
        let mut records = BTreeMap::new();
        let summary = backup::read(&file, &mut |writes| {
            let of_orgs = writes.into_iter().map(Write::into_entry).filter(|(key, _)| key.first() == Some(&keys::ORGS));
            records.extend(of_orgs);
            Ok(())
        });
        let summary = summary.map_err(|error| self.unusable(error))?;
        let without = self.left_out(records)?;
        let folder = self.place()?;
        let mut building = OsString::from(&folder);
        building.push(UNDER_WAY);
        let building = PathBuf::from(building);
        clear(&building)?;
        self.check_place(&folder, &building)?;
        let result = file.rewind().map_err(|error| self.unusable(error.into()));
        let result =
            result.and_then(|()| self.build(&file, &summary, &without, &building, progress)).and_then(|built| {
                if !built.report.is_clean() {
                    return Err(RestoreError::Contradicts(Contradiction(built.report)));
                }
                fs::rename(&building, &folder).map_err(self.io("put the restored store at"))?;
                Ok(built)
            });
        if result.is_err() {
            // As it was; what is left of it, if that fails too, the next try removes.
            let _ = fs::remove_dir_all(&building);
        }
        let Built { held, repaired, .. } = result?;
        sync_folder(parent(&folder)).map_err(self.io("sync the folder of"))?;
        Ok(Done { backup: summary, held, repaired })
    }

    /// The numbers of the organisations that are left out, by the records of all.
    fn left_out(&self, records: BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Result<BTreeSet<OrgNo>, RestoreError> {
        if self.without.is_empty() {
            return Ok(BTreeSet::new());
        }
        let mut parts: BTreeMap<OrgNo, Vec<u8>> = BTreeMap::new();
        for (key, part) in records {
            if let (Some(no), Some(part)) = (keys::org_of(&key), part) {
                parts.entry(no).or_default().extend(part);
            }
        }
        let name = |(no, bytes): (OrgNo, Vec<u8>)| {
            let id = Found::read(&bytes).map(|org| org.without_secrets().id.to_string());
            (id.unwrap_or_else(|_| no.0.to_string()), no)
        };
        let orgs: BTreeMap<String, OrgNo> = parts.into_iter().map(name).collect();
        let find = |named: &String| {
            // One of which there is data, and no record, has a number only.
            let number = || named.parse().ok().map(OrgNo).filter(|no| orgs.values().all(|known| known != no));
            let there = || orgs.keys().cloned().collect();
            let found = orgs.get(named).copied().or_else(number);
            found.ok_or_else(|| RestoreError::NoSuchOrg { named: named.clone(), there: there() })
        };
        self.without.iter().map(find).collect()
    }

    /// Where the folder really is, however it was named: what is built beside it takes its place by that name.
    fn place(&self) -> Result<PathBuf, RestoreError> {
        match fs::canonicalize(self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.folder.is_symlink() => {
                let parent = parent(self.folder);
                fs::create_dir_all(parent).map_err(self.io("make the folder of"))?;
                let name = self.folder.file_name().ok_or(error).map_err(self.io("look into"))?;
                Ok(fs::canonicalize(parent).map_err(self.io("look into the folder of"))?.join(name))
            }
            place => place.map_err(self.io("look into")),
        }
    }

    /// Refuses a folder that holds something, and one that nothing can be put in the place of: an empty one shows that
    /// before there is work to lose.
    fn check_place(&self, folder: &Path, building: &Path) -> Result<(), RestoreError> {
        match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => return Err(RestoreError::NotEmpty(self.folder.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.io("look into")(error)),
        }
        let tried = fs::create_dir(building).and_then(|()| fs::rename(building, folder));
        tried.map_err(|source| {
            let _ = fs::remove_dir(building);
            RestoreError::Fixed { path: self.folder.to_owned(), source }
        })
    }

    fn build(
        &self,
        file: &File,
        summary: &Summary,
        without: &BTreeSet<OrgNo>,
        building: &Path,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<Built, RestoreError> {
        let backend = SledBackend::open(DataFolder::open(building)?, self.cache_bytes)?;
        load(file, without, &backend, progress).map_err(|error| self.unusable(error))?;
        let store = Store::new(Arc::new(backend));
        let (at, mut repaired) = ((self.now)(), 0);
        if self.repair {
            repaired = store.repair(at, &mut |stage| {
                if let repair::Stage::Walking(records) = stage {
                    progress(Stage::Repairing(records));
                }
            })?;
        }
        let note = Restored { backup: summary.id.clone(), taken_at: summary.taken_at, at, held: 0 };
        let held = store.hold_unfinished(&note, self.policy, &mut |held| progress(Stage::Holding(held)));
        let report = verify(&store, &mut |records| progress(Stage::Verifying(records)));
        drop(store);
        let held = match held {
            Ok(held) => held,
            Err(error) if report.is_clean() => return Err(error.into()),
            // The report tells why.
            Err(_) => 0,
        };
        // What sled's threads write by its path must not land beside the folder's new name.
        let log = building.join(sled::SUBFOLDER);
        let closed = released(&log).and_then(|()| sled::sync_files(&log)).and_then(|()| sync_folder(building));
        closed.map_err(self.io("close the store that becomes"))?;
        Ok(Built { held, repaired, report })
    }

    fn unusable(&self, error: BackupError) -> RestoreError {
        RestoreError::Backup { file: self.file.to_owned(), error }
    }

    fn io(&self, doing: &'static str) -> impl Fn(io::Error) -> RestoreError {
        io(doing, self.folder)
    }
}

fn io(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> RestoreError {
    move |source| RestoreError::Io { doing, path: path.to_owned(), source }
}

/// Removes what one that was cut off has left; one that is going on is left alone.
fn clear(building: &Path) -> Result<(), RestoreError> {
    if !building.exists() {
        return Ok(());
    }
    drop(DataFolder::open(building)?);
    fs::remove_dir_all(building).map_err(io("remove what is left of an earlier run in", building))
}

/// Writes all that is in a backup, but for some organisations.
fn load(
    file: &File,
    without: &BTreeSet<OrgNo>,
    backend: &SledBackend,
    progress: &mut dyn FnMut(Stage),
) -> Result<Summary, BackupError> {
    let mut written = 0;
    backup::read(file, &mut |mut writes| {
        writes.retain(|write| keys::org_of(write.entry().0).is_none_or(|org| !without.contains(&org)));
        written += u64::try_from(writes.len()).unwrap_or(0);
        progress(Stage::Writing(written));
        Ok(backend.apply(writes)?)
    })
}
