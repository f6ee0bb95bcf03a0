//! The master key, under which the secrets of all organisations are encrypted in the store: from the configuration, or made
//! on first start and kept in DATA/master.key.

use std::path::{Path, PathBuf};

use store::{KeyId, MasterKey, Store, StoreError};

use super::private_file;
use crate::config::SecretRef;

pub(crate) const MASTER_KEY_FILE: &str = "master.key";
/// The next key, while a change to it is under way.
pub(crate) const NEXT_KEY_FILE: &str = "master.key.next";

/// Why the store cannot be used with the master key, or without one.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// It cannot be read, made or used.
    #[error("the master key: {0}")]
    Unusable(String),
    /// It is gone.
    #[error(
        "the secrets in the store are encrypted under the master key with id {used}, and there is no {}: put it back there, or name where \
         it is in admin.master_key. Nothing was changed. Without it no access token can be read again", .path.display()
    )]
    Gone {
        /// The key that is needed.
        used: KeyId,
        /// Where it should be.
        path: PathBuf,
    },
    /// It is another one.
    #[error(
        "the secrets in the store are encrypted under the master key with id {used}, and {place} gives one with id {given}: give the one that they \
         are encrypted under. If a `twotick rekey` was cut off, run it again. Nothing was changed"
    )]
    Other {
        /// The key that is needed.
        used: KeyId,
        /// The key that was given.
        given: KeyId,
        /// Where it was given.
        place: String,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store under its master key; a new one gets a new key. What an older version kept in clear is encrypted. Blocks.
pub(crate) fn unlock(store: Store, configured: &SecretRef, folder: &Path) -> Result<Store, MasterKeyError> {
    let key = match find(&store, configured, folder)? {
        Some(key) => key,
        None => make(&folder.join(MASTER_KEY_FILE))?,
    };
    let store = store.with_key(key);
    let organisations = store.reencrypt(None)?.plain;
    if organisations > 0 {
        tracing::warn!(
            organisations,
            "an older version kept secrets in clear; they are encrypted now. Blocks of the store's file that are not yet \
             written over may still hold them: exchange those that others could have read"
        );
    }
    Ok(store)
}

/// The key of a store: the configured one, else the one in its folder. `None` if there is none, and nothing encrypted.
pub(crate) fn find(store: &Store, configured: &SecretRef, folder: &Path) -> Result<Option<MasterKey>, MasterKeyError> {
    let used = store.keys_in_use()?;
    let path = folder.join(MASTER_KEY_FILE);
    let (key, place) = if configured.is_empty() {
        (read(&path)?, path.display().to_string())
    } else {
        (Some(named(configured, "admin.master_key")?), "admin.master_key".to_owned())
    };
    match (key, used.first()) {
        (None, None) => Ok(None),
        (None, Some(used)) => Err(MasterKeyError::Gone { used: *used, path }),
        (Some(key), _) => match used.into_iter().find(|used| *used != key.id()) {
            Some(used) => Err(MasterKeyError::Other { used, given: key.id(), place }),
            None => Ok(Some(key)),
        },
    }
}

/// The key that `reference` gives; `name` is where that was written.
pub(crate) fn named(reference: &SecretRef, name: &str) -> Result<MasterKey, MasterKeyError> {
    let key = reference.resolve().and_then(|text| text.parse().map_err(str::to_owned));
    key.map_err(|reason| MasterKeyError::Unusable(format!("{name}: {reason}")))
}

/// The key in a file; `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<MasterKey>, MasterKeyError> {
    let show = |error: &dyn std::fmt::Display| MasterKeyError::Unusable(format!("{}: {error}", path.display()));
    let text = private_file::read_secret(path).map_err(MasterKeyError::Unusable)?;
    text.map(|text| text.expose().parse()).transpose().map_err(|error: &str| show(&error))
}

/// A new key, kept in a file for its owner only.
pub(crate) fn make(path: &Path) -> Result<MasterKey, MasterKeyError> {
    let text = hex::encode(rand::random::<[u8; 32]>());
    let show = |error: &dyn std::fmt::Display| MasterKeyError::Unusable(format!("{}: {error}", path.display()));
    private_file::replace(path, format!("{text}\n").as_bytes()).map_err(|error| show(&error))?;
    let key: MasterKey = text.parse().map_err(|error: &str| show(&error))?;
    // Its id is the beginning of a hash; by its name alone it would look like the key.
    tracing::info!(
        path = %path.display(),
        key_id = %key.id(),
        "a master key was made: keep a copy of it apart from backups of the store (its id is public, and not the key)"
    );
    Ok(key)
}
