//! `twotick rekey`: encrypts the secrets in a stopped service's store under a new master key. Cut off, it is run again.

use std::path::{Path, PathBuf};

use clap::Args;
use store::{DataFolder, MasterKey};

use super::command::{Failure, load, say};
use crate::config::{Config, SecretRef};
use crate::service::master_key;
use crate::service::master_key::{MASTER_KEY_FILE, NEXT_KEY_FILE};
use crate::service::private_file;

/// Arguments of `twotick rekey`.
#[derive(Args)]
pub(crate) struct Rekey {
    /// The configuration file; without it `config.toml` here, if there is one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The data folder, in place of `store.path`.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Where the key in force is, if not where the configuration says: env:NAME or file:PATH.
    #[arg(long)]
    old: Option<String>,
    /// Where the new key is: env:NAME or file:PATH. Without it, one is made and takes the place of DATA/master.key.
    #[arg(long)]
    new: Option<String>,
}

impl Rekey {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut config = load(self.config)?;
        if let Some(data) = self.data {
            config.store.path = data;
        }
        let path = config.store.path.clone();
        let [old, new] = [("--old", self.old), ("--new", self.new)].map(|(name, given)| reference(name, given));
        let (old, new) = (old?, new?);
        if new.is_none() && !config.admin.master_key.is_empty() {
            return Err(Failure::Usage(
                "admin.master_key names the key in force: make a new one (openssl rand -hex 32 > FILE), say where it is by \
                 --new file:FILE, and name it in admin.master_key afterwards"
                    .into(),
            ));
        }
        let folder = DataFolder::open_existing(&path)?;
        let old = old_key(old.as_ref(), &config)?;
        let (kept, next) = (path.join(MASTER_KEY_FILE), path.join(NEXT_KEY_FILE));
        if new.is_none() {
            check_place(&kept, &old)?;
        }
        let key = match (&new, master_key::read(&next)?) {
            (Some(new), _) => master_key::named(new, "--new")?,
            // One that was cut off goes on.
            (None, Some(key)) => key,
            (None, None) => master_key::make(&next)?,
        };
        let store = store::open(folder, config.store.cache.as_u64())?.with_key(key.clone());
        let changed = store.reencrypt(Some(&old))?;
        if new.is_none() {
            private_file::rename(&next, &kept)?;
        }
        say(&told(&path, &key, changed.old + changed.plain, new.is_some()));
        Ok(())
    }
}

/// A new key takes the place of the old one, and of no other: that may be all that opens another store or a backup.
fn check_place(kept: &Path, old: &MasterKey) -> Result<(), Failure> {
    match master_key::read(kept)? {
        Some(other) if other.id() != old.id() => Err(anyhow::anyhow!(
            "{place} has another master key (id {other}) than --old gives (id {old}), and would be overwritten: leave --old out if it \
             is the key in force; else move it away, or say by --new where the new key is. Nothing was changed",
            place = kept.display(),
            other = other.id(),
            old = old.id()
        )
        .into()),
        Some(_) | None => Ok(()),
    }
}

/// A key on the command line could be seen by every user of the machine.
fn reference(name: &str, given: Option<String>) -> Result<Option<SecretRef>, Failure> {
    let given = given.map(SecretRef::from);
    if given.as_ref().is_some_and(|given| given.is_literal() || given.is_empty()) {
        return Err(Failure::Usage(format!("{name} must say where the key is: env:NAME or file:PATH")));
    }
    Ok(given)
}

fn old_key(given: Option<&SecretRef>, config: &Config) -> Result<MasterKey, Failure> {
    let configured = Some(&config.admin.master_key).filter(|configured| !configured.is_empty());
    let path = config.store.path.join(MASTER_KEY_FILE);
    Ok(match (given, configured) {
        (Some(given), _) => master_key::named(given, "--old")?,
        (None, Some(configured)) => master_key::named(configured, "admin.master_key")?,
        (None, None) => master_key::read(&path)?
            .ok_or_else(|| anyhow::anyhow!("there is no {}: say where the key in force is by --old", path.display()))?,
    })
}

fn told(folder: &Path, key: &MasterKey, changed: usize, is_named: bool) -> String {
    let done =
        format!("secrets are encrypted under the master key with id {}; organisations changed: {changed}", key.id());
    let then = if is_named {
        "name that key in admin.master_key before the next start".to_owned()
    } else {
        format!("it is kept in {}", folder.join(MASTER_KEY_FILE).display())
    };
    format!(
        "{done}\n{then}\nblocks of the store's file that are not yet written over still hold secrets under the old key: if \
         that key is known to others, exchange the secrets at Meta, too"
    )
}
