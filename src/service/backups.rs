//! The backups that a running service keeps in DATA/backups until they are fetched. The folder is the registry: a file `ID` is
//! whole, with `ID.json` saying what it is; a file `ID.part` is being written, or is what a crash has left.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use actors::Outbox;
use nix::sys::statvfs::statvfs;
use store::backup::{self, BackupError, Progress, Source, Summary};

use super::private_file;

/// Of the data folder.
const FOLDER: &str = "backups";
/// Whole ones that are kept; the oldest go first.
const KEPT_MAX: usize = 2;
/// One that nobody fetches is removed after this; that one failed is told for as long.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// Bytes that a backup leaves free on the disk: the store comes first.
const RESERVE: u64 = 64 << 20;
/// The disk is looked at after so many bytes.
const LOOK_EVERY: u64 = 8 << 20;

/// How a backup stands.
pub(crate) enum Status {
    Running(String, Progress),
    Ready(Summary),
    Failed(String, String),
}

/// Why none is begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(
        "the disk of the data folder has {free} bytes free, and a backup may need {needed}: make room, or stop the service \
         and run `twotick backup` with its --data, which writes to where the backup belongs"
    )]
    NoRoom { free: u64, needed: u64 },
    #[error("the folder {folder}: {error}", folder = .0.display(), error = .1)]
    Io(PathBuf, #[source] io::Error),
    #[error("one that was cancelled is just ending: ask again in a moment")]
    Ending,
}

/// The backups of one data folder.
pub(crate) struct Backups {
    folder: PathBuf,
    /// The one that is being written, or the last one if it failed.
    current: Mutex<Option<Current>>,
}

struct Current {
    id: String,
    progress: Progress,
    /// Why, and when.
    failed: Option<(String, SystemTime)>,
    /// Nobody wants it any more; it ends at its next step.
    is_cancelled: bool,
}

impl Backups {
    /// Those in a data folder, which nobody else uses. What a crash has left is removed.
    pub(crate) fn load(data: &Path) -> Self {
        let folder = data.join(FOLDER);
        for (path, _) in files(&folder).unwrap_or_default() {
            // Also the `ID.json` that had no name yet.
            if ["", "json"].iter().any(|end| !path.with_extension(end).exists()) {
                remove(&path);
            }
        }
        Self { folder, current: Mutex::default() }
    }

    /// Begins one, unless one is being written: that one then. Blocks for a moment.
    pub(crate) fn begin(self: &Arc<Self>, outbox: &Outbox) -> Result<Status, Refused> {
        let io = |error| Refused::Io(self.folder.clone(), error);
        let mut current = self.current();
        match &*current {
            Some(Current { is_cancelled: true, .. }) => return Err(Refused::Ending),
            Some(Current { id, progress, failed: None, .. }) => return Ok(Status::Running(id.clone(), *progress)),
            Some(_) | None => {}
        }
        fs::create_dir_all(&self.folder).map_err(io)?;
        self.sweep(KEPT_MAX - 1);
        let needed = outbox.store().size_on_disk().unwrap_or(0).saturating_add(RESERVE);
        let free = free(&self.folder).map_err(io)?;
        if free < needed {
            return Err(Refused::NoRoom { free, needed });
        }
        let id = id_at(outbox.clock().now());
        let file = private_file::create(&self.path(&id, ".part")).map_err(io)?;
        *current = Some(Current { id: id.clone(), progress: Progress::default(), failed: None, is_cancelled: false });
        let (backups, outbox, own) = (Arc::clone(self), outbox.clone(), id.clone());
        let work = move || backups.run(&outbox, &own, &file);
        if let Err(error) = std::thread::Builder::new().name("backup".into()).spawn(work) {
            *current = None;
            remove(&self.path(&id, ".part"));
            return Err(io(error));
        }
        Ok(Status::Running(id, Progress::default()))
    }

    fn run(&self, outbox: &Outbox, id: &str, file: &File) {
        tracing::info!(backup = id, "a backup is being taken");
        let taken = self.write(outbox, id, file);
        let part = self.path(id, ".part");
        let kept = taken.map_err(|error| error.to_string()).and_then(|summary| {
            let json = serde_json::to_vec(&summary).map_err(|error| error.to_string())?;
            let whole = private_file::replace(&self.path(id, ".json"), &json)
                .and_then(|()| private_file::rename(&part, &self.path(id, "")));
            whole.map(|()| summary).map_err(|error| error.to_string())
        });
        let mut current = self.current();
        if current.as_ref().is_some_and(|current| current.is_cancelled) {
            tracing::info!(backup = id, "a backup was cancelled");
            remove(&part);
            self.remove_files(id);
            *current = None;
            return;
        }
        match kept {
            Ok(Summary { records, bytes, .. }) => {
                tracing::info!(backup = id, records, bytes, "a backup is taken, and waits to be fetched");
                *current = None;
            }
            Err(reason) => {
                tracing::error!(backup = id, reason, "a backup failed; the service is not concerned");
                remove(&part);
                remove(&self.path(id, ".json"));
                if let Some(current) = &mut *current {
                    current.failed = Some((reason, SystemTime::now()));
                }
            }
        }
    }

    fn write(&self, outbox: &Outbox, id: &str, file: &File) -> Result<Summary, BackupError> {
        let clock = outbox.clock();
        let now = || clock.now();
        let source = Source { store: outbox.store(), committer: Some(outbox.committer()), id, now: &now };
        let health = outbox.health();
        let mut looked_at = 0;
        backup::take(&source, file, &mut |progress| {
            if let Some(current) = &mut *self.current() {
                current.progress = progress;
                if current.is_cancelled {
                    return Err("it was cancelled".into());
                }
            }
            if let Some(error) = &*health.borrow() {
                return Err(error.to_string());
            }
            if progress.bytes - looked_at >= LOOK_EVERY {
                looked_at = progress.bytes;
                let room = free(&self.folder).map_err(|error| error.to_string())?;
                if room < RESERVE {
                    return Err("the disk of the data folder is almost full: make room".into());
                }
            }
            Ok(())
        })
    }

    /// Removes what nobody has fetched for long, and forgets what failed as long ago.
    pub(crate) fn forget_old(&self) {
        self.sweep(KEPT_MAX);
        self.current().take_if(|current| current.failed.as_ref().is_some_and(|(_, at)| is_old(*at)));
    }

    /// All that there are, oldest first.
    pub(crate) fn list(&self) -> Vec<Status> {
        let current = self.current().as_ref().and_then(Current::status);
        self.whole().into_iter().map(|(_, summary)| Status::Ready(summary)).chain(current).collect()
    }

    pub(crate) fn status(&self, id: &str) -> Option<Status> {
        if let Some(current) = self.current().as_ref().filter(|current| current.id == id) {
            return current.status();
        }
        self.summary(id).map(Status::Ready)
    }

    /// Bytes of a whole one from `from` on, up to `limit`; `None` if there is no such one.
    pub(crate) fn read(&self, id: &str, from: u64, limit: u64) -> io::Result<Option<Vec<u8>>> {
        if self.summary(id).is_none() {
            return Ok(None);
        }
        let mut file = File::open(self.path(id, ""))?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Removes a whole one, cancels one that is being taken, or forgets one that failed; whether there was one.
    pub(crate) fn remove(&self, id: &str) -> bool {
        {
            let mut current = self.current();
            if let Some(found) = current.as_mut().filter(|current| current.id == id && !current.is_cancelled) {
                if found.failed.is_some() {
                    *current = None;
                } else {
                    found.is_cancelled = true;
                }
                return true;
            }
        }
        let is_there = self.summary(id).is_some();
        if is_there {
            self.remove_files(id);
        }
        is_there
    }

    fn summary(&self, id: &str) -> Option<Summary> {
        // A name from outside must not lead elsewhere.
        let is_name = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_name || !self.path(id, "").is_file() {
            return None;
        }
        serde_json::from_slice(&fs::read(self.path(id, ".json")).ok()?).ok()
    }

    /// The whole ones, oldest first.
    fn whole(&self) -> Vec<(SystemTime, Summary)> {
        let mut found = files(&self.folder).unwrap_or_default();
        found.sort_by_key(|(_, made)| *made);
        let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        found.iter().filter_map(|(path, made)| Some((*made, self.summary(&name(path)?)?))).collect()
    }

    /// Removes what nobody has fetched for long, and the oldest beyond `most`.
    fn sweep(&self, most: usize) {
        let whole = self.whole();
        let too_many = whole.len().saturating_sub(most);
        for (n, (made, summary)) in whole.iter().enumerate() {
            if n < too_many || is_old(*made) {
                self.remove_files(&summary.id);
            }
        }
    }

    fn remove_files(&self, id: &str) {
        remove(&self.path(id, ""));
        remove(&self.path(id, ".json"));
    }

    fn path(&self, id: &str, end: &str) -> PathBuf {
        self.folder.join(format!("{id}{end}"))
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    /// `None`: it is as good as gone.
    fn status(&self) -> Option<Status> {
        match &self.failed {
            _ if self.is_cancelled => None,
            None => Some(Status::Running(self.id.clone(), self.progress)),
            Some((reason, _)) => Some(Status::Failed(self.id.clone(), reason.clone())),
        }
    }
}

/// The id of a backup that is begun now, such as `20261125T080000000Z-1f3a90c2`.
pub(crate) fn id_at(now: domain::Timestamp) -> String {
    let time: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{time}-{}", hex::encode(rand::random::<[u8; 4]>()))
}

fn is_old(made: SystemTime) -> bool {
    made.elapsed().is_ok_and(|age| age > KEPT_FOR)
}

fn free(folder: &Path) -> io::Result<u64> {
    let disk = statvfs(folder)?;
    Ok(disk.blocks_available().saturating_mul(disk.fragment_size()))
}

fn files(folder: &Path) -> io::Result<Vec<(PathBuf, SystemTime)>> {
    let entries = fs::read_dir(folder)?;
    entries.map(|entry| entry.and_then(|entry| Ok((entry.path(), entry.metadata()?.modified()?)))).collect()
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "a file of a backup could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_a_backup_failed_is_told_for_a_day() {
        let data = tempfile::tempdir().unwrap();
        let backups = Backups::load(data.path());
        for (age, is_told) in [(KEPT_FOR / 2, true), (KEPT_FOR * 2, false)] {
            let failed = Some(("a full disk".into(), SystemTime::now() - age));
            *backups.current() =
                Some(Current { id: "1".into(), progress: Progress::default(), failed, is_cancelled: false });
            backups.forget_old();
            assert_eq!(backups.status("1").is_some(), is_told);
        }
        // One that is being written stays, until nobody wants it any more.
        let running = Current { id: "2".into(), progress: Progress::default(), failed: None, is_cancelled: false };
        *backups.current() = Some(running);
        backups.forget_old();
        assert!(backups.status("2").is_some() && backups.remove("2"));
        assert!(backups.status("2").is_none() && backups.list().is_empty() && !backups.remove("2"));
    }
}
