//! Reading records by what they are. Sees only what was applied; blocks while it reads.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use domain::audit::{Block, Entry, Hash, Kept};
use domain::org::Org;
use domain::{AttemptNo, AttemptRef, Message, MessageId, OrgNo, ProviderId, SenderNo, Seq, State, Timestamp};

use crate::backend::{Backend, Order, StoreError, Visit};
use crate::codec::decode;
use crate::commit::PART_MAX;
use crate::encryption::{Found, KeyId, MasterKey};
use crate::keys;
use crate::records::{self, Head, Lane, Parked, Record};

/// The records in a backend.
#[derive(Clone)]
pub struct Store {
    pub(crate) backend: Arc<dyn Backend>,
    key: Option<MasterKey>,
}

/// An entry of the due index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueEntry {
    /// When it is due.
    pub at: Timestamp,
    /// The message.
    pub id: MessageId,
}

impl Store {
    /// Reads from `backend` all but encrypted secrets.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, key: None }
    }

    /// The same with the key that secrets are encrypted under.
    pub fn with_key(self, key: MasterKey) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The key that secrets are encrypted under.
    pub fn master_key(&self) -> Result<&MasterKey, StoreError> {
        self.key.as_ref().ok_or(StoreError::Locked)
    }

    /// Every organisation with its secrets, deleted ones whose data is still there included.
    pub fn orgs(&self) -> Result<Vec<Org>, StoreError> {
        self.found_orgs()?.into_iter().map(|found| found.decrypt(self.key.as_ref())).collect()
    }

    /// The same without their secrets, which are empty: needs no master key.
    pub fn orgs_without_secrets(&self) -> Result<Vec<Org>, StoreError> {
        Ok(self.found_orgs()?.into_iter().map(Found::without_secrets).collect())
    }

    /// The master keys that secrets are encrypted under: one, but for a change of the key that was cut off.
    pub fn keys_in_use(&self) -> Result<BTreeSet<KeyId>, StoreError> {
        Ok(self.found_orgs()?.iter().filter_map(Found::key).collect())
    }

    pub(crate) fn found_orgs(&self) -> Result<Vec<Found>, StoreError> {
        let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        self.scan(vec![keys::ORGS], Order::Ascending, &mut |key, part| {
            let prefix = key.get(..5).unwrap_or(key);
            match records.last_mut() {
                Some((last, bytes)) if last == prefix => bytes.extend_from_slice(part),
                Some(_) | None => records.push((prefix.to_vec(), part.to_vec())),
            }
            ControlFlow::Continue(())
        })?;
        records.iter().map(|(_, bytes)| Found::read(bytes)).collect()
    }

    /// An organisation's head; zeros before its first commit.
    pub fn head(&self, org: OrgNo) -> Result<Head, StoreError> {
        Ok(self.record("head", &keys::head(org))?.unwrap_or_default())
    }

    /// A message as accepted.
    pub fn message(&self, org: OrgNo, id: MessageId) -> Result<Option<Message>, StoreError> {
        self.parts("message", keys::message(org, id))
    }

    /// A message's state.
    pub fn state(&self, org: OrgNo, id: MessageId) -> Result<Option<State>, StoreError> {
        self.record("state", &keys::state(org, id))
    }

    /// The provider's answers to a message's attempts, in order.
    pub fn responses(&self, org: OrgNo, id: MessageId) -> Result<Vec<(AttemptNo, Vec<u8>)>, StoreError> {
        let mut found = Vec::new();
        self.scan(keys::responses(org, id), Order::Ascending, &mut |key, body| {
            let no = key.last_chunk().copied().map(u16::from_be_bytes);
            found.extend(no.map(|no| (AttemptNo(no), body.to_vec())));
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Entries of one lane of a sender, soonest first, while `visit` says so.
    pub fn due(
        &self,
        org: OrgNo,
        sender: SenderNo,
        lane: Lane,
        visit: &mut dyn FnMut(DueEntry) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan(keys::lane(org, sender, lane), Order::Ascending, &mut |key, _| match (
            keys::due_at(key),
            keys::message_at_end(key),
        ) {
            (Some(at), Some(id)) => visit(DueEntry { at, id }),
            (Some(_) | None, _) => ControlFlow::Continue(()),
        })
    }

    /// Unfinished messages that expire, soonest first, while `visit` says so.
    pub fn expiring(
        &self,
        org: OrgNo,
        visit: &mut dyn FnMut(Timestamp, MessageId) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.scan(keys::of_kind(b'e', org), Order::Ascending, &mut |key, _| match (
            keys::expiry_at(key),
            keys::message_at_end(key),
        ) {
            (Some(at), Some(id)) => visit(at, id),
            (Some(_) | None, _) => ControlFlow::Continue(()),
        })
    }

    /// The message that an idempotency key was used for, and the fingerprint of its request.
    pub fn idempotency(&self, org: OrgNo, key: &str) -> Result<Option<(MessageId, Hash)>, StoreError> {
        self.record("idempotency key", &keys::idempotency(org, keys::short(key)))
    }

    /// The attempt that the provider gave this id to.
    pub fn by_provider_id(&self, org: OrgNo, id: &ProviderId) -> Result<Option<AttemptRef>, StoreError> {
        self.record("provider id", &keys::provider(org, id))
    }

    /// One entry of the audit trail.
    pub fn entry(&self, org: OrgNo, seq: Seq) -> Result<Option<Entry>, StoreError> {
        Ok(self.kept_entry(org, seq)?.map(Kept::into_entry))
    }

    /// One entry as it is kept.
    pub fn kept_entry(&self, org: OrgNo, seq: Seq) -> Result<Option<Kept>, StoreError> {
        self.record("audit entry", &keys::audit(org, seq))
    }

    /// What the hash chain covers of the entries from `first`, at most `limit` of them.
    pub fn sealed_entries(&self, org: OrgNo, first: Seq, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let end = keys::within(keys::of_kind(b'a', org)).end;
        let mut found = Vec::new();
        self.backend.scan(&*keys::audit(org, first)..&*end, Order::Ascending, &mut |_, bytes| {
            found.push(decode("audit entry", bytes).and_then(|kept| records::sealed(&kept)));
            if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        found.into_iter().collect()
    }

    /// The last sealed block of the audit trail.
    pub fn last_block(&self, org: OrgNo) -> Result<Option<Block>, StoreError> {
        let mut last = None;
        self.scan(keys::of_kind(b'b', org), Order::Descending, &mut |_, bytes| {
            last = Some(decode("block", bytes));
            ControlFlow::Break(())
        })?;
        last.transpose()
    }

    /// Every sealed block of the audit trail, in order.
    pub fn blocks(&self, org: OrgNo) -> Result<Vec<Block>, StoreError> {
        let mut found = Vec::new();
        self.scan(keys::of_kind(b'b', org), Order::Ascending, &mut |_, bytes| {
            found.push(decode("block", bytes));
            ControlFlow::Continue(())
        })?;
        found.into_iter().collect()
    }

    /// The receipts that wait for their message.
    pub fn parked(&self, org: OrgNo) -> Result<Vec<Parked>, StoreError> {
        let mut found = Vec::new();
        self.scan(keys::of_kind(b'k', org), Order::Ascending, &mut |_, bytes| {
            found.push(decode("parked receipt", bytes));
            ControlFlow::Continue(())
        })?;
        found.into_iter().collect()
    }

    /// Up to `limit` keys of an organisation's data, to be purged.
    pub fn data_keys(&self, org: OrgNo, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut found = Vec::new();
        for kind in keys::DATA_KINDS {
            if found.len() >= limit {
                break;
            }
            self.scan(keys::of_kind(*kind, org), Order::Ascending, &mut |key, _| {
                found.push(key.to_vec());
                if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(found)
    }

    /// Bytes on disk.
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        self.backend.size_on_disk()
    }

    pub(crate) fn record<T: Record>(&self, kind: &'static str, key: &[u8]) -> Result<Option<T>, StoreError> {
        self.backend.get(key)?.map(|bytes| decode(kind, &bytes)).transpose()
    }

    /// A record of any length.
    pub(crate) fn parts<T: Record>(&self, kind: &'static str, prefix: Vec<u8>) -> Result<Option<T>, StoreError> {
        // Nearly all have one part, and to get that costs less than to look for others.
        match self.backend.get(&keys::first_part(&prefix))? {
            None => return Ok(None),
            Some(bytes) if bytes.len() < PART_MAX => return decode(kind, &bytes).map(Some),
            Some(_) => {}
        }
        let mut bytes = Vec::new();
        self.scan(prefix, Order::Ascending, &mut |_, part| {
            bytes.extend_from_slice(part);
            ControlFlow::Continue(())
        })?;
        if bytes.is_empty() { Ok(None) } else { decode(kind, &bytes).map(Some) }
    }

    pub(crate) fn scan(&self, prefix: Vec<u8>, order: Order, visit: Visit<'_>) -> Result<(), StoreError> {
        let range = keys::within(prefix);
        self.backend.scan(&*range.start..&*range.end, order, visit)
    }
}
