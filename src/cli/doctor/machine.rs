//! The machine: the address, the data folder, the disk, the store.

use std::fs;
use std::path::Path;

use bytesize::ByteSize;
use domain::org::Org;
use nix::sys::statvfs::statvfs;
use store::folder::FolderError;
use store::{DataFolder, StoreError};
use tempfile::NamedTempFile;

use crate::checks::Report;
use crate::config::{Config, Http, SecretRef};
use crate::http::Tls;
use crate::service::descriptors::Descriptors;
use crate::service::master_key;
use crate::service::master_key::MasterKeyError;
use crate::service::private_file;

/// With less room than this a disk is as good as full.
const FREE_MIN: u64 = 100 << 20;
/// With less room than this it soon will be.
const FREE_ADVISED: u64 = 2 << 30;
const NO_ROOM: &str = "make room: while the service cannot write it takes and sends nothing, and reads are answered; once there is \
                       room it goes on by itself";
/// Enough to look.
const CACHE: u64 = 16 << 20;

/// Who has the store, and what is in it.
pub(super) enum Store {
    /// Nobody; these are its organisations.
    Stopped(Vec<Org>),
    /// A service.
    Running,
    /// There is none yet, or it cannot be read.
    Unknown,
}

/// The address and the certificate.
pub(super) fn listening(http: &Http, report: &mut Report) {
    let what = "address";
    if let Err(error) = http.check_exposure() {
        report.wrong(what, error.to_string(), "set one of the keys that it names");
    } else if !http.has_tls() {
        report.ok(what, format!("{}, plain HTTP", http.listen));
    } else if let Err(error) = Tls::load(&http.tls_cert, &http.tls_key) {
        report.wrong(what, error, "name the PEM files of a certificate chain and of its private key");
    } else {
        report.ok(what, format!("{}, TLS", http.listen));
    }
}

/// How many files and connections may be open.
pub(super) fn descriptors(http: &Http, report: &mut Report) {
    let (what, descriptors) = ("open files", Descriptors::raise());
    let (connections, _) = descriptors.connections(http.max_connections);
    let detail = format!(
        "{} for a service started from here, of which connections may take {connections}; the rest is for files and calls to \
         WhatsApp",
        descriptors.limit()
    );
    if descriptors.are_too_few_for(http.max_connections) {
        let fix = "raise the limit (LimitNOFILE of its unit, or ulimit -Hn), or lower http.max_connections";
        report.note(what, format!("{detail}; http.max_connections = {}", http.max_connections), fix);
    } else if descriptors.are_few() {
        report.note(what, detail, "raise the limit to 65536: LimitNOFILE of its unit, or ulimit -Hn");
    } else {
        report.ok(what, detail);
    }
}

/// The data folder and the store in it.
pub(super) fn folder(config: &Config, report: &mut Report) -> Store {
    let path = &config.store.path;
    let what = format!("data folder {}", path.display());
    let is_empty = match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            report.ok(&what, "does not exist yet; the first start makes it");
            return Store::Unknown;
        }
        Err(error) => {
            report.wrong(&what, error.to_string(), "run this as the service's user, or give that user the folder");
            return Store::Unknown;
        }
    };
    match NamedTempFile::new_in(path) {
        Ok(_) => report.ok(&what, "can be written to"),
        Err(error) => {
            report.wrong(&what, format!("cannot be written to: {error}"), "give the service's user the folder");
        }
    }
    if private_file::is_open_to_others(path) {
        let detail = "other users of this machine can look in; it holds secrets and what people wrote";
        if config.store.allow_shared_folder {
            report.note(&what, detail, "nothing, if they are meant to: store.allow_shared_folder is true");
        } else {
            let fix = format!("chmod go= {}; the next start does it, too", path.display());
            report.note(&what, detail, &fix);
        }
    }
    room(path, report);
    if is_empty { Store::Unknown } else { store(path, &config.admin.master_key, report) }
}

/// The files with secrets that others can read.
pub(super) fn secrets(config: &Config, report: &mut Report) {
    for (what, path) in private_file::open_to_others(config) {
        look_in(what, &path, report);
    }
}

fn look_in(what: &str, path: &Path, report: &mut Report) {
    let fix = format!("chmod go= {}", path.display());
    report.note(what, "other users of this machine can look in; it holds secrets", &fix);
}

fn room(path: &Path, report: &mut Report) {
    let what = "disk";
    match statvfs(path) {
        Ok(disk) => {
            let free = disk.blocks_available() * disk.fragment_size();
            let detail = format!("{} free", ByteSize(free));
            match free {
                0..FREE_MIN => report.wrong(what, detail, NO_ROOM),
                FREE_MIN..FREE_ADVISED => report.note(what, detail, "make room soon"),
                FREE_ADVISED.. => report.ok(what, detail),
            }
        }
        Err(error) => report.note(what, format!("how much is free is not known: {error}"), "look with df"),
    }
}

fn store(path: &Path, master_key: &SecretRef, report: &mut Report) -> Store {
    let what = "store";
    let opened = match DataFolder::open(path) {
        Ok(folder) => store::open(folder, CACHE),
        Err(FolderError::InUse(_)) => {
            report.ok(what, "in use by a running service");
            return Store::Running;
        }
        Err(error) => {
            report.wrong(what, error.to_string(), "name the right folder in store.path or --data");
            return Store::Unknown;
        }
    };
    match opened.and_then(|store| orgs(&store, path, master_key, report)) {
        Ok(orgs) => Store::Stopped(orgs),
        Err(error) => {
            let fix = "if the disk is full, make room; if it is damaged, see `twotick verify`, and restore the folder from a backup";
            report.wrong(what, error.to_string(), fix);
            Store::Unknown
        }
    }
}

/// The organisations in a store; none, if their secrets do not open.
fn orgs(
    store: &store::Store,
    folder: &Path,
    master_key: &SecretRef,
    report: &mut Report,
) -> Result<Vec<Org>, StoreError> {
    let mut orgs = store.orgs_without_secrets()?;
    orgs.retain(|org| org.deleted_at.is_none());
    report.ok("store", format!("opens; organisations: {}", orgs.len()));
    let what = "master key";
    let opened = match master_key::find(store, master_key, folder) {
        Ok(None) if orgs.is_empty() => {
            report.ok(what, "there is none yet; the first start makes it");
            return Ok(Vec::new());
        }
        Ok(None) => {
            report.note(what, "secrets are kept in clear", "start the service: it encrypts them");
            store.orgs()?
        }
        Ok(Some(key)) => {
            let opened = store.clone().with_key(key).orgs()?;
            report.ok(what, "opens the secrets in the store");
            opened
        }
        Err(MasterKeyError::Store(error)) => return Err(error),
        Err(error @ (MasterKeyError::Unusable(_) | MasterKeyError::Gone { .. } | MasterKeyError::Other { .. })) => {
            report.wrong(what, error.to_string(), "give the key that the secrets are encrypted under");
            return Ok(Vec::new());
        }
    };
    Ok(opened.into_iter().filter(|org| org.deleted_at.is_none()).collect())
}
