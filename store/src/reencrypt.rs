//! Encrypting what is not yet under the master key: records of a version that kept secrets in clear, and those under the key
//! before it. The only write that is no step of an owner: nothing else may use the store meanwhile.

use crate::backend::StoreError;
use crate::commit::Commit;
use crate::encryption::{Found, MasterKey};
use crate::store::Store;

/// How many organisations were encrypted anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reencrypted {
    /// Were in clear.
    pub plain: usize,
    /// Were under the old key.
    pub old: usize,
}

impl Store {
    /// Encrypts, under this store's key, the secrets of every organisation that are in clear or under `old`. Those under it already
    /// stay as they are: cut off, it can be repeated.
    pub fn reencrypt(&self, old: Option<&MasterKey>) -> Result<Reencrypted, StoreError> {
        let key = self.master_key()?;
        let mut done = Reencrypted::default();
        for found in self.found_orgs()? {
            match &found {
                Found::Encrypted(_) if found.key() == Some(key.id()) => continue,
                Found::Encrypted(_) => done.old += 1,
                Found::Plain(_) => done.plain += 1,
            }
            let org = found.decrypt(old.or(Some(key)))?;
            let mut commit = Commit::new(org.no, self.head(org.no)?.epoch);
            commit.org(key, Some(&org), &org)?;
            self.backend.apply(commit.writes)?;
        }
        Ok(done)
    }
}
