//! Purging what was kept long enough: what a commit writes for it, and how what is old is found.

use std::ops::ControlFlow;
use std::time::Duration;

use domain::audit::{Block, Entry, Hash, Kept, Subject};
use domain::{AttemptNo, Inbound, Message, MessageId, OrgNo, Seq, State, Timestamp};

use crate::backend::{Order, StoreError};
use crate::codec::decode;
use crate::commit::Commit;
use crate::keys;
use crate::records::Upkeep;
use crate::store::Store;

/// The id of what took something is drawn at that time, or so little later.
const DRAWN_WITHIN: Duration = Duration::from_secs(3600);

impl Commit {
    /// Removes a finished message and all that leads to it; its entries stay in the trail.
    pub fn purge_message(
        &mut self,
        store: &Store,
        message: &Message,
        state: &State,
        answered: &[AttemptNo],
    ) -> Result<(), StoreError> {
        let (org, id) = (self.org, message.id);
        let mut made = Self::new(org, self.epoch);
        made.accepted(message, state, &Hash::default())?;
        self.purge(made.into_keys());
        self.forget_answers(id, answered);
        self.unname(store, id, state)?;
        if let Some(dossier) = &message.dossier {
            self.purge(state.trail.iter().map(|seq| keys::dossier_activity(org, dossier.key(), *seq)));
        }
        Ok(())
    }

    /// Removes what a message says, and the provider's answers; what is left.
    pub fn strip_message(&mut self, message: &Message, answered: &[AttemptNo]) -> Result<Message, StoreError> {
        let left = Message { payload: [].into(), ..message.clone() };
        self.rewrite_message(message, &left)?;
        self.forget_answers(message.id, answered);
        Ok(left)
    }

    /// Forgets the names of what is gone, up to `limit` of those that were to be known until `then`; how many. One that was taken
    /// again since is known for as long, `known_for`, from then.
    pub fn forget_names(
        &mut self,
        store: &Store,
        then: Timestamp,
        known_for: Duration,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let mut found = Vec::new();
        store.scan(keys::of_kind(b'U', self.org), Order::Ascending, &mut |key, _| {
            let over = keys::gone_in(key).filter(|(until, _)| *until <= then && found.len() < limit);
            let Some((until, name)) = over else { return ControlFlow::Break(()) };
            found.push((key.to_vec(), until, name));
            ControlFlow::Continue(())
        })?;
        let count = found.len();
        for (expiry, until, name) in found {
            self.delete(expiry);
            let by: Option<MessageId> = store.record("what is gone", &name)?;
            if by.is_none_or(|by| by.drawn_at().after(known_for) <= until.after(DRAWN_WITHIN)) {
                self.delete(name);
            }
        }
        Ok(count)
    }

    /// Cuts a sealed block off the trail's beginning. It stays itself, in place of the one before it, for its hash.
    pub fn cut_block(&mut self, block: &Block, entries: &[(Seq, Option<Message>)], before: Seq) {
        self.delete(keys::block(self.org, before));
        for (seq, message) in entries {
            self.delete(keys::audit(self.org, *seq));
            if let Some(dossier) = message.as_ref().and_then(|message| message.dossier.as_ref()) {
                self.delete(keys::dossier_activity(self.org, dossier.key(), *seq));
            }
        }
        debug_assert_eq!(entries.last().map(|(seq, _)| *seq), Some(block.last));
    }

    /// What retention has done.
    pub fn upkeep(&mut self, upkeep: &Upkeep) -> Result<(), StoreError> {
        self.put("retention", keys::of_kind(b'l', self.org), upkeep)
    }
}

impl Store {
    /// What retention has done.
    pub fn upkeep(&self, org: OrgNo) -> Result<Upkeep, StoreError> {
        Ok(self.record("retention", &keys::of_kind(b'l', org))?.unwrap_or_default())
    }

    /// Up to `limit` ids of messages after `after`, oldest first, with their states.
    pub fn oldest_messages(
        &self,
        org: OrgNo,
        after: Option<MessageId>,
        limit: usize,
    ) -> Result<Vec<(MessageId, State)>, StoreError> {
        let mut range = keys::within(keys::of_kind(b's', org));
        if let Some(after) = after {
            range.start = keys::behind(&keys::state(org, after));
        }
        let mut found = Vec::new();
        self.backend.scan(&*range.start..&*range.end, Order::Ascending, &mut |key, bytes| {
            found.extend(keys::message_at_end(key).map(|id| (id, decode("state", bytes))));
            if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        found.into_iter().map(|(id, state)| Ok((id, state?))).collect()
    }

    /// Up to `limit` messages of recipients, oldest first.
    pub fn oldest_inbound(&self, org: OrgNo, limit: usize) -> Result<Vec<Inbound>, StoreError> {
        let mut ids: Vec<MessageId> = Vec::new();
        self.scan(keys::of_kind(b'n', org), Order::Ascending, &mut |key, _| {
            let id = keys::message_of_part(key);
            if id != ids.last().copied() {
                if ids.len() == limit {
                    return ControlFlow::Break(());
                }
                ids.extend(id);
            }
            ControlFlow::Continue(())
        })?;
        let found = ids.into_iter().map(|id| self.inbound(org, id)).collect::<Result<Vec<_>, _>>()?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The first sealed block after an entry, with its entries, if all of them are older than `then`.
    pub fn block_before(
        &self,
        org: OrgNo,
        cut: Seq,
        then: Timestamp,
    ) -> Result<Option<(Block, Vec<Entry>)>, StoreError> {
        let range = keys::within(keys::of_kind(b'b', org));
        let mut first = None;
        self.backend.scan(&*keys::block(org, cut + 1)..&*range.end, Order::Ascending, &mut |_, bytes| {
            first = Some(decode::<Block>("block", bytes));
            ControlFlow::Break(())
        })?;
        let Some(block) = first.transpose()? else { return Ok(None) };
        let mut entries = Vec::new();
        let end = keys::audit(org, block.last + 1);
        self.backend.scan(&*keys::audit(org, block.first)..&*end, Order::Ascending, &mut |_, bytes| {
            entries.push(decode("audit entry", bytes).map(Kept::into_entry));
            ControlFlow::Continue(())
        })?;
        let entries = entries.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(Some((block, entries)).filter(|(_, entries)| entries.iter().all(|entry| entry.at < then)))
    }

    /// The message that an entry is about, if it is about one that is still there.
    pub fn subject(&self, org: OrgNo, entry: &Entry) -> Result<Option<Message>, StoreError> {
        match &entry.subject {
            Subject::Message(id) => self.message(org, *id),
            Subject::Organisation
            | Subject::ApiKey(_)
            | Subject::Sender(_)
            | Subject::Inbound(_)
            | Subject::Consent(_)
            | Subject::Erasure(_)
            | Subject::Person(_) => Ok(None),
        }
    }

    /// The entries about a message, oldest first, from where the trail begins.
    pub fn trail(&self, org: OrgNo, state: &State) -> Result<Vec<Entry>, StoreError> {
        let cut = self.upkeep(org)?.cut;
        let entry = |seq: &Seq| self.entry(org, *seq)?.ok_or(StoreError::Damaged { what: "audit trail" });
        state.trail.iter().filter(|seq| **seq > cut).map(entry).collect()
    }

    /// Until when the first of those inbound messages is known that are gone.
    pub fn first_name_until(&self, org: OrgNo) -> Result<Option<Timestamp>, StoreError> {
        let mut first = None;
        self.scan(keys::of_kind(b'U', org), Order::Ascending, &mut |key, _| {
            first = keys::gone_in(key).map(|(until, _)| until);
            ControlFlow::Break(())
        })?;
        Ok(first)
    }

    /// When the oldest messages, payloads, inbound messages and entries that are kept date from.
    pub fn oldest(&self, org: OrgNo, upkeep: &Upkeep) -> Result<[Option<Timestamp>; 4], StoreError> {
        let first = |after| {
            let found = self.oldest_messages(org, after, 1)?;
            Ok::<_, StoreError>(found.first().map(|(id, _)| id.drawn_at()))
        };
        let inbound = self.oldest_inbound(org, 1)?.first().map(|inbound| inbound.received_at);
        let entry = self.entry(org, upkeep.cut + 1)?.map(|entry| entry.at);
        Ok([first(None)?, first(upkeep.payloads_to)?, inbound, entry])
    }
}
