//! The data folder: what marks it as ours, which format it has, and who holds it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::backend::StoreError;
use crate::high_water_mark::{HighWaterMark, HighWaterMarkSlots};
use crate::{block_file, journal, sled};

/// The format that this version writes: 2 since keys of hashes stand in rows of their own, 3 since a head names its statuses.
const FORMAT: u32 = 3;
/// The first twotick that reads it.
const NEEDS: &str = "0.1.0";
/// The oldest that this version reads. What is written since then stays readable: `docs/upgrading.md` promises it.
const OLDEST: u32 = 2;
/// What tells that a folder is ours; also keeps the high-water mark, and the note of a failed sync.
pub(crate) const MARKER: &str = "twotick.store";
/// May lie in a folder before its first use: an operator may bring keys along.
const BEFORE_FIRST_USE: [&str; 3] = ["admin.key", "master.key", "lost+found"];

/// An opened data folder. Holds a lock on it while it lives.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    format: u32,
    /// Locked; also keeps the high-water mark.
    marker: File,
}

/// Why a folder cannot be used. Nothing in it was touched.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It holds other things.
    #[error("{} is not a twotick store: it has files but no {MARKER}; name an empty or a new folder", .0.display())]
    NotAStore(PathBuf),
    /// It is not there, or empty.
    #[error("{} holds no twotick store; name the data folder of a service", .0.display())]
    NoStore(PathBuf),
    /// A newer version wrote it.
    #[error(
        "{} has store format {found}, and this twotick reads {OLDEST} to {FORMAT}; start twotick {} or a newer one. Nothing was \
         changed",
        .path.display(), .needs.as_deref().unwrap_or("of the version that wrote it")
    )]
    Newer {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The first version that reads it, as the folder says.
        needs: Option<String>,
    },
    /// An older version wrote it, and this one would not find all that is in it.
    #[error(
        "{} has store format {found}, of before the first release, and this twotick reads {OLDEST} to {FORMAT}: take a backup with \
         the twotick that wrote it, and restore that into a new folder",
        .path.display()
    )]
    Older {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Another process holds it.
    #[error("{} is in use by another process; stop that one first, or name another folder", .0.display())]
    InUse(PathBuf),
    /// Others can look in, and that cannot be changed.
    #[error(
        "other users of this machine can look into {} (mode {mode:04o}), where people's messages and secrets are, and it cannot be \
         made its owner's only: {reason}. Do `chmod go= {}` as its owner, or, if they are meant to, set \
         store.allow_shared_folder = true",
        .path.display(), .path.display()
    )]
    Shared {
        /// The folder.
        path: PathBuf,
        /// What others may do, in its lowest digits.
        mode: u32,
        /// The system's answer.
        reason: String,
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

impl DataFolder {
    /// Opens the folder, or makes it if it is missing or empty.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let io = |doing| move |source| FolderError::Io { doing, path: path.to_owned(), source };
        let marker = path.join(MARKER);
        match fs::symlink_metadata(&marker) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => prepare(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(FolderError::NotAStore(path.to_owned()));
            }
            Err(error) => return Err(io("look into")(error)),
        }
        let mut file = open_or_make(&marker).map_err(io("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(io("lock")(error)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read"))?;
        let text = String::from_utf8_lossy(&bytes);
        let mut format = FORMAT;
        if text.is_empty() {
            // New, or a first start that was cut off before it could say so.
            file.write_all_at(head().as_bytes(), 0).map_err(io("write to"))?;
            let mut slots = file.try_clone().and_then(HighWaterMarkSlots::read).map_err(io("read"))?;
            slots.note(HighWaterMark { batches: 0, trusted: true }).map_err(io("write to"))?;
            file.sync_all().map_err(io("sync"))?;
            sync_folder(path).map_err(io("sync"))?;
        } else {
            let mut lines = text.lines();
            let title = lines.next().filter(|title| *title == "twotick store");
            let found = title.and_then(|_| lines.next()?.strip_prefix("format ")?.trim().parse().ok());
            match found {
                Some(found @ OLDEST..=FORMAT) => format = found,
                Some(found) if found > FORMAT => {
                    let needs = lines.next().and_then(|line| line.strip_prefix("needs ")).map(str::to_owned);
                    return Err(FolderError::Newer { path: path.to_owned(), found, needs });
                }
                Some(found) => return Err(FolderError::Older { path: path.to_owned(), found }),
                None => return Err(FolderError::NotAStore(path.to_owned())),
            }
        }
        Ok(Self { path: path.to_owned(), format, marker: file })
    }

    /// Notes, before anything is written in it, that the folder has the format of this version: an older twotick refuses it from
    /// here on. Its records become new ones as they are written.
    pub(crate) fn upgrade(&mut self) -> io::Result<()> {
        if self.format == FORMAT {
            return Ok(());
        }
        // One sector, so it is written whole or not at all.
        self.marker.write_all_at(head().as_bytes(), 0)?;
        self.marker.sync_all()?;
        tracing::info!(
            from = self.format,
            to = FORMAT,
            "the data folder is of an older version, and is upgraded as it is used"
        );
        self.format = FORMAT;
        Ok(())
    }

    /// Opens a folder that holds a store, and makes none.
    pub fn open_existing(path: &Path) -> Result<Self, FolderError> {
        match fs::metadata(path.join(MARKER)) {
            Ok(_) => Self::open(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(FolderError::NoStore(path.to_owned())),
            Err(source) => Err(FolderError::Io { doing: "look into", path: path.to_owned(), source }),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets nobody but its owner look in; whether others could.
    pub fn make_private(&self) -> Result<bool, FolderError> {
        let io = |doing| move |source| FolderError::Io { doing, path: self.path.clone(), source };
        let mode =
            || fs::metadata(&self.path).map(|found| found.permissions().mode() & 0o7777).map_err(io("look into"));
        let found = mode()?;
        if found & OTHERS == 0 {
            return Ok(false);
        }
        let shared = |mode, reason| FolderError::Shared { path: self.path.clone(), mode, reason };
        fs::set_permissions(&self.path, fs::Permissions::from_mode(found & !OTHERS))
            .map_err(|error| shared(found, error.to_string()))?;
        // Some file systems take a mode and keep their own.
        match mode()? {
            still if still & OTHERS != 0 => Err(shared(still, "its file system keeps no modes".into())),
            _ => Ok(true),
        }
    }

    /// Its identity, to look later whether it is still there.
    pub fn identity(&self) -> io::Result<FolderIdentity> {
        Ok(FolderIdentity { files: vec![(self.path.join(MARKER), device_and_inode(&self.marker.metadata()?))] })
    }

    pub(crate) fn high_water_mark_slots(&self) -> io::Result<HighWaterMarkSlots> {
        HighWaterMarkSlots::read(self.marker.try_clone()?)
    }
}

/// What the marker begins with. The slots of the high-water mark stand behind it, in sectors of their own.
fn head() -> String {
    format!("twotick store\nformat {FORMAT}\nneeds {NEEDS}\n")
}

/// Where a data folder was opened, and the files in it that hold the store. While these are in use, no other file can have the
/// identity of one.
#[derive(Clone, Debug)]
pub struct FolderIdentity {
    files: Vec<(PathBuf, (u64, u64))>,
}

impl FolderIdentity {
    /// The same with the files of the store in it, which is open.
    pub fn with_store(mut self, folder: &Path) -> io::Result<Self> {
        for path in files(folder) {
            let found = device_and_inode(&fs::metadata(&path)?);
            self.files.push((path, found));
        }
        Ok(self)
    }

    /// Whether all of it is still there. What is written to files that were removed is lost with the process.
    pub fn check(&self) -> Result<(), StoreError> {
        for (path, file) in &self.files {
            let cause = match fs::metadata(path) {
                Ok(found) if device_and_inode(&found) == *file => continue,
                Ok(_) => "another is in its place".to_owned(),
                Err(error) => error.to_string(),
            };
            if path.ends_with(MARKER) {
                return Err(StoreError::Backend { doing: "find its data folder", cause });
            }
            let name = path.file_name().unwrap_or_default().display();
            return Err(StoreError::Backend {
                doing: "find a file of its data folder",
                cause: format!("{name}: {cause}"),
            });
        }
        Ok(())
    }
}

/// A file of the store in `folder` that is not there, although the folder is.
pub fn missing(folder: &Path) -> Option<PathBuf> {
    let is_there = folder.join(MARKER).exists();
    files(folder).into_iter().find(|path| is_there && !path.exists())
}

/// Whether the folder is there, with all files of its store.
pub fn is_there(folder: &Path) -> bool {
    folder.join(MARKER).exists() && missing(folder).is_none()
}

/// The files that hold a store, and stay the same ones while it is open.
fn files(folder: &Path) -> Vec<PathBuf> {
    let sled = [sled::LOG, block_file::NAME].map(|name| folder.join(sled::SUBFOLDER).join(name));
    sled.into_iter().chain(journal::FILES.map(|name| folder.join(journal::SUBFOLDER).join(name))).collect()
}

/// What users other than the owner may do.
const OTHERS: u32 = 0o077;

/// Its device and inode.
fn device_and_inode(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Makes sure that `path` is a folder that may become a store.
fn prepare(path: &Path) -> Result<(), FolderError> {
    let io = |doing| move |source| FolderError::Io { doing, path: path.to_owned(), source };
    match fs::read_dir(path) {
        Ok(entries) => {
            for entry in entries {
                let name = entry.map_err(io("look into"))?.file_name();
                if !BEFORE_FIRST_USE.iter().any(|known| name == *known) {
                    return Err(FolderError::NotAStore(path.to_owned()));
                }
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_private(path).map_err(io("make"))?;
            sync_folder(parent(path)).map_err(io("sync"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(FolderError::NotAStore(path.to_owned())),
        Err(error) => Err(io("look into")(error)),
    }
}

/// Only the owner may look in: the folder holds keys, and what people wrote.
fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The folder that a path is in.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Opens a file to be read and written, and makes it if it is missing; its name survives a power cut after [`sync_folder`].
pub(crate) fn open_or_make(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

/// Makes new names in a folder survive a power cut.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_is_made_and_opens_again() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b");
        drop(DataFolder::open(&path).unwrap());
        assert!(DataFolder::open(&path).is_ok());
    }

    #[test]
    fn a_folder_that_others_can_look_into_is_made_its_owners_only() {
        let temp = tempfile::tempdir().unwrap();
        for (mode, was_open) in [(0o777, true), (0o755, true), (0o2750, true), (0o700, false)] {
            fs::set_permissions(temp.path(), fs::Permissions::from_mode(mode)).unwrap();
            let folder = DataFolder::open(temp.path()).unwrap();
            assert_eq!(folder.make_private().unwrap(), was_open, "{mode:o}");
            assert_eq!(fs::metadata(temp.path()).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn each_file_of_an_open_store_is_missed_when_it_is_gone_or_another_is_in_its_place() {
        let temp = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(temp.path()).unwrap();
        let identity = folder.identity().unwrap();
        let _store = crate::open(folder, 16 << 20).unwrap();
        let identity = identity.with_store(temp.path()).unwrap();
        identity.check().unwrap();
        assert_eq!(missing(temp.path()), None);
        let away = temp.path().join("away");
        for name in ["sled", "journal", "sled/db", "sled/blocks", "journal/0", "journal/1", MARKER] {
            let path = temp.path().join(name);
            fs::rename(&path, &away).unwrap();
            assert!(identity.check().is_err(), "{name} is gone");
            assert_eq!(missing(temp.path()).is_some(), name != MARKER, "{name}");
            assert!(!is_there(temp.path()), "{name}");
            if away.is_file() {
                fs::copy(&away, &path).unwrap();
                assert!(identity.check().unwrap_err().to_string().contains("another is in its place"), "{name}");
            }
            fs::rename(&away, &path).unwrap();
            identity.check().unwrap();
        }
    }

    #[test]
    fn a_folder_is_held_by_one_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let _held = DataFolder::open(temp.path()).unwrap();
        assert!(matches!(DataFolder::open(temp.path()), Err(FolderError::InUse(_))));
    }

    #[test]
    fn a_folder_with_other_files_is_refused_and_left_as_it_was() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("letter.txt"), "dear").unwrap();
        assert!(matches!(DataFolder::open(temp.path()), Err(FolderError::NotAStore(_))));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_in_place_of_a_folder_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(DataFolder::open(file.path()), Err(FolderError::NotAStore(_))));
    }

    #[test]
    fn an_older_format_becomes_this_one_when_the_store_is_opened_to_be_written() {
        let temp = tempfile::tempdir().unwrap();
        drop(crate::open(DataFolder::open(temp.path()).unwrap(), 16 << 20).unwrap());
        let marker = File::options().write(true).open(temp.path().join(MARKER)).unwrap();
        marker.write_all_at(b"twotick store\nformat 2\n\0\0\0\0\0\0\0\0\0\0\0\0", 0).unwrap();
        let format = || DataFolder::open(temp.path()).unwrap().format;
        assert_eq!((format(), format()), (2, 2), "to look at it changes nothing");
        drop(crate::open(DataFolder::open(temp.path()).unwrap(), 16 << 20).unwrap());
        assert_eq!(format(), FORMAT);
        assert!(fs::read_to_string(temp.path().join(MARKER)).unwrap().starts_with(&head()));
    }

    #[test]
    fn a_format_that_is_not_read_is_refused_and_left_as_it_was() {
        for (format, rest, advice) in [
            (FORMAT + 1, "needs 0.7.0\n", "start twotick 0.7.0 or a newer one"),
            (FORMAT + 1, "", "start twotick of the version that wrote it"),
            (OLDEST - 1, "", "take a backup"),
        ] {
            let temp = tempfile::tempdir().unwrap();
            let text = format!("twotick store\nformat {format}\n{rest}");
            fs::write(temp.path().join(MARKER), &text).unwrap();
            let error = DataFolder::open(temp.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("store format {format}")) && error.contains(advice), "{error}");
            assert_eq!(fs::read_to_string(temp.path().join(MARKER)).unwrap(), text);
        }
    }

    #[test]
    fn a_first_start_that_was_cut_off_can_be_repeated() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join(MARKER), "").unwrap();
        assert!(DataFolder::open(temp.path()).is_ok());
    }
}
