//! Who is who: organisations by id, by API key and by phone number. Read by every request, written when one changes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use domain::audit::Hash;
use domain::org::{ApiKey, Org, Secret, Sender};
use domain::{OrgId, PhoneNumberId, Timestamp};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::address::Address;
use crate::org::OrgMsg;

/// The organisations as last committed.
pub struct Directory {
    inner: RwLock<Inner>,
    max_accepting: usize,
}

#[derive(Default)]
struct Inner {
    orgs: BTreeMap<OrgId, Listing>,
    keys: HashMap<Hash, OrgId>,
    revoked: HashMap<Hash, OrgId>,
    senders: HashMap<PhoneNumberId, OrgId>,
    /// Who has senders of a WhatsApp business account.
    accounts: HashMap<String, BTreeSet<OrgId>>,
    /// Gathered when first asked for after a change.
    app_secrets: OnceLock<Arc<[Secret]>>,
}

struct Listing {
    record: Arc<Org>,
    presence: Presence,
    /// Bounds the requests that wait for a commit.
    permits: Arc<Semaphore>,
}

/// Where an organisation's actor is.
#[derive(Clone)]
pub(crate) enum Presence {
    /// In memory.
    Running(Address<OrgMsg>),
    /// Not in memory, for want of work: the root starts it for whoever has a message for it.
    Passivated,
    /// It crashed, and takes no messages: why, and until when.
    Down(Arc<str>),
}

/// Organisations, counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Census {
    pub(crate) all: usize,
    pub(crate) running: usize,
    pub(crate) down: usize,
}

/// Whose request it is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The organisation.
    pub org: Arc<Org>,
    /// The key.
    pub key: ApiKey,
}

/// A key that opens nothing.
#[derive(Clone, Debug)]
pub enum Stranger {
    /// Nobody's.
    Unknown,
    /// Past its expiry.
    Expired(Box<Identity>),
    /// Revoked.
    Revoked(Box<Identity>),
}

impl Directory {
    pub(crate) fn new(max_accepting: usize) -> Self {
        Self { inner: RwLock::default(), max_accepting }
    }

    /// The hash under which a key is kept.
    pub fn hash(key: &str) -> Hash {
        Sha256::digest(key).into()
    }

    /// Whose key this is the hash of, if it is one's and has not expired. How long the look-up takes tells nothing of a
    /// key: whoever guesses cannot choose what the hash of a guess begins with.
    pub fn authenticate(&self, hash: &Hash, now: Timestamp) -> Result<Identity, Stranger> {
        let org = {
            let inner = self.read();
            let owner = inner.keys.get(hash).or_else(|| inner.revoked.get(hash));
            let listing = owner.and_then(|id| inner.orgs.get(id)).ok_or(Stranger::Unknown)?;
            Arc::clone(&listing.record)
        };
        let is_it = |key: &&ApiKey| bool::from(key.hash.ct_eq(hash));
        let (live, revoked) = (org.keys.iter().find(is_it).cloned(), org.revoked.iter().find(is_it).cloned());
        match (live, revoked) {
            (Some(key), _) if key.expires_at.is_none_or(|at| at > now) => Ok(Identity { org, key }),
            (Some(key), _) => Err(Stranger::Expired(Box::new(Identity { org, key }))),
            (None, Some(key)) => Err(Stranger::Revoked(Box::new(Identity { org, key }))),
            (None, None) => Err(Stranger::Unknown),
        }
    }

    /// The hashes of all keys, and of those that were revoked.
    pub fn key_hashes(&self) -> HashSet<Hash> {
        let inner = self.read();
        inner.keys.keys().chain(inner.revoked.keys()).copied().collect()
    }

    /// One organisation.
    pub fn org(&self, id: &OrgId) -> Option<Arc<Org>> {
        self.read().orgs.get(id).map(|listing| Arc::clone(&listing.record))
    }

    /// Every organisation, by id.
    pub fn orgs(&self) -> Vec<Arc<Org>> {
        self.read().orgs.values().map(|listing| Arc::clone(&listing.record)).collect()
    }

    /// The organisation that has this phone number.
    pub fn owner(&self, sender: &PhoneNumberId) -> Option<Arc<Org>> {
        let inner = self.read();
        inner.orgs.get(inner.senders.get(sender)?).map(|listing| Arc::clone(&listing.record))
    }

    /// The organisations that have senders of this WhatsApp business account.
    pub fn of_account(&self, waba_id: &str) -> Vec<Arc<Org>> {
        let inner = self.read();
        let ids = inner.accounts.get(waba_id).into_iter().flatten();
        ids.filter_map(|id| inner.orgs.get(id)).map(|listing| Arc::clone(&listing.record)).collect()
    }

    /// The app secrets of all senders, each once; those of the most senders come first.
    pub fn app_secrets(&self) -> Arc<[Secret]> {
        let inner = self.read();
        let gather = || {
            let mut counts: HashMap<&str, (usize, &Secret)> = HashMap::new();
            let senders = inner.orgs.values().flat_map(|listing| &listing.record.senders);
            for secret in senders.flat_map(Sender::app_secrets) {
                counts.entry(secret.expose()).or_insert((0, secret)).0 += 1;
            }
            let mut found: Vec<_> = counts.into_values().collect();
            found.sort_by_key(|(count, _)| Reverse(*count));
            found.into_iter().map(|(_, secret)| secret.clone()).collect()
        };
        Arc::clone(inner.app_secrets.get_or_init(gather))
    }

    /// Where an organisation's actor is; `None` if there is no such organisation.
    pub(crate) fn presence(&self, id: &OrgId) -> Option<Presence> {
        self.read().orgs.get(id).map(|listing| listing.presence.clone())
    }

    /// The permits that a request to an organisation must take one of.
    pub(crate) fn permits(&self, id: &OrgId) -> Option<Arc<Semaphore>> {
        self.read().orgs.get(id).map(|listing| Arc::clone(&listing.permits))
    }

    pub(crate) fn set_presence(&self, id: &OrgId, presence: Presence) {
        if let Some(listing) = self.write().orgs.get_mut(id) {
            listing.presence = presence;
        }
    }

    /// Whose key this is, known by its hash.
    pub(crate) fn key_owner(&self, hash: &Hash) -> Option<OrgId> {
        self.read().keys.get(hash).cloned()
    }

    /// Lists an organisation as it now is. `presence` is that of a new one: of others the root says where they are.
    pub(crate) fn list(&self, record: Arc<Org>, presence: Presence) {
        let mut inner = self.write();
        let fresh = || (Arc::new(Semaphore::new(self.max_accepting)), presence);
        let (permits, presence) = inner.forget(&record.id).map_or_else(fresh, |old| (old.permits, old.presence));
        inner.keys.extend(record.keys.iter().map(|key| (key.hash, record.id.clone())));
        inner.revoked.extend(record.revoked.iter().map(|key| (key.hash, record.id.clone())));
        inner.senders.extend(record.senders.iter().map(|sender| (sender.phone_number_id.clone(), record.id.clone())));
        for account in record.senders.iter().filter_map(|sender| sender.waba_id.clone()) {
            inner.accounts.entry(account).or_default().insert(record.id.clone());
        }
        inner.orgs.insert(record.id.clone(), Listing { record, presence, permits });
    }

    /// How many organisations there are, and where their actors are.
    pub(crate) fn census(&self) -> Census {
        let inner = self.read();
        let mut census = Census { all: inner.orgs.len(), ..Census::default() };
        for listing in inner.orgs.values() {
            match listing.presence {
                Presence::Running(_) => census.running += 1,
                Presence::Passivated => {}
                Presence::Down(_) => census.down += 1,
            }
        }
        census
    }

    pub(crate) fn remove(&self, id: &OrgId) {
        self.write().forget(id);
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget(&mut self, id: &OrgId) -> Option<Listing> {
        self.app_secrets = OnceLock::new();
        let old = self.orgs.remove(id)?;
        // Only what is still its own: another may have taken it over.
        for (keys, listed) in [(&old.record.keys, &mut self.keys), (&old.record.revoked, &mut self.revoked)] {
            for key in keys {
                if listed.get(&key.hash) == Some(id) {
                    listed.remove(&key.hash);
                }
            }
        }
        for number in old.record.senders.iter().map(|sender| &sender.phone_number_id) {
            if self.senders.get(number) == Some(id) {
                self.senders.remove(number);
            }
        }
        for account in old.record.senders.iter().filter_map(|sender| sender.waba_id.as_deref()) {
            if let Some(orgs) = self.accounts.get_mut(account) {
                orgs.remove(id);
                if orgs.is_empty() {
                    self.accounts.remove(account);
                }
            }
        }
        Some(old)
    }
}
