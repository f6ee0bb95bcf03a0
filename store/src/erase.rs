//! Erasing a person's data: what a commit writes for it, and how what there is of a person is found.

use std::ops::ControlFlow;

use domain::audit::{Hash, Kept};
use domain::consent::{Consent, Statement};
use domain::erasure::Erasure;
use domain::message::ErasureMark;
use domain::{AttemptNo, Inbound, Message, MessageId, OrgNo, ProviderId, Seq, State, Timestamp};

use crate::backend::{Order, StoreError, Write};
use crate::codec::decode;
use crate::commit::{Commit, idempotency_hash};
use crate::keys;
use crate::store::Store;

/// What an erasure takes and must know again for a while.
#[derive(Clone, Copy)]
pub enum Taken<'a> {
    /// The id that Meta gave to a message.
    Id(&'a ProviderId),
    /// A name of the person, in any spelling.
    Name(&'a str),
}

impl Taken<'_> {
    fn key(self, org: OrgNo) -> Vec<u8> {
        match self {
            Self::Id(id) => keys::gone_id(org, id),
            Self::Name(name) => keys::gone_name(org, name),
        }
    }
}

/// Visits ids in order, while it says so.
type VisitId<'a> = &'a mut dyn FnMut(MessageId) -> ControlFlow<()>;

impl Commit {
    /// Takes a person out of a finished message, of which the provider's answers to `answered` are kept; what is left. What was
    /// decided of it before must be durable.
    pub fn erase_message(
        &mut self,
        store: &Store,
        message: &Message,
        state: &State,
        answered: &[AttemptNo],
        at: Timestamp,
    ) -> Result<(Message, State), StoreError> {
        let (org, id) = (self.org, message.id);
        let mark = ErasureMark { at, idempotency: idempotency_hash(message) };
        let (left, state_left) = (message.erased(mark), state.erased());
        self.rewrite_message(message, &left)?;
        self.put("state", keys::state(org, id), &state_left)?;
        self.delete(keys::recipient_message(org, message.to.as_str(), id));
        self.forget_answers(id, answered);
        self.unname(store, id, state)?;
        // The fingerprint tells of the number and the text; without it every request under the key counts as the same.
        if let Some(hash) = mark.idempotency {
            self.put("idempotency key", keys::idempotency(org, hash), &(id, Hash::default()))?;
        }
        Ok((left, state_left))
    }

    /// A message's record in place of the one before.
    pub(crate) fn rewrite_message(&mut self, before: &Message, after: &Message) -> Result<(), StoreError> {
        let (org, id) = (self.org, before.id);
        let mut old = Self::new(org, self.epoch);
        old.put_parts("message", before, |part| keys::message_part(org, id, part))?;
        self.purge(old.into_keys());
        self.put_parts("message", after, |part| keys::message_part(org, id, part))
    }

    /// Removes the provider's answers to these attempts.
    pub(crate) fn forget_answers(&mut self, id: MessageId, answered: &[AttemptNo]) {
        for no in answered {
            self.delete(keys::response(self.org, id, *no));
        }
    }

    /// Puts an entry without its personal part in the place of the whole.
    pub fn erase_entry(&mut self, seq: Seq, erased: &Kept) -> Result<(), StoreError> {
        self.put("audit entry", keys::audit(self.org, seq), erased)
    }

    /// Notes that an erasure took something, so that what comes later and is about it does not bring the person back.
    pub fn taken(&mut self, what: Taken<'_>, by: MessageId, until: Timestamp) -> Result<(), StoreError> {
        let name = what.key(self.org);
        let expiry = keys::gone(&name, until);
        self.put("what is gone", name, &by)?;
        if let Some(expiry) = expiry {
            self.put_index_key(expiry);
        }
        Ok(())
    }

    /// Removes an inbound message and all that leads to it. A hash of its name stays `until` then, if that is given, so that
    /// it is known when it comes again.
    pub fn forget_inbound(&mut self, inbound: &Inbound, until: Option<Timestamp>) -> Result<(), StoreError> {
        let name = keys::inbound_name(self.org, &inbound.sender, &inbound.provider_id);
        let expiry = until.and_then(|until| keys::gone(&name, until));
        let mut made = Self::new(self.org, self.epoch);
        made.received(inbound)?;
        self.purge(made.into_keys().into_iter().filter(|key| expiry.is_none() || *key != name));
        // One that came before windows had keys of their own.
        for author in inbound.names().filter(|_| inbound.opens_window) {
            self.delete(keys::shared_window(self.org, inbound.sender_no, author, inbound.written_at()));
        }
        if let Some(expiry) = expiry {
            self.put_index_key(expiry);
        }
        Ok(())
    }

    /// What must stay known of the consent of a recipient of this name, who is named in it no more.
    pub fn erase_consent(&mut self, name: &str, left: &Consent) -> Result<(), StoreError> {
        self.put("consent", keys::consent(self.org, name), left)
    }

    /// What is left of a statement of a recipient of this name.
    pub fn erase_statement(&mut self, name: &str, record: Seq, left: &Statement) -> Result<(), StoreError> {
        self.put("statement", keys::statement(self.org, name, record), left)
    }

    /// An erasure that goes on.
    pub fn erasure(&mut self, erasure: &Erasure) -> Result<(), StoreError> {
        self.put("erasure", keys::erasure(self.org, erasure.id), erasure)
    }

    /// The end of an erasure.
    pub fn erasure_done(&mut self, id: MessageId) {
        self.delete(keys::erasure(self.org, id));
    }

    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.writes.push(Write::Delete(key));
    }
}

impl Store {
    /// Which erasure, or which erased message, took this not long ago.
    pub fn taken(&self, org: OrgNo, what: Taken<'_>) -> Result<Option<MessageId>, StoreError> {
        self.record("what is gone", &what.key(org))
    }

    /// The erasures that are not done.
    pub fn erasures(&self, org: OrgNo) -> Result<Vec<Erasure>, StoreError> {
        let mut found = Vec::new();
        self.scan(keys::of_kind(b'z', org), Order::Ascending, &mut |_, bytes| {
            found.push(decode("erasure", bytes));
            ControlFlow::Continue(())
        })?;
        found.into_iter().collect()
    }

    /// Ids of the messages to a recipient of this name, in any spelling, after `after`, oldest first.
    pub fn messages_to(
        &self,
        org: OrgNo,
        to: &str,
        after: Option<MessageId>,
        visit: VisitId<'_>,
    ) -> Result<(), StoreError> {
        self.ids_after(keys::recipient_messages(org, to), after, visit)
    }

    /// Ids of the messages that a recipient of this name wrote, after `after`, oldest first.
    pub fn inbound_of(
        &self,
        org: OrgNo,
        name: &str,
        after: Option<MessageId>,
        visit: VisitId<'_>,
    ) -> Result<(), StoreError> {
        self.ids_after(keys::author_inbounds(org, name), after, visit)
    }

    fn ids_after(&self, prefix: Vec<u8>, after: Option<MessageId>, visit: VisitId<'_>) -> Result<(), StoreError> {
        let mut range = keys::within(prefix);
        if let Some(after) = after {
            range.start.extend_from_slice(after.as_bytes());
            range.start.push(0);
        }
        self.backend.scan(&*range.start..&*range.end, Order::Ascending, &mut |key, _| {
            keys::message_at_end(key).map_or(ControlFlow::Continue(()), &mut *visit)
        })
    }

    /// Statements of a recipient of this name after the statement `after`, oldest first.
    pub fn statements_after(
        &self,
        org: OrgNo,
        name: &str,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<(Seq, Statement)>, StoreError> {
        let range = keys::within(keys::statements(org, name));
        let mut found = Vec::new();
        self.backend.scan(
            &*keys::statement(org, name, after + 1)..&*range.end,
            Order::Ascending,
            &mut |key, bytes| {
                found.extend(keys::seq_at_end(key).map(|seq| (seq, decode("statement", bytes))));
                if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            },
        )?;
        found.into_iter().map(|(seq, statement)| Ok((seq, statement?))).collect()
    }
}
