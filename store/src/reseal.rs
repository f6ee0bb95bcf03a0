//! Sealing what is not yet under the master key: records of a version that kept secrets in clear, and those under the key
//! before it. The only write that is no step of an owner: nothing else may use the store meanwhile.

use crate::backend::StoreError;
use crate::commit::Commit;
use crate::seal::{Found, MasterKey};
use crate::store::Store;

/// How many organisations were sealed anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Were in clear.
    pub plain: usize,
    /// Were under the old key.
    pub old: usize,
}

impl Store {
    /// Seals, under this store's key, every organisation that is in clear or under `old`. Those that are under it already
    /// stay as they are: cut off, it can be repeated.
    pub fn reseal(&self, old: Option<&MasterKey>) -> Result<Resealed, StoreError> {
        let key = self.master_key()?;
        let mut done = Resealed::default();
        for found in self.found_orgs()? {
            match &found {
                Found::Sealed(_) if found.key() == Some(key.id()) => continue,
                Found::Sealed(_) => done.old += 1,
                Found::Plain(_) => done.plain += 1,
            }
            let org = found.open(old.or(Some(key)))?;
            let mut commit = Commit::new(org.no, self.head(org.no)?.epoch);
            commit.org(key, Some(&org), &org)?;
            self.backend.apply(commit.writes)?;
        }
        Ok(done)
    }
}
