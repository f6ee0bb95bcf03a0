//! Turns decisions into commits: numbers the audit entries, keeps the head, and notes every change in the
//! active set.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use domain::audit::{By, Entry, Fact, Kept, Subject};
use domain::invariants;
use domain::lifecycle::Move;
use domain::outcome::ProviderError;
use domain::{AttemptNo, AttemptRef, Dossier, Epoch, Message, MessageId, OrgNo, ProviderId, Seq, State, Timestamp};
use store::{Commit, Head, Restored, StoreError, Taken, Upkeep};

use super::active_set::ActiveSet;
use super::retention_sweep::KNOWN_FOR;
use crate::context::Context;

/// What an organisation's only writer must know to write on.
pub(super) struct OrgWriter {
    ctx: Arc<Context>,
    pub(super) org: OrgNo,
    pub(super) head: Head,
    pub(super) active: ActiveSet,
    /// What retention has done, durable or on its way.
    pub(super) upkeep: Upkeep,
    /// While messages may be held since the store was restored from a backup.
    pub(super) restored: Option<Restored>,
    /// Messages that a commit on its way removes: the store still has them.
    pub(super) being_purged: HashSet<MessageId>,
    /// Provider ids in commits on their way: the store does not find them yet.
    named: HashMap<ProviderId, AttemptRef>,
}

/// A message and its state at one time.
pub type Snapshot = (Arc<Message>, Arc<State>);

/// A commit in the making, and the messages in it.
pub(super) struct Transaction {
    pub(super) commit: Commit,
    pub(super) at: Timestamp,
    pub(super) by: By,
    pub(super) changed: Vec<MessageId>,
    pub(super) named: Vec<ProviderId>,
    /// Errors that receipts brought, which may hold for more than their messages.
    pub(super) observed: Vec<(Arc<Message>, ProviderError)>,
}

impl OrgWriter {
    /// Takes the organisation over: its epoch grows, so that an older owner can write no more.
    pub(super) fn take_over(ctx: Arc<Context>, org: OrgNo) -> Result<Self, StoreError> {
        let mut head = ctx.store.head(org)?;
        head.epoch = Epoch(head.epoch.0 + 1);
        let (upkeep, restored) = (ctx.store.upkeep(org)?, ctx.store.restored(org)?);
        let (active, being_purged, named) = (ActiveSet::default(), HashSet::new(), HashMap::new());
        Ok(Self { ctx, org, head, active, upkeep, restored, being_purged, named })
    }

    pub(super) fn begin(&self, at: Timestamp, by: By) -> Transaction {
        let commit = Commit::new(self.org, self.head.epoch);
        Transaction { commit, at, by, changed: Vec::new(), named: Vec::new(), observed: Vec::new() }
    }

    /// The latest state of a message, durable or not.
    pub(super) fn latest(&self, id: MessageId) -> Result<Option<Snapshot>, StoreError> {
        if let Some(active) = self.active.get(id) {
            return Ok(Some((Arc::clone(&active.message), Arc::clone(&active.state))));
        }
        if self.being_purged.contains(&id) {
            return Ok(None);
        }
        let Some(state) = self.ctx.store.state(self.org, id)? else { return Ok(None) };
        let message = self.ctx.store.message(self.org, id)?.ok_or(StoreError::Damaged { what: "message" })?;
        Ok(Some((Arc::new(message), Arc::new(state))))
    }

    /// The attempt that the provider gave this id to, as far as has been decided.
    pub(super) fn named(&self, id: &ProviderId) -> Result<Option<AttemptRef>, StoreError> {
        match self.named.get(id) {
            Some(attempt) => Ok(Some(*attempt)),
            None => self.ctx.store.by_provider_id(self.org, id),
        }
    }

    /// Adds a new message.
    pub(super) fn accept(
        &mut self,
        transaction: &mut Transaction,
        message: &Arc<Message>,
        mut state: State,
        fingerprint: &domain::audit::Hash,
    ) -> Result<Arc<State>, StoreError> {
        state.trail.push(self.message_fact(transaction, message, Fact::Created)?);
        debug_assert_eq!(invariants::check(message, &state), Ok(()));
        transaction.commit.accepted(message, &state, fingerprint)?;
        self.head.moved(None, state.phase.status());
        Ok(self.note(transaction, message, state))
    }

    /// Adds a step of a message, decided on its latest state `before`. The provider's answer, if there is one, is kept.
    pub(super) fn apply(
        &mut self,
        transaction: &mut Transaction,
        message: &Arc<Message>,
        before: &State,
        step: Move,
        response: Option<(AttemptNo, Vec<u8>)>,
    ) -> Result<Arc<State>, StoreError> {
        debug_assert_eq!(invariants::check_step(message, before, &step), Ok(()));
        let Move { mut next, facts, call: _, opt_out: _ } = step;
        for fact in facts {
            next.trail.push(self.message_fact(transaction, message, fact)?);
        }
        let was_named = |no| before.attempt(no).is_some_and(|attempt| attempt.provider_id.is_some());
        let named = next.attempts.iter().filter(|attempt| !was_named(attempt.no));
        let named: Vec<_> = named.filter_map(|attempt| Some((attempt.no, attempt.provider_id.clone()?))).collect();
        for (attempt, provider_id) in named {
            let own = AttemptRef { message: message.id, attempt };
            if let Some(holder) = self.name(transaction, provider_id, own)? {
                tracing::warn!(%own, %holder, "Meta named an attempt by an id that another has: by it, that one is found");
                next.trail.push(self.message_fact(transaction, message, Fact::IdTaken { attempt, holder })?);
            }
        }
        transaction.commit.moved(message, before, &next)?;
        if let Some((attempt, body)) = response {
            transaction.commit.response(message.id, attempt, body);
        }
        self.head.moved(Some(before.phase.status()), next.phase.status());
        Ok(self.note(transaction, message, next))
    }

    /// An attempt has an id from the provider. By it, one attempt is found: whoever had it first, who is returned if that is
    /// another.
    fn name(
        &mut self,
        transaction: &mut Transaction,
        id: ProviderId,
        own: AttemptRef,
    ) -> Result<Option<AttemptRef>, StoreError> {
        if let Some(holder) = self.named(&id)? {
            transaction.commit.named_after(&id, own);
            return Ok(Some(holder));
        }
        transaction.commit.named(&id, own)?;
        self.named.insert(id.clone(), own);
        transaction.named.push(id);
        Ok(None)
    }

    /// Takes the person out of a finished message, its answers and its audit entries. What was decided of it before must
    /// be durable.
    pub(super) fn erase(
        &mut self,
        transaction: &mut Transaction,
        message: &Message,
        state: &State,
    ) -> Result<(), StoreError> {
        self.erase_entries(transaction, state)?;
        let answered = self.answered(message.id)?;
        // What Meta tells of it later must not be kept as that of a message to come.
        let until = transaction.at.after(KNOWN_FOR);
        for id in state.attempts.iter().filter_map(|attempt| attempt.provider_id.as_ref()) {
            transaction.commit.taken(Taken::Id(id), message.id, until)?;
        }
        let store = &self.ctx.store;
        let (left, state) = transaction.commit.erase_message(store, message, state, &answered, transaction.at)?;
        self.note(transaction, &Arc::new(left), state);
        Ok(())
    }

    /// Removes a finished message. Its entries stay in the trail, without what tells of its recipient: nothing leads from
    /// the recipient to them any more.
    pub(super) fn purge(
        &mut self,
        transaction: &mut Transaction,
        id: MessageId,
        state: &State,
    ) -> Result<(), StoreError> {
        let Some(message) = self.ctx.store.message(self.org, id)? else { return Ok(()) };
        self.erase_entries(transaction, state)?;
        transaction.commit.purge_message(&self.ctx.store, &message, state, &self.answered(id)?)?;
        self.head.gone(state.phase.status());
        let cut = self.upkeep.cut;
        let left = state.trail.iter().filter(|seq| **seq > cut).count();
        self.upkeep.orphans += u64::try_from(left).unwrap_or(0);
        self.upkeep.purged.messages += 1;
        self.being_purged.insert(id);
        Ok(())
    }

    /// Removes what a finished message says, and the provider's answers.
    pub(super) fn strip(
        &mut self,
        transaction: &mut Transaction,
        id: MessageId,
        state: State,
    ) -> Result<(), StoreError> {
        let message = self.ctx.store.message(self.org, id)?.filter(|message| !message.is_payload_erased());
        let Some(message) = message else { return Ok(()) };
        let left = transaction.commit.strip_message(&message, &self.answered(id)?)?;
        self.upkeep.purged.payloads += 1;
        self.note(transaction, &Arc::new(left), state);
        Ok(())
    }

    fn answered(&self, id: MessageId) -> Result<Vec<AttemptNo>, StoreError> {
        Ok(self.ctx.store.responses(self.org, id)?.into_iter().map(|(no, _)| no).collect())
    }

    fn erase_entries(&self, transaction: &mut Transaction, state: &State) -> Result<(), StoreError> {
        for seq in state.trail.iter().filter(|seq| **seq > self.upkeep.cut) {
            // One that this very commit adds has nothing personal.
            if let Some(erased) = self.ctx.store.kept_entry(self.org, *seq)?.and_then(Kept::erased) {
                transaction.commit.erase_entry(*seq, &erased)?;
            }
        }
        Ok(())
    }

    /// Adds an entry about the organisation.
    pub(super) fn fact(
        &mut self,
        transaction: &mut Transaction,
        subject: Subject,
        fact: Fact,
    ) -> Result<Seq, StoreError> {
        self.entry(transaction, subject, fact, None)
    }

    /// Closes the commit with the head as it now is.
    pub(super) fn close(&self, transaction: &mut Transaction) -> Result<(), StoreError> {
        transaction.commit.head(&self.head)
    }

    /// A commit is durable.
    pub(super) fn committed(&mut self, changed: &[MessageId], named: &[ProviderId]) {
        for id in changed {
            self.active.committed(*id);
        }
        for provider_id in named {
            self.named.remove(provider_id);
        }
    }

    fn message_fact(
        &mut self,
        transaction: &mut Transaction,
        message: &Message,
        fact: Fact,
    ) -> Result<Seq, StoreError> {
        self.entry(transaction, Subject::Message(message.id), fact, message.dossier.as_ref())
    }

    pub(super) fn entry(
        &mut self,
        transaction: &mut Transaction,
        subject: Subject,
        fact: Fact,
        dossier: Option<&Dossier>,
    ) -> Result<Seq, StoreError> {
        self.head.last_seq += 1;
        let entry = Entry { at: transaction.at, subject, by: transaction.by.clone(), fact };
        transaction.commit.entry(self.head.last_seq, &Kept::new(entry, self.ctx.clock.salt()), dossier)?;
        Ok(self.head.last_seq)
    }

    fn note(&mut self, transaction: &mut Transaction, message: &Arc<Message>, state: State) -> Arc<State> {
        let state = Arc::new(state);
        self.active.changed(message, Arc::clone(&state));
        transaction.changed.push(message.id);
        state
    }
}
