//! A store from a backup file: checked before anything is touched, built beside its place, verified, then put there whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::Timestamp;
use domain::lifecycle::Policy;

use crate::backend::{Backend, StoreError};
use crate::backup::{self, BackupError, Summary};
use crate::compact::released;
use crate::folder::{DataFolder, FolderError, parent, sync_folder};
use crate::records::Restored;
use crate::sled::{self, SledBackend};
use crate::store::Store;
use crate::verify::verify;

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
    #[error("the store in the backup contradicts itself in {wrong} places; the first: {first}. Use another backup")]
    Contradicts {
        /// In how many places.
        wrong: u64,
        /// What is wrong in the first.
        first: String,
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
        let wrong = |error| RestoreError::Backup { file: self.file.to_owned(), error };
        let mut file = File::open(self.file).map_err(|error| wrong(error.into()))?;
        progress(Stage::Checking);
        let summary = backup::read(&file, &mut |_| Ok(())).map_err(wrong)?;
        let folder = self.place()?;
        let mut building = OsString::from(&folder);
        building.push(UNDER_WAY);
        let building = PathBuf::from(building);
        self.clear(&building)?;
        self.check_place(&folder, &building)?;
        let result = file.rewind().map_err(|error| wrong(error.into()));
        let result = result.and_then(|()| self.build(&file, &summary, &building, progress)).and_then(|held| {
            fs::rename(&building, &folder).map_err(self.io("put the restored store at"))?;
            Ok(held)
        });
        if result.is_err() {
            // As it was; what is left of it, if that fails too, the next try removes.
            let _ = fs::remove_dir_all(&building);
        }
        let held = result?;
        sync_folder(parent(&folder)).map_err(self.io("sync the folder of"))?;
        Ok(Done { backup: summary, held })
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

    /// Removes what a restore that was cut off has left; one that is going on is left alone.
    fn clear(&self, building: &Path) -> Result<(), RestoreError> {
        if !building.exists() {
            return Ok(());
        }
        drop(DataFolder::open(building)?);
        fs::remove_dir_all(building).map_err(self.io("remove what is left of a restore beside"))
    }

    fn build(
        &self,
        file: &File,
        summary: &Summary,
        building: &Path,
        progress: &mut dyn FnMut(Stage),
    ) -> Result<u64, RestoreError> {
        let wrong = |error| RestoreError::Backup { file: self.file.to_owned(), error };
        let backend = Arc::new(SledBackend::open(DataFolder::open(building)?, self.cache_bytes)?);
        let mut written = 0;
        backup::read(file, &mut |writes| {
            written += u64::try_from(writes.len()).unwrap_or(0);
            progress(Stage::Writing(written));
            Ok(backend.apply(writes)?)
        })
        .map_err(wrong)?;
        let store = Store::new(Arc::<SledBackend>::clone(&backend));
        let at = (self.now)();
        let mark = Restored { backup: summary.id.clone(), taken_at: summary.taken_at, at, held: 0 };
        let held = store.hold_unfinished(&mark, self.policy, &mut |held| progress(Stage::Holding(held)))?;
        let report = verify(&store, &mut |records| progress(Stage::Verifying(records)));
        if let Some(first) = report.findings.first() {
            return Err(RestoreError::Contradicts { wrong: report.wrong, first: first.to_string() });
        }
        drop((store, backend));
        // What sled's threads write by its path must not land beside the folder's new name.
        let log = building.join(sled::SUBFOLDER);
        let closed = released(&log).and_then(|()| sled::sync_files(&log)).and_then(|()| sync_folder(building));
        closed.map_err(self.io("close the store that becomes"))?;
        Ok(held)
    }

    fn io(&self, doing: &'static str) -> impl Fn(io::Error) -> RestoreError {
        let path = self.folder.to_owned();
        move |source| RestoreError::Io { doing, path: path.clone(), source }
    }
}
