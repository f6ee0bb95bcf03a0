//! The only write: everything that one step of one organisation changes, together or not at all.

use std::collections::{BTreeMap, BTreeSet};

use domain::audit::{Block, Hash, Kept};
use domain::consent::{Consent, Statement};
use domain::org::Org;
use domain::receipt::Reported;
use domain::{
    Attempt, AttemptNo, AttemptRef, Dossier, Epoch, Inbound, Message, MessageId, OrgNo, ProviderId, Seq, State,
};

use crate::backend::{StoreError, Write};
use crate::codec::encode;
use crate::encryption::MasterKey;
use crate::keys;
use crate::records::{Head, Lane, Parked, Record};
use crate::statuses::{StatusIndex, status_key};
use crate::store::Store;

/// Values longer than this are split over several keys: whoever wants another record of the same block need not read a long one.
pub(crate) const PART_MAX: usize = 4096;

/// The value in an author's index of an inbound message whose window has a key of its own: each since there are such keys.
pub(crate) const OWN_WINDOW: &[u8] = &[1];

/// Changes of one organisation, to be made durable together.
#[derive(Clone)]
pub struct Commit {
    pub(crate) org: OrgNo,
    pub(crate) epoch: Epoch,
    pub(crate) writes: Vec<Write>,
}

impl Commit {
    /// An empty commit by the owner of `org` in `epoch`.
    pub const fn new(org: OrgNo, epoch: Epoch) -> Self {
        Self { org, epoch, writes: Vec::new() }
    }

    /// How many keys it changes.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// A new message, its state, its place in the due index, its idempotency key and the indexes it is found by.
    pub fn accepted(&mut self, message: &Message, state: &State, fingerprint: &Hash) -> Result<(), StoreError> {
        let (org, id) = (self.org, message.id);
        self.put_parts("message", message, |part| keys::message_part(org, id, part))?;
        self.put("state", keys::state(org, id), state)?;
        if let Some(due) = due_key(org, message, state) {
            self.put_index_key(due);
        }
        if let Some(expiry) = expiry_key(org, message, state) {
            self.put_index_key(expiry);
        }
        if let Some(status) = status_key(org, message, state) {
            self.put_index_key(status);
        }
        if let Some(hash) = idempotency_hash(message) {
            self.put("idempotency key", keys::idempotency(org, hash), &(id, *fingerprint))?;
        }
        if let Some(dossier) = &message.dossier {
            self.put_index_key(keys::dossier_message(org, dossier.key(), id));
        }
        if message.erased.is_none() {
            self.put_index_key(keys::recipient_message(org, message.to.as_str(), id));
        }
        Ok(())
    }

    /// A message's next state; the indexes by due time, expiry and status follow it.
    pub fn moved(&mut self, message: &Message, before: &State, after: &State) -> Result<(), StoreError> {
        let (org, id) = (self.org, message.id);
        self.put("state", keys::state(org, id), after)?;
        for key in [due_key, expiry_key, status_key] {
            let (old, new) = (key(org, message, before), key(org, message, after));
            if old != new {
                self.writes.extend(old.map(Write::Delete));
                self.writes.extend(new.map(|key| Write::Put(key, Vec::new())));
            }
        }
        Ok(())
    }

    /// The provider gave an id to an attempt, and to none before: by it, the attempt is found.
    pub fn named(&mut self, id: &ProviderId, attempt: AttemptRef) -> Result<(), StoreError> {
        self.put("provider id", keys::provider(self.org, id), &attempt)
    }

    /// The provider gave an id to an attempt that another has: by it, that one is found, whatever becomes of this one.
    pub fn named_after(&mut self, id: &ProviderId, attempt: AttemptRef) {
        self.put_index_key(keys::claim(self.org, id, attempt));
    }

    /// Removes what leads from the provider's ids to the attempts of a message; what leads to other messages stays.
    pub(crate) fn unname(&mut self, store: &Store, message: MessageId, state: &State) -> Result<(), StoreError> {
        for Attempt { no, provider_id, .. } in &state.attempts {
            let Some(id) = provider_id.as_ref().filter(|id| !id.is_erased()) else { continue };
            let own = AttemptRef { message, attempt: *no };
            let is_holder = store.by_provider_id(self.org, id)? == Some(own);
            let key = if is_holder { keys::provider(self.org, id) } else { keys::claim(self.org, id, own) };
            self.writes.push(Write::Delete(key));
        }
        Ok(())
    }

    /// The provider's answer to an attempt.
    pub fn response(&mut self, id: MessageId, attempt: AttemptNo, body: Vec<u8>) {
        self.writes.push(Write::Put(keys::response(self.org, id, attempt), body));
    }

    /// A message that a recipient wrote, the indexes it is found by, and the window that it opens.
    pub fn received(&mut self, inbound: &Inbound) -> Result<(), StoreError> {
        let (org, id) = (self.org, inbound.id);
        self.put_parts("inbound message", inbound, |part| keys::inbound_part(org, id, part))?;
        self.put("inbound id", keys::inbound_name(org, &inbound.sender, &inbound.provider_id), &id)?;
        // Each has a key of its own, so one that comes late does not close what a later one has opened, nor one that goes
        // what another has.
        for author in inbound.names() {
            self.writes.push(Write::Put(keys::author_inbound(org, author, id), OWN_WINDOW.to_vec()));
            if inbound.opens_window {
                self.put_index_key(keys::window(org, inbound.sender_no, author, inbound.written_at(), id));
            }
        }
        Ok(())
    }

    /// What is known of a recipient's consent.
    pub fn consent(&mut self, known: &Consent) -> Result<(), StoreError> {
        self.put("consent", keys::consent(self.org, &known.recipient), known)
    }

    /// A statement of a recipient, and what is known after it.
    pub fn statement(&mut self, known: &Consent, record: Seq, statement: &Statement) -> Result<(), StoreError> {
        self.consent(known)?;
        self.put("statement", keys::statement(self.org, &known.recipient, record), statement)
    }

    /// An entry of the audit trail, also on its dossier's timeline.
    pub fn entry(&mut self, seq: Seq, entry: &Kept, dossier: Option<&Dossier>) -> Result<(), StoreError> {
        self.put("audit entry", keys::audit(self.org, seq), entry)?;
        if let Some(dossier) = dossier {
            self.put_index_key(keys::dossier_activity(self.org, dossier.key(), seq));
        }
        Ok(())
    }

    /// The organisation's head after all of this.
    pub fn head(&mut self, head: &Head) -> Result<(), StoreError> {
        self.put("head", keys::head(self.org), head)
    }

    /// Keeps a receipt whose message is not known.
    pub fn park(&mut self, parked: &Parked) -> Result<(), StoreError> {
        let Parked { reported: Reported { receipt, .. }, .. } = parked;
        let key = keys::parked(self.org, &receipt.provider_id, receipt.kind as u8);
        self.put("parked receipt", key, parked)
    }

    /// Lets a parked receipt go: it was applied, or waited too long.
    pub fn unpark(&mut self, parked: &Parked) {
        let Parked { reported: Reported { receipt, .. }, .. } = parked;
        let key = keys::parked(self.org, &receipt.provider_id, receipt.kind as u8);
        self.writes.push(Write::Delete(key));
    }

    /// A sealed block of the audit trail.
    pub fn block(&mut self, block: &Block) -> Result<(), StoreError> {
        self.put("block", keys::block(self.org, block.last), block)
    }

    /// The organisation's own record after `before`, its secrets encrypted under `key`.
    pub fn org(&mut self, key: &MasterKey, before: Option<&Org>, after: &Org) -> Result<(), StoreError> {
        // A record that became shorter must not keep its old end.
        self.forget_org(key, before)?;
        let org = self.org;
        if before.is_none() {
            // It has no older messages.
            self.status_index(&StatusIndex::Whole)?;
        }
        self.put_bytes(&key.encrypt(after)?, |part| keys::org_part(org, part));
        Ok(())
    }

    /// Removes the organisation's own record.
    pub fn forget_org(&mut self, key: &MasterKey, record: Option<&Org>) -> Result<(), StoreError> {
        // Encrypted anew it is as long as it was.
        let bytes = record.map(|record| key.encrypt(record)).transpose()?.unwrap_or_default();
        let parts = (0..).take(bytes.len().div_ceil(PART_MAX));
        self.writes.extend(parts.map(|part| Write::Delete(keys::org_part(self.org, part))));
        Ok(())
    }

    /// Removes keys found by [`crate::Store::data_keys`].
    pub fn purge(&mut self, keys: impl IntoIterator<Item = Vec<u8>>) {
        self.writes.extend(keys.into_iter().map(Write::Delete));
    }

    /// The records that it sets, each once.
    pub(crate) fn into_records(self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let set = |write| match write {
            Write::Put(key, value) => Some((key, value)),
            Write::Delete(_) => None,
        };
        self.writes.into_iter().filter_map(set).collect()
    }

    /// The keys that it sets, each once.
    pub(crate) fn into_keys(self) -> BTreeSet<Vec<u8>> {
        self.into_records().into_keys().collect()
    }

    pub(crate) fn put<T: Record>(&mut self, kind: &'static str, key: Vec<u8>, record: &T) -> Result<(), StoreError> {
        self.writes.push(Write::Put(key, encode(kind, record)?));
        Ok(())
    }

    /// Puts a record of any length.
    pub(crate) fn put_parts<T: Record>(
        &mut self,
        kind: &'static str,
        record: &T,
        key: impl Fn(u16) -> Vec<u8>,
    ) -> Result<(), StoreError> {
        self.put_bytes(&encode(kind, record)?, key);
        Ok(())
    }

    fn put_bytes(&mut self, bytes: &[u8], key: impl Fn(u16) -> Vec<u8>) {
        self.writes
            .extend((0..).zip(bytes.chunks(PART_MAX)).map(|(part, bytes)| Write::Put(key(part), bytes.to_vec())));
    }

    /// Puts an entry of an index: its key says all, and its value is empty.
    pub(crate) fn put_index_key(&mut self, key: Vec<u8>) {
        self.writes.push(Write::Put(key, Vec::new()));
    }
}

/// Under which hash a message's idempotency key stands.
pub(crate) fn idempotency_hash(message: &Message) -> Option<keys::Short> {
    match &message.erased {
        Some(mark) => mark.idempotency,
        None => message.idempotency_key.as_deref().map(keys::short),
    }
}

fn due_key(org: OrgNo, message: &Message, state: &State) -> Option<Vec<u8>> {
    let lane = Lane::of(state, message.priority);
    state.due().map(|at| keys::due(org, message.sender, lane, at, message.id))
}

fn expiry_key(org: OrgNo, message: &Message, state: &State) -> Option<Vec<u8>> {
    state.due()?;
    message.expires_at.map(|at| keys::expiry(org, at, message.id))
}
