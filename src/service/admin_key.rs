//! The admin key: from the configuration, or made on first start, kept in DATA/admin.key and exchanged on request.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use actors::Directory;
use domain::Timestamp;
use domain::audit::Hash;
use domain::org::Secret;
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;

use super::private_file;
use crate::config::{SecretRef, parse_admin_key};

pub(crate) const ADMIN_KEY_FILE: &str = "admin.key";
const PREFIX: &str = "ttadmin";
/// The keys that open the admin API: one, or two during the grace of an exchange.
pub(crate) struct AdminKeys {
    /// `None`: it comes from the configuration.
    file: Option<PathBuf>,
    held: RwLock<Held>,
    /// Lets one exchange be made at a time.
    exchange: Mutex<()>,
}

struct Held {
    key: Secret,
    hash: Hash,
    previous: Option<(Hash, Timestamp)>,
}

/// Why the admin key was not exchanged. The old one stays in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// It is not ours to exchange.
    #[error("the admin key comes from admin.key in the configuration: change it there and start again")]
    Configured,
    /// The new one could not be kept.
    #[error("the new key could not be written: {0}; the old one stays in force")]
    File(io::Error),
}

impl AdminKeys {
    /// The configured key, else the one in the data folder, else a new one, kept there.
    pub(crate) fn load(configured: &SecretRef, folder: &Path) -> Result<Self, String> {
        if !configured.is_empty() {
            let key = configured
                .resolve()
                .and_then(|text| parse_admin_key(&text))
                .map_err(|error| format!("admin.key {error}"))?;
            return Ok(Self::new(None, key));
        }
        let path = folder.join(ADMIN_KEY_FILE);
        let key = match private_file::read_secret(&path)? {
            Some(key) => {
                parse_admin_key(key.expose()).map_err(|error| format!("the one in {} {error}", path.display()))?
            }
            None => {
                let key = make(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                tracing::info!(path = %path.display(), "an admin key was made");
                key
            }
        };
        Ok(Self::new(Some(path), key))
    }

    fn new(file: Option<PathBuf>, key: Secret) -> Self {
        let held = Held { hash: Directory::hash(key.expose()), key, previous: None };
        Self { file, held: RwLock::new(held), exchange: Mutex::new(()) }
    }

    /// Whether the key with this hash opens the admin API. Takes equally long however much of it is right.
    pub(crate) fn opens(&self, hash: &Hash, now: Timestamp) -> bool {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let is_current = bool::from(held.hash.ct_eq(hash));
        let is_previous =
            held.previous.as_ref().is_some_and(|(old, until)| *until > now && bool::from(old.ct_eq(hash)));
        is_current || is_previous
    }

    /// The key in force.
    pub(crate) fn current(&self) -> Secret {
        self.held.read().unwrap_or_else(PoisonError::into_inner).key.clone()
    }

    /// Makes a new key and keeps it in the file. The one before opens for `grace` more, held in memory only: a restart
    /// ends it. One from an exchange before that ends at once.
    pub(crate) async fn exchange(&self, grace: Duration, now: Timestamp) -> Result<(Secret, Timestamp), ExchangeError> {
        let path = self.file.clone().ok_or(ExchangeError::Configured)?;
        let _one = self.exchange.lock().await;
        let made = tokio::task::spawn_blocking(move || make(&path)).await;
        let key = made.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(ExchangeError::File)?;
        let until = now.after(grace);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let previous = Some((held.hash, until));
        *held = Held { hash: Directory::hash(key.expose()), key: key.clone(), previous };
        tracing::info!(grace_seconds = grace.as_secs(), "the admin key was exchanged");
        Ok((key, until))
    }
}

fn make(path: &Path) -> io::Result<Secret> {
    let key = new_key(PREFIX);
    private_file::replace(path, format!("{key}\n").as_bytes())?;
    key.parse().map_err(io::Error::other)
}

/// A new key of 256 random bits, such as `tt_4f…`. Hexadecimal, so that it can be copied anywhere.
pub(crate) fn new_key(prefix: &str) -> String {
    format!("{prefix}_{}", hex::encode(rand::random::<[u8; 32]>()))
}
