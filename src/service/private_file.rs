//! Files for the owner's eyes only, replaced whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use domain::org::Secret;
use tempfile::NamedTempFile;

use super::admin_key::ADMIN_KEY_FILE;
use super::master_key::MASTER_KEY_FILE;
use crate::config::Config;

/// Replaces the file at `path`, with mode 0600; what was there stays until the new one is on the disk.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    // Made with mode 0600.
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

/// A new file for its owner only, in the place of one that is there.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Puts the file at `from` in the place of the one at `to`, in the same folder, for good.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    File::open(folder_of(to))?.sync_all()
}

/// The files with secrets that other users of this machine may read or write, with what each is.
pub(crate) fn open_to_others(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let Config { admin, store, http, .. } = config;
    let kept = |name: &str| Some(store.path.join(name));
    let files = [
        ("admin key", kept(ADMIN_KEY_FILE)),
        ("master key", kept(MASTER_KEY_FILE)),
        ("admin key", admin.key.file().map(Path::to_owned)),
        ("master key", admin.master_key.file().map(Path::to_owned)),
        ("TLS key", Some(http.tls_key.clone())),
    ];
    let files = files.into_iter().filter_map(|(what, path)| Some((what, path?)));
    files.filter(|(_, path)| is_open_to_others(path)).collect()
}

/// Whether other users of this machine may do anything with what is at `path`.
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The secret in a file; `None` if there is none: an empty file is left by a first start that was cut off.
pub(crate) fn read_secret(path: &Path) -> Result<Option<Secret>, String> {
    let show = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => text.trim().parse().map(Some).map_err(|error| show(&error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(show(&error)),
    }
}
